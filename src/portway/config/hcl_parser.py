"""The reading of HCL 1: tokens, and the parser over them."""

from __future__ import annotations

import math
import re
from typing import Any

MAX_DEPTH = 64  # levels of objects and lists

_INT64 = range(-(2**63), 2**63)
_LONGEST_NUMBER = 400  # characters
_SHOWN = 12  # characters of a wrong text that a message repeats: it could be a secret

_TOKEN = re.compile(
    r"""
      (?P<blank>   (?: [\s\ufeff]+ | \#[^\n]* | //[^\n]* | /\*.*?\*/ )+ )
    | (?P<name>    [^\W\d][\w.-]* )
    | (?P<punct>   [{}\[\],=] )
    | (?P<string>  "(?: [^"\\\n$] | \\[^\n] | \$(?!\{) )*" )
    | (?P<template>"(?: [^"\\\n$] | \\[^\n] | \$(?!\{) )* (?=\$\{) )
    | (?P<number>  -? (?: 0[xX][0-9a-fA-F]+ | (?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? )
                   (?!\w) )
    | (?P<heredoc> <<-?[^\W\d]\w*[ \t]*\r?\n )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))",
    re.DOTALL,
)
_PLAIN = re.compile(r'(?:[^"\\\n$]|\\[^\n]|\$(?!\{))*')
_BRACE = re.compile("[{}]")
_WORD = re.compile(r"[\w.+-]+")
_FOUND = {
    "end": "the end of the text",
    "heredoc": "a heredoc",
    "string": "a quoted text",
    "template": "a quoted text",
}
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}


class HclError(ValueError):
    """A text that is not HCL; the message is one line and starts with ``source:line:``."""

    def __init__(self, source: str, line: int, message: str) -> None:
        place = f"{source}:{line}" if source else f"line {line}"
        super().__init__(f"{place}: {message}")
        self.line = line


def finite(text: str) -> float:
    """A number with a fraction. Raises ValueError if it is beyond all numbers."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_SHOWN]} is out of range")
    return value


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def put(target: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, or add to it when it is there and one of the two is a block."""
    if key not in target or not (_blocks(target[key]) or _blocks(value)):
        target[key] = value
        return
    before = target[key]
    if not isinstance(before, list):
        before = target[key] = [before]
    before.extend(value if isinstance(value, list) else [value])


def _blocks(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict)


class Parser:
    """Reads one text by recursive descent; ``_kind`` and ``_text`` are the token ahead."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._all = text
        self._start = 0  # of the token ahead
        self._end = 0
        self._kind: str | None = ""
        self._text = ""
        self._depth = 0
        self._next()

    def body(self, end: str) -> dict[str, Any]:
        """Items up to ``end``, which stays the token ahead; an empty ``end`` is the text's."""
        result: dict[str, Any] = {}
        while not self._at_end(end):
            keys = [self._key(end)]
            while self._kind in ("name", "string", "template"):
                keys.append(self._key(end))
                if self._depth + len(keys) > MAX_DEPTH:
                    raise self._error(self._start, f"more than {MAX_DEPTH} levels")
            value = self._item(keys)
            for key in reversed(keys[1:]):
                value = {key: value}
            put(result, keys[0], value)
            if self._text == "," and self._kind == "punct":
                self._next()
        return result

    def _at_end(self, end: str) -> bool:
        if not end:
            return self._kind == "end"
        return self._kind == "punct" and self._text == end

    def _key(self, end: str) -> str:
        if self._kind == "name":
            key = self._text
            self._next()
            return key
        if self._kind in ("string", "template"):
            return self._string()
        raise self._expected(f"a key or {end!r}" if end else "a key")

    def _item(self, keys: list[str]) -> Any:
        if self._kind == "punct" and self._text == "{":
            return self._braces()
        if self._kind == "punct" and self._text == "=":
            if len(keys) > 1:
                raise self._expected("'{': a key with labels names a block")
            self._next()
            return self._value()
        raise self._expected(f"'=' or '{{' after the key {keys[0]!r}")

    def _value(self) -> Any:
        kind, text = self._kind, self._text
        if kind in ("string", "template"):
            return self._string()
        if kind == "number":
            value: Any = self._number(text)
        elif kind == "name" and text in ("true", "false"):
            value = text == "true"
        elif kind == "heredoc":
            value = self._heredoc()
        elif kind == "punct" and text == "{":
            return self._braces()
        elif kind == "punct" and text == "[":
            return self._list()
        elif kind == "name":
            raise self._expected(f'a value; texts are quoted: "{_short(text)}"')
        else:
            raise self._expected("a value")
        self._next()
        return value

    def _braces(self) -> dict[str, Any]:
        self._enter()
        result = self.body(end="}")
        self._leave()
        return result

    def _list(self) -> list[Any]:
        self._enter()
        result: list[Any] = []
        while not self._at_end("]"):
            result.append(self._value())
            if self._kind == "punct" and self._text == ",":
                self._next()
            elif not self._at_end("]"):
                raise self._expected("',' or ']'")
        self._leave()
        return result

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(self._start, f"more than {MAX_DEPTH} levels")
        self._next()

    def _leave(self) -> None:
        self._depth -= 1
        self._next()

    def _next(self) -> None:
        match = _TOKEN.match(self._all, self._end)
        if match is not None and match.lastgroup == "blank":
            self._end = match.end()
            match = _TOKEN.match(self._all, self._end)
        self._start = self._end
        if match is not None:
            self._end = match.end()
            self._kind, self._text = match.lastgroup, match[0]
        elif self._end >= len(self._all):
            self._kind, self._text = "end", ""
        else:
            raise self._not_a_token()

    def _not_a_token(self) -> HclError:
        ahead = self._all[self._start : self._start + 2]
        if ahead == "/*":
            return self._error(self._start, "this comment has no end; write */")
        if ahead.startswith('"'):
            return self._error(self._start, 'this text has no end; write " on the same line')
        if ahead == "<<":
            return self._error(self._start, "expected a word and a line break after <<")
        if ahead[0] == ":":
            return self._error(self._start, "':' separates key and value only in JSON; write '='")
        word = _WORD.match(self._all, self._start)
        if word is not None:
            shown = _short(word[0])
            return self._error(self._start, f'{shown} is not a number; texts are quoted: "{shown}"')
        return self._error(self._start, f"{ahead[0]!r} is not expected here")

    def _number(self, text: str) -> int | float:
        if len(text) > _LONGEST_NUMBER:
            raise self._error(self._start, "this number is too long")
        digits = text.removeprefix("-")
        if digits[:2].lower() == "0x":
            value = int(text, 16)
        elif not digits.isdigit():
            try:
                return finite(text)
            except ValueError as error:
                raise self._error(self._start, str(error)) from None
        elif len(digits) > 1 and digits[0] == "0":
            if not set(digits) <= set("01234567"):
                raise self._error(self._start, f"{text} is not a number; 0 starts an octal one")
            value = int(text, 8)
        else:
            value = int(text)
        if value not in _INT64:
            raise self._error(self._start, f"{text} is out of range (64 bits)")
        return value

    def _string(self) -> str:
        start = self._start + 1
        if self._kind == "template":
            pieces: list[str] = []
            while self._all[self._end] != '"':
                pieces.append(self._unescaped(self._all[start : self._end], start))
                start = self._end = self._interpolation(self._end, pieces)
                plain = _PLAIN.match(self._all, self._end)
                assert plain is not None
                self._end = plain.end()
                if self._all[self._end : self._end + 1] not in ('"', "$"):
                    raise self._error(self._start, 'this text has no end; write "')
            pieces.append(self._unescaped(self._all[start : self._end], start))
            self._end += 1
            value = "".join(pieces)
        else:
            value = self._unescaped(self._text[1:-1], start)
        self._next()
        return value

    def _interpolation(self, start: int, pieces: list[str]) -> int:
        """Keep ``${…}`` as written: quotes and line breaks inside do not end the text."""
        depth = 0
        for brace in _BRACE.finditer(self._all, start + 1):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                pieces.append(self._all[start : brace.end()])
                return brace.end()
        raise self._error(start, "this ${ has no end; write }")

    def _unescaped(self, text: str, start: int) -> str:
        if "\\" not in text:
            return text

        def one(match: re.Match[str]) -> str:
            simple, octal, *hexes, wrong = match.groups()
            if simple is not None:
                return _SIMPLE.get(simple, simple)
            if wrong is not None:
                raise self._error(start + match.start(), f"\\{wrong} is not an escape")
            code = int(octal, 8) if octal else int(next(h for h in hexes if h), 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self._error(start + match.start(), f"{match[0]} is not a character")
            return chr(code)

        return _ESCAPE.sub(one, text)

    def _heredoc(self) -> str:
        """The lines up to the marker, each with its line break.

        ``<<-`` takes the white space before the closing marker off every line, if all have it.
        """
        marker = self._text.strip().lstrip("<-")
        closing = re.compile(rf"^([^\S\n]*){re.escape(marker)}\r*(?=\n|\Z)", re.MULTILINE)
        found = closing.search(self._all, self._end)
        if found is None:
            raise self._error(
                self._start, f"this heredoc has no end; write {marker} on its own line"
            )
        content = self._all[self._end : found.start()]
        self._end = found.end()
        indent = found[1]
        if self._text.startswith("<<-") and indent:
            lines = content.splitlines(keepends=True)
            if all(line.startswith(indent) for line in lines):
                return "".join(line[len(indent) :] for line in lines)
        return content

    def _expected(self, what: str) -> HclError:
        found = _FOUND.get(self._kind or "") or repr(_short(self._text))
        return self._error(self._start, f"expected {what}, found {found}")

    def _error(self, at: int, message: str) -> HclError:
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        return HclError(self._source, self._all.count("\n", 0, at) + 1, shown)
