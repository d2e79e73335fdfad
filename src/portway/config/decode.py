"""One decoder for every source: a tree and a type in, a typed value and problems out.

The rules are Traefik's: names match in any case, map keys keep their spelling, values may be
written as text, a list may be one comma-separated text, ``null`` means not given. Unlike
Traefik's, it does not stop at the first problem, and it says where each one is.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from functools import cache
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import msgspec

from portway.config.options import FILE_ONLY, LABEL_ONLY, Duration, Options, Unsupported
from portway.config.problem import Problem, nearest
from portway.config.tree import At, Table, Tree

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # Go's strconv.ParseBool
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_INT_RANGE = range(-(2**63), 2**63)
_LONGEST = 2562047 * 3600  # what Go's durations hold
_SHOWN = 80  # characters of a wrong value that a message repeats

T = TypeVar("T")


class Decoding(NamedTuple, Generic[T]):
    """What came out: ``value`` holds everything that was right, also when there are problems.

    ``unsupported`` lists the options that are known, were given, and have no effect yet.
    """

    value: T
    problems: list[Problem]
    unsupported: list[Problem]


def decode(
    tree: Tree, target: type[T], source: str = "", *, path: str = "", labels: bool = False
) -> Decoding[T]:
    """Decode ``tree`` as ``target``, an ``Options`` class. Never raises on bad input.

    ``path`` is the key of the tree itself, for messages. ``labels`` chooses between fields
    that exist only in labels and those that exist only elsewhere.
    """
    context = _Context(source, labels, [], [])
    value = _converter(target, True)(tree, path, None, context)
    if value is _MISSING:
        value = target()
    return Decoding(value, context.problems, context.unsupported)


class _Context(NamedTuple):
    source: str
    labels: bool
    problems: list[Problem]
    unsupported: list[Problem]

    def report(self, path: str, at: At, message: str) -> Any:
        self.problems.append(self.problem(path, at, message))
        return _MISSING

    def problem(self, path: str, at: At, message: str) -> Problem:
        if isinstance(at, str):
            return Problem(self.source, None, at, message)
        return Problem(self.source, at, path, message)


_MISSING: Any = object()
_Convert = Callable[[Any, str, At, _Context], Any]


class _Field(NamedTuple):
    attribute: str
    name: str
    convert: _Convert


def plain(annotation: Any) -> Any:
    """A type without ``Annotated`` and without ``| None``."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            annotation = next(a for a in get_args(annotation) if a is not types.NoneType)
        else:
            return annotation


_converters: dict[tuple[Any, bool], _Convert] = {}


def _converter(annotation: Any, bare: bool = False) -> _Convert:
    """``bare``: an object that may be empty because its key already says something."""
    found = _converters.get((annotation, bare))
    if found is None:
        found = _converters[annotation, bare] = _build(annotation, bare)
    return found


def _build(annotation: Any, bare: bool) -> _Convert:
    kind = plain(annotation)
    origin = get_origin(kind)
    if origin is list:
        return _list_of(_converter(get_args(kind)[0], True))
    if origin is dict:
        return _map_of(_converter(get_args(kind)[1], True))
    if origin is Literal:
        return _one_of(get_args(kind))
    if kind is Unsupported:
        return _unsupported
    if isinstance(kind, type) and issubclass(kind, Options):
        return _struct(kind, bare)
    return _SCALARS[kind]


def metadata(annotation: Any) -> tuple[Any, ...]:
    """What an ``Annotated`` type carries."""
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


@cache
def field_types(kind: type[Options], labels: bool = False) -> dict[str, tuple[str, Any]]:
    """The fields a source may name: name as written in files → attribute, annotation."""
    hidden = FILE_ONLY if labels else LABEL_ONLY
    return {
        field.encode_name: (field.name, field.type)
        for field in msgspec.structs.fields(kind)
        if hidden not in metadata(field.type)
    }


@cache
def _fields(kind: type[Options], labels: bool) -> dict[str, _Field]:
    return {
        name.lower(): _Field(attribute, name, _converter(annotation))
        for name, (attribute, annotation) in field_types(kind, labels).items()
    }


def _struct(kind: type[Options], bare: bool) -> _Convert:
    switch = kind.allow_empty
    empty_is_fine = switch or bare

    def convert(node: Any, path: str, at: At, context: _Context) -> Any:
        if not isinstance(node, dict):
            return alone(node, path, at, context)
        value = node.value if isinstance(node, Table) else None
        if value is not None and value.lower() != "true":
            return alone(value, path, at, context)
        fields = _fields(kind, context.labels)
        places = node.at if isinstance(node, Table) else {}
        given: dict[str, Any] = {}
        empty = True
        for key, child in node.items():
            if child is None:
                continue
            empty = False
            here = f"{path}.{key}" if path else key
            field = fields.get(key.lower())
            if field is None:
                known = [field.name for field in fields.values()]
                context.report(
                    here, places.get(key), f"field not found, node: {key}{nearest(key, known)}"
                )
            elif field.attribute in given:
                context.report(here, places.get(key), f"{field.name} is given twice")
            else:
                result = field.convert(child, here, places.get(key), context)
                if result is not _MISSING:
                    given[field.attribute] = result
        if empty and not empty_is_fine and value is None:
            return alone(node, path, at, context)
        return kind(**given)

    def alone(node: Any, path: str, at: At, context: _Context) -> Any:
        text = _text(node)
        if empty_is_fine and text is not None and text.lower() == "true":
            return kind()
        if switch and text in _FALSE:
            return _MISSING
        name = path.rpartition(".")[2] or path
        known = [field.name for field in _fields(kind, context.labels).values()]
        names = ", ".join(known[:4]) + (", …" if len(known) > 4 else "")
        start = f"{name} cannot be a standalone element"
        if text is None or text.lower() == "true":
            what = "a list was given" if isinstance(node, list) else "nothing is set below it"
            return context.report(path, at, f"{start}: {what}; set one of {names}")
        switch_on = "true, or " if empty_is_fine else ""
        return context.report(
            path, at, f"{start}: {_quote(text)} is not valid; set {switch_on}one of {names}"
        )

    return convert


