"""From a tree, as JSON and HCL give it, to a config entry.

Keys are Go's field names in any letter case, or snake_case. Values are converted as the
documented API does: texts that hold numbers or booleans count as these, one value stands for a
list of it, and a list of one block for the block, as HCL cannot tell them apart. What is not
known is refused, all of it in one message.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin

import msgspec

from portway.config import Duration
from portway.mesh.entries.entry import (
    Entry,
    EntryError,
    GoDuration,
    Nanoseconds,
    Number,
    listed,
)
from portway.mesh.entries.kinds import kind_of

Part = TypeVar("Part", bound=msgspec.Struct)
_MISSING: Any = object()
_SHOWN_ONLY = frozenset(("create_index", "modify_index", "hash"))
_DEFAULTABLE = ("", "default", None)
_ENTERPRISE = {"namespace": "namespaces", "partition": "partitions"}
_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False", ""), False),
}
_INT64 = range(-(2**63), 2**63)
_SHOWN = 60  # characters of a wrong value that a message repeats


def decode_entry(tree: Any) -> Entry:
    """The entry a tree describes, as it is kept but not yet checked. Raises EntryError."""
    if tree is not None and not isinstance(tree, dict):
        raise EntryError(f"'' expected a map, got '{_type_of(tree)}'")
    tree = tree or {}
    kind = tree.get("Kind", tree.get("kind"))
    if kind is None:
        raise EntryError("Payload does not contain a kind/Kind key at the top level")
    if not isinstance(kind, str):
        raise EntryError("Kind value in payload is not a string")
    cls = kind_of(kind)
    content = {key: value for key, value in tree.items() if key not in ("Kind", "kind")}
    entry = decode_part(content, cls)
    if cls.singleton and not entry.name:
        entry = msgspec.structs.replace(entry, name=cls.singleton)
    return entry.normalized()


def decode_part(tree: Mapping[str, Any], kind: type[Part]) -> Part:
    """A struct of any kind from a tree, by the same rules. Raises EntryError."""
    reader = _Reader()
    value: Part = reader.struct(tree, kind, "")
    if reader.unknown:
        raise EntryError(listed(reader.unknown))
    if reader.mistyped:
        count = len(reader.mistyped)
        lines = "\n".join(f"* {text}" for text in reader.mistyped)
        raise EntryError(f"{count} error(s) decoding:\n\n{lines}")
    return value


class _Reader:
    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.mistyped: list[str] = []

    def struct(self, tree: Any, kind: Any, path: str) -> Any:
        tree = _single(tree)
        if not isinstance(tree, dict):
            return self._no_map(path, tree)
        given: dict[str, Any] = {}
        for key, child in tree.items():
            field = _spellings(kind).get(key.lower())
            here = f"{path}.{key}" if path else key
            if field is None:
                self._unknown(key, child, here)
            elif child is not None and field.name not in _SHOWN_ONLY:
                shown = f"{path}.{field.encode_name}" if path else field.encode_name
                value = self.value(child, field.type, shown)
                if value is not _MISSING:
                    given[field.name] = value
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in given:
                given[field.name] = _zero(field.type)
        return kind(**given)

    def value(self, node: Any, kind: Any, path: str) -> Any:
        kind = _bare(kind)
        origin = get_origin(kind)
        if kind is Any:
            read = node
        elif kind is GoDuration or kind is Nanoseconds:
            read = self._duration(_single(node), kind, path)
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            read = self.struct(node, kind, path)
        elif origin is list:
            read = self._list(node, get_args(kind)[0], path)
        elif origin is dict:
            read = self._map(node, get_args(kind)[1], path)
        elif origin is Literal:
            read = self._one_of(_single(node), get_args(kind), path)
        else:
            read = self._scalar(_single(node), float if kind == Number else kind, path)
        return read

    def _list(self, node: Any, kind: Any, path: str) -> list[Any]:
        items = node if isinstance(node, list) else [node]
        read = [self.value(item, kind, f"{path}[{index}]") for index, item in enumerate(items)]
        return [value for value in read if value is not _MISSING]

    def _map(self, node: Any, kind: Any, path: str) -> Any:
        if isinstance(node, list) and all(isinstance(item, dict) for item in node):
            node = {key: value for item in node for key, value in item.items()}
        if not isinstance(node, dict):
            return self._no_map(path, node)
        if kind is Any:
            return dict(node)
        read = {
            key: _zero(kind) if item is None else self.value(item, kind, f"{path}[{key}]")
            for key, item in node.items()
        }
        return {key: value for key, value in read.items() if value is not _MISSING}

    def _one_of(self, node: Any, choices: tuple[str, ...], path: str) -> Any:
        if node in choices:
            return node
        listed = ", ".join(f'"{choice}"' for choice in choices)
        return self._wrong(path, f"one of {listed}", node)

    def _scalar(self, node: Any, kind: Any, path: str) -> Any:
        read = _CONVERSIONS[kind]
        try:
            return read(node)
        except (ValueError, OverflowError):
            if isinstance(node, str) and kind in _PARSERS:
                parser = _PARSERS[kind]
                self.mistyped.append(
                    f"cannot parse '{path}' as {_NAMES[kind]}: strconv.{parser}: "
                    f'parsing "{_shown(node)}": invalid syntax'
                )
                return _MISSING
            return self._wrong(path, f"type '{_NAMES[kind]}'", node)

    def _duration(self, node: Any, kind: Any, path: str) -> Any:
        try:
            nanoseconds = _nanoseconds(node)
        except ValueError as error:
            self.mistyped.append(f"error decoding '{path}': {error}")
            return _MISSING
        if kind is Nanoseconds:
            return Nanoseconds(nanoseconds)
        return GoDuration(str(Duration(nanoseconds / 1e9)) if nanoseconds else "")

    def _unknown(self, key: str, child: Any, path: str) -> None:
        what = _ENTERPRISE.get(key.lower())
        if what is not None and child in _DEFAULTABLE:
            return  # an empty namespace is nobody's
        hint = ", namespaces are a consul enterprise feature" if what == "namespaces" else ""
        if "jwt" in key.lower():
            hint = ", api-gateway jwt validation is a consul enterprise feature"
        self.unknown.append(f'invalid config key "{path}"{hint}')

    def _wrong(self, path: str, wanted: str, node: Any) -> Any:
        shown = ""
        if isinstance(node, str | int | float):
            text = str(node).lower() if isinstance(node, bool) else str(node)
            shown = f", value: '{_shown(text)}'"
        found = _type_of(node)
        self.mistyped.append(f"'{path}' expected {wanted}, got unconvertible type '{found}'{shown}")
        return _MISSING

    def _no_map(self, path: str, node: Any) -> Any:
        self.mistyped.append(f"'{path}' expected a map, got '{_type_of(node)}'")
        return _MISSING


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _type_of(node: Any) -> str:
    if isinstance(node, dict):
        return "map"
    if isinstance(node, list):
        return "slice"
    if isinstance(node, int | float) and not isinstance(node, bool):
        return "float64"
    return "nil" if node is None else _NAMES.get(type(node), "value")


def _single(node: Any) -> Any:
    """What a list of one stands for."""
    while isinstance(node, list) and len(node) == 1:
        node = node[0]
    return node


def _text(node: Any) -> str:
    if isinstance(node, bool):
        return "1" if node else "0"
    if isinstance(node, str | int | float):
        return str(node)
    raise ValueError(node)


def _integer(node: Any) -> int:
    if isinstance(node, str):
        number = int(node, 0) if node else 0
    elif isinstance(node, int | float) and node == int(node):
        number = int(node)
    else:
        raise ValueError(node)
    if number not in _INT64:
        raise ValueError(node)
    return number


def _float(node: Any) -> float:
    if isinstance(node, str | int | float):
        number = float(node or 0)
        if number - number == 0:  # neither infinite nor NaN
            return number
    raise ValueError(node)


def _bool(node: Any) -> bool:
    if isinstance(node, str):
        if node in _BOOLS:
            return _BOOLS[node]
    elif isinstance(node, int | float):
        return bool(node)
    raise ValueError(node)


def _bytes(node: Any) -> bytes:
    import base64

    if isinstance(node, str):
        return base64.b64decode(node, validate=True)
    raise ValueError(node)


def _time(node: Any) -> datetime:
    if isinstance(node, str):
        return msgspec.convert(node, datetime)
    raise ValueError(node)


_CONVERSIONS = {
    str: _text,
    int: _integer,
    float: _float,
    bool: _bool,
    bytes: _bytes,
    datetime: _time,
}
_PARSERS = {int: "ParseInt", bool: "ParseBool", float: "ParseFloat"}
"""What Go reads texts with."""
_NAMES = {
    str: "string",
    int: "int",
    float: "float",
    bool: "bool",
    bytes: "string",
    datetime: "string",
}


def _nanoseconds(node: Any) -> int:
    if isinstance(node, int | float) and not isinstance(node, bool):
        number = int(node)
    elif not isinstance(node, str):
        raise ValueError("a duration must be a text such as 10s")
    elif not node:
        number = 0
    elif node.lstrip("+-").isdigit():
        if node.strip("+-0"):
            raise ValueError(f'time: missing unit in duration "{node[:_SHOWN]}"')
        number = 0
    else:
        try:
            number = round(Duration.parse(node) * 1e9)
        except ValueError:
            raise ValueError(f'time: invalid duration "{node[:_SHOWN]}"') from None
    if number not in _INT64:
        raise ValueError(f'time: invalid duration "{str(node)[:_SHOWN]}"')
    return number


def _bare(kind: Any) -> Any:
    """A type without ``| None``."""
    if kind != Number and get_origin(kind) in (Union, types.UnionType):
        return next(member for member in get_args(kind) if member is not types.NoneType)
    return kind


def _zero(kind: Any) -> Any:
    """Go's zero of a type."""
    if kind == Number:
        return 0
    if get_origin(kind) in (Union, types.UnionType):
        return None
    if isinstance(kind, NewType):
        kind = kind.__supertype__
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        required = [field for field in msgspec.structs.fields(kind) if field.required]
        return kind(**{field.name: _zero(field.type) for field in required})
    if get_origin(kind) is Literal:
        return ""
    return (get_origin(kind) or kind)()


@cache
def _spellings(kind: Any) -> dict[str, msgspec.structs.FieldInfo]:
    """How keys may be written, in lower case."""
    fields = msgspec.structs.fields(kind)
    if not getattr(kind, "named", True):
        fields = tuple(field for field in fields if field.name != "name")
    return {
        **{field.name: field for field in fields},
        **{field.encode_name.lower(): field for field in fields},
    }
