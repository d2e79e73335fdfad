"""A subset of Go's text/template: what default rules and dynamic files are written in.

Supported: text, comments, trim markers, pipelines, field and variable access, parentheses,
``if``/``else if``/``else``, ``range``, ``with``, variables, and the functions of
:mod:`portway.edge.providers.template_functions` (Go's own and the usual ones of Sprig).
``define``, ``template``, ``block``, ``break`` and ``continue`` are refused with a message.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from portway.edge.providers.template_functions import FUNCTIONS, truth

MAX_OUTPUT = 4 * 1024 * 1024  # characters one rendering may produce
MAX_DEPTH = 50  # of nested blocks and parentheses

_REFUSED = ("define", "template", "block", "break", "continue")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>/\*.*?\*/)
      | (?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
      | (?P<char>'(?:\\.|[^'\\\n])+')
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))
      | (?P<field>\.[A-Za-z_]\w*)
      | (?P<variable>\$\w*)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<punct>:=|[.|()=,])
    """,
    re.VERBOSE | re.DOTALL,
)


class TemplateError(ValueError):
    """A template that cannot be parsed or evaluated; the text names the position."""

    def __init__(self, line: int, column: int, text: str) -> None:
        super().__init__(f"line {line}, column {column}: {text}")
        self.line = line
        self.column = column
        self.text = text


class Record(dict[str, Any]):
    """A value with fixed fields: asking for another one is an error, as for a Go struct."""


