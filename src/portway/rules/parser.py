"""Text to tree: the grammar of Traefik v3 rules.

Traefik reads rules as Go expressions of calls joined by ``&&``, ``||`` and ``!``. Strings are
Go's: raw between backticks, or interpreted between double quotes with Go's escapes. Comments
and a comma after the last argument are allowed, as in Go. White space may stand anywhere;
unlike Go, a line may begin with an operator.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from portway.rules.error import RuleError
from portway.rules.matchers import MATCHERS, validate
from portway.rules.tree import And, Matcher, Node, Not, Or, Rule

MAX_LENGTH = 65536
"""Longest accepted rule, in characters."""
MAX_DEPTH = 64
"""Deepest accepted nesting of parentheses and negations."""

_SKIP = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_WORD = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_NUMBER = re.compile(r"[0-9][\w.]*")
_OPERATOR = re.compile(r"&&|\|\||==|!=|<=|>=|<<|>>|\.\.\.|[!(),;&|<>=+*/%^~.:?\[\]{}-]")
_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[abfnrtv\\\"])|x(?P<byte>[0-9a-fA-F]{2})|(?P<octal>[0-7]{3})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))"
)
_PLAIN = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))

# The spellings Traefik accepts: as written, lower, UPPER and Title.
_SPELLINGS = {
    spelling: name
    for name in MATCHERS
    for spelling in (name, name.lower(), name.upper(), name.lower().capitalize())
}
# What earlier Traefik versions called them, for the hint.
_FORMER = {"Headers": "Header", "HeadersRegexp": "HeaderRegexp", "HostHeader": "Host"}


class _Token(NamedTuple):
    kind: str  # "word", "string", "literal" (a number or character), "end", or the operator
    text: str
    column: int


@lru_cache(maxsize=4096)
def parse(text: str) -> Rule:
    """Read and check a rule. Raises :class:`RuleError`."""
    if len(text) > MAX_LENGTH:
        message = f"the rule has {len(text)} characters; at most {MAX_LENGTH} are allowed"
        raise RuleError(message, 1)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RuleError("not valid Unicode text", error.start + 1) from None
    return Rule(text, _Parser(_tokens(text)).rule())


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        if skipped := _SKIP.match(text, at):
            at = skipped.end()
        if at == len(text):
            return [*tokens, _Token("end", "", at + 1)]
        token, at = _token(text, at)
        tokens.append(token)


def _token(text: str, at: int) -> tuple[_Token, int]:
    column = at + 1
    char = text[at]
    if char == "`":
        end = text.find("`", column)
        if end < 0:
            raise RuleError("raw string literal not terminated: the closing ` is missing", column)
        return _Token("string", text[column:end].replace("\r", ""), column), end + 1
    if char == '"':
        return _interpreted(text, at)
    if char == "'":
        raise RuleError("single quotes do not make a string; use backticks: `value`", column)
    for kind, pattern in (("word", _WORD), ("literal", _NUMBER), ("operator", _OPERATOR)):
        if found := pattern.match(text, at):
            token = found.group()
            return _Token(token if kind == "operator" else kind, token, column), found.end()
    raise RuleError(f"illegal character U+{ord(char):04X} {char!r}", column)


def _interpreted(text: str, start: int) -> tuple[_Token, int]:
    out = bytearray()
    at = start + 1
    while at < len(text) and text[at] not in '"\n':
        if text[at] != "\\":
            out += text[at].encode()
            at += 1
            continue
        escape = _ESCAPE.match(text, at)
        if escape is None:
            message = "unknown escape sequence; between backticks a backslash needs no escape"
            raise RuleError(message, at + 1)
        out += _unescape(escape, at + 1)
        at = escape.end()
    if at == len(text) or text[at] == "\n":
        raise RuleError('string literal not terminated: the closing " is missing', start + 1)
    try:
        value = out.decode()
    except UnicodeDecodeError:
        raise RuleError("the string is not valid UTF-8", start + 1) from None
    return _Token("string", value, start + 1), at + 1


def _unescape(escape: re.Match[str], column: int) -> bytes:
    if plain := escape["plain"]:
        return _PLAIN[plain].encode()
    digits, base = (escape["octal"], 8) if escape["octal"] else (escape["byte"], 16)
    code = int(digits or escape["short"] or escape["long"], base)
    if digits:
        if code > 0xFF:
            raise RuleError(f"octal escape value {code} > 255", column)
        return bytes([code])
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise RuleError("escape sequence is not a Unicode code point", column)
    return chr(code).encode()


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def rule(self) -> Node:
        tree = self._or()
        if self._peek.kind != "end":
            raise self._unexpected("&&, || or the end of the rule")
        return tree

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _take(self, kind: str) -> bool:
        if self._peek.kind != kind:
            return False
        self._at += 1
        return True

    def _or(self) -> Node:
        terms = [self._and()]
        while self._take("||"):
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _and(self) -> Node:
        terms = [self._unary()]
        while self._take("&&"):
            terms.append(self._unary())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _unary(self) -> Node:
        token = self._next()
        if token.kind == "word":
            return self._call(token)
        if token.kind not in ("!", "("):
            self._at -= 1
            raise self._unexpected("a matcher such as Host(`example.com`)")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RuleError(f"nested more than {MAX_DEPTH} levels deep", token.column)
        if token.kind == "!":
            node: Node = Not(self._unary())
        else:
            node = self._or()
            if not self._take(")"):
                raise self._unexpected("&&, || or )")
        self._depth -= 1
        return node

    def _call(self, name: _Token) -> Node:
        canonical = _SPELLINGS.get(name.text)
        if canonical is None:
            raise _unknown(name)
        if not self._take("("):
            raise self._unexpected(f"( after {name.text}")
        args: list[_Token] = []
        while not self._take(")"):
            if args and not self._take(","):
                raise self._unexpected(", or ) in argument list")
            if args and self._take(")"):
                break
            if self._peek.kind != "string":
                raise self._unexpected("a string between backticks")
            args.append(self._next())
        columns = tuple(arg.column for arg in args)
        matcher = Matcher(canonical, tuple(arg.text for arg in args), name.column)
        validate(matcher, columns)
        return matcher

    def _unexpected(self, wanted: str) -> RuleError:
        token = self._peek
        found = "the end of the rule" if token.kind == "end" else f"`{token.text}`"
        hint = ""
        if token.kind in ("&", "|"):
            hint = f" (write {token.kind * 2})"
        return RuleError(f"expected {wanted}, found {found}{hint}", token.column)


def _unknown(name: _Token) -> RuleError:
    message = f"unsupported function: {name.text}"
    near = _FORMER.get(name.text) or next(
        (_SPELLINGS[s] for s in get_close_matches(name.text, _SPELLINGS, n=1, cutoff=0.5)), None
    )
    hint = f"; did you mean `{near}`?" if near else f"; the matchers are {', '.join(MATCHERS)}"
    return RuleError(f"{message}{hint}", name.column)
