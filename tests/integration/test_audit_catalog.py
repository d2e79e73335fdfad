"""The catalog and health lists: what selects rows, what is filled in, what is null."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.integration.discovery_rig import Discovery


async def three(discovery: Discovery) -> None:
    """Nodes a, b and c with an instance of web each, in different health."""
    for name, rack, tags, status in (
        ("a", "r1", ["v1", "Blue"], "passing"),
        ("b", "r1", ["v2"], "warning"),
        ("c", "r2", [], "critical"),
    ):
        await discovery.register(
            Node=name,
            Address="10.0.0.1",
            NodeMeta={"rack": rack, "env": "test"},
            Service={"Service": "web", "Port": 1, "Tags": tags, "Connect": {"Native": True}},
            Check={"Name": f"of {name}", "ServiceID": "web", "Status": status},
        )


def nodes_of(found: Any) -> set[str]:
    """The nodes of any list, in one letter each."""
    rows: Iterable[Any] = found
    return {row["Node"] if isinstance(row["Node"], str) else row["Node"]["Node"] for row in rows}


SERVICE = ("catalog/service/web", "catalog/connect/web", "health/service/web", "health/connect/web")
WITH_META = ("catalog/nodes", "health/checks/web", "health/state/any", *SERVICE)


@pytest.mark.parametrize("path", WITH_META)
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("node-meta=rack:r1", "ab"),
        ("node-meta=rack:r1&node-meta=env:test", "ab"),
        ("node-meta=rack:r2&node-meta=env:live", ""),
        ("node-meta=rack:r3", ""),
        ("node-meta=none:", ""),
    ],
)
async def test_metadata_of_nodes(discovery: Discovery, path: str, query: str, found: str) -> None:
    """``node-meta`` may be repeated, and all of it counts."""
    await three(discovery)
    assert nodes_of(await discovery.json(f"/v1/{path}?{query}")) == {*found}


async def test_metadata_of_nodes_and_names(discovery: Discovery) -> None:
    await three(discovery)
    path = "/v1/catalog/services?node-meta=rack:"
    assert await discovery.json(path + "r2") == {"web": []}
    assert sorted((await discovery.json(path + "r1"))["web"]) == ["Blue", "v1", "v2"]
    assert await discovery.json(path + "r3") == {}
    assert await discovery.json(path + "r1&filter=ServiceTags+contains+v2") == {"web": ["v2"]}


@pytest.mark.parametrize("path", SERVICE)
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tag=v1", "a"),
        ("tag=v1&tag=blue", "a"),
        ("tag=v1&tag=v2", ""),
        ("tag=V2", "b"),
        ("", "abc"),
    ],
)
async def test_tags(discovery: Discovery, path: str, query: str, found: str) -> None:
    """All of them, in any letters."""
    await three(discovery)
    assert nodes_of(await discovery.json(f"/v1/{path}?{query}")) == {*found}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("passing", "a"),
        ("passing=", "a"),
        ("passing=1", "a"),
        ("passing=true", "a"),
        ("passing=false", "abc"),
        ("passing=0", "abc"),
    ],
)
async def test_passing(discovery: Discovery, query: str, found: str) -> None:
    await three(discovery)
    for path in ("service", "connect"):
        assert nodes_of(await discovery.json(f"/v1/health/{path}/web?{query}")) == {*found}


async def test_a_check_of_the_node_counts_and_comes_first(discovery: Discovery) -> None:
    await three(discovery)
    await discovery.register(Node="a", Address="10.0.0.1", Check={"Name": "z", "Status": "warning"})
    assert await discovery.json("/v1/health/service/web?passing") == []
    rows = await discovery.json("/v1/health/service/web?filter=Node.Node==a")
    assert [check["CheckID"] for check in rows[0]["Checks"]] == ["z", "of a"]
    assert [row["CheckID"] for row in await discovery.json("/v1/health/checks/web")] == [
        "of a",
        "of b",
        "of c",
    ]


@pytest.mark.parametrize("status", ["passing", "warning", "critical"])
async def test_states(discovery: Discovery, status: str) -> None:
    await three(discovery)
    rows = await discovery.json(f"/v1/health/state/{status}")
    assert {row["Status"] for row in rows} == {status}
    assert await discovery.json("/v1/health/state/none") == []


RUN = {
    "HTTP": "http://x/",
    "Method": "POST",
    "Header": {"A": ["b"]},
    "Body": "c",
    "TLSServerName": "d",
    "TLSSkipVerify": True,
    "DisableRedirects": True,
    "Interval": "10s",
    "Timeout": "1m30s",
    "DeregisterCriticalServiceAfter": "1h0m0s",
}

EVERY = {"Interval": "10s"}


@pytest.mark.parametrize(
    ("given", "shown", "kind"),
    [
        (RUN, RUN, "http"),
        (RUN | {"Interval": 10_000_000_000}, RUN, "http"),
        (
            EVERY | {"TCP": "a:1", "TCPUseTLS": True},
            EVERY | {"TCP": "a:1", "TCPUseTLS": True},
            "tcp",
        ),
        (EVERY | {"UDP": "a:1"}, EVERY | {"UDP": "a:1"}, "udp"),
        (EVERY | {"GRPC": "a:1"}, EVERY | {"GRPC": "a:1"}, "grpc"),
        (EVERY | {"H2PING": "a:1"}, EVERY | {"H2PING": "a:1"}, "h2ping"),
        ({"H2PING": "a:1"}, {"H2PING": "a:1"}, ""),
        ({"ScriptArgs": ["a"]}, {"ScriptArgs": ["a"]}, "script"),
        ({"AliasService": "a"}, {"AliasService": "a"}, "alias"),
        (EVERY | {"OSService": "a"}, EVERY | {"OSService": "a"}, "os_service"),
        ({"TTL": "10s"}, {"TTL": 10_000_000_000}, "ttl"),
        ({}, {}, ""),
        (None, {}, ""),
    ],
)
async def test_definitions_of_checks(
    discovery: Discovery, given: Any, shown: dict[str, Any], kind: str
) -> None:
    """As consul-esm writes them: durations come back as text, what is empty is left out."""
    check = {"CheckID": "c", "Name": "n", "Definition": given}
    await discovery.register(Node="a", Address="10.0.0.1", Check=check)
    (row,) = await discovery.json("/v1/health/node/a")
    assert (row["Definition"], row["Type"]) == (shown, kind)
    assert (row["Interval"], row["Timeout"], row["Status"]) == ("", "", "critical")


async def test_what_is_filled_in(discovery: Discovery) -> None:
    await discovery.register(
        Node="a", Address="10.0.0.1", Service={"Service": "web"}, Check={"Name": "only a name"}
    )
    row = (await discovery.json("/v1/catalog/service/web"))[0]
    assert (row["ServiceID"], row["ServiceTags"], row["ServiceMeta"]) == ("web", [], {})
    assert row["ServiceWeights"] == {"Passing": 1, "Warning": 1}
    assert row["TaggedAddresses"] is row["NodeMeta"] is row["ServicePorts"] is None
    assert "ServiceTaggedAddresses" not in row
    (check,) = await discovery.json("/v1/health/node/a")
    assert (check["CheckID"], check["Node"], check["ServiceTags"]) == ("only a name", "a", [])


async def test_an_update_of_a_service_may_leave_its_node_alone(discovery: Discovery) -> None:
    await discovery.register(Node="a", Address="10.0.0.1", NodeMeta={"k": "v"})
    await discovery.register(Node="a", SkipNodeUpdate=True, Service={"Service": "web"})
    (row,) = await discovery.json("/v1/catalog/nodes")
    assert (row["Address"], row["Meta"], row["ModifyIndex"]) == (
        "10.0.0.1",
        {"k": "v"},
        row["CreateIndex"],
    )
    await discovery.register(Node="a", Address="10.0.0.2", Service={"Service": "web"})
    (row,) = await discovery.json("/v1/catalog/nodes")
    assert (row["Address"], row["Meta"]) == ("10.0.0.2", None)


async def test_what_a_deregistration_takes_away(discovery: Discovery) -> None:
    async def left() -> tuple[set[str], set[str]]:
        node = await discovery.json("/v1/catalog/node/a")
        checks = await discovery.json("/v1/health/node/a")
        return set(node["Services"]), {row["CheckID"] for row in checks}

    await discovery.register(
        Node="a",
        Address="10.0.0.1",
        Service={"Service": "web"},
        Checks=[{"Name": "w", "ServiceID": "web"}, {"Name": "n"}, {"Name": "m"}],
    )
    for body, found in (
        ({"Node": "a", "CheckID": "m"}, ({"web"}, {"w", "n"})),
        # A service is meant, whatever check is named beside it.
        ({"Node": "a", "ServiceID": "web", "CheckID": "n"}, (set(), {"n"})),
        ({"Node": "a", "ServiceID": "web"}, (set(), {"n"})),
    ):
        assert (await discovery.put("/v1/catalog/deregister", body)).text == "true"
        assert await left() == found
    assert (await discovery.put("/v1/catalog/deregister", {"Node": "A"})).text == "true"
    assert await discovery.json("/v1/catalog/node/a") is None
    assert await discovery.json("/v1/health/node/a") == []


async def test_a_node_by_the_beginning_of_its_id(discovery: Discovery) -> None:
    for name, beginning in (("a", "40e4a748"), ("b", "40ffffff")):
        node_id = f"{beginning}-2192-161a-0510-9bf59fe950b5"
        await discovery.register(Node=name, Address="10.0.0.1", ID=node_id)
    for prefix, found in (("40e", "a"), ("40F", "b"), ("40", None), ("4", None), ("41", None)):
        row = await discovery.json(f"/v1/catalog/node/{prefix}")
        assert (row and row["Node"]["Node"]) == found, prefix
        listed = await discovery.json(f"/v1/catalog/node-services/{prefix}")
        assert (listed["Node"] and listed["Node"]["Node"]) == found


@pytest.mark.parametrize(
    ("path", "selector"),
    [
        ("catalog/nodes", "PeerName"),
        ("catalog/service/web", "PeerName"),
        ("health/state/any", "PeerName"),
        ("health/service/web", "Node.PeerName"),
        ("health/service/web", "Service.PeerName"),
        ("health/service/web", "Checks.PeerName"),
    ],
)
async def test_what_is_of_no_peer(discovery: Discovery, path: str, selector: str) -> None:
    """The name of a peer can be selected from though nothing has one."""
    await three(discovery)
    found = await discovery.json(f"/v1/{path}?filter={selector}+==+%22%22")
    assert nodes_of(found) == {*"abc"}


@pytest.mark.parametrize("path", SERVICE)
async def test_peers_have_nothing(discovery: Discovery, path: str) -> None:
    await three(discovery)
    found = await discovery.json(f"/v1/{path}?peer=other")
    assert found == []
