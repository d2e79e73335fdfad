"""The constraints language: which containers a provider looks at, by their labels.

``Label(`name`, `value`)`` and ``LabelRegex(`name`, `pattern`)`` joined with ``&&``, ``||``,
``!`` and parentheses. A label that is missing counts as empty; patterns are unanchored RE2.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

Predicate = Callable[[Mapping[str, str]], bool]

MAX_LENGTH = 64 * 1024  # characters of one expression
MAX_DEPTH = 100  # of nested parentheses and negations

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>`[^`]*`|"(?:\\.|[^"\\])*")
      | (?P<name>[A-Za-z_]\w*)
      | (?P<symbol>&&|\|\||[!(),])
      | (?P<end>\Z)
      | (?P<wrong>.))""",
    re.VERBOSE | re.DOTALL,
)


class ConstraintError(ValueError):
    """An expression that is not one; the text names the column, counted from 1."""

    def __init__(self, column: int, text: str) -> None:
        super().__init__(f"column {column}: {text}")
        self.column = column


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse(expression: str) -> Predicate:
    """The predicate an expression stands for; an empty one accepts everything.

    Raises ConstraintError.
    """
    if not expression.strip():
        return lambda labels: True
    if len(expression) > MAX_LENGTH:
        raise ConstraintError(MAX_LENGTH, f"longer than {MAX_LENGTH} characters")
    return _Parser(expression).parse()


class _Parser:
    def __init__(self, expression: str) -> None:
        self._tokens = [
            _Token(str(m.lastgroup), m[str(m.lastgroup)], m.start(str(m.lastgroup)) + 1)
            for m in _TOKEN.finditer(expression)
        ]
        self._index = 0
        self._depth = 0

    def parse(self) -> Predicate:
        predicate = self._either()
        token = self._tokens[self._index]
        if token.kind != "end":
            raise _unexpected(token, "&& or ||")
        return predicate

    def _take(self, symbol: str) -> bool:
        found = self._tokens[self._index][:2] == ("symbol", symbol)
        self._index += found
        return found

    def _expect(self, symbol: str) -> None:
        if not self._take(symbol):
            raise _unexpected(self._tokens[self._index], symbol)

    def _either(self) -> Predicate:
        choices = [self._both()]
        while self._take("||"):
            choices.append(self._both())
        return choices[0] if len(choices) == 1 else lambda la: any(c(la) for c in choices)

    def _both(self) -> Predicate:
        parts = [self._single()]
        while self._take("&&"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else lambda la: all(p(la) for p in parts)

    def _single(self) -> Predicate:
        token = self._tokens[self._index]
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConstraintError(token.column, f"nested deeper than {MAX_DEPTH} levels")
        try:
            if self._take("!"):
                inner = self._single()
                return lambda la: not inner(la)
            if self._take("("):
                inner = self._either()
                self._expect(")")
                return inner
            return self._function()
        finally:
            self._depth -= 1

    def _function(self) -> Predicate:
        name = self._tokens[self._index]
        if name.kind != "name":
            raise _unexpected(name, "Label(…) or LabelRegex(…)")
        if name.text not in ("Label", "LabelRegex"):
            near = get_close_matches(name.text.title(), ("Label", "LabelRegex"), 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else "there are Label and LabelRegex"
            raise ConstraintError(name.column, f"unsupported function {name.text}; {hint}")
        self._index += 1
        self._expect("(")
        key, _ = self._string()
        self._expect(",")
        value, column = self._string()
        self._expect(")")
        if name.text == "Label":
            return lambda labels: labels.get(key, "") == value
        return _matcher(key, value, column)

    def _string(self) -> tuple[str, int]:
        token = self._tokens[self._index]
        if token.kind != "string":
            raise _unexpected(token, "a text in backticks or double quotes")
        self._index += 1
        if token.text.startswith("`"):
            return token.text[1:-1], token.column
        try:
            return str(ast.literal_eval(token.text)), token.column
        except (SyntaxError, ValueError) as error:
            raise ConstraintError(token.column, f"{token.text} is not a text") from error


def _unexpected(token: _Token, wanted: str) -> ConstraintError:
    found = "the expression ends" if token.kind == "end" else f"found {token.text!r}"
    return ConstraintError(token.column, f"{found} where {wanted} is expected")


def _matcher(key: str, pattern: str, column: int) -> Predicate:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ConstraintError(column, f"{pattern!r} is no regular expression: {error}") from error
    return lambda labels: compiled.search(labels.get(key, "")) is not None
