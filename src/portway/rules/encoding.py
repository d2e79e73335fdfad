"""Values as they stand in a request, as regular expressions for Envoy.

A rule speaks of decoded values; Envoy matches what was sent. An :class:`Encoding` says how a
character of the value may have been sent, and what stands before and after the value; with
it a Go expression for the value becomes one for the text that Envoy sees (RE2, full match).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from portway.rules.pattern import (
    Anchor,
    Atom,
    Choice,
    Item,
    Ranges,
    Repeat,
    parse_pattern,
)

NEVER = r"[^\x00-\xff]"
"""An expression that matches nothing; to Envoy an expression is about bytes."""

ASCII = frozenset(range(0x80))
_HEX = "0123456789ABCDEF"
_TRIPLE_DIGITS = re.compile("[0-9A-Fa-f]{2}")
_LAST = 0x10FFFF


class Place(NamedTuple):
    """Where an atom stands: it may be repeated any number of times, or anything may stand
    before or after it."""

    repeated: bool = False
    open_before: bool = False
    open_after: bool = False


class Encoding(NamedTuple):
    """How a value stands in the text that Envoy matches.

    ``atom`` writes one character of the value. ``start`` and ``end`` stand where the value
    begins and ends; ``before`` and ``after`` where it may go on. ``triples`` says that
    ``%2F`` and the like stand for themselves, with hexadecimal digits in either case.
    """

    atom: Callable[[Atom, Place], str]
    start: str
    before: str
    after: str
    end: str
    triples: frozenset[int] = frozenset()


def encode(pattern: str, encoding: Encoding) -> str:
    """An expression for the whole text, for a Go expression that is not anchored.

    Raises :class:`ValueError` for anchors inside an expression, where only an engine that
    sees the bare value could tell whether they hold.
    """
    # Envoy refuses an empty expression.
    return _choice(parse_pattern(pattern), encoding, lead=True, trail=True) or "(?:)"


def _choice(node: Choice, encoding: Encoding, *, lead: bool, trail: bool) -> str:
    parts = [_sequence(branch, encoding, lead=lead, trail=trail) for branch in node.branches]
    return _alternation(parts)


_ANY_NUMBER = Place(repeated=True)


def _repeated(item: Item, encoding: Encoding) -> str:
    match item:
        case Atom():
            return encoding.atom(item, _ANY_NUMBER)
        case Choice():
            parts = [
                _repeated(branch[0], encoding)
                if len(branch) == 1
                else _sequence(branch, encoding, lead=False, trail=False)
                for branch in item.branches
            ]
            return f"(?:{_alternation(parts)})"
        case _:
            return f"(?:{_item(item, encoding, lead=False, trail=False)})"


def _alternation(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def _sequence(items: tuple[Item, ...], encoding: Encoding, *, lead: bool, trail: bool) -> str:
    opening = closing = ""
    open_before = open_after = False
    if lead:
        anchored = _is_anchor(items[:1], "begin")
        while _is_anchor(items[:1], "begin"):
            items = items[1:]
        lead = not anchored and _has_anchor(items[:1], "begin")
        open_before = not (anchored or lead)
        opening = encoding.start if anchored else "" if lead else encoding.before
    if trail:
        anchored = _is_anchor(items[-1:], "end")
        while _is_anchor(items[-1:], "end"):
            items = items[:-1]
        trail = not anchored and _has_anchor(items[-1:], "end")
        open_after = not (anchored or trail)
        closing = encoding.end if anchored else "" if trail else encoding.after
    out = [opening]
    last = len(items) - 1
    at = 0
    while at <= last:
        item = items[at]
        if triple := _triple(items[at : at + 3], encoding.triples):
            out.append(triple)
            at += 3
            continue
        place = Place(False, open_before and at == 0, open_after and at == last)
        if any(place) and isinstance(item, Repeat) and item.times == "+":
            item = item.item  # one is as good as more where anything may follow
        if isinstance(item, Atom):
            out.append(encoding.atom(item, place))
        else:
            out.append(_item(item, encoding, lead=lead and at == 0, trail=trail and at == last))
        at += 1
    return "".join((*out, closing))


def _item(item: Item, encoding: Encoding, *, lead: bool, trail: bool) -> str:
    match item:
        case Atom():
            return encoding.atom(item, Place())
        case Anchor(kind="word"):
            return item.text
        case Choice():
            inner = _choice(item, encoding, lead=lead, trail=trail)
            return inner if inner.startswith("(?:") and len(item.branches) > 1 else f"(?:{inner})"
        case Repeat() if not _has_anchor((item.item,), "begin", "end"):
            if item.times in "*+":
                return _repeated(item.item, encoding) + item.times
            return f"(?:{_item(item.item, encoding, lead=False, trail=False)}){item.times}"
        case _:
            raise ValueError("^ and $ are supported at the ends of an expression only")


def _is_anchor(items: tuple[Item, ...], kind: str) -> bool:
    return any(isinstance(item, Anchor) and item.kind == kind for item in items)


def _has_anchor(items: tuple[Item, ...], *kinds: str) -> bool:
    for item in items:
        match item:
            case Anchor() if item.kind in kinds:
                return True
            case Repeat() if _has_anchor((item.item,), *kinds):
                return True
            case Choice() if any(_has_anchor(branch, *kinds) for branch in item.branches):
                return True
    return False


def _triple(items: tuple[Item, ...], triples: frozenset[int]) -> str | None:
    """What stands for ``%2F`` and the like; other triples do not occur in the value."""
    if not triples or len(items) < 3 or items[0] != Atom("%"):
        return None
    digits = [item for item in items[1:] if isinstance(item, Atom)]
    code = "".join(digit.text.upper() if digit.flags else digit.text for digit in digits)
    if not _TRIPLE_DIGITS.fullmatch(code):
        return None
    byte = int(code, 16)
    return hex_byte(byte) if byte in triples and code == code.upper() else NEVER


def ascii_of(ranges: Ranges) -> frozenset[int]:
    """The ASCII characters among ``ranges``."""
    return frozenset(c for low, high in ranges for c in range(low, min(high, 0x7F) + 1))


def beyond_ascii(ranges: Ranges) -> Iterator[tuple[int, int]]:
    """What is left of ``ranges`` above ASCII."""
    return ((max(low, 0x80), high) for low, high in ranges if high >= 0x80)


def char_class(members: frozenset[int]) -> str:
    """A class of exactly these ASCII characters; members must not be empty."""
    if len(members) == 1:
        return literal(chr(next(iter(members))))
    runs: list[list[int]] = []
    for code in sorted(members):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "[" + "".join(_run(low, high) for low, high in runs) + "]"


def _run(low: int, high: int) -> str:
    if high - low < 2:
        return "".join(_member(code) for code in range(low, high + 1))
    return f"{_member(low)}-{_member(high)}"


def _member(code: int) -> str:
    char = chr(code)
    if not char.isprintable():
        return f"\\x{code:02x}"
    return f"\\{char}" if char in "\\]^-[" else char


def literal(text: str) -> str:
    """An expression for this printable text itself."""
    return "".join(f"\\{char}" if char in r"\.+*?()|[]{}^$" else char for char in text)


def hex_byte(byte: int) -> str:
    """``%2F`` with hexadecimal digits in either case."""
    return "%" + "".join(f"[{d}{d.lower()}]" if d.isalpha() else d for d in f"{byte:02X}")


def hex_bytes(members: Iterable[int]) -> str:
    """Any of these bytes, percent-encoded."""
    rows: dict[int, set[int]] = {}
    for byte in members:
        rows.setdefault(byte >> 4, set()).add(byte & 15)
    same: dict[frozenset[int], set[int]] = {}
    for high, lows in rows.items():
        same.setdefault(frozenset(lows), set()).add(high)
    pairs = [_digits(frozenset(highs)) + _digits(lows) for lows, highs in same.items()]
    return f"%{pairs[0]}" if len(pairs) == 1 else f"%(?:{'|'.join(pairs)})"


def _digits(values: frozenset[int]) -> str:
    digits = "".join(_HEX[value] for value in values)
    return char_class(frozenset((digits + digits.lower()).encode()))


def hex_characters(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Expressions for characters beyond ASCII as percent-encoded UTF-8."""
    spans = list(ranges)
    if spans == [(0x80, _LAST)]:
        return [r"%[C-Fc-f][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f])+"]
    return _characters(spans, lambda first, last: hex_bytes(range(first, last + 1)))


