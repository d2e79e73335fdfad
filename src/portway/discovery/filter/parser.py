"""Text to tree: the grammar of go-bexpr 0.1.2.

Words such as ``and`` or ``contains`` are no reserved words there: a field may be called ``not``,
and only what follows decides. So this is a scanner over positions, not over tokens; the only
place where it tries a second reading is a leading ``not``.
"""

from __future__ import annotations

import re
from typing import NoReturn

from portway.discovery.filter.error import FilterError
from portway.discovery.filter.tree import And, Expression, Match, Not, Operator, Or

MAX_MATCHES = 1000
"""Most comparisons in one filter."""
MAX_DEPTH = 64
"""Deepest nesting of parentheses and negations."""

_SPACE = re.compile(r"[ \t\r\n]*")
_AND = re.compile(r"[ \t\r\n]+and(?=[ \t\r\n])[ \t\r\n]+")
_OR = re.compile(r"[ \t\r\n]+or(?=[ \t\r\n])[ \t\r\n]+")
_NOT = re.compile(r"not[ \t\r\n]+")
_WORD = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_FIELD = re.compile(r"\.([a-zA-Z][a-zA-Z0-9_]*)")
_INDEX = re.compile(r"\[[ \t\r\n]*")
_INDEX_END = re.compile(r"[ \t\r\n]*\]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_AFTER_NUMBER = re.compile(r"[ \t\r\n)]|\Z")
_RAW = re.compile(r"`([^`]*)`")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_SYMBOL = re.compile(r"[ \t\r\n]*(==|!=)[ \t\r\n]*")
_EMPTY = re.compile(r"[ \t\r\n]+is[ \t\r\n]+(not[ \t\r\n]+)?empty(?![a-zA-Z0-9_])")
_WORD_OPERATOR = re.compile(r"[ \t\r\n]+(not[ \t\r\n]+)?(contains|matches)[ \t\r\n]+")
_IN = re.compile(r"[ \t\r\n]+(not[ \t\r\n]+)?in[ \t\r\n]+")

_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[abfnrtv\\\"])|x(?P<byte>[0-9a-fA-F]{2})|(?P<octal>[0-7]{3})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))|(?P<bad>\\)"
)
_PLAIN = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


def parse(text: str) -> Expression:
    """Read a filter. Raises :class:`FilterError`."""
    return _Parser(text).filter()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._matches = 0

    def filter(self) -> Expression:
        self._take(_SPACE)
        tree = self._or()
        self._take(_SPACE)
        if self._at < len(self._text):
            self._fail('"and", "or" or EOF')
        if self._matches > MAX_MATCHES:
            limit = f"exceeds the limit ({MAX_MATCHES})"
            raise FilterError(f"Number of match expressions ({self._matches}) {limit}")
        return tree

    def _or(self) -> Expression:
        terms = [self._and()]
        while self._take(_OR):
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _and(self) -> Expression:
        terms = [self._not()]
        while self._take(_AND):
            terms.append(self._not())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _not(self) -> Expression:
        start, matches = self._at, self._matches
        if not self._take(_NOT):
            return self._grouping()
        self._deeper()
        try:
            term = Not(self._not())
        except FilterError as error:
            # "not" may also be a field or a value: not == 3, not in Tags.
            self._at, self._matches = start, matches
            try:
                match = self._match()
            except FilterError:
                raise error from None
            self._depth -= 1
            return match
        self._depth -= 1
        return term

    def _grouping(self) -> Expression:
        if not self._text.startswith("(", self._at):
            return self._match()
        self._at += 1
        self._deeper()
        self._take(_SPACE)
        tree = self._or()
        self._take(_SPACE)
        if not self._text.startswith(")", self._at):
            self._fail('")", "and" or "or" (unmatched parentheses)')
        self._at += 1
        self._depth -= 1
        return tree

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(f"nested more than {MAX_DEPTH} levels deep")

    def _match(self) -> Match:
        self._matches += 1
        start = self._at
        if selector := self._selector():
            if found := self._take(_SYMBOL):
                negated = found[1] == "!="
                return Match(selector, Operator.EQUAL, negated, self._value())
            if found := self._take(_EMPTY):
                return Match(selector, Operator.EMPTY, found[1] is not None, "")
            if found := self._take(_WORD_OPERATOR):
                operator = Operator.IN if found[2] == "contains" else Operator.MATCHES
                return Match(selector, operator, found[1] is not None, self._value())
        self._at = start
        value = self._value()
        found = self._take(_IN)
        if not found:
            if selector:
                self._fail('"==", "!=", "contains", "in", "is", "matches" or "not"')
            self._fail('"in" or "not in"')
        wanted = self._selector()
        if not wanted:
            self._fail("selector")
        return Match(wanted, Operator.IN, found[1] is not None, value)

    def _selector(self) -> tuple[str, ...]:
        first = self._take(_WORD)
        if not first:
            return ()
        path = [first[0]]
        while True:
            if name := self._take(_FIELD):
                path.append(name[1])
            elif self._take(_INDEX):
                key = self._string()
                if key is None:
                    self._fail("string (invalid index)")
                if not self._take(_INDEX_END):
                    self._fail('"]" (unclosed index expression)')
                path.append(key)
            else:
                return tuple(path)

    def _value(self) -> str:
        word = self._selector()
        if word:
            value = ".".join(word)
        elif number := self._take(_NUMBER):
            if not _AFTER_NUMBER.match(self._text, self._at):
                self._at = number.start()
                self._fail("number (invalid number literal; quote other values)")
            value = number[0]
        else:
            text = self._string()
            if text is None:
                self._fail("a field, a number or a quoted value")
            value = text
        return value

    def _string(self) -> str | None:
        if raw := self._take(_RAW):
            return raw[1].replace("\r", "")
        if quoted := self._take(_QUOTED):
            return self._unquoted(quoted)
        if self._text.startswith(("`", '"'), self._at):
            self._fail("string (unterminated string literal)")
        return None

    def _unquoted(self, quoted: re.Match[str]) -> str:
        def plain(escape: re.Match[str]) -> bytes:
            if name := escape["plain"]:
                return _PLAIN[name].encode()
            digits, base = (escape["octal"], 8) if escape["octal"] else (escape["byte"], 16)
            code = int(digits or escape["short"] or escape["long"] or "ffffffff", base)
            if digits and code <= 0xFF:
                return bytes([code])
            if digits or code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise ValueError
            return chr(code).encode()

        inner, out, at = quoted[1], bytearray(), 0
        try:
            for escape in _ESCAPE.finditer(inner):
                out += inner[at : escape.start()].encode() + plain(escape)
                at = escape.end()
            out += inner[at:].encode()
            return out.decode()
        except ValueError:
            self._at = quoted.start()
            self._fail("string (invalid escape)")

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _fail(self, expected: str) -> NoReturn:
        before = self._text[: self._at]
        line = before.count("\n") + 1
        column = self._at - (before.rfind("\n") + 1) + 1
        offset = len(before.encode(errors="surrogatepass"))
        rest = self._text[self._at : self._at + 20]
        found = f"{rest!r}" if rest else "EOF"
        place = f"{line}:{column} ({offset})"
        raise FilterError(f"{place}: no match found, expected: {expected}, found: {found}")