class NoValue:
    """What a missing key of a map yields; prints as Go prints it."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "<no value>"


NO_VALUE = NoValue()

Functions = Mapping[str, Callable[..., Any]]
Scope = dict[str, Any]
Eval = Callable[["_State", Any], Any]  # (state, dot) -> value


class Template:
    """A parsed template. Raises :class:`TemplateError` when the text is not one.

    ``functions`` are those it may call.
    """

    def __init__(self, text: str, functions: Functions = FUNCTIONS) -> None:
        self._body = _Parser(text, functions).parse()

    def render(self, data: object) -> str:
        """The text for ``data``, which is both ``.`` and ``$``.

        Raises TemplateError when an expression cannot be evaluated.
        """
        state = _State(data)
        self._body(state, data)
        return "".join(state.out)


class _State:
    def __init__(self, root: object) -> None:
        self.out: list[str] = []
        self.size = 0
        self.scopes: list[Scope] = [{"$": root}]

    def write(self, text: str) -> None:
        self.size += len(text)
        if self.size > MAX_OUTPUT:
            raise TemplateError(1, 1, f"the result is longer than {MAX_OUTPUT} characters")
        self.out.append(text)

    def lookup(self, name: str) -> Scope | None:
        return next((scope for scope in reversed(self.scopes) if name in scope), None)


class _Token(NamedTuple):
    kind: str
    text: str
    offset: int


class _Action(NamedTuple):
    tokens: list[_Token]
    offset: int


class _Parser:
    def __init__(self, text: str, functions: Functions) -> None:
        self._text = text
        self._functions = functions
        self._parts = list(self._split())
        self._index = 0
        self._tokens: list[_Token] = []
        self._at = 0
        self._end = 0
        self._depth = 0

    def parse(self) -> Callable[[_State, Any], None]:
        body, stop = self._block()
        if stop is not None:
            raise self._error(stop.offset, f"unexpected {{{{{stop.tokens[0].text}}}}}")
        return body

    # ---- text and actions

    def _split(self) -> Iterator[str | _Action]:
        position, trim = 0, False
        while True:
            start = self._text.find("{{", position)
            literal = self._text[position : start if start >= 0 else len(self._text)]
            if trim:
                literal = literal.lstrip()
            if start < 0:
                yield literal
                return
            inner = start + 2
            if re.match(r"-\s", self._text[inner : inner + 2]):
                literal, inner = literal.rstrip(), inner + 1
            yield literal
            action, position, trim = self._lex(start, inner)
            yield action

    def _lex(self, start: int, position: int) -> tuple[_Action, int, bool]:
        tokens: list[_Token] = []
        while True:
            if closing := re.compile(r"\s-}}|}}").match(self._text, position):
                return _Action(tokens, start), closing.end(), closing[0] != "}}"
            match = _TOKEN.match(self._text, position)
            if match is None:
                if position >= len(self._text):
                    raise self._error(start, "this {{ is never closed with }}")
                raise self._error(position, f"unexpected {self._text[position]!r}")
            # A trim marker's space belongs to the marker: "x -}}".
            if match.lastgroup == "space" and self._text.startswith("-}}", match.end()):
                position = match.end() - 1
                continue
            if match.lastgroup not in ("space", "comment"):
                tokens.append(_Token(str(match.lastgroup), match[0], position))
            elif match.lastgroup == "space" and tokens:
                tokens.append(_Token("space", " ", position))
            position = match.end()

    def _error(self, offset: int, text: str) -> TemplateError:
        before = self._text[:offset]
        return TemplateError(before.count("\n") + 1, offset - before.rfind("\n"), text)

    def _enter(self, offset: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(offset, f"nested deeper than {MAX_DEPTH} levels")

    # ---- blocks

    def _block(self) -> tuple[Callable[[_State, Any], None], _Action | None]:
        nodes: list[Callable[[_State, Any], None]] = []
        while self._index < len(self._parts):
            part = self._parts[self._index]
            self._index += 1
            if isinstance(part, str):
                if part:
                    nodes.append(_literal(part))
                continue
            if not part.tokens:
                continue
            head = part.tokens[0]
            if head.kind == "word" and head.text in ("end", "else"):
                return _sequence(nodes), part
            nodes.append(self._action(part))
        return _sequence(nodes), None

    def _action(self, action: _Action) -> Callable[[_State, Any], None]:
        head = action.tokens[0]
        if head.kind == "word" and head.text in ("if", "with", "range"):
            return self._control(head.text, action, 1)
        if head.kind == "word" and head.text in _REFUSED:
            raise self._error(head.offset, f"{{{{{head.text}}}}} is not supported")
        self._open(action, 0)
        names, declare, value = self._assignment()
        if not names:

            def show(state: _State, dot: Any) -> None:
                state.write(go_text(value(state, dot)))

            return show

        def assign(state: _State, dot: Any) -> None:
            scope = state.scopes[-1] if declare else state.lookup(names[0].text)
            if scope is None:
                raise self._error(names[0].offset, f"undefined variable {names[0].text!r}")
            scope[names[0].text] = value(state, dot)

        return assign

    def _control(self, kind: str, action: _Action, skip: int) -> Callable[[_State, Any], None]:
        self._open(action, skip)
        names, _, value = self._assignment(most=2 if kind == "range" else 1)
        self._enter(action.offset)
        then, stop = self._block()
        other: Callable[[_State, Any], None] = _sequence([])
        if stop is not None and stop.tokens[0].text == "else":
            following = [t for t in stop.tokens[1:] if t.kind != "space"]
            if following and following[0].text in ("if", "with"):
                place = stop.tokens.index(following[0])
                other = self._control(following[0].text, stop, place + 1)
                self._depth -= 1
                return _choice(kind, names, value, then, other)
            if following:
                raise self._error(following[0].offset, "write {{else}} or {{else if …}}")
            other, stop = self._block()
        if stop is None or stop.tokens[0].text != "end":
            raise self._error(action.offset, f"this {{{{{kind}}}}} has no {{{{end}}}}")
        self._depth -= 1
        return _choice(kind, names, value, then, other)

    # ---- expressions

    def _open(self, action: _Action, skip: int) -> None:
        self._tokens = action.tokens[skip:]
        self._at = 0
        self._end = action.offset
        self._space()

    def _space(self) -> bool:
        found = False
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "space":
            self._at += 1
            found = True
        return found

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _is(self, text: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "punct" and token.text == text

    def _assignment(self, most: int = 1) -> tuple[list[_Token], bool, Eval]:
        mark, names = self._at, list[_Token]()
        while (token := self._peek()) and token.kind == "variable" and len(names) < most:
            names.append(token)
            self._at += 1
            self._space()
            if not self._is(","):
                break
            self._at += 1
            self._space()
        if names and (self._is(":=") or self._is("=")):
            declare = self._is(":=")
            self._at += 1
            self._space()
        else:
            self._at, names, declare = mark, [], False
        value = self._pipeline()
        if (token := self._peek()) is not None:
            raise self._error(token.offset, f"unexpected {token.text!r}")
        return names, declare, value

    def _pipeline(self) -> Eval:
        value = self._command(None)
        while self._is("|"):
            self._at += 1
            self._space()
            value = self._command(value)
        return value

    def _command(self, piped: Eval | None) -> Eval:
        token = self._peek()
        if token is None:
            raise self._error(self._end, "an expression is missing here")
        if token.kind == "word" and token.text not in ("true", "false", "nil"):
            self._at += 1
            function = self._functions.get(token.text)
            if function is None:
                near = get_close_matches(token.text, self._functions, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise self._error(token.offset, f"function {token.text!r} not defined{hint}")
            return self._call(token, function, piped)
        if piped is not None:
            raise self._error(token.offset, "only a function can follow |")
        operand = self._operand()
        self._space()
        if (extra := self._peek()) and not (extra.kind == "punct" and extra.text in "|)"):
            raise self._error(extra.offset, f"{token.text!r} is not a function")
        return operand

    def _call(self, name: _Token, function: Callable[..., Any], piped: Eval | None) -> Eval:
        arguments: list[Eval] = []
        self._space()
        while (token := self._peek()) and not (token.kind == "punct" and token.text in "|)"):
            arguments.append(self._operand())
            self._space()
        if piped is not None:
            arguments.append(piped)
        if name.text in ("and", "or"):  # evaluated only as far as needed
            if not arguments:
                raise self._error(name.offset, f"{name.text!r} needs an argument")
            return _short_circuit(name.text == "or", arguments)

        def call(state: _State, dot: Any) -> Any:
            values = [argument(state, dot) for argument in arguments]
            try:
                return function(*(None if v is NO_VALUE else v for v in values))
            except TemplateError:
                raise
            except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
                problem = str(error).replace("<lambda>", name.text).lstrip("_")
                raise self._error(name.offset, f"{name.text}: {problem}") from error

        return call

    def _operand(self) -> Eval:
        token = self._tokens[self._at]
        self._at += 1
        value = self._atom(token)
        while (following := self._peek()) and following.kind == "field":
            self._at += 1
            value = self._field(value, following)
        return value

    def _atom(self, token: _Token) -> Eval:
        match token.kind:
            case "string" | "char":
                return _constant(self._unquote(token))
            case "number":
                return _constant(_number(token.text))
            case "field":
                return self._field(lambda state, dot: dot, token)
            case "variable":
                return self._variable(token)
            case "word":
                return self._word(token)
        return self._punctuation(token)

    def _punctuation(self, token: _Token) -> Eval:
        if token.text == ".":
            return lambda state, dot: dot
        if token.text == "(":
            self._enter(token.offset)
            self._space()
            inner = self._pipeline()
            if not self._is(")"):
                raise self._error(token.offset, "this ( is never closed")
            self._at += 1
            self._depth -= 1
            return inner
        raise self._error(token.offset, f"unexpected {token.text!r}")

    def _word(self, token: _Token) -> Eval:
        constants = {"true": True, "false": False, "nil": None}
        if token.text in constants:
            return _constant(constants[token.text])
        function = self._functions.get(token.text)
        if function is None:
            raise self._error(token.offset, f"function {token.text!r} not defined")

        def call(state: _State, dot: Any) -> Any:
            try:
                return function()
            except TypeError as error:
                raise self._error(
                    token.offset, f"put {token.text!r} and its arguments in parentheses"
                ) from error

        return call

    def _variable(self, token: _Token) -> Eval:
        def variable(state: _State, dot: Any) -> Any:
            scope = state.lookup(token.text)
            if scope is None:
                raise self._error(token.offset, f"undefined variable {token.text!r}")
            return scope[token.text]

        return variable

    def _field(self, target: Eval, token: _Token) -> Eval:
        name = token.text[1:]

        def field(state: _State, dot: Any) -> Any:
            value = target(state, dot)
            if isinstance(value, Record) and name not in value:
                known = ", ".join(f".{key}" for key in value)
                raise self._error(token.offset, f"there is no field .{name}; there are {known}")
            if isinstance(value, Mapping):
                return value.get(name, NO_VALUE)
            raise self._error(token.offset, f"can't take field .{name} of {go_text(value)!r}")

        return field

    def _unquote(self, token: _Token) -> str:
        if token.text.startswith("`"):
            return token.text[1:-1]
        try:
            return str(ast.literal_eval(token.text))
        except (SyntaxError, ValueError) as error:
            raise self._error(token.offset, f"{token.text} is not a string") from error


def go_text(value: Any) -> str:
    """``value`` as Go's fmt prints it with %v."""
    match value:
        case True | False:
            return "true" if value else "false"
        case None:
            return "<nil>"
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        case Mapping():
            return f"map[{' '.join(f'{k}:{go_text(value[k])}' for k in sorted(value))}]"
        case list() | tuple():
            return f"[{' '.join(map(go_text, value))}]"
    return str(value)


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


