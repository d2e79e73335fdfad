"""The health API: its JSON, and which instances it lists."""

from __future__ import annotations

from typing import Any

import pytest

from portway.discovery.api import Settings
from tests.integration.discovery_rig import Discovery, running


async def register(
    discovery: Discovery, node: str, statuses: dict[str, str], **fields: Any
) -> None:
    """web on a node, with checks; those whose name begins with ``node`` are the node's own."""
    checks = [
        {
            "CheckID": name,
            "Status": status,
            "ServiceID": "" if name.startswith("node") else "web",
        }
        for name, status in statuses.items()
    ]
    await discovery.register(
        Node=node,
        Address="10.0.0.1",
        Service={"Service": "web", "Port": 80},
        Checks=checks,
        **fields,
    )


async def test_an_instance_with_its_checks(discovery: Discovery) -> None:
    await discovery.register(
        Node="n1",
        Address="10.0.0.1",
        Service={"ID": "w", "Service": "web", "Tags": ["v1"], "Port": 80},
        Checks=[
            {
                "CheckID": "up",
                "Name": "is up",
                "Status": "passing",
                "Notes": "a note",
                "Output": "fine",
                "ServiceID": "w",
                "Definition": {"TCP": "10.0.0.1:80", "Interval": "10s"},
            },
            {"Name": "disk"},
        ],
    )
    node = (await discovery.json("/v1/catalog/nodes"))[0]
    service = (await discovery.json("/v1/catalog/node/n1"))["Services"]["w"]
    indexes = {"CreateIndex": 2, "ModifyIndex": 2}
    disk = {
        "Node": "n1",
        "CheckID": "disk",
        "Name": "disk",
        "Status": "critical",
        "Notes": "",
        "Output": "",
        "ServiceID": "",
        "ServiceName": "",
        "ServiceTags": [],
        "Type": "",
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
        **indexes,
    }
    up = disk | {
        "CheckID": "up",
        "Name": "is up",
        "Status": "passing",
        "Notes": "a note",
        "Output": "fine",
        "ServiceID": "w",
        "ServiceName": "web",
        "ServiceTags": ["v1"],
        "Type": "tcp",
        "Definition": {"TCP": "10.0.0.1:80", "Interval": "10s"},
    }
    reply = await discovery.get("/v1/health/service/web")
    assert reply.json == [{"Node": node, "Service": service, "Checks": [disk, up]}]
    assert reply.index == 2
    assert await discovery.json("/v1/health/node/n1") == [disk, up]
    assert await discovery.json("/v1/health/checks/web") == [up]
    assert await discovery.json("/v1/health/state/any") == [disk, up]
    assert await discovery.json("/v1/health/state/critical") == [disk]
    assert await discovery.json("/v1/health/state/passing") == [up]
    assert await discovery.json("/v1/health/state/warning") == []


async def test_passing_instances(discovery: Discovery) -> None:
    await register(discovery, "good", {"a": "passing", "b": "passing", "node-x": "passing"})
    await register(discovery, "none", {})
    await register(discovery, "warning", {"a": "passing", "b": "warning"})
    await register(discovery, "critical", {"a": "critical"})
    await register(discovery, "sick", {"a": "passing", "node-x": "critical"})
    for query, expected in (
        ("", ["critical", "good", "none", "sick", "warning"]),
        ("?passing", ["good", "none"]),
        ("?passing=true", ["good", "none"]),
        ("?passing=1", ["good", "none"]),
        ("?passing=false", ["critical", "good", "none", "sick", "warning"]),
    ):
        rows = await discovery.json(f"/v1/health/service/web{query}")
        assert [row["Node"]["Node"] for row in rows] == expected, query
    reply = await discovery.get("/v1/health/service/web?passing=maybe")
    assert (reply.status, reply.text) == (400, "Invalid value for ?passing")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("node-meta=rack:r1", ["n1"]),
        ("filter=Node.Meta.rack==`r2`", ["n2"]),
        ('filter=Node.Datacenter=="dc1"', ["n1", "n2"]),
        ("filter=Service.Port==80", ["n1", "n2"]),
        ('filter=Checks.Status=="warning"', ["n2"]),
        ('filter=Checks.Status=="warning"&passing', []),
        ("tag=none", []),
        ("peer=p", []),
        ("merge-central-config", ["n1", "n2"]),
    ],
)
async def test_instances_that_are_asked_for(
    discovery: Discovery, query: str, expected: list[str]
) -> None:
    await register(discovery, "n1", {"a": "passing"}, NodeMeta={"rack": "r1"})
    await register(discovery, "n2", {"a": "warning"}, NodeMeta={"rack": "r2"})
    for _ in range(2):  # rendered, and kept
        rows = await discovery.json(f"/v1/health/service/web?{query}")
        assert [row["Node"]["Node"] for row in rows] == expected


