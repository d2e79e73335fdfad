"""Matchers as RE2 expressions for what Envoy sees: paths, targets, authorities, headers.

All expressions are for a full match. Envoy's path is normalised but keeps percent-encoding
(and the case of its hexadecimal digits); the ``:path`` header holds path and query, the query
as it was sent; ``:authority`` holds the host as it was sent, with a port if there was one;
repeated header lines are joined by commas.
"""

from __future__ import annotations

import re
from functools import lru_cache

from portway.rules.encoding import (
    ASCII,
    NEVER,
    Encoding,
    Place,
    ascii_of,
    beyond_ascii,
    char_class,
    encode,
    hex_byte,
    hex_bytes,
    hex_characters,
    literal,
    raw_characters,
)
from portway.rules.path import RESERVED, UNRESERVED
from portway.rules.pattern import Atom, characters, compile_bytes_pattern
from portway.rules.tree import Matcher

QUERY_END = r"(?:\?.*)?"
"""What may follow the path in a target."""
_PORT = "(?::[0-9]*)?"
_PATH_RAW = (UNRESERVED | RESERVED) - frozenset(b"?#%")
_PATH_ENCODED = ASCII - UNRESERVED - RESERVED
_QUERY_RAW = frozenset(range(0x21, 0x7F)) - frozenset(b"&;%+#")
_ALL_BEYOND = [(0x80, 0x10FFFF)]

# One octet of a query component that Go decodes; it drops parameters with broken escapes.
_OCTET = "(?:[^&;%]|%[0-9A-Fa-f]{2})"
_PARAMETER_END = "(?:[&;].*)?"


def path_literal(text: str, *, prefix: bool = False) -> tuple[str | None, str]:
    """A path as Envoy sees it, for a path (or its beginning) as matchers see it.

    Returns it as plain text, or None when there are several spellings or none, and as an
    expression, which is ``NEVER`` when no request can have such a path.
    """
    octets = text.encode()
    plain: list[str] = []
    pattern: list[str] = []
    unique = True
    at = 0
    while at < len(octets):
        code = octets[at]
        if code in _PATH_RAW:
            plain.append(chr(code))
            pattern.append(literal(chr(code)))
            at += 1
            continue
        if code == 0x25:
            codes = _triples(octets[at : at + 3], partial=prefix)
            at += 3
        else:
            codes = [] if code in b"?#" else [code]
            at += 1
        if not codes:
            return None, NEVER
        forms = [hex_byte(c) for c in codes]
        unique = unique and len(forms) == 1 and "[" not in forms[0]
        plain.append(forms[0])
        pattern.append(forms[0] if len(forms) == 1 else f"(?:{'|'.join(forms)})")
    return "".join(plain) if unique else None, "".join(pattern)


def _triples(found: bytes, *, partial: bool) -> list[int]:
    if len(found) < 3 and not partial:
        return []
    return [code for code in sorted(RESERVED) if b"%%%02X" % code == found] or [
        code for code in sorted(RESERVED) if len(found) < 3 and (b"%%%02X" % code).startswith(found)
    ]


def _path_atom(atom: Atom, place: Place) -> str:
    ranges = characters(atom)
    members = ascii_of(ranges)
    beyond = list(beyond_ascii(ranges))
    raw = members & _PATH_RAW
    encoded = set(members & _PATH_ENCODED)
    encoded |= {code for code in RESERVED if _may_be_part(members, b"%%%02X" % code, place)}
    if place.repeated and beyond == _ALL_BEYOND:
        beyond = []  # any number of these characters is any number of their bytes
        encoded.update(range(0x80, 0x100))
    forms = [char_class(raw)] if raw else []
    if encoded:
        forms.append(hex_bytes(encoded))
    return _any_of(forms + hex_characters(beyond))


def _may_be_part(members: frozenset[int], triple: bytes, place: Place) -> bool:
    """Whether a class matches a reserved character that was sent encoded, which matchers see
    as three characters: all of it, or the part beyond which nothing matters."""
    if members == {0x25}:
        return True
    if place.repeated:
        return members.issuperset(triple)
    return (
        (place.open_before and triple[2] in members)
        or (place.open_after and triple[0] in members)
        or (place.open_before and place.open_after and triple[1] in members)
    )


def _any_of(forms: list[str]) -> str:
    if not forms:
        return NEVER
    return forms[0] if len(forms) == 1 and _is_unit(forms[0]) else f"(?:{'|'.join(forms)})"


def _is_unit(form: str) -> bool:
    return len(form) == 1 or form.startswith("[") or (len(form) == 2 and form[0] == "\\")


# What comes before must not end within an encoded character.
_BEFORE = "(?:[^%?]|%[0-9A-Fa-f]{2})*"
_PATH = Encoding(_path_atom, "", _BEFORE, ".*", "", RESERVED)
_TARGET = Encoding(_path_atom, "", _BEFORE, ".*", QUERY_END, RESERVED)


@lru_cache(maxsize=4096)
def path_pattern(pattern: str) -> str:
    """``PathRegexp`` for the path alone."""
    return encode(pattern, _PATH)


@lru_cache(maxsize=4096)
def target_pattern(pattern: str) -> str:
    """``PathRegexp`` for path and query."""
    return encode(pattern, _TARGET)


