"""From the tree of one source to its canonical form, from that to the blocks.

The canonical form of a block is a dict of attribute names that holds only what was given, with
values of the types that the block declares. Types are not converted, as in Consul: a number in
quotes is no number. ``null`` means not given. HCL cannot tell a block from a list of one block,
so either is taken for the other, as is a list of one value for the value.
"""

from __future__ import annotations

import re
import types
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from portway.agent.config.support import ENTERPRISE, REMOVED, enterprise_warning
from portway.config import Duration, nearest
from portway.discovery.model import Wire

_INT64 = range(-(2**63), 2**63)
_LONGEST = 2562047 * 3600  # seconds that Go's durations hold
_SHOWN = 60  # characters of a wrong value that a message repeats
_LISTED = 12  # keys that a message may list
_SECRET = ("token", "encrypt", "secret", "password")
_MISSING: Any = object()
_INDEX = re.compile(r"\[\d+\]")
# Spellings of definitions beyond case and underscores.
_ALIASES = {"args": "script_args"}

Block = TypeVar("Block", bound=msgspec.Struct)


class Issue(NamedTuple):
    """Something wrong with one key of a source; ``path`` is dotted, ``text`` names it too."""

    path: str
    text: str


class Reading(NamedTuple):
    """The canonical form of a source, what is wrong with it, and what is merely said of it."""

    tree: dict[str, Any]
    issues: list[Issue]
    warnings: list[str]


def read(tree: dict[str, Any], kind: type[msgspec.Struct]) -> Reading:
    """The canonical form of ``tree``, which is to be a block of ``kind``. Never raises."""
    reader = _Reader()
    result = reader.struct(tree, kind, "")
    return Reading({} if result is _MISSING else result, reader.issues, reader.warnings)


def merge(kind: Any, first: Any, then: Any) -> Any:
    """Two canonical forms as one: blocks and maps overlay, lists add up, else ``then`` wins."""
    kind = bare(kind)
    if _is_struct(kind):
        fields = _types(kind)
        merged = dict(first)
        for name, value in then.items():
            known = name in merged
            merged[name] = merge(fields[name], merged[name], value) if known else value
        return merged
    origin = get_origin(kind)
    if origin is list:
        return [*first, *then]
    return {**first, **then} if origin is dict else then


def build(kind: type[Block], tree: dict[str, Any]) -> Block:
    """The block that a canonical form describes; what it leaves out has its default."""
    fields = _types(kind)
    return kind(**{name: _built(fields[name], value) for name, value in tree.items()})


def _built(kind: Any, value: Any) -> Any:
    kind = bare(kind)
    if _is_struct(kind):
        return build(kind, value)
    inner = get_args(kind)
    if get_origin(kind) is list:
        return [_built(inner[0], item) for item in value]
    if get_origin(kind) is dict:
        return {key: _built(inner[1], item) for key, item in value.items()}
    return value


def bare(kind: Any) -> Any:
    """A type without ``| None``."""
    if get_origin(kind) in (Union, types.UnionType):
        return next(member for member in get_args(kind) if member is not types.NoneType)
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


