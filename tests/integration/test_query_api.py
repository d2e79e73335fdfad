"""Prepared queries over HTTP: CRUD, resolution, execution, explanation, permissions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from portway.discovery.acl import DENY_ALL, MANAGE_ALL, AclSettings
from portway.discovery.acl.resolve import utc_now
from portway.discovery.acl.tokens import seed
from portway.discovery.queries.dns import DnsQueries
from tests.integration.discovery_rig import Discovery, running


async def create(d: Discovery, **query: Any) -> str:
    reply = await d.call("POST", "/v1/query", query)
    assert reply.status == 200, reply.text
    query_id: str = reply.json["ID"]
    return query_id


async def run(d: Discovery, name: str, query: str = "") -> list[str]:
    """The IDs of the instances a query finds."""
    result = await d.json(f"/v1/query/{name}/execute{query}")
    return [node["Service"]["ID"] for node in result["Nodes"]]


async def web(
    d: Discovery,
    number: int,
    status: str = "passing",
    tags: Sequence[str] = (),
    node_meta: dict[str, str] | None = None,
    meta: dict[str, str] | None = None,
) -> None:
    await d.register(
        Node=f"n{number}",
        Address=f"10.0.0.{number}",
        NodeMeta=node_meta or {},
        Service={"ID": f"web-{number}", "Service": "web", "Tags": list(tags), "Meta": meta or {}},
        Checks=[
            {
                "CheckID": f"c{number}",
                "Name": "check",
                "Status": status,
                "ServiceID": f"web-{number}",
            }
        ],
    )


async def test_a_query_is_created_shown_changed_and_deleted(discovery: Discovery) -> None:
    query_id = await create(discovery, Name="web", Service={"Service": "web"}, DNS={"TTL": "10s"})
    reply = await discovery.get(f"/v1/query/{query_id}")
    shown = reply.json[0]
    assert shown == {
        "ID": query_id,
        "Name": "web",
        "Session": "",
        "Token": "",
        "Template": {"Type": "", "Regexp": "", "RemoveEmptyTags": False},
        "Service": {
            "Service": "web",
            "SamenessGroup": "",
            "Failover": {"NearestN": 0, "Datacenters": None, "Targets": None},
            "OnlyPassing": False,
            "IgnoreCheckIDs": None,
            "Near": "",
            "Tags": None,
            "NodeMeta": None,
            "ServiceMeta": None,
            "Connect": False,
            "Peer": "",
        },
        "DNS": {"TTL": "10s"},
        "CreateIndex": reply.index,
        "ModifyIndex": reply.index,
    }
    assert await discovery.json("/v1/query") == [shown]
    parked = await discovery.parked(f"/v1/query?index={reply.index}")
    changed = {**shown, "ID": "ignored", "Service": {"Service": "api"}}
    update = await discovery.put(f"/v1/query/{query_id}", changed)
    assert (update.status, update.body) == (200, b"")
    after = (await parked).json[0]
    assert after["Service"]["Service"] == "api"
    assert after["CreateIndex"] == shown["CreateIndex"] < after["ModifyIndex"]
    assert (await discovery.call("DELETE", f"/v1/query/{query_id}")).body == b""
    gone = await discovery.get(f"/v1/query/{query_id}")
    assert (gone.status, gone.text) == (404, "Query not found")
    for method in ("PUT", "DELETE"):
        reply = await discovery.call(method, f"/v1/query/{query_id}", {"Name": "x"})
        assert (reply.status, reply.text) == (
            500,
            f"Cannot modify non-existent prepared query: '{query_id}'",
        )
    for action in ("execute", "explain"):
        assert (await discovery.get(f"/v1/query/web/{action}")).status == 404


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({}, 500, "Invalid prepared query: Must be bound to a session"),
        ({"Name": "x"}, 500, "Invalid prepared query: Must provide a Service name to query"),
        ({"ID": "x"}, 500, "ID must be empty when creating a new prepared query"),
        ({"Nope": 1}, 400, 'Request decode failed: json: unknown field "Nope"'),
        (
            {"Name": "taken", "Service": {"Service": "x"}},
            500,
            "raft apply failed: name 'taken' aliases an existing query name",
        ),
        (
            {"Name": "x", "Session": "nope", "Service": {"Service": "x"}},
            500,
            'raft apply failed: invalid session "nope"',
        ),
        (
            {"Name": "x", "Token": "<hidden>", "Service": {"Service": "x"}},
            500,
            "Invalid prepared query: Bad Token '<hidden>', it looks like a query definition with "
            "a redacted token was submitted",
        ),
        (
            {"Name": "x", "Service": {"Service": "x", "Failover": {"NearestN": -1}}},
            500,
            "Invalid prepared query: Bad NearestN '-1', must be >= 0",
        ),
        (
            {
                "Name": "x",
                "Service": {
                    "Service": "x",
                    "Failover": {"NearestN": 1, "Targets": [{"Peer": "p"}]},
                },
            },
            500,
            "Invalid prepared query: Targets cannot be populated with NearestN or Datacenters",
        ),
        (
            {"Name": "x", "Service": {"Service": "x"}, "DNS": {"TTL": "x"}},
            500,
            "Invalid prepared query: Bad DNS TTL 'x': time: invalid duration \"x\"",
        ),
        (
            {"Name": "x", "Service": {"Service": "x"}, "DNS": {"TTL": "-1s"}},
            500,
            "Invalid prepared query: DNS TTL '-1000000000', must be >=0",
        ),
        (
            {"Name": "x", "Service": {"Service": "${"}, "Template": {"Type": "name_prefix_match"}},
            500,
            None,
        ),
        (
            {"Name": "x", "Service": {"Service": "x"}, "Template": {"Type": "x"}},
            500,
            "raft apply failed: failed compiling template: Bad Template.Type 'x'",
        ),
    ],
)
async def test_wrong_queries(
    discovery: Discovery, query: dict[str, Any], status: int, text: str | None
) -> None:
    await create(discovery, Name="Taken", Service={"Service": "x"})
    reply = await discovery.call("POST", "/v1/query", query)
    assert reply.status == status
    assert text is None or reply.text == text
    assert len(await discovery.json("/v1/query")) == 1


async def test_names_do_not_alias_ids(discovery: Discovery) -> None:
    query_id = await create(discovery, Name="x", Service={"Service": "x"})
    reply = await discovery.call(
        "POST", "/v1/query", {"Name": query_id.upper(), "Service": {"Service": "x"}}
    )
    assert (
        reply.text == f"raft apply failed: name '{query_id.upper()}' aliases an existing query ID"
    )


async def test_execution_by_id_and_name(discovery: Discovery) -> None:
    await web(discovery, 1)
    query_id = await create(discovery, Name="web", Service={"Service": "web"}, DNS={"TTL": "7s"})
    for name in (query_id, "web", "WEB"):
        result = await discovery.json(f"/v1/query/{name}/execute")
        entry = (await discovery.json("/v1/health/service/web"))[0]
        assert result.pop("Nodes") == [entry]
        assert result == {
            "Service": "web",
            "DNS": {"TTL": "7s"},
            "Datacenter": "dc1",
            "PeerName": "",
            "Failovers": 0,
            "Index": 1,
            "LastContact": 0,
            "KnownLeader": True,
            "ConsistencyLevel": "leader",
            "NotModified": False,
            "Backend": 0,
            "ResultsFilteredByACLs": False,
        }
    reply = await discovery.call("PUT", "/v1/query/web/execute")
    assert (reply.status, reply.text) == (405, "method PUT not allowed")
    reply = await discovery.get("/v1/query/web/execute?limit=x")
    assert (reply.status, reply.text) == (
        500,
        'Bad limit: strconv.Atoi: parsing "x": invalid syntax',
    )


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({}, {1, 2}),
        ({"OnlyPassing": True}, {1}),
        ({"IgnoreCheckIDs": ["c3"]}, {1, 2, 3}),
        ({"Tags": ["A"]}, {1, 2}),
        ({"Tags": ["a", "!b"]}, {1}),
        ({"Tags": ["!a"]}, set()),
        ({"NodeMeta": {"rack": "r1"}}, {1}),
        ({"NodeMeta": {"rack": "r1", "x": "y"}}, set()),
        ({"ServiceMeta": {"v": "2"}}, {2}),
        ({"Peer": "elsewhere"}, set()),
        ({"Failover": {"Datacenters": ["dc2"], "NearestN": 2}, "Tags": ["nope"]}, set()),
    ],
)
async def test_what_a_query_selects(
    discovery: Discovery, service: dict[str, Any], expected: set[int]
) -> None:
    await web(discovery, 1, tags=["a"], node_meta={"rack": "r1"})
    await web(discovery, 2, "warning", tags=["a", "b"], meta={"v": "2"})
    await web(discovery, 3, "critical", tags=["a"])
    await create(discovery, Name="q", Service={"Service": "web", **service})
    assert set(await run(discovery, "q")) == {f"web-{n}" for n in expected}


async def test_nodes_are_shuffled_then_sorted_then_limited(discovery: Discovery) -> None:
    for number in range(1, 6):
        await web(discovery, number)
    await create(discovery, Name="any", Service={"Service": "web"})
    orders = {tuple(await run(discovery, "any")) for _ in range(20)}
    assert len(orders) > 1
    assert len(await run(discovery, "any", "?limit=2")) == 2
    for number in range(1, 6):
        await discovery.put(
            "/v1/coordinate/update",
            {
                "Node": f"n{number}",
                "Coord": {
                    "Vec": [float(number)] + [0.0] * 7,
                    "Error": 1.5,
                    "Adjustment": 0.0,
                    "Height": 0.0001,
                },
            },
        )
    near = f"?near=n3&limit={2}"
    first = await run(discovery, "any", near)
    if discovery.server.state.coordinates.by_node:
        assert first[0] == "web-3"
    await create(discovery, Name="close", Service={"Service": "web", "Near": "n5"})
    assert (await run(discovery, "close"))[0] == "web-5"


async def test_connect_finds_what_speaks_for_the_service(discovery: Discovery) -> None:
    await web(discovery, 1)
    await discovery.register(
        Node="n1",
        Address="10.0.0.1",
        Service={
            "Kind": "connect-proxy",
            "ID": "web-proxy",
            "Service": "web-proxy",
            "Port": 20000,
            "Proxy": {"DestinationServiceName": "web"},
        },
    )
    await create(discovery, Name="plain", Service={"Service": "web"})
    await create(discovery, Name="mesh", Service={"Service": "web", "Connect": True})
    assert await run(discovery, "plain") == ["web-1"]
    assert await run(discovery, "plain", "?connect=true") == ["web-proxy"]
    assert await run(discovery, "plain", "?connect=false") == ["web-1"]
    assert await run(discovery, "mesh") == ["web-proxy"]


async def test_templates_answer_by_the_longest_prefix(discovery: Discovery) -> None:
    await web(discovery, 1, tags=["eu"])
    await web(discovery, 2, tags=["us"])
    template = {"Type": "name_prefix_match"}
    all_id = await create(
        discovery, Name="", Template=template, Service={"Service": "${name.full}"}
    )
    await create(discovery, Name="geo-", Template=template, Service={"Service": "${name.suffix}"})
    await create(
        discovery,
        Name="geo-tag-",
        Template={**template, "Regexp": "^geo-tag-(.*)-([^-]+)$"},
        Service={"Service": "${match(1)}", "Tags": ["${match(2)}"]},
    )
    assert set(await run(discovery, "web")) == {"web-1", "web-2"}
    assert set(await run(discovery, "geo-web")) == {"web-1", "web-2"}
    assert set(await run(discovery, "GEO-web")) == {"web-1", "web-2"}
    assert await run(discovery, "geo-tag-web-us") == ["web-2"]
    explained = await discovery.json("/v1/query/geo-tag-web-us/explain")
    assert explained["Query"]["Name"] == "geo-tag-"
    assert explained["Query"]["Service"]["Tags"] == ["us"]
    by_id = await discovery.get(f"/v1/query/{all_id}/execute")
    assert (by_id.status, by_id.text) == (
        500,
        "prepared query templates can only be resolved up by name, not by ID",
    )
    reply = await discovery.call(
        "POST", "/v1/query", {"Template": template, "Service": {"Service": "x"}}
    )
    assert reply.text == "raft apply failed: a query template with an empty name already exists"


async def test_a_query_ends_with_its_session(discovery: Discovery) -> None:
    await discovery.register(Node="localhost", Address="127.0.0.1")
    session = (await discovery.put("/v1/session/create", {"Checks": []})).json["ID"]
    query_id = await create(discovery, Session=session, Service={"Service": "web"})
    assert (await discovery.get(f"/v1/query/{query_id}")).status == 200
    await discovery.put(f"/v1/session/destroy/{session}")
    assert (await discovery.get(f"/v1/query/{query_id}")).status == 404


async def test_dns_executes_them_too(discovery: Discovery) -> None:
    await web(discovery, 1)
    await create(discovery, Name="q", Service={"Service": "web"}, DNS={"TTL": "90s"})
    await create(discovery, Name="near", Service={"Service": "web", "Near": "_ip"})
    queries = DnsQueries(discovery.server, lambda _: DENY_ALL, "localhost")
    found = queries.execute("q", "10.0.0.1", MANAGE_ALL)
    assert found is not None
    assert ([one.service.id for one in found.instances], found.ttl) == (["web-1"], 90)
    near = queries.execute("near", "10.0.0.1", MANAGE_ALL)
    assert near is not None
    assert near.ttl is None
    assert queries.execute("nope", "10.0.0.1", MANAGE_ALL) is None


ROOT = "11111111-1111-1111-1111-111111111111"


async def token(d: Discovery, rules: str) -> str:
    """The secret of a token with these rules."""
    name = f"p{d.server.state.view.revision}"
    await d.put("/v1/acl/policy", {"Name": name, "Rules": rules}, X_Consul_Token=ROOT)
    reply = await d.put("/v1/acl/token", {"Policies": [{"Name": name}]}, X_Consul_Token=ROOT)
    assert reply.status == 200, reply.text
    secret: str = reply.json["SecretID"]
    return secret


async def test_permissions() -> None:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as d:
        acl = d.server.state.acl
        await d.server.transact(lambda draft: seed(acl, draft, utc_now(), ROOT))
        root = {"X_Consul_Token": ROOT}
        reply = await d.put(
            "/v1/catalog/register",
            {"Node": "n", "Address": "10.0.0.1", "Service": {"Service": "web"}},
            **root,
        )
        assert reply.status == 200
        reads = await token(d, 'service "web" { policy = "read" } node "n" { policy = "read" }')
        shown = await token(d, 'query_prefix "web" { policy = "read" }')
        query = {"Name": "web", "Service": {"Service": "web"}}
        assert (await d.call("POST", "/v1/query", query)).status == 403
        assert (await d.call("POST", "/v1/query", query, X_Consul_Token=shown)).status == 403
        created = await d.call("POST", "/v1/query", {**query, "Token": reads}, **root)
        query_id = created.json["ID"]
        # The list is filtered; one query is refused; its token is nobody's but management's.
        assert await d.json("/v1/query") == []
        assert (await d.get(f"/v1/query/{query_id}")).status == 403
        seen = await d.json("/v1/query", X_Consul_Token=shown)
        assert seen[0]["Token"] == "<hidden>"
        assert (await d.json("/v1/query", **root))[0]["Token"] == reads
        explained = await d.json("/v1/query/web/explain", X_Consul_Token=shown)
        assert explained["Query"]["Token"] == "<hidden>"
        assert (await d.get("/v1/query/web/explain")).status == 403
        # Whoever executes it sees what the query's token may see.
        assert await run(d, "web") == ["web"]
        created = await d.call("POST", "/v1/query", {**query, "Name": "own"}, **root)
        assert await run(d, "own") == []
        result = await d.json("/v1/query/own/execute", X_Consul_Token=reads)
        assert len(result["Nodes"]) == 1
        for method in ("PUT", "DELETE"):
            reply = await d.call(method, f"/v1/query/{query_id}", query, X_Consul_Token=shown)
            assert reply.status == 403
