"""Config entries over HTTP: writing, reading, blocking, refusing, permissions, hash and cas."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portway.discovery.acl import AclSettings
from tests.integration.discovery_rig import MANAGEMENT, Discovery, discovery, running
from tests.patience import PATIENCE

__all__ = ["discovery"]

WEB = {"Kind": "service-defaults", "Name": "web", "Protocol": "http"}
SPLIT = {
    "Kind": "service-splitter",
    "Name": "web",
    "Splits": [{"Weight": 90, "ServiceSubset": "v1"}, {"Weight": 10, "ServiceSubset": "v2"}],
}
RESOLVE = {
    "Kind": "service-resolver",
    "Name": "web",
    "DefaultSubset": "v1",
    "Subsets": {
        "v1": {"Filter": "Service.Meta.version == v1"},
        "v2": {"Filter": "Service.Meta.version == v2", "OnlyPassing": True},
    },
}


async def written(discovery: Discovery, *entries: dict[str, Any]) -> None:
    for entry in entries:
        reply = await discovery.put("/v1/config", entry)
        assert (reply.status, reply.text) == (200, "true"), (entry, reply.text)


async def test_an_entry_is_written_read_and_deleted(discovery: Discovery) -> None:
    await written(discovery, WEB)
    reply = await discovery.get("/v1/config/service-defaults/web")
    entry = reply.json
    assert reply.index == entry["ModifyIndex"] == entry["CreateIndex"] > 0
    assert entry.pop("Hash") > 0
    assert entry == {
        "Kind": "service-defaults",
        "Name": "web",
        "Protocol": "http",
        "TransparentProxy": {},
        "MeshGateway": {},
        "Expose": {},
        "CreateIndex": entry["CreateIndex"],
        "ModifyIndex": entry["ModifyIndex"],
    }
    reply = await discovery.call("DELETE", "/v1/config/service-defaults/web")
    assert (reply.status, reply.text) == (200, "{}")
    reply = await discovery.get("/v1/config/service-defaults/web")
    assert reply.status == 404
    assert reply.text == 'Config entry not found for "service-defaults" / "web"'
    assert reply.index > entry["ModifyIndex"]
    reply = await discovery.call("DELETE", "/v1/config/service-defaults/web")
    assert (reply.status, reply.text) == (200, "{}")


async def test_what_is_read_can_be_written_back(discovery: Discovery) -> None:
    await written(discovery, WEB, RESOLVE, SPLIT)
    for kind in ("service-defaults", "service-resolver", "service-splitter"):
        entry = await discovery.json(f"/v1/config/{kind}/web")
        await written(discovery, entry)
        assert await discovery.json(f"/v1/config/{kind}/web") == entry  # nothing changed


async def test_snake_case_and_hcl_like_lists_are_the_same_entry(discovery: Discovery) -> None:
    await written(discovery, WEB, RESOLVE)
    before = await discovery.json("/v1/config/service-resolver/web")
    subsets = {
        "v1": [{"filter": "Service.Meta.version == v1"}],
        "v2": [{"filter": "Service.Meta.version == v2", "only_passing": "true"}],
    }
    snake = {"kind": "service-resolver", "name": "web", "default_subset": "v1", "subsets": subsets}
    await written(discovery, snake)
    assert await discovery.json("/v1/config/service-resolver/web") == before


async def test_durations_come_back_as_go_writes_them(discovery: Discovery) -> None:
    resolver = {"Kind": "service-resolver", "Name": "web", "ConnectTimeout": 90_000_000_000}
    await written(discovery, resolver)
    entry = await discovery.json("/v1/config/service-resolver/web")
    assert entry["ConnectTimeout"] == "1m30s"
    assert "RequestTimeout" not in entry
    check = {"Interval": "10s", "MaxFailures": 3}
    upstreams = {"Defaults": {"PassiveHealthCheck": check}}
    await written(discovery, WEB | {"UpstreamConfig": upstreams})
    entry = await discovery.json("/v1/config/service-defaults/web")
    shown = entry["UpstreamConfig"]["Defaults"]["PassiveHealthCheck"]
    assert shown == {"Interval": 10_000_000_000, "MaxFailures": 3}


async def test_compare_and_set(discovery: Discovery) -> None:
    put = discovery.put
    assert (await put("/v1/config?cas=7", WEB)).text == "false"
    assert (await put("/v1/config?cas=0", WEB)).text == "true"
    assert (await put("/v1/config?cas=0", WEB)).text == "true"  # nothing changes
    assert (await put("/v1/config?cas=0", WEB | {"Protocol": "tcp"})).text == "false"
    index = (await discovery.json("/v1/config/service-defaults/web"))["ModifyIndex"]
    assert (await put(f"/v1/config?cas={index}", WEB | {"Protocol": "grpc"})).text == "true"
    assert (await put(f"/v1/config?cas={index}", WEB | {"Protocol": "http2"})).text == "false"
    path = "/v1/config/service-defaults/web?cas="
    assert (await discovery.call("DELETE", f"{path}{index}")).text == "false"
    index = (await discovery.json("/v1/config/service-defaults/web"))["ModifyIndex"]
    assert (await discovery.call("DELETE", f"{path}{index}")).text == "true"
    assert (await discovery.call("DELETE", f"{path}{index}")).text == "true"  # gone as asked


async def test_lists_are_by_kind_and_service_defaults_can_be_filtered(
    discovery: Discovery,
) -> None:
    assert await discovery.json("/v1/config/service-defaults") == []
    await written(discovery, WEB, {"Kind": "service-defaults", "Name": "db", "Protocol": "tcp"})
    await written(discovery, {"Kind": "mesh"})
    rows = await discovery.json("/v1/config/service-defaults")
    assert [row["Name"] for row in rows] == ["db", "web"]
    rows = await discovery.json("/v1/config/service-defaults?filter=Protocol+==+http")
    assert [row["Name"] for row in rows] == ["web"]
    reply = await discovery.get("/v1/config/service-defaults?filter=Nope+==+http")
    assert reply.status == 500 and 'Selector "Nope" is not valid' in reply.text
    assert [row["Kind"] for row in await discovery.json("/v1/config/")] == [
        "mesh",
        "service-defaults",
        "service-defaults",
    ]
    reply = await discovery.get("/v1/config/nope")
    assert (reply.status, reply.text) == (500, "invalid config entry kind: nope")


async def test_a_reader_wakes_for_its_entry_and_for_its_kind_only(discovery: Discovery) -> None:
    await written(discovery, WEB)
    one = await discovery.get("/v1/config/service-defaults/web")
    kind = await discovery.get("/v1/config/service-defaults")
    missing = await discovery.get("/v1/config/service-resolver/web")
    entry_reader = await discovery.parked(f"/v1/config/service-defaults/web?index={one.index}")
    kind_reader = await discovery.parked(f"/v1/config/service-defaults?index={kind.index}")
    absent = await discovery.parked(f"/v1/config/service-resolver/web?index={missing.index}")
    before = discovery.waits.wakes
    await written(discovery, {"Kind": "mesh"})
    await discovery.put("/v1/kv/a", b"1")
    assert discovery.waits.wakes == before
    await written(discovery, {"Kind": "service-defaults", "Name": "db"})
    reply = await asyncio.wait_for(kind_reader, PATIENCE)
    assert [row["Name"] for row in reply.json] == ["db", "web"]
    assert not entry_reader.done() and not absent.done()
    await written(discovery, RESOLVE)
    reply = await asyncio.wait_for(absent, PATIENCE)
    assert reply.status == 200 and reply.json["Name"] == "web"
    await written(discovery, WEB | {"Protocol": "grpc"})
    reply = await asyncio.wait_for(entry_reader, PATIENCE)
    assert reply.json["Protocol"] == "grpc" and reply.index > one.index


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "Request decoding failed: EOF"),
        (b"{", 400, "Request decoding failed: unexpected EOF"),
        (b"[]", 400, "Request decoding failed: '' expected a map, got 'slice'"),
        ({"Name": "x"}, 400, "Payload does not contain a kind/Kind key at the top level"),
        ({"Kind": 1}, 400, "Kind value in payload is not a string"),
        ({"Kind": "nope"}, 400, "invalid config entry kind: nope"),
        ({"Kind": "sameness-group"}, 500, "sameness-groups are an enterprise-only feature"),
        (
            {"Kind": "control-plane-request-limit"},
            400,
            "invalid config entry kind: control-plane-request-limit",
        ),
        (
            WEB | {"Protocl": 1, "Namespace": "x", "Expose": {"Nope": 1}},
            400,
            "Request decoding failed: 3 errors occurred:\n"
            '\t* invalid config key "Protocl"\n'
            '\t* invalid config key "Namespace", namespaces are a consul enterprise feature\n'
            '\t* invalid config key "Expose.Nope"\n\n',
        ),
        (
            {"Kind": "service-resolver", "Name": "x", "ConnectTimeout": "5"},
            400,
            "error decoding 'ConnectTimeout': time: missing unit in duration \"5\"",
        ),
        (
            {"Kind": "ingress-gateway", "Name": "x", "Listeners": [{"Port": "http"}]},
            400,
            "cannot parse 'Listeners[0].Port' as int: strconv.ParseInt: "
            'parsing "http": invalid syntax',
        ),
        ({"Kind": "service-defaults"}, 500, "Name is required"),
        (
            {"Kind": "proxy-defaults", "Name": "x"},
            500,
            'invalid name ("x"), only "global" is supported',
        ),
    ],
)
async def test_wrong_entries_are_refused(
    discovery: Discovery, body: Any, status: int, text: str
) -> None:
    reply = await discovery.put("/v1/config", body)
    assert reply.status == status
    assert text in reply.text
    assert await discovery.json("/v1/config/") == []


async def test_entries_must_go_together(discovery: Discovery) -> None:
    tcp = 'discovery chain "web" uses a protocol "tcp" that does not permit advanced routing or'
    whole = {"Kind": "service-splitter", "Name": "web", "Splits": [{"Weight": 100}]}
    reply = await discovery.put("/v1/config", whole)
    assert reply.status == 500 and reply.text.startswith(tcp)
    await written(discovery, {"Kind": "proxy-defaults", "Config": {"protocol": "http"}})
    reply = await discovery.put("/v1/config", SPLIT)
    assert (reply.status, reply.text) == (500, 'service "web" does not have a subset named "v1"')
    await written(discovery, RESOLVE, SPLIT)
    for kind, name, text in (
        ("proxy-defaults", "global", tcp),
        ("service-resolver", "web", 'service "web" does not have a subset named "v1"'),
    ):
        reply = await discovery.call("DELETE", f"/v1/config/{kind}/{name}")
        assert reply.status == 500 and reply.text.startswith(text)
        assert (await discovery.get(f"/v1/config/{kind}/{name}")).status == 200
    await written(discovery, WEB)
    reply = await discovery.call("DELETE", "/v1/config/proxy-defaults/global")
    assert reply.status == 200
    reply = await discovery.put("/v1/config", WEB | {"Protocol": "tcp"})
    assert reply.status == 500 and reply.text.startswith(tcp)


async def test_writers_at_the_same_time_cannot_close_a_circle(discovery: Discovery) -> None:
    """Each of two redirects is fine, both are not: one of the writers is refused."""

    def redirect(name: str, service: str) -> dict[str, Any]:
        return {"Kind": "service-resolver", "Name": name, "Redirect": {"Service": service}}

    for attempt in range(5):
        names = f"a{attempt}", f"b{attempt}"
        replies = await asyncio.gather(
            discovery.put("/v1/config", redirect(*names)),
            discovery.put("/v1/config", redirect(*reversed(names))),
        )
        assert sorted(reply.status for reply in replies) == [200, 500]
        refused = next(reply for reply in replies if reply.status == 500)
        assert "detected circular resolver redirect" in refused.text


async def test_exported_services_and_gateway_services(discovery: Discovery) -> None:
    await discovery.register(Node="n", Address="10.0.0.1", Service={"Service": "web"})
    await discovery.register(Node="n", Address="10.0.0.1", Service={"Service": "db"})
    exported = [
        {"Name": "web", "Consumers": [{"Peer": "east"}]},
        {"Name": "*", "Consumers": [{"Peer": "west"}]},
    ]
    await written(discovery, {"Kind": "exported-services", "Name": "default", "Services": exported})
    rows = await discovery.json("/v1/exported-services")
    assert rows == [
        {"Service": "db", "Consumers": {"Peers": ["west"]}},
        {"Service": "web", "Consumers": {"Peers": ["east", "west"]}},
    ]
    linked = [{"Name": "db", "CAFile": "/ca.pem", "SNI": "db.internal"}, {"Name": "*"}]
    await written(discovery, {"Kind": "terminating-gateway", "Name": "out", "Services": linked})
    rows = await discovery.json("/v1/catalog/gateway-services/out")
    assert [(row["Service"]["Name"], row.get("FromWildcard")) for row in rows] == [
        ("db", None),
        ("web", True),
    ]
    assert rows[0]["Gateway"] == {"Name": "out"}
    assert rows[0]["GatewayKind"] == "terminating-gateway"
    assert (rows[0]["CAFile"], rows[0]["SNI"]) == ("/ca.pem", "db.internal")
    listeners = [{"Port": 8080, "Protocol": "tcp", "Services": [{"Name": "db"}]}]
    await written(discovery, {"Kind": "ingress-gateway", "Name": "in", "Listeners": listeners})
    (row,) = await discovery.json("/v1/catalog/gateway-services/in")
    assert (row["Service"]["Name"], row["Port"], row["Protocol"]) == ("db", 8080, "tcp")
    reply = await discovery.get("/v1/catalog/gateway-services/out")
    parked = await discovery.parked(f"/v1/catalog/gateway-services/out?index={reply.index}")
    await discovery.register(Node="n", Address="10.0.0.1", Service={"Service": "new"})
    rows = (await asyncio.wait_for(parked, PATIENCE)).json
    assert [row["Service"]["Name"] for row in rows] == ["db", "new", "web"]


PERMISSIONS = [
    (WEB, 'service "web" { policy = "write" }', 'service "web" { policy = "read" }'),
    ({"Kind": "proxy-defaults"}, 'mesh = "write"', ""),
    ({"Kind": "mesh"}, 'operator = "write"', ""),
    (
        {"Kind": "service-resolver", "Name": "a", "Redirect": {"Service": "b"}},
        'service "a" { policy = "write" } service "b" { policy = "read" }',
        'service "a" { policy = "read" }',
    ),
    (
        {
            "Kind": "service-intentions",
            "Name": "web",
            "Sources": [{"Name": "api", "Action": "allow"}],
        },
        'service "web" { policy = "read" intentions = "write" }',
        'service "web" { policy = "read" }',
    ),
    (
        {"Kind": "terminating-gateway", "Name": "out", "Services": []},
        'mesh = "write"',
        'service "out" { policy = "read" }',
    ),
    ({"Kind": "exported-services", "Name": "default"}, 'mesh = "write"', 'mesh = "read"'),
    ({"Kind": "tcp-route", "Name": "r"}, 'mesh = "write"', 'mesh = "read"'),
]


@pytest.mark.parametrize(("entry", "writes", "reads"), PERMISSIONS)
async def test_who_may_write_and_read(entry: dict[str, Any], writes: str, reads: str) -> None:
    acl = AclSettings(enabled=True, default_allow=False)
    async with running(acl=acl) as discovery:

        async def token(rules: str) -> str:
            name = f"p{abs(hash(rules))}"
            body = {"Name": name, "Rules": rules}
            await discovery.put("/v1/acl/policy", body, X_Consul_Token=MANAGEMENT)
            reply = await discovery.put(
                "/v1/acl/token", {"Policies": [{"Name": name}]}, X_Consul_Token=MANAGEMENT
            )
            return str(reply.json["SecretID"])

        nobody = await token('key "x" { policy = "read" }')
        writer, reader = await token(writes), await token(reads or 'key "y" { policy = "read" }')
        only = "mesh" if entry["Kind"] == "mesh" else "global"
        path = f"/v1/config/{entry['Kind']}/{entry.get('Name', only)}"
        for refused in (nobody, reader):
            reply = await discovery.put("/v1/config", entry, X_Consul_Token=refused)
            assert reply.status == 403 and reply.text.startswith("Permission denied"), reply.text
        reply = await discovery.put("/v1/config", entry, X_Consul_Token=writer)
        assert (reply.status, reply.text) == (200, "true"), reply.text
        assert (await discovery.get(path, X_Consul_Token=reader)).status == 200
        seen = await discovery.get(path, X_Consul_Token=nobody)
        listed = await discovery.get(f"/v1/config/{entry['Kind']}", X_Consul_Token=nobody)
        if reads:
            assert seen.status == 403 and listed.json == []
            assert listed.headers["X-Consul-Results-Filtered-By-ACLs"] == "true"
        else:
            assert seen.status == 200 and len(listed.json) == 1
        for refused in (nobody, reader):
            assert (await discovery.call("DELETE", path, X_Consul_Token=refused)).status == 403
        assert (await discovery.call("DELETE", path, X_Consul_Token=writer)).status == 200


async def test_a_redirect_needs_to_read_where_it_leads() -> None:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as discovery:
        rules = 'service "a" { policy = "write" }'
        body = {"Name": "a", "Rules": rules}
        await discovery.put("/v1/acl/policy", body, X_Consul_Token=MANAGEMENT)
        made = await discovery.put(
            "/v1/acl/token", {"Policies": [{"Name": "a"}]}, X_Consul_Token=MANAGEMENT
        )
        entry = {"Kind": "service-resolver", "Name": "a", "Redirect": {"Service": "b"}}
        reply = await discovery.put("/v1/config", entry, X_Consul_Token=made.json["SecretID"])
        assert reply.status == 403 and "'service:read' on \"b\"" in reply.text


async def test_nobody_writes_a_bound_gateway(discovery: Discovery) -> None:
    reply = await discovery.put("/v1/config", {"Kind": "bound-api-gateway", "Name": "g"})
    assert (reply.status, reply.text) == (403, "Permission denied: only writeable by controller")
