"""Route tables: exact hosts as virtual hosts, order by priority, and what is rebuilt."""

from __future__ import annotations

from collections import Counter

import pytest
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from hypothesis import given
from hypothesis import strategies as st

from portway import rules
from portway.edge.compile import route_table
from portway.edge.compile.route_table import CompiledRouter, RouteTable
from portway.rules import alternatives, parse


def compiled(name: str, rule: str, priority: int | None = None) -> CompiledRouter:
    order = (-(len(rule) if priority is None else priority), 0, name)
    return CompiledRouter(order, alternatives(parse(rule)), Route(name=name).SerializeToString())


def table(**rules: str | tuple[str, int]) -> RouteTable:
    built = RouteTable("web")
    for name, rule in rules.items():
        text, priority = (rule, None) if isinstance(rule, str) else rule
        built.put(name, compiled(name, text, priority))
    return built


def hosts(built: RouteTable) -> dict[str, list[str]]:
    """Virtual hosts: their name → the names of their routes in order."""
    config = RouteConfiguration.FromString(built.build().body)
    assert config.name == "web"
    domains = Counter(domain for host in config.virtual_hosts for domain in host.domains)
    assert set(domains.values()) == {1}, "Envoy refuses a domain that is there twice"
    return {host.name: [route.name for route in host.routes] for host in config.virtual_hosts}


def test_exact_hosts_are_virtual_hosts() -> None:
    built = table(r="Host(`a.test`)", q="Host(`b.test`) || Host(`c.test`)")
    assert hosts(built) == {"*": [], "a.test": ["r"], "b.test": ["q"], "c.test": ["q"]}
    config = RouteConfiguration.FromString(built.build().body)
    assert {tuple(host.domains) for host in config.virtual_hosts} == {
        ("*",),
        ("a.test", "a.test."),
        ("b.test", "b.test."),
        ("c.test", "c.test."),
    }
    assert config.ignore_port_in_host_matching


@pytest.mark.parametrize("same", ["A.TEST", "a.test.", "A.test."])
def test_spellings_of_a_host_are_one_virtual_host(same: str) -> None:
    found = hosts(table(q=f"Host(`{same}`) && Path(`/x`)", r="Host(`a.test`)"))
    assert set(found) == {"*", "a.test"}
    assert set(found["a.test"]) == {"q", "r"}


def test_a_host_that_is_none_is_nowhere() -> None:
    assert hosts(table(r="Host(`.`)", q="!Host(`.`)")) == {"*": ["q"]}


def test_rules_without_a_host_stand_in_every_virtual_host_by_priority() -> None:
    built = table(
        low=("PathPrefix(`/`)", 1),
        r=("Host(`a.test`) && PathPrefix(`/x`)", 5),
        high=("PathPrefix(`/api`)", 9),
    )
    assert hosts(built) == {"*": ["high", "low"], "a.test": ["high", "r", "low"]}


def test_patterns_of_hosts_stand_only_where_they_can_match() -> None:
    built = table(
        a="Host(`a.test`)", b="Host(`x.b.test`)", p=("HostRegexp(`^[a-z]+\\.b\\.test$`)", 99)
    )
    found = hosts(built)
    assert found["a.test"] == ["a"]
    assert found["x.b.test"][0] == "p"
    assert found["*"] == ["p"]


def test_what_no_request_can_reach_is_left_out() -> None:
    built = table(
        all=("Host(`a.test`)", 9),
        below=("Host(`a.test`) && Path(`/x`)", 1),
        any=("PathPrefix(`/`)", 0),
    )
    assert hosts(built) == {"*": ["any"], "a.test": ["all"]}
    built.put("all", None)
    assert hosts(built)["a.test"] == ["below", "any"]


def test_a_router_that_moves_leaves_nothing_behind() -> None:
    built = table(r="Host(`a.test`)", q="Host(`a.test`) && Path(`/x`)")
    built.put("r", compiled("r", "Host(`b.test`)"))
    assert hosts(built) == {"*": [], "a.test": ["q"], "b.test": ["r"]}
    built.put("q", None)
    assert hosts(built) == {"*": [], "b.test": ["r"]}
    built.put("r", compiled("r", "PathPrefix(`/`)"))
    assert hosts(built) == {"*": ["r"]}
    built.put("r", None)
    assert hosts(built) == {"*": []}
    assert built.routers == {}


def test_only_a_difference_is_a_change() -> None:
    built = table(r="Host(`a.test`)")
    first = built.build()
    assert not built.changed
    assert not built.put("r", compiled("r", "Host(`a.test`)"))
    assert not built.put("q", None)
    assert not built.changed
    assert built.put("r", None)
    assert built.put("r", compiled("r", "Host(`a.test`)"))
    assert built.build() == first


def test_only_stale_hosts_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    built = table(**{f"r{n}": f"Host(`{n}.test`)" for n in range(100)})
    built.build()
    made: Counter[str | None] = Counter()
    original = rules.route_match

    def counting(alternative: object, host: str | None) -> object:
        made[host] += 1
        return original(alternative, host)  # type: ignore[arg-type]

    monkeypatch.setattr(route_table, "route_match", counting)
    built.put("new", compiled("new", "Host(`7.test`) && Path(`/x`)"))
    built.build()
    assert set(made) == {"7.test"}
    made.clear()
    built.put("everywhere", compiled("everywhere", "PathPrefix(`/y`)"))
    built.build()
    assert len(made) == 101


_RULES = st.sampled_from(
    [
        "Host(`a.test`)",
        "Host(`a.test`) && Path(`/x`)",
        "Host(`b.test`) || PathPrefix(`/y`)",
        "PathPrefix(`/`)",
        "Host(`*.test`)",
        "!Host(`a.test`)",
        "HostRegexp(`^b`)",
        "Method(`GET`)",
    ]
)


@given(st.lists(st.tuples(st.sampled_from("pqrs"), st.none() | _RULES, st.integers(0, 3))))
def test_any_way_to_a_table_ends_in_the_same_bytes(
    steps: list[tuple[str, str | None, int]],
) -> None:
    stepwise, outcome = RouteTable("web"), dict[str, CompiledRouter]()
    for name, rule, priority in steps:
        router = compiled(name, rule, priority) if rule else None
        stepwise.put(name, router)
        stepwise.build()
        outcome.pop(name, None)
        if router is not None:
            outcome[name] = router
    at_once = RouteTable("web")
    for name, router in outcome.items():
        at_once.put(name, router)
    assert stepwise.build() == at_once.build()