def _map_of(convert_value: _Convert) -> _Convert:
    def convert(node: Any, path: str, at: At, context: _Context) -> Any:
        name = path.rpartition(".")[2]
        if not isinstance(node, dict):
            return context.report(
                path, at, f"{name} cannot be a standalone element: it needs named entries below it"
            )
        places = node.at if isinstance(node, Table) else {}
        result = {}
        empty = True
        for key, child in node.items():
            if child is None:
                continue
            empty = False
            value = convert_value(child, f"{path}.{key}", places.get(key), context)
            if value is not _MISSING:
                result[key] = value
        if empty:
            return context.report(
                path,
                at,
                f"{name} cannot be a standalone element: it is empty; add an entry or remove it",
            )
        return result

    return convert


def _list_of(convert_item: _Convert) -> _Convert:
    def convert(node: Any, path: str, at: At, context: _Context) -> Any:
        places: list[At] = []
        if isinstance(node, str):
            items: list[Any] = [part.strip() for part in node.split(",")] if node else []
        elif isinstance(node, list):
            items = [item.strip() if isinstance(item, str) else item for item in node]
        elif isinstance(node, dict) and all(key.startswith("[") for key in node):
            items = list(node.values())
            places = [node.at.get(key) for key in node] if isinstance(node, Table) else []
        elif isinstance(node, dict):
            return context.report(path, at, "expected a list, not named entries")
        else:
            items = [node]
        result = []
        for index, item in enumerate(items):
            here = f"{path}[{index}]"
            place = (places[index] if places else None) or at
            if item is None:
                context.report(here, place, "expected a value, not null")
                continue
            value = convert_item(item, here, place, context)
            if value is not _MISSING:
                result.append(value)
        return result

    return convert


def _one_of(choices: tuple[str, ...]) -> _Convert:
    def convert(node: Any, path: str, at: At, context: _Context) -> Any:
        text = _text(node)
        if text in choices:
            return text
        if text is None:
            return context.report(path, at, _not_a_value(node, "one word"))
        listed = ", ".join(choice for choice in choices if choice)
        return context.report(path, at, f"{_quote(text)} is not valid; write one of {listed}")

    return convert


def _unsupported(node: Any, path: str, at: At, context: _Context) -> Any:
    if node is False or (isinstance(node, str) and node in _FALSE):
        return _MISSING  # the option is switched off: nothing to honour
    context.unsupported.append(context.problem(path, at, "is not supported yet and has no effect"))
    return Unsupported(node)


def _string(node: Any, path: str, at: At, context: _Context) -> Any:
    text = _text(node)
    if text is None:
        return context.report(path, at, _not_a_value(node, "a text"))
    return text


def _boolean(node: Any, path: str, at: At, context: _Context) -> Any:
    text = _text(node)
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text is None:
        return context.report(path, at, _not_a_value(node, "true or false"))
    return context.report(path, at, f"{_quote(text)} is not a boolean; write true or false")


def _integer(node: Any, path: str, at: At, context: _Context) -> Any:
    text = _text(node)
    if text is None:
        return context.report(path, at, _not_a_value(node, "a whole number"))
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        return context.report(path, at, f"{_quote(text)} is not a whole number")
    if len(digits) > 30 or int(text) not in _INT_RANGE:
        return context.report(path, at, f"{_quote(text)} is out of range (64 bits)")
    return int(text)


def _number(node: Any, path: str, at: At, context: _Context) -> Any:
    text = _text(node)
    if text is None:
        return context.report(path, at, _not_a_value(node, "a number"))
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        return context.report(path, at, f"{_quote(text)} is not a number")
    return number


def _duration(node: Any, path: str, at: At, context: _Context) -> Any:
    text = _text(node)
    if text is None:
        return context.report(path, at, _not_a_value(node, "a duration such as 30s"))
    try:
        if len(text) > _SHOWN:
            raise ValueError(text)
        duration = Duration.parse(text)
    except ValueError:
        return context.report(
            path,
            at,
            f"{_quote(text)} is not a duration; write seconds (30) or units (1m30s, 500ms)",
        )
    if abs(duration) > _LONGEST:
        return context.report(path, at, f"{_quote(text)} is too long; the most is 2562047h")
    return duration


_SCALARS: dict[Any, _Convert] = {
    str: _string,
    bool: _boolean,
    int: _integer,
    float: _number,
    Duration: _duration,
}


def _text(node: Any) -> str | None:
    """A scalar as Traefik's text form; None for anything else."""
    if isinstance(node, str):
        return node
    if isinstance(node, bool):
        return "true" if node else "false"
    if isinstance(node, int | float):
        return repr(node)
    return None


def _quote(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _not_a_value(node: Any, wanted: str) -> str:
    found = "named entries" if isinstance(node, dict) else "a list"
    if not isinstance(node, dict | list):
        found = type(node).__name__
    return f"expected {wanted}, not {found}"