def authority_literal(wanted: str) -> str:
    """``Host`` for the authority; ``*.x`` stands for one label before ``.x``."""
    host = wanted.lower().removesuffix(".")
    if ":" in host:  # an IPv6 address, which is sent between brackets
        return rf"(?i)\[{literal(host)}\]{_PORT}"
    if host.startswith("*."):
        return rf"(?i)[^.:]*{literal(host[1:])}\.?{_PORT}"
    return rf"(?i){literal(host)}\.?{_PORT}" if "*" not in host else NEVER


def _host_atom(atom: Atom, _place: Place) -> str:
    # Matchers see the host in lower case and without port.
    lower = {c for c in ascii_of(characters(atom)) if not 0x41 <= c <= 0x5A and c != 0x3A}
    upper = {c - 0x20 for c in lower if 0x61 <= c <= 0x7A}
    members = frozenset(lower | upper)
    return char_class(members) if members else NEVER


_HOST = Encoding(_host_atom, "", "[^:]*", ".*", _PORT)


@lru_cache(maxsize=4096)
def authority_pattern(pattern: str) -> str:
    """``HostRegexp`` for the authority."""
    return encode(pattern, _HOST)


def _header_atom(atom: Atom, _place: Place) -> str:
    if _ABOUT_BYTES.fullmatch(atom.text):
        return atom.source
    ranges = characters(atom)
    members = ascii_of(ranges)
    forms = [char_class(members)] if members else []
    return _any_of(forms + raw_characters(beyond_ascii(ranges)))


# What means the same to an engine that sees bytes, or may be repeated as if it did.
_ABOUT_BYTES = re.compile(r"(?:[ -~]|\\[^pPxC])", re.ASCII)


# A comma that joins two lines is followed by a value, which never begins with white space:
# in "gzip, deflate" there is one value, in "gzip,deflate" there may be two.
_LINES = Encoding(_header_atom, "(?:.*,)?", ".*", ".*", r"(?:,(?:[^ \t].*)?)?")
_ONE_LINE = Encoding(_header_atom, "", ".*", ".*", "")


def _header_encoding(name: str) -> Encoding:
    return _ONE_LINE if name == "cookie" else _LINES


def header_literal(name: str, value: str) -> str:
    """``Header`` for the joined lines of a header (name in lower case)."""
    encoding = _header_encoding(name)
    return f"{encoding.start}{literal(value)}{encoding.end}"


@lru_cache(maxsize=4096)
def header_pattern(name: str, pattern: str) -> str:
    """``HeaderRegexp`` for the joined lines of a header (name in lower case)."""
    return encode(pattern, _header_encoding(name))


def _query_octet(code: int) -> list[str]:
    forms = [hex_byte(code)]
    if code in _QUERY_RAW:
        forms.insert(0, literal(chr(code)))
    if code == 0x20:
        forms.insert(0, r"\+")
    return forms


def _query_literal(text: str, *, name: bool = False) -> str:
    parts = []
    for code in text.encode():
        forms = _query_octet(code)
        if name and code == 0x3D:  # the first = ends the name
            forms = [hex_byte(code)]
        parts.append(forms[0] if len(forms) == 1 else f"(?:{'|'.join(forms)})")
    return "".join(parts)


def _query_atom(atom: Atom, _place: Place) -> str:
    ranges = characters(atom)
    members = ascii_of(ranges)
    forms = []
    if raw := members & _QUERY_RAW:
        forms.append(char_class(raw | {0x2B} if 0x20 in members else raw))
    elif 0x20 in members:
        forms.append(r"\+")
    if members:
        forms.append(hex_bytes(members))
    return _any_of(forms + hex_characters(beyond_ascii(ranges)))


_VALUE = Encoding(_query_atom, "", f"{_OCTET}*", f"{_OCTET}*{_PARAMETER_END}", _PARAMETER_END)
_PARAMETER = r"[^?]*\?(?:.*[&;])?"


def query_literal(name: str, value: str) -> str:
    """``Query`` for path and query; an empty value also stands for no ``=`` at all."""
    wanted = f"={_query_literal(value)}" if value else "=?"
    return f"{_PARAMETER}{_query_literal(name, name=True)}{wanted}{_PARAMETER_END}"


@lru_cache(maxsize=4096)
def query_pattern(name: str, pattern: str, *, empty: bool) -> str:
    """``QueryRegexp`` for path and query; ``empty``: the pattern matches the empty value."""
    value = f"=(?:{encode(pattern, _VALUE)})"
    if empty:
        value = f"(?:{value}|{_PARAMETER_END})"
    return f"{_PARAMETER}{_query_literal(name, name=True)}{value}"


def translate(matcher: Matcher) -> None:
    """Write and compile a matcher's expressions. Raises :class:`ValueError` if that fails, as
    Envoy would refuse all routes for one expression that it cannot compile."""
    pattern = matcher.args[-1]
    match matcher.name:
        case "PathRegexp":
            written = [path_pattern(pattern), target_pattern(pattern)]
        case "HostRegexp":
            written = [authority_pattern(pattern)]
        case "HeaderRegexp":
            written = [header_pattern(matcher.args[0].lower(), pattern)]
        case _:
            written = [query_pattern(matcher.args[0], pattern, empty=True)]
    for expression in written:
        compile_bytes_pattern(expression)