def _constant(value: Any) -> Eval:
    return lambda state, dot: value


def _literal(text: str) -> Callable[[_State, Any], None]:
    return lambda state, dot: state.write(text)


def _sequence(nodes: Sequence[Callable[[_State, Any], None]]) -> Callable[[_State, Any], None]:
    def run(state: _State, dot: Any) -> None:
        for node in nodes:
            node(state, dot)

    return run


def _short_circuit(stop_at: bool, arguments: Sequence[Eval]) -> Eval:
    def call(state: _State, dot: Any) -> Any:
        value: Any = None
        for argument in arguments:
            value = argument(state, dot)
            if truth(value) is stop_at:
                break
        return value

    return call


def _choice(
    kind: str,
    names: Sequence[_Token],
    value: Eval,
    then: Callable[[_State, Any], None],
    other: Callable[[_State, Any], None],
) -> Callable[[_State, Any], None]:
    def branch(state: _State, dot: Any) -> None:
        state.scopes.append({})
        try:
            chosen = value(state, dot)
            for name in names:
                state.scopes[-1][name.text] = chosen
            if truth(chosen):
                then(state, chosen if kind == "with" else dot)
            else:
                other(state, dot)
        finally:
            state.scopes.pop()

    def loop(state: _State, dot: Any) -> None:
        found = value(state, dot)
        if not truth(found):
            other(state, dot)
            return
        for key, item in _items(found):
            bound = [item] if len(names) == 1 else [key, item]
            scope = {n.text: v for n, v in zip(names, bound, strict=False)}
            state.scopes.append(scope)
            try:
                then(state, item)
            finally:
                state.scopes.pop()

    return loop if kind == "range" else branch


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    match value:
        case Mapping():
            return iter([(key, value[key]) for key in sorted(value)])
        case list() | tuple():
            return iter(enumerate(value))
        case bool() | str() | float():
            pass
        case int():
            return iter([(i, i) for i in range(min(value, MAX_OUTPUT))])
    raise TemplateError(1, 1, f"range can't iterate over {go_text(value)!r}")