def raw_characters(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Expressions for characters beyond ASCII as UTF-8."""
    spans = list(ranges)
    if spans == [(0x80, _LAST)]:
        return [r"[\xc0-\xff][\x80-\xbf]*", r"[\x80-\xbf]"]
    return _characters(spans, lambda first, last: rf"[\x{first:02x}-\x{last:02x}]")


def _characters(spans: list[tuple[int, int]], write: Callable[[int, int], str]) -> list[str]:
    return [
        "".join(write(first, last) for first, last in sequence)
        for low, high in spans
        for sequence in _utf8(low, high)
    ]


def _utf8(low: int, high: int) -> Iterator[list[tuple[int, int]]]:
    """Ranges of bytes that spell the characters low..high, as RE2 itself splits them."""
    for top in (0x7FF, 0xFFFF):
        if low <= top < high:
            yield from _utf8(low, top)
            yield from _utf8(top + 1, high)
            return
    size = 2 if high <= 0x7FF else 3 if high <= 0xFFFF else 4
    for places in range(1, size):
        mask = (1 << 6 * places) - 1
        if low & ~mask == high & ~mask:
            continue
        if low & mask:
            yield from _utf8(low, low | mask)
            yield from _utf8((low | mask) + 1, high)
            return
        if high & mask != mask:
            yield from _utf8(low, (high & ~mask) - 1)
            yield from _utf8(high & ~mask, high)
            return
    yield list(zip(_spell(low, size), _spell(high, size), strict=True))


def _spell(code: int, size: int) -> bytes:
    out = [0x80 | (code >> 6 * place & 0x3F) for place in range(size - 1)]
    lead = {2: 0xC0, 3: 0xE0, 4: 0xF0}[size] | code >> 6 * (size - 1)
    return bytes((lead, *reversed(out)))
