"""What a console asks for, and what is constantly true of one server."""

from __future__ import annotations

from typing import Any

from portway.discovery.api import Settings
from tests.integration.discovery_rig import Discovery, running


async def fill(discovery: Discovery) -> None:
    """web behind a sidecar that calls db, db failing on n2."""
    await discovery.register(
        Node="n1",
        Address="10.0.0.1",
        Service={
            "Service": "web",
            "Tags": ["v2", "v1"],
            "Port": 80,
            "Meta": {"external-source": "nomad"},
        },
        Checks=[
            {"Node": "n1", "CheckID": "serfHealth", "Name": "Serf", "Status": "passing"},
            {"CheckID": "c", "Name": "up", "Status": "warning", "ServiceID": "web"},
        ],
    )
    await discovery.register(
        Node="n1",
        Address="10.0.0.1",
        Service={
            "Kind": "connect-proxy",
            "Service": "web-sidecar-proxy",
            "Port": 20000,
            "Proxy": {
                "DestinationServiceName": "web",
                "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9191}],
            },
        },
        Check={
            "CheckID": "p",
            "Name": "proxy",
            "Status": "passing",
            "ServiceID": "web-sidecar-proxy",
        },
    )
    await discovery.register(
        Node="n2",
        Address="10.0.0.2",
        Service={"Service": "db", "Port": 5432},
        Check={"CheckID": "c", "Name": "up", "Status": "critical", "ServiceID": "db"},
    )


def summary(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Datacenter": "dc1",
        "Tags": None,
        "Nodes": None,
        "ExternalSources": None,
        "InstanceCount": 1,
        "ChecksPassing": 0,
        "ChecksWarning": 0,
        "ChecksCritical": 0,
        "GatewayConfig": {},
        "TransparentProxy": False,
        "ConnectNative": False,
        **fields,
    }


WEB = {
    "Tags": ["v1", "v2"],
    "Nodes": ["n1"],
    "ExternalSources": ["nomad"],
    "ChecksPassing": 2,
    "ChecksWarning": 1,
}
DB = {"Nodes": ["n2"], "ChecksCritical": 1}
UNCONNECTED = {"ConnectedWithProxy": False, "ConnectedWithGateway": False}


async def test_services_in_numbers(discovery: Discovery) -> None:
    await fill(discovery)
    reply = await discovery.get("/v1/internal/ui/services")
    assert reply.json == [
        summary("db", **DB, **UNCONNECTED),
        summary("web", **WEB, **UNCONNECTED | {"ConnectedWithProxy": True}),
        summary(
            "web-sidecar-proxy",
            Kind="connect-proxy",
            Nodes=["n1"],
            ChecksPassing=2,
            **UNCONNECTED,
        ),
    ]
    assert reply.index == 4
    filtered = await discovery.json('/v1/internal/ui/services?filter=Service.Service=="db"')
    assert [row["Name"] for row in filtered] == ["db"]
    assert await discovery.json("/v1/internal/ui/services?peer=p") == []


async def test_nodes_with_everything_on_them(discovery: Discovery) -> None:
    await fill(discovery)
    nodes = await discovery.json("/v1/internal/ui/nodes")
    assert [
        (
            node["Node"],
            [one["ID"] for one in node["Services"]],
            [one["CheckID"] for one in node["Checks"]],
        )
        for node in nodes
    ] == [
        ("n1", ["web", "web-sidecar-proxy"], ["c", "p", "serfHealth"]),
        ("n2", ["db"], ["c"]),
    ]
    assert set(nodes[0]) == {
        "ID",
        "Node",
        "Address",
        "TaggedAddresses",
        "Meta",
        "Services",
        "Checks",
    }
    assert await discovery.json("/v1/internal/ui/node/N1") == nodes[0]
    assert (await discovery.get("/v1/internal/ui/node/none")).status == 404
    filtered = await discovery.json('/v1/internal/ui/nodes?filter=Node=="n2"')
    assert [node["Node"] for node in filtered] == ["n2"]


async def test_the_catalog_at_a_glance(discovery: Discovery) -> None:
    await fill(discovery)
    counts = {"Total": 1, "Passing": 0, "Warning": 0, "Critical": 0}
    assert await discovery.json("/v1/internal/ui/catalog-overview") == {
        "Nodes": [counts | {"Total": 2, "Passing": 2}],
        "Services": [
            counts | {"Name": "db", "Critical": 1},
            counts | {"Name": "web", "Warning": 1},
            counts | {"Name": "web-sidecar-proxy", "Passing": 1},
        ],
        "Checks": [
            counts | {"Name": "Serf", "Passing": 1},
            counts | {"Name": "proxy", "Passing": 1},
            counts | {"Name": "up", "Total": 2, "Warning": 1, "Critical": 1},
        ],
    }


async def test_who_calls_whom(discovery: Discovery) -> None:
    await fill(discovery)
    intention = {
        "DefaultAllow": True,
        "Allowed": True,
        "HasPermissions": False,
        "ExternalSource": "",
        "HasExact": False,
    }
    related = {"Source": "proxy-registration", "Intention": intention}
    assert await discovery.json("/v1/internal/ui/service-topology/web?kind=") == {
        "Protocol": "tcp",
        "TransparentProxy": False,
        "Upstreams": [summary("db", **DB, **related)],
        "Downstreams": [],
        "FilteredByACLs": False,
    }
    topology = await discovery.json("/v1/internal/ui/service-topology/db?kind=")
    assert topology["Downstreams"] == [summary("web", **WEB, **related)]
    assert topology["Upstreams"] == []
    for path, text in (
        ("/v1/internal/ui/service-topology/?kind=", "Missing service name"),
        ("/v1/internal/ui/service-topology/web", "Missing service kind"),
        (
            "/v1/internal/ui/service-topology/web?kind=mesh-gateway",
            'Unsupported service kind "mesh-gateway"',
        ),
    ):
        reply = await discovery.get(path)
        assert (reply.status, reply.text) == (400, text)


async def test_what_one_server_does_not_have(discovery: Discovery) -> None:
    for path, status, text in (
        ("/v1/internal/ui/gateway-services-nodes/g", 200, "[]"),
        ("/v1/internal/ui/gateway-services-nodes/", 400, "Missing gateway name"),
        ("/v1/internal/ui/gateway-intentions/g", 200, "[]"),
        ("/v1/internal/ui/exported-services?peer=p", 200, "[]"),
        ("/v1/internal/ui/metrics-proxy/x", 404, "UI is not enabled"),
        ("/v1/peerings", 200, "[]"),
        ("/v1/peering/p", 404, 'Peering not found for "p"'),
        ("/v1/internal/federation-states", 200, "[]"),
        ("/v1/internal/federation-states/mesh-gateways", 200, "{}"),
        ("/v1/internal/federation-state/dc2", 404, ""),
    ):
        reply = await discovery.get(path)
        assert (reply.status, reply.text) == (status, text), path
    assert (await discovery.call("DELETE", "/v1/peering/p")).status == 200
    reply = await discovery.call("POST", "/v1/peering/token", {"PeerName": "p"})
    assert (reply.status, reply.text.split(":")[0]) == (500, "peering is not enabled")


async def test_intentions_default_to_the_policy() -> None:
    async with running(Settings(default_intention_allow=False)) as discovery:
        await fill(discovery)
        topology = await discovery.json("/v1/internal/ui/service-topology/web?kind=")
        assert topology["Upstreams"][0]["Intention"]["Allowed"] is False