@cache
def _types(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


@cache
def _spellings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """How keys may be written → the attribute: definitions take ``ServiceID`` as well."""
    return {_folded(kind, name): name for name in _types(kind)}


def _folded(kind: type[msgspec.Struct], key: str) -> str:
    return key.lower().replace("_", "") if issubclass(kind, Wire) else key.lower()


class _Reader:
    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.warnings: list[str] = []

    def issue(self, path: str, text: str) -> Any:
        self.issues.append(Issue(path, text))
        return _MISSING

    def mistyped(self, path: str, wanted: str, node: Any) -> Any:
        shown = ""
        if isinstance(node, str | bool | int | float) and not _secret(path):
            text = str(node).lower() if isinstance(node, bool) else str(node)
            text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
            shown = f", value: '{text}'"
        found = _type_name(node)
        return self.issue(
            path, f"'{path}' expected type '{wanted}', got unconvertible type '{found}'{shown}"
        )

    def value(self, node: Any, kind: Any, path: str) -> Any:
        kind = bare(kind)
        if kind is Any:
            return node
        if _is_struct(kind):
            return self.struct(node, kind, path)
        origin = get_origin(kind)
        if origin is list:
            return self.list_of(node, get_args(kind)[0], path)
        if origin is dict:
            return self.map_of(node, get_args(kind)[1], path)
        if isinstance(node, list) and len(node) == 1:
            node = node[0]
        if origin is Literal:
            return self.one_of(node, get_args(kind), path)
        return self.scalar(node, kind, path)

    def struct(self, node: Any, kind: type[msgspec.Struct], path: str) -> Any:
        if isinstance(node, list) and all(isinstance(item, dict) for item in node):
            if len(node) > 1:
                return self.issue(
                    path,
                    f"'{path}' expected a map, got 'slice': the block stands here"
                    f" {len(node)} times; write it once",
                )
            node = node[0] if node else {}
        if not isinstance(node, dict):
            return self.issue(path, f"'{path}' expected a map, got '{_type_name(node)}'")
        fields, spellings = _types(kind), _spellings(kind)
        result: dict[str, Any] = {}
        for key, child in node.items():
            name = spellings.get(_folded(kind, key)) or _alias(kind, key)
            here = f"{path}.{key}" if path else key
            if name is None:
                self.unknown(kind, key, child, here)
            elif name in result:
                self.issue(here, f"'{here}' is given twice, as {key} and in another spelling")
            elif child is not None:
                value = self.value(child, fields[name], here)
                if value is not _MISSING:
                    result[name] = value
        return result

    def unknown(self, kind: type[msgspec.Struct], key: str, child: Any, path: str) -> None:
        everywhere = _INDEX.sub("", path)
        if everywhere in REMOVED:
            if child is not None:
                said = REMOVED[everywhere]
                self.warnings.append(f"The '{path}' field is {said} and will be ignored.")
        elif path in ENTERPRISE:
            if child is not None:
                self.warnings.append(enterprise_warning(path))
        elif issubclass(kind, Wire) and key in ("namespace", "partition"):
            if child not in (None, "", "default"):
                self.issue(path, f"{path}: {key}s are a Consul Enterprise feature")
        else:
            known = _known(kind)
            hint = nearest(key, known)
            # A list of some of very many keys helps nobody.
            hint = hint if len(known) <= _LISTED or "did you mean" in hint else ""
            self.issue(path, f"invalid config key {path}{hint}")

    def list_of(self, node: Any, kind: Any, path: str) -> Any:
        if isinstance(node, dict) and (_is_struct(bare(kind)) or get_origin(kind) is dict):
            node = [node]
        if not isinstance(node, list):
            return self.issue(
                path,
                f"'{path}': source data must be an array or slice, got {_type_name(node)}",
            )
        result = []
        for index, item in enumerate(node):
            here = f"{path}[{index}]"
            if item is None:
                self.mistyped(here, _kind_name(kind), item)
                continue
            value = self.value(item, kind, here)
            if value is not _MISSING:
                result.append(value)
        return result

    def map_of(self, node: Any, kind: Any, path: str) -> Any:
        if isinstance(node, list) and all(isinstance(item, dict) for item in node):
            node = {key: value for item in node for key, value in item.items()}
        if not isinstance(node, dict):
            return self.issue(path, f"'{path}' expected a map, got '{_type_name(node)}'")
        result = {}
        for key, item in node.items():
            if item is not None or kind is Any:
                value = self.value(item, kind, f"{path}[{key}]")
                if value is not _MISSING:
                    result[key] = value
        return result

    def one_of(self, node: Any, choices: tuple[str, ...], path: str) -> Any:
        if not isinstance(node, str):
            return self.mistyped(path, "string", node)
        if node in choices:
            return node
        listed = ", ".join(choice for choice in choices if choice)
        shown = node if len(node) <= _SHOWN else node[:_SHOWN] + "…"
        return self.issue(path, f'{path}: "{shown}" is not valid; write one of {listed}')

    def scalar(self, node: Any, kind: Any, path: str) -> Any:
        if kind is Duration:
            return self.duration(node, path)
        number = isinstance(node, int | float) and not isinstance(node, bool)
        if kind is float and number:
            return float(node)
        if kind is int and number:
            if node != int(node) or int(node) not in _INT64:
                return self.mistyped(path, "int", node)
            return int(node)
        if kind in (str, bool) and isinstance(node, kind):
            return node
        return self.mistyped(path, _kind_name(kind), node)

    def duration(self, node: Any, path: str) -> Any:
        if not isinstance(node, str):
            return self.mistyped(path, "string", node)
        if not node:
            return Duration(0)
        try:
            return go_duration(node)
        except ValueError as error:
            return self.issue(path, f'{path}: invalid duration: "{node[:_SHOWN]}": {error}')


def go_duration(text: str) -> Duration:
    """Read what Go's ``time.ParseDuration`` reads. Raises ValueError with Go's words."""
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    digits = text.lstrip("+-")
    if digits.isdigit() and digits.strip("0"):
        raise ValueError(f'time: missing unit in duration "{shown}"; write {shown}s for seconds')
    try:
        duration = Duration.parse(text) if len(text) <= _SHOWN else None
    except ValueError:
        duration = None
    if duration is None or text != text.strip() or abs(duration) > _LONGEST:
        raise ValueError(f'time: invalid duration "{shown}"')
    return duration


def _alias(kind: type[msgspec.Struct], key: str) -> str | None:
    name = _ALIASES.get(key.lower()) if issubclass(kind, Wire) else None
    return name if name in _types(kind) else None


def _known(kind: type[msgspec.Struct]) -> list[str]:
    """The keys a message may propose, as files spell them."""
    shown = {name: key for key, name in _ALIASES.items()} if issubclass(kind, Wire) else {}
    return [shown.get(name, name) for name in _types(kind)]


def _secret(path: str) -> bool:
    return any(word in path.lower() for word in _SECRET)


def _kind_name(kind: Any) -> str:
    kind = bare(kind)
    names = {str: "string", int: "int", bool: "bool", float: "float64", Duration: "string"}
    return names.get(kind) or ("slice" if get_origin(kind) is list else "map")


def _type_name(node: Any) -> str:
    if isinstance(node, bool):
        return "bool"
    names = {str: "string", int: "int", float: "float64", list: "slice", dict: "map"}
    return names.get(type(node), "nil")