async def test_checks_that_are_asked_for(discovery: Discovery) -> None:
    await register(discovery, "n1", {"a": "passing"}, NodeMeta={"rack": "r1"})
    await register(discovery, "n2", {"a": "warning", "node-x": "critical"})
    for path, expected in (
        ("/v1/health/state/any?node-meta=rack:r1", [("n1", "a")]),
        ('/v1/health/state/any?filter=Status!="passing"', [("n2", "a"), ("n2", "node-x")]),
        ("/v1/health/checks/web?node-meta=rack:r1", [("n1", "a")]),
        ("/v1/health/checks/web?filter=ServiceName==web", [("n1", "a"), ("n2", "a")]),
        ("/v1/health/node/n2?filter=CheckID==a", [("n2", "a")]),
        ("/v1/health/node/N2", [("n2", "a"), ("n2", "node-x")]),
    ):
        rows = await discovery.json(path)
        assert [(row["Node"], row["CheckID"]) for row in rows] == expected, path


async def test_an_answer_follows_every_change(discovery: Discovery) -> None:
    """Kept bytes never outlive what they show."""

    async def shown() -> tuple[Any, ...]:
        rows = await discovery.json("/v1/health/service/web")
        catalog = await discovery.json("/v1/catalog/service/web")
        names = await discovery.json("/v1/catalog/services")
        nodes = await discovery.json("/v1/catalog/nodes")
        return (
            [(row["Node"]["Address"], len(row["Checks"])) for row in rows],
            [row["ServicePort"] for row in catalog],
            names["web"],
            [node["Node"] for node in nodes],
        )

    service = {"Service": "web", "Port": 80}
    await discovery.register(Node="n1", Address="a", Service=service)
    assert await shown() == ([("a", 0)], [80], [], ["n1"])
    await discovery.register(Node="n1", Address="a", Check={"CheckID": "disk"})
    assert await shown() == ([("a", 1)], [80], [], ["n1"])
    await discovery.register(Node="n1", Address="b")
    assert await shown() == ([("b", 1)], [80], [], ["n1"])
    await discovery.register(Node="n1", Address="b", Service=service | {"Port": 81})
    assert await shown() == ([("b", 1)], [81], [], ["n1"])
    await discovery.register(Node="n2", Address="c", Service=service | {"Tags": ["x"]})
    assert await shown() == ([("b", 1), ("c", 0)], [81, 80], ["x"], ["n1", "n2"])
    await discovery.put("/v1/catalog/deregister", {"Node": "n1"})
    assert await shown() == ([("c", 0)], [80], ["x"], ["n2"])


async def test_reads_that_are_stale_by_default() -> None:
    async with running(Settings(discovery_max_stale=60.0)) as discovery:
        await discovery.put("/v1/kv/a", b"v")
        for path, consistency in (
            ("/v1/health/service/web", "stale"),
            ("/v1/catalog/nodes", "stale"),
            ("/v1/catalog/nodes?near=_agent", "stale"),
            ("/v1/health/service/web?leader", "leader"),
            ("/v1/health/service/web?consistent", "consistent"),
        ):
            reply = await discovery.get(path)
            assert reply.headers["X-Consul-Effective-Consistency"] == consistency, path


async def test_sameness_groups_are_refused(discovery: Discovery) -> None:
    for side in ("service", "connect", "ingress"):
        reply = await discovery.get(f"/v1/health/{side}/web?sg=x")
        assert reply.status == 500
        assert reply.text == "sameness groups are not supported in consul CE"
