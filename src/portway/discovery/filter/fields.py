"""What a selector means: a walk over the declared types of the data.

Go's field names are the encoded names of the Structs (or the keys of a TypedDict). Not every
field can be selected: indexes, ports lists, localities and free-form blocks are left out, as in
Consul.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import inspect

UNFILTERABLE = frozenset(
    (
        "CreateIndex",
        "ModifyIndex",
        "Ports",
        "ServicePorts",
        "Locality",
        "ServiceLocality",
        "Config",
        "Definition",
        "Namespace",
        "Partition",
        "Permissions",
        "JWT",
    )
)
"""Fields no filter can select, wherever they stand."""


class Shape(Enum):
    """What a value is to the filter language."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"
    LIST = "list"
    MAP = "map"
    STRUCT = "struct"
    OPAQUE = "opaque"


class Kind(NamedTuple):
    """A declared type. ``item`` is what a list or map holds."""

    shape: Shape
    item: Any = None
    """The msgspec type of the elements of a list, the values of a map, or of the struct."""


class Member(NamedTuple):
    """A field of a struct."""

    key: str
    """The attribute, or the key when ``keyed``."""
    keyed: bool
    type: inspect.Type


_SCALARS: dict[type, Shape] = {
    inspect.StrType: Shape.STRING,
    inspect.IntType: Shape.INTEGER,
    inspect.FloatType: Shape.FLOAT,
    inspect.BoolType: Shape.BOOL,
}
_LISTS = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.VarTupleType,
    inspect.CollectionType,
)


def kind_of(declared: inspect.Type) -> Kind:
    """The shape of a declared type; an optional type has the shape of what it may hold."""
    declared = _present(declared)
    if isinstance(declared, _LISTS):
        return Kind(Shape.LIST, declared.item_type)
    if isinstance(declared, inspect.DictType):
        return Kind(Shape.MAP, declared.value_type)
    if isinstance(declared, inspect.StructType | inspect.TypedDictType):
        return Kind(Shape.STRUCT, declared)
    if isinstance(declared, inspect.LiteralType):
        return Kind(Shape.STRING if isinstance(declared.values[0], str) else Shape.INTEGER)
    return Kind(_SCALARS.get(type(declared), Shape.OPAQUE))


def _present(declared: inspect.Type) -> inspect.Type:
    """The type without what may stand for its absence."""
    if isinstance(declared, inspect.Metadata):
        return _present(declared.type)
    if isinstance(declared, inspect.UnionType):
        parts = [part for part in declared.types if not isinstance(part, inspect.NoneType)]
        return _present(parts[0]) if len(parts) == 1 else inspect.AnyType()
    return declared


def member(struct: inspect.Type, name: str) -> Member | None:
    """The field ``name`` of a struct, or ``None`` when no filter can select it."""
    if name in UNFILTERABLE or not isinstance(struct, inspect.StructType | inspect.TypedDictType):
        return None
    keyed = isinstance(struct, inspect.TypedDictType)
    for field in struct.fields:
        if field.encode_name == name:
            key = field.encode_name if keyed else field.name
            return None if _is_opaque(field.type) else Member(key, keyed, field.type)
    return None


def _is_opaque(declared: inspect.Type) -> bool:
    return kind_of(declared).shape is Shape.OPAQUE


@lru_cache(maxsize=256)
def root(kind: type) -> inspect.Type:
    """The declared type of a filtered kind: a Struct, a TypedDict, or ``dict[str, …]``."""
    declared = inspect.type_info(kind)
    if kind_of(declared).shape not in (Shape.STRUCT, Shape.MAP):
        raise TypeError(f"{kind!r} has no fields to filter by")
    return declared


def class_of(struct: inspect.Type) -> type | None:
    """The Python class behind a struct type."""
    if isinstance(struct, inspect.StructType | inspect.TypedDictType):
        return struct.cls
    return None
