"""Regular expressions in Go's (RE2's) syntax: compiled, and read into a tree.

The tree is what :mod:`portway.rules.encoding` needs to write an expression that matches a
value as it stands in a request, percent-encoded or with a port behind it, instead of the
decoded value the user wrote the expression for.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import NamedTuple

import re2

Ranges = tuple[tuple[int, int], ...]
"""Code points as inclusive ranges in ascending order."""

_MAX_DEPTH = 50
_COUNT = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_ESCAPE = re.compile(
    r"\\(?:x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[pP](?:\{[^}]*\}|.)|[0-7]{1,3}|.)", re.DOTALL
)
_CLASS = re.compile(
    r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\(?:x\{[0-9A-Fa-f]+\}|[pP]\{[^}]*\}|.)|[^\]\\])*\]", re.DOTALL
)
_GROUP = re.compile(r"\((?:\?P?<\w+>|\?(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))?")


class Atom(NamedTuple):
    """Whatever stands for one character; ``flags`` are those in force (of ``i`` and ``s``)."""

    text: str
    flags: str = ""

    @property
    def source(self) -> str:
        """The atom as an expression that needs no flags around it."""
        return f"(?{self.flags}:{self.text})" if self.flags else self.text


class Anchor(NamedTuple):
    """``^`` and ``\\A`` (begin), ``$`` and ``\\z`` (end), ``\\b`` and ``\\B`` (word)."""

    kind: str
    text: str


class Repeat(NamedTuple):
    """An item with a quantifier as written, but without the laziness mark."""

    item: Item
    times: str


class Choice(NamedTuple):
    """Alternatives, each a sequence of items."""

    branches: tuple[tuple[Item, ...], ...]


Item = Atom | Anchor | Repeat | Choice


@lru_cache(maxsize=4096)
def compile_pattern(text: str) -> re2._Regexp[bytes]:
    """Compile for matching bytes that should be UTF-8.

    Raises :class:`ValueError` in the words of Go: ``error parsing regexp: …``.
    """
    return _compile(text, re2.Options.Encoding.UTF8)


def compile_bytes_pattern(text: str) -> re2._Regexp[bytes]:
    """Compile as Envoy does: each byte is a character. Raises :class:`ValueError`."""
    return _compile(text, re2.Options.Encoding.LATIN1)


def _compile(text: str, encoding: re2.Options.Encoding) -> re2._Regexp[bytes]:
    options = re2.Options()
    options.log_errors = False
    options.encoding = encoding
    try:
        compiled = re2.compile(text.encode(), options)
    except re2.error as error:
        detail = error.args[0]
        reason = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise ValueError(f"error parsing regexp: {reason}") from None
    return compiled


@lru_cache(maxsize=4096)
def parse_pattern(text: str) -> Choice:
    """Read an expression that compiles. Raises :class:`ValueError`."""
    reader = _Reader(text)
    tree = reader.choice("", 0)
    if reader.at < len(text):
        raise ValueError(f"error parsing regexp: unexpected ): {text}")
    return tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.at = 0
        self._text = text

    def choice(self, flags: str, depth: int) -> Choice:
        if depth > _MAX_DEPTH:
            raise ValueError(f"error parsing regexp: more than {_MAX_DEPTH} groups in each other")
        branches: list[tuple[Item, ...]] = []
        items: list[Item] = []
        while self.at < len(self._text):
            char = self._text[self.at]
            if char == ")":
                break
            if char == "|":
                self.at += 1
                branches.append(tuple(items))
                items = []
            elif char == "(":
                flags = self._group(items, flags, depth)
            elif count := self._quantifier(char):
                items[-1] = Repeat(items[-1], count)
            else:
                items += self._single(char, flags)
        return Choice((*branches, tuple(items)))

    def _group(self, items: list[Item], flags: str, depth: int) -> str:
        opening = _GROUP.match(self._text, self.at)
        if opening is None:
            raise ValueError(f"error parsing regexp: invalid group: {self._text[self.at :][:10]}")
        self.at = opening.end()
        inner = _with_flags(flags, opening["flags"] or "")
        if opening["end"] == ")":
            return inner
        items.append(self.choice(inner, depth + 1))
        self.at += 1  # the closing parenthesis
        return flags

    def _quantifier(self, char: str) -> str | None:
        count: str | None = None
        if char in "*+?":
            count = char
        elif char == "{" and (found := _COUNT.match(self._text, self.at)):
            count = found.group()
        if count is not None:
            self.at += len(count)
            if self._text[self.at : self.at + 1] == "?":
                self.at += 1
        return count

    def _single(self, char: str, flags: str) -> list[Item]:
        if char in "^$":
            self.at += 1
            return [Anchor("begin" if char == "^" else "end", char)]
        if self._text.startswith("\\Q", self.at):
            end = self._text.find("\\E", self.at)
            quoted = self._text[self.at + 2 : end if end >= 0 else None]
            self.at = end + 2 if end >= 0 else len(self._text)
            return [Atom(re2.escape(c), _only(flags, "i", c)) for c in quoted]
        if char in "\\[":
            found = (_ESCAPE if char == "\\" else _CLASS).match(self._text, self.at)
            if found is None:
                raise ValueError(f"error parsing regexp: cannot read {self._text[self.at :]}")
            self.at = found.end()
            return [_escaped(found.group(), flags)]
        self.at += 1
        return [Atom(char, _only(flags, "s" if char == "." else "i", char))]


_ANCHORS = {"\\A": "begin", "\\z": "end", "\\b": "word", "\\B": "word"}


def _escaped(text: str, flags: str) -> Item:
    if kind := _ANCHORS.get(text):
        return Anchor(kind, text)
    if text == "\\C":
        raise ValueError("error parsing regexp: invalid escape sequence: \\C")
    return Atom(text, _only(flags, "i"))


def _with_flags(flags: str, change: str) -> str:
    on, _, off = change.partition("-")
    return "".join(f for f in "is" if (f in flags or f in on) and f not in off)


def _only(flags: str, wanted: str, char: str = "a") -> str:
    """A flag if it is in force and means something for this character."""
    return wanted if wanted in flags and (wanted == "s" or char.isalpha()) else ""


@lru_cache(maxsize=1)
def _all_characters() -> bytes:
    points = (*range(0xD800), *range(0xE000, sys.maxunicode + 1))
    return "".join(map(chr, points)).encode()


@lru_cache(maxsize=1024)
def characters(atom: Atom) -> Ranges:
    """The code points an atom stands for, surrogates aside."""
    if len(atom.text) == 1 and atom.text.isascii() and atom.text != "." and not atom.flags:
        return ((ord(atom.text), ord(atom.text)),)
    # RE2 itself says what a class holds: a run of the class over all characters in order.
    ranges = []
    for found in compile_pattern(f"{atom.source}+").finditer(_all_characters()):
        run = found.group()
        ranges.append((_first(run), _last(run)))
    return tuple(ranges)


def _first(run: bytes) -> int:
    lead = run[0]
    size = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    return ord(run[:size].decode())


def _last(run: bytes) -> int:
    start = len(run) - 1
    while run[start] & 0xC0 == 0x80:
        start -= 1
    return ord(run[start:].decode())
