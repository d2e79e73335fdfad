"""Tree to closure: everything that can be decided before the data comes is decided here.

Semantics of go-bexpr 0.1.2: a selector through a list holds if it holds for any element (also
a negated one); a map without the key answers as if nothing were there: not equal, not in, empty,
but it passes a match as well as its opposite. Texts cannot be asked whether they are empty. Data
that is absent (``None``) counts as its type's zero value, as in Go.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from msgspec import inspect

from portway.discovery.filter.coerce import to_bool, to_float, to_int
from portway.discovery.filter.error import FilterError
from portway.discovery.filter.fields import Kind, Shape, class_of, kind_of, member, root
from portway.discovery.filter.parser import parse
from portway.discovery.filter.tree import And, Expression, Match, Not, Operator
from portway.discovery.operations.patterns import pattern

Predicate = Callable[[Any], bool]
Constants = tuple[tuple[type, str, str], ...]

_CACHED_LENGTH = 4096  # longer filters are compiled each time: the cache stays small
_SCALARS = (Shape.STRING, Shape.INTEGER, Shape.FLOAT, Shape.BOOL)
_COERCE: dict[Shape, Callable[[str], Any]] = {
    Shape.STRING: str,
    Shape.INTEGER: to_int,
    Shape.FLOAT: to_float,
    Shape.BOOL: to_bool,
    Shape.MAP: str,
}
_ZERO: dict[Shape, Any] = {
    Shape.STRING: "",
    Shape.INTEGER: 0,
    Shape.FLOAT: 0.0,
    Shape.BOOL: False,
    Shape.LIST: (),
    Shape.MAP: {},
}


def compile_filter(text: str, kind: type, constants: Constants = ()) -> Predicate:
    """The filter as a function of one ``kind``: a Struct, a TypedDict or ``dict[str, …]``.

    ``constants`` are fields that the data does not hold because they are the same for all of
    it: (class, field name, value), such as ``(Node, "Datacenter", "dc1")``. An empty text lets
    everything pass. Compiled filters are kept. Raises :class:`FilterError`, and nothing else.
    """
    if len(text) > _CACHED_LENGTH:
        return _compile(text, kind, constants)
    return _cached(text, kind, constants)


def _compile(text: str, kind: type, constants: Constants) -> Predicate:
    if not text:
        return lambda _: True
    return _Compiler(root(kind), constants).expression(parse(text))


_cached = lru_cache(maxsize=1024)(_compile)


class _Compiler:
    def __init__(self, declared: inspect.Type, constants: Constants) -> None:
        self._root = declared
        self._constants = {(cls, name): value for cls, name, value in constants}

    def expression(self, node: Expression) -> Predicate:
        if isinstance(node, Match):
            return self._match(node, self._root, 0)
        if isinstance(node, Not):
            negated = self.expression(node.term)
            return lambda obj: not negated(obj)
        terms = tuple(self.expression(term) for term in node.terms)
        if len(terms) == 2:
            left, right = terms
            if isinstance(node, And):
                return lambda obj: left(obj) and right(obj)
            return lambda obj: left(obj) or right(obj)
        if isinstance(node, And):
            return lambda obj: all(term(obj) for term in terms)
        return lambda obj: any(term(obj) for term in terms)

    def _match(self, match: Match, declared: inspect.Type, depth: int) -> Predicate:
        """The predicate of a value of the declared type; ``depth`` names were followed."""
        kind = kind_of(declared)
        if depth == len(match.selector):
            return _comparison(match, kind)
        if kind.shape is Shape.STRUCT:
            return self._field(match, kind.item, depth)
        if kind.shape is Shape.LIST and kind_of(kind.item).shape in (Shape.STRUCT, Shape.MAP):
            element = self._match(match, kind.item, depth)
            return lambda items: any(element(item) for item in items or ())
        if kind.shape is Shape.MAP and kind_of(kind.item).shape is not Shape.OPAQUE:
            return self._entry(match, kind.item, depth)
        raise _invalid(match, depth)

    def _field(self, match: Match, struct: inspect.Type, depth: int) -> Predicate:
        name = match.selector[depth]
        found = member(struct, name)
        if found is None:
            cls = class_of(struct)
            constant = self._constants.get((cls, name)) if cls else None
            if constant is None or depth + 1 < len(match.selector):
                raise _invalid(match, depth)
            same = _comparison(match, Kind(Shape.STRING))(constant)
            return lambda _: same
        inner = self._match(match, found.type, depth + 1)
        if found.keyed:
            key = found.key
            return lambda row: inner(None if row is None else row.get(key))
        get = attrgetter(found.key)
        return lambda obj: inner(None if obj is None else get(obj))

    def _entry(self, match: Match, values: inspect.Type, depth: int) -> Predicate:
        key = match.selector[depth]
        inner = self._match(match, values, depth + 1)
        absent = match.negated != (match.operator is Operator.EMPTY)
        absent = absent or match.operator is Operator.MATCHES

        def entry(mapping: Any) -> bool:
            if not mapping or key not in mapping:
                return absent
            return inner(mapping[key])

        return entry


def _comparison(match: Match, kind: Kind) -> Predicate:
    """The end of a selector: compare a value of this kind."""
    if match.operator not in _operators(kind):
        name, selector = match.operator_text, match.selector_text
        raise FilterError(f'Invalid match operator "{name}" for selector "{selector}"')
    shape, negated = kind.shape, match.negated
    if match.operator is Operator.EMPTY:
        return bool if negated else _is_empty
    if match.operator is Operator.MATCHES:
        return _pattern(match)
    wanted = _coerced(match, kind)
    zero = _ZERO[shape]
    if match.operator is Operator.EQUAL:
        if negated:
            return lambda value: (zero if value is None else value) != wanted
        return lambda value: (zero if value is None else value) == wanted
    if negated:
        return lambda value: wanted not in (zero if value is None else value)
    return lambda value: wanted in (zero if value is None else value)


def _operators(kind: Kind) -> tuple[Operator, ...]:
    if kind.shape is Shape.STRING:
        return (Operator.EQUAL, Operator.IN, Operator.MATCHES)
    if kind.shape in _SCALARS:
        return (Operator.EQUAL,)
    if kind.shape is Shape.MAP:
        return (Operator.IN, Operator.EMPTY)
    if kind.shape is Shape.LIST:
        scalar = kind_of(kind.item).shape in _SCALARS
        return (Operator.IN, Operator.EMPTY) if scalar else (Operator.EMPTY,)
    return ()


def _is_empty(value: Any) -> bool:
    return not value


def _pattern(match: Match) -> Predicate:
    try:
        search = pattern(match.value).search
    except ValueError as error:
        about = f'"{match.value}": {error}'
        raise FilterError(f"Failed to compile regular expression {about}") from None
    if match.negated:
        return lambda value: search((value or "").encode(errors="replace")) is None
    return lambda value: search((value or "").encode(errors="replace")) is not None


def _coerced(match: Match, kind: Kind) -> Any:
    shape = kind_of(kind.item).shape if kind.shape is Shape.LIST else kind.shape
    try:
        return _COERCE[shape](match.value)
    except ValueError as error:
        about = f'"{match.value}" for selector "{match.selector_text}"'
        raise FilterError(f"Failed to coerce value {about}: {error}") from None


def _invalid(match: Match, depth: int) -> FilterError:
    return FilterError(f'Selector "{".".join(match.selector[: depth + 1])}" is not valid')
