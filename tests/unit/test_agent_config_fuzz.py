"""Whatever a configuration holds, it is taken or refused with a message; nothing else happens."""

from __future__ import annotations

import json
from typing import Any, get_args, get_origin

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portway.agent.config import ConfigError, Settings, load
from portway.agent.config.files import Source, contents
from portway.agent.config.reading import bare

_WORDS = st.sampled_from(
    (
        *("", "x", "a.b", "0.0.0.0", "::1", "10s", "-1s", "{{ GetPrivateIP }}", "{{", "unix:///s"),
        *("/", "\0", "\n", "é", "http://[", "a" * 300, "1.2.3.4/99", "TLSv1_2", "key", "enforcing"),
        *("/dev/null", "/\0", "²", "+", "*", "a*b", "%", "::/0", "12:34"),
    )
)
_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99999) | st.floats(allow_nan=False) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)


def of_type(kind: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that mostly have the type, so that they reach the rules behind it."""
    kind = bare(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if depth > 4:
            return st.just({})
        fields = {
            field.name: of_type(field.type, depth + 1) for field in msgspec.structs.fields(kind)
        }
        return st.fixed_dictionaries({}, optional=fields) | _ANYTHING
    if get_origin(kind) is list:
        return st.lists(of_type(get_args(kind)[0], depth + 1), max_size=2)
    if get_origin(kind) is dict:
        return st.dictionaries(_WORDS, of_type(get_args(kind)[1], depth + 1), max_size=2)
    typed: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(-(2**40), 2**40),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }
    return typed.get(kind, _WORDS)


def some(limit: int) -> st.SearchStrategy[dict[str, Any]]:
    """A few keys of the top level with values."""
    fields = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    return st.lists(st.sampled_from(sorted(fields)), max_size=limit, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: of_type(fields[name]) for name in names})
    )


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(some(4))
def test_values_of_every_kind(tree: dict[str, Any]) -> None:
    text = json.dumps(tree)
    try:
        load(["-dev", "-bind=127.0.0.1", "-hcl", text], persist=False)
    except ConfigError as error:
        assert str(error)


@settings(max_examples=200)
@given(st.dictionaries(_WORDS | st.sampled_from(["acl", "ports", "service"]), _ANYTHING))
def test_trees_of_every_shape(tree: dict[str, Any]) -> None:
    for format_ in ("json", "hcl"):
        try:
            contents(Source("f", format_, json.dumps(tree)))
        except ConfigError as error:
            assert str(error).startswith("failed to parse f: ")
