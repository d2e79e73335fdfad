"""How steps are laid out in Envoy's filters."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3.config_source_pb2 import ConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.http.lua.v3.lua_pb2 import LuaPerRoute
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from portway.edge import pipeline
from portway.edge.middlewares.step import Lua, Native, Step


def native(name: str) -> Native:
    return Native(name, AnyMessage(type_url="type.googleapis.com/" + name, value=b"x"))


def lua(name: str, **more: Any) -> Lua:
    return Lua(name, {}, **more)


def run(arrangement: pipeline.Arrangement, slot: str) -> LuaPerRoute:
    found = LuaPerRoute()
    assert arrangement.per_filter_config[slot].Unpack(found)
    return found


def context(arrangement: pipeline.Arrangement, slot: str) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(run(arrangement, slot).filter_context)
    return found


def layout(arrangement: pipeline.Arrangement) -> dict[str, list[str]]:
    """Slot -> names of what runs there."""
    found = {}
    for slot in arrangement.per_filter_config:
        if slot in arrangement.chains:
            (chain,) = arrangement.chains[slot].values()
            found[slot] = [one.name for one in chain]
        elif slot.startswith("lua"):
            found[slot] = [step["f"] for step in context(arrangement, slot)["steps"]]
        else:
            found[slot] = []
    return found


N: Step = native("n")
M: Step = native("m")
L: Step = lua("l")
K: Step = lua("k")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], {}),
        ([N], {"native0": ["n"]}),
        ([L], {"lua0": ["l"]}),
        ([N, L], {"native0": ["n"], "lua0": ["l"]}),
        ([L, N], {"lua0": ["l"], "native1": ["n"]}),
        ([N, M, L, K], {"native0": ["n", "m"], "lua0": ["l", "k"]}),
        (
            [L, N, K, M, L],
            {"lua0": ["l"], "native1": ["n"], "lua1": ["k"], "native2": ["m"], "lua2": ["l"]},
        ),
    ],
)
def test_steps_take_slots_in_order(steps: list[Step], expected: dict[str, list[str]]) -> None:
    assert layout(pipeline.arrange(steps)) == expected


def test_as_many_alternations_as_there_are_pairs() -> None:
    assert len(layout(pipeline.arrange([N, L] * pipeline.PAIRS))) == 2 * pipeline.PAIRS
    with pytest.raises(pipeline.TooManySteps, match="more than 4 pairs"):
        pipeline.arrange([N, L] * pipeline.PAIRS + [N])
    with pytest.raises(pipeline.TooManySteps):
        pipeline.arrange([L, N] * pipeline.PAIRS)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("LaL", {"lua0": ["l", "a", "l"]}),
        ("aLaLa", {"native0": ["n"], "lua0": ["l", "a", "l"], "native1": ["n"]}),
        ("aa", {"native0": ["n", "n"]}),
        ("LN", {"lua0": ["l"], "native1": ["n"]}),
        ("LaNL", {"lua0": ["l", "a"], "native1": ["n"], "lua1": ["l"]}),
    ],
)
def test_natives_with_a_lua_form_join_the_lua_steps_around_them(
    steps: str, expected: dict[str, list[str]]
) -> None:
    kinds: dict[str, Step] = {"L": L, "N": N, "a": native("n")._replace(alternative=lua("a"))}
    assert layout(pipeline.arrange([kinds[kind] for kind in steps])) == expected


@given(st.lists(st.sampled_from([N, M, L, K]), max_size=8))
def test_the_order_of_the_filters_is_the_order_of_the_steps(steps: list[Step]) -> None:
    try:
        found = layout(pipeline.arrange(steps))
    except pipeline.TooManySteps:
        return
    filters = [one.name for one in pipeline.http_filters(ConfigSource())]
    order = [name for slot in sorted(found, key=filters.index) for name in found[slot]]
    assert order == [s.name if isinstance(s, Native) else s.function for s in steps]


def test_equal_chains_have_one_name() -> None:
    first, again = pipeline.arrange([N, M]), pipeline.arrange([L, N, M])
    assert list(first.chains["native0"]) == list(again.chains["native1"])
    assert list(first.chains["native0"]) != list(pipeline.arrange([M, N]).chains["native0"])


def test_equal_steps_have_one_id() -> None:
    ids = {
        context(pipeline.arrange(steps), "lua0")["id"]
        for steps in (
            [Lua("f", {"a": 1, "b": [True]})],
            [Lua("f", {"b": [True], "a": 1})],
            [Lua("f", {"a": 2, "b": [True]})],
            [Lua("g", {"a": 1, "b": [True]})],
        )
    }
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("steps", "slot", "script", "flags"),
    [
        ([L], "lua0", "steps", {"always"}),
        ([lua("f", responds=False)], "lua0", "requests", {"always"}),
        ([lua("f", responds=False), L], "lua0", "steps", {"always"}),
        ([lua("f", rejects=True), L], "lua0", "steps", set()),
        ([lua("f", rejects=True), N, L], "lua1", "steps", set()),
        ([N, L], "lua0", "steps", set()),
        ([lua("f", delays=True)], "lua0", "steps", {"always", "clean"}),
        ([lua("f", delays=True), N, lua("f", delays=True)], "lua0", "steps", {"always", "clean"}),
        ([lua("f", delays=True), N, lua("f", delays=True)], "lua1", "steps", set()),
        ([lua("f", paths=True), L], "lua0", "steps", {"always"}),
        ([lua("f", paths=True), L, lua("f", paths=True)], "lua0", "steps", {"always", "tidy"}),
        ([lua("f", paths=True), N, lua("f", paths=True), L], "lua0", "steps", {"always"}),
        ([lua("f", paths=True), N, lua("f", paths=True), L], "lua1", "steps", {"tidy"}),
    ],
)
def test_what_a_run_of_the_script_is_told(
    steps: list[Step], slot: str, script: str, flags: set[str]
) -> None:
    arrangement = pipeline.arrange(steps)
    assert run(arrangement, slot).name == script
    assert set(context(arrangement, slot)) - {"id", "slot", "steps"} == flags


def test_only_paths_that_a_later_step_deals_in_may_stay_open() -> None:
    path: Step = lua("f", paths=True)
    arrangement = pipeline.arrange([path, L, path, N, path, L])
    open_ = [step.get("o", False) for step in context(arrangement, "lua0")["steps"]]
    assert open_ == [True, False, True]
    assert not any("o" in step for step in context(arrangement, "lua1")["steps"])


def test_only_steps_that_delay_switch_the_fault_filter_on() -> None:
    assert "fault" not in pipeline.arrange([L, N]).per_filter_config
    assert "fault" in pipeline.arrange([lua("f", delays=True), N]).per_filter_config


def test_every_filter_is_off_until_a_route_asks() -> None:
    filters = pipeline.http_filters(ConfigSource())
    assert [one.name for one in filters] == [
        "native0", "lua0", "native1", "lua1", "native2", "lua2", "native3", "lua3", "fault",
    ]  # fmt: skip
    assert all(one.disabled for one in filters)


def test_chain_resources_cover_every_slot_and_depend_on_content_only() -> None:
    chains = {"native0": {"a": [TypedExtensionConfig(name="x")], "b": []}}
    turned = {"native0": dict(reversed(chains["native0"].items()))}
    resources = pipeline.chain_resources(chains)
    assert [one.key.name for one in resources] == ["native0", "native1", "native2", "native3"]
    assert resources == pipeline.chain_resources(turned)
    assert resources[0].version != pipeline.chain_resources({})[0].version
