"""What a console shows of config entries: who may call whom, and what gateways serve."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings
from tests.integration.discovery_rig import MANAGEMENT, Discovery, discovery, running
from tests.patience import PATIENCE

__all__ = ["discovery"]

UI = "/v1/internal/ui"
INGRESS: dict[str, Any] = {
    "Kind": "ingress-gateway",
    "Name": "in",
    "Listeners": [
        {"Port": 8080, "Protocol": "http", "Services": [{"Name": "web", "Hosts": ["a.b", "c.d"]}]},
        {"Port": 9090, "Protocol": "tcp", "Services": [{"Name": "db"}]},
    ],
}
INTENTIONS: dict[str, Any] = {
    "Kind": "service-intentions",
    "Name": "db",
    "Meta": {"external-source": "nomad"},
    "Sources": [{"Name": "web", "Action": "deny"}, {"Name": "*", "Action": "allow"}],
}


async def fill(discovery: Discovery, **headers: str) -> None:
    """web behind a sidecar that calls db; both are behind an ingress."""
    upstreams = [{"DestinationName": "db", "LocalBindPort": 9191}]
    proxy = {"DestinationServiceName": "web", "Upstreams": upstreams}
    for node, service in (
        ("n1", {"Service": "web"}),
        ("n1", {"Kind": "connect-proxy", "Service": "web-proxy", "Port": 2, "Proxy": proxy}),
        ("n2", {"Service": "db"}),
    ):
        body = {"Node": node, "Address": "10.0.0.1", "Service": service}
        reply = await discovery.put("/v1/catalog/register", body, **headers)
        assert reply.status == 200, reply.text
    http = {"Kind": "service-defaults", "Name": "web", "Protocol": "http"}
    for entry in (http, INGRESS, INTENTIONS):
        reply = await discovery.put("/v1/config", entry, **headers)
        assert reply.status == 200, reply.text


def decided(rows: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(row["Name"], row["Intention"]) for row in rows]


@pytest.mark.parametrize("default", [True, False])
async def test_who_may_call_whom(default: bool) -> None:
    async with running(Settings(default_intention_allow=default)) as discovery:
        await fill(discovery)
        found = await discovery.get(f"{UI}/service-topology/web?kind=")
        assert found.json["Protocol"] == "http"
        intention = {
            "DefaultAllow": default,
            "Allowed": False,
            "HasPermissions": False,
            "ExternalSource": "nomad",
            "HasExact": True,
        }
        assert decided(found.json["Upstreams"]) == [("db", intention)]
        back = await discovery.json(f"{UI}/service-topology/db?kind=")
        assert decided(back["Downstreams"]) == [("web", intention)]

        path = f"{UI}/service-topology/web?kind=&index={found.index}"
        parked = await discovery.parked(path)
        entry = {**INTENTIONS, "Sources": [{"Name": "*", "Action": "allow"}]}
        await discovery.put("/v1/config", entry)
        found = await asyncio.wait_for(parked, PATIENCE)
        intention |= {"Allowed": True, "HasExact": False}
        assert decided(found.json["Upstreams"]) == [("db", intention)]

        await discovery.call("DELETE", "/v1/config/service-intentions/db")
        topology = await discovery.json(f"{UI}/service-topology/web?kind=")
        intention |= {"Allowed": default, "ExternalSource": ""}
        assert decided(topology["Upstreams"]) == [("db", intention)]


async def test_what_a_gateway_serves(discovery: Discovery) -> None:
    await fill(discovery)
    rows = await discovery.json(f"{UI}/gateway-services-nodes/in")
    assert [(row["Name"], row["InstanceCount"], row["Nodes"]) for row in rows] == [
        ("db", 1, ["n2"]),
        ("web", 1, ["n1"]),
    ]
    assert rows[0]["GatewayConfig"]["Addresses"] == ["db.ingress.dc1.consul:9090"]
    assert rows[1]["GatewayConfig"]["Addresses"] == ["a.b:8080", "c.d:8080"]
    # A service is shown before there is an instance of it.
    linked = {"Kind": "terminating-gateway", "Name": "out", "Services": [{"Name": "later"}]}
    await discovery.put("/v1/config", linked)
    found = await discovery.get(f"{UI}/gateway-services-nodes/out")
    (row,) = found.json
    assert (row["Name"], row["InstanceCount"], row["Nodes"]) == ("later", 0, None)
    parked = await discovery.parked(f"{UI}/gateway-services-nodes/out?index={found.index}")
    await discovery.register(Node="n3", Address="10.0.0.3", Service={"Service": "later"})
    (row,) = (await asyncio.wait_for(parked, PATIENCE)).json
    assert (row["InstanceCount"], row["Nodes"]) == (1, ["n3"])


async def test_intentions_of_what_a_gateway_serves(discovery: Discovery) -> None:
    await fill(discovery)
    everything = {"Kind": "service-intentions", "Name": "*"}
    sources = [{"Name": "in", "Action": "allow"}]
    await discovery.put("/v1/config", {**everything, "Sources": sources})
    found = await discovery.get(f"{UI}/gateway-intentions/in")
    pairs = [(row["SourceName"], row["DestinationName"]) for row in found.json]
    assert pairs == [("web", "db"), ("*", "db"), ("in", "*")]
    parked = await discovery.parked(f"{UI}/gateway-intentions/in?index={found.index}")
    await discovery.call("DELETE", "/v1/config/service-intentions/*")
    rows = (await asyncio.wait_for(parked, PATIENCE)).json
    assert [row["DestinationName"] for row in rows] == ["db", "db"]


async def test_who_may_see_what_a_gateway_serves() -> None:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as discovery:
        management = {"X_Consul_Token": MANAGEMENT}
        await fill(discovery, **management)
        rules = 'service "in" { policy = "read" } service "web" { policy = "read" }'
        await discovery.put("/v1/acl/policy", {"Name": "p", "Rules": rules}, **management)
        body = {"Policies": [{"Name": "p"}]}
        made = await discovery.put("/v1/acl/token", body, **management)
        own = {"X_Consul_Token": str(made.json["SecretID"])}
        reply = await discovery.get(f"{UI}/gateway-services-nodes/in", **own)
        # The service is readable, its nodes are not.
        assert [(row["Name"], row["InstanceCount"]) for row in reply.json] == [("web", 0)]
        assert reply.headers["X-Consul-Results-Filtered-By-ACLs"] == "true"
        reply = await discovery.get(f"{UI}/gateway-intentions/in", **own)
        assert [row["SourceName"] for row in reply.json] == ["web", "*"]
