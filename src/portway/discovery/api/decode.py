"""Bodies: JSON read the way Go reads it.

Names of fields match without regard to case, unknown fields are refused, durations are Go
durations or nanoseconds. Bodies of service and check definitions accept snake_case as well.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from portway.config import Duration
from portway.discovery.api.error import bad_request

T = TypeVar("T")
MAX_DEPTH = 64
"""Deepest nesting of lists and objects in a body."""
_LONG_NUMBER = re.compile(rb"\d{19}")
_CUT = "Input data was truncated"
_ENTERPRISE = {
    "namespace": "Namespaces are a Consul Enterprise feature",
    "partition": "Partitions are a Consul Enterprise feature",
}


_OLD_NAMES = {"args": "ScriptArgs"}  # of configuration files, which bodies may use


def decode(
    body: bytes, kind: type[T], *, snake: bool = False, prefix: str = "", unknown: bool = False
) -> T:
    """The body as ``kind``.

    ``snake`` also accepts snake_case names, ``unknown`` leaves out fields of the body itself that
    it has not. Raises ApiError (400) with ``prefix`` before the
    message, ``Request decode failed: `` by default.
    """
    prefix = prefix or "Request decode failed: "
    if not body.strip():
        raise bad_request(f"{prefix}EOF")
    try:
        tree = parse_json(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise bad_request(f"{prefix}{reason(error)}") from None
    try:
        if unknown and isinstance(tree, dict):
            known: Any = kind
            names = _spellings(known, snake)
            tree = {name: value for name, value in tree.items() if name.lower() in names}
        tree = _renamed(tree, kind, snake)
        return msgspec.convert(tree, kind, dec_hook=_hook)
    except (_UnknownFieldError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise bad_request(f"{prefix}{error}") from None


def reason(error: Exception) -> str:
    """Why ``parse_json`` could not read a body, for the answer."""
    return "unexpected EOF" if str(error) == _CUT else str(error)


def parse_json(body: bytes) -> Any:
    """JSON as plain values. Raises ValueError or RecursionError.

    What nothing could store is refused: an integer that no 64 bits hold, and what is nested so
    deep that it might be read but not shown again.
    """
    tree = msgspec.json.decode(body)
    if _LONG_NUMBER.search(body) or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check(tree, 1)
    return tree


def _check(tree: Any, depth: int) -> None:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        if depth > MAX_DEPTH:
            raise ValueError(f"json: nested more than {MAX_DEPTH} levels deep")
        for value in tree:
            _check(value, depth + 1)
    elif isinstance(tree, int) and not -(1 << 63) <= tree < 1 << 64:
        raise ValueError(f"json: cannot unmarshal number {tree} into Go value of type int64")


def decode_tree(tree: Any, kind: type[T], *, snake: bool = True) -> T:
    """The same for JSON that is parsed already. Raises ValueError with the message."""
    try:
        return msgspec.convert(_renamed(tree, kind, snake), kind, dec_hook=_hook)
    except (_UnknownFieldError, msgspec.ValidationError) as error:
        raise ValueError(str(error)) from None


class _UnknownFieldError(Exception):
    def __init__(self, name: str) -> None:
        hint = _ENTERPRISE.get(name.lower())
        super().__init__(f'json: unknown field "{name}"' + (f" - {hint}" if hint else ""))


def _hook(kind: type, value: Any) -> Any:
    if kind is Duration:
        return _duration(value)
    raise NotImplementedError(kind)


def _duration(value: Any) -> Duration:
    if isinstance(value, int) and not isinstance(value, bool):
        return Duration(value / 1e9)
    if isinstance(value, str):
        if not value:
            return Duration(0)
        if value.lstrip("+-").isdigit() and value.lstrip("+-") != "0":
            raise ValueError(f'time: missing unit in duration "{value}"')
        try:
            return Duration.parse(value)
        except ValueError:
            raise ValueError(f'time: invalid duration "{value}"') from None
    raise ValueError(f"a duration must be a string such as 10s or nanoseconds, not {value!r}")


def _renamed(tree: Any, kind: Any, snake: bool) -> Any:
    kind = _bare(kind, tree)
    if isinstance(tree, dict):
        fields = _fields(kind)
        if fields is not None:
            names = _spellings(kind, snake)
            renamed: dict[str, Any] = {}
            for given, value in tree.items():
                name = given if given in fields else names.get(given.lower())
                if name is None:
                    if not value and given.lower() in _ENTERPRISE:
                        continue  # an empty namespace is nobody's
                    raise _UnknownFieldError(given)
                if value is not None:  # null leaves a field as it is
                    renamed[name] = _renamed(value, fields[name], snake)
            return renamed
        if get_origin(kind) is dict:
            inner = get_args(kind)[1]
            return {name: _renamed(value, inner, snake) for name, value in tree.items()}
    elif isinstance(tree, list) and get_origin(kind) in (list, tuple):
        inner = get_args(kind)[0]
        return [_renamed(value, inner, snake) for value in tree]
    return _zero(kind) if tree is None else tree


def _zero(kind: Any) -> Any:
    """What ``null`` leaves of a value that has no default: Go's zero value."""
    origin = get_origin(kind) or kind
    if origin in (list, dict, str, int, float, bool):
        return origin()
    return None if _fields(origin) is None else {}


def _bare(kind: Any, tree: Any) -> Any:
    """The member of an optional type that fits the tree."""
    if get_origin(kind) is None or type(None) not in get_args(kind):
        return kind
    members = [member for member in get_args(kind) if member is not type(None)]
    return members[0] if len(members) == 1 else kind


@lru_cache(maxsize=512)
def _fields(kind: Any) -> dict[str, Any] | None:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return None
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


@lru_cache(maxsize=512)
def _spellings(kind: Any, snake: bool) -> dict[str, str]:
    fields = msgspec.structs.fields(kind)
    names = {field.encode_name.lower(): field.encode_name for field in fields}
    if snake:
        names |= {field.name: field.encode_name for field in fields}
        names |= {old: new for old, new in _OLD_NAMES.items() if new in names.values()}
    return names
