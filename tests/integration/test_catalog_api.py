"""The catalog over HTTP: registration, lists, and their JSON to the letter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.discovery_rig import Discovery

NODE_ID = "40e4a748-2192-161a-0510-9bf59fe950b5"
PLAIN = {"Mode": "", "MeshGateway": {}, "Expose": {}}


def web(**fields: Any) -> dict[str, Any]:
    return {"Service": "web", "Port": 80, **fields}


async def register_web(discovery: Discovery, node: str = "n1", **fields: Any) -> None:
    await discovery.register(Node=node, Address="10.0.0.1", Service=web(**fields))


async def test_a_node_as_it_is_listed(discovery: Discovery) -> None:
    await discovery.register(
        Datacenter="dc1",
        ID=NODE_ID,
        Node="n1",
        Address="10.0.0.1",
        TaggedAddresses={"wan": "1.2.3.4", "lan": "10.0.0.1"},
        NodeMeta={"rack": "r1"},
        Locality={"Region": "eu", "Zone": "a"},
    )
    await discovery.register(Node="n2", Address="10.0.0.2")
    reply = await discovery.get("/v1/catalog/nodes")
    assert reply.json == [
        {
            "ID": NODE_ID,
            "Node": "n1",
            "Address": "10.0.0.1",
            "Datacenter": "dc1",
            "TaggedAddresses": {"lan": "10.0.0.1", "wan": "1.2.3.4"},
            "Meta": {"rack": "r1"},
            "Locality": {"Region": "eu", "Zone": "a"},
            "CreateIndex": 2,
            "ModifyIndex": 2,
        },
        {
            "ID": "",
            "Node": "n2",
            "Address": "10.0.0.2",
            "Datacenter": "dc1",
            "TaggedAddresses": None,
            "Meta": None,
            "CreateIndex": 3,
            "ModifyIndex": 3,
        },
    ]
    assert reply.text.startswith('[{"ID":"40e4a748-2192-161a-0510-9bf59fe950b5","Node":"n1",')
    assert reply.index == 3
    assert reply.headers["X-Consul-KnownLeader"] == "true"
    assert reply.headers["X-Consul-LastContact"] == "0"


async def test_a_service_as_the_catalog_lists_it(discovery: Discovery) -> None:
    await discovery.register(
        Node="n1",
        Address="10.0.0.1",
        NodeMeta={"rack": "r1"},
        Service={
            "ID": "web1",
            "Service": "web",
            "Tags": ["v1", "a<b"],
            "Address": "10.1.1.1",
            "TaggedAddresses": {"lan": {"Address": "10.1.1.1", "Port": 80}},
            "Port": 80,
            "Weights": {"Passing": 10, "Warning": 1},
            "EnableTagOverride": True,
        },
    )
    reply = await discovery.get("/v1/catalog/service/WEB")
    assert reply.json == [
        {
            "ID": "",
            "Node": "n1",
            "Address": "10.0.0.1",
            "Datacenter": "dc1",
            "TaggedAddresses": None,
            "NodeMeta": {"rack": "r1"},
            "ServiceKind": "",
            "ServiceID": "web1",
            "ServiceName": "web",
            "ServiceTags": ["v1", "a<b"],
            "ServiceAddress": "10.1.1.1",
            "ServiceTaggedAddresses": {"lan": {"Address": "10.1.1.1", "Port": 80}},
            "ServiceWeights": {"Passing": 10, "Warning": 1},
            "ServiceMeta": {},
            "ServicePort": 80,
            "ServicePorts": None,
            "ServiceSocketPath": "",
            "ServiceEnableTagOverride": True,
            "ServiceProxy": PLAIN,
            "ServiceConnect": {},
            "ServiceLocality": None,
            "CreateIndex": 2,
            "ModifyIndex": 2,
        }
    ]
    assert "a\\u003cb" in reply.text


async def test_a_service_as_its_node_shows_it(discovery: Discovery) -> None:
    await register_web(discovery)
    service: dict[str, Any] = {
        "ID": "web",
        "Service": "web",
        "Tags": [],
        "Address": "",
        "Meta": None,
        "Port": 80,
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Proxy": PLAIN,
        "Connect": {},
        "PeerName": "",
        "CreateIndex": 2,
        "ModifyIndex": 2,
    }
    node = (await discovery.json("/v1/catalog/nodes"))[0]
    by_id = await discovery.json("/v1/catalog/node/n1")
    assert by_id == {"Node": node, "Services": {"web": service}}
    listed = await discovery.json("/v1/catalog/node-services/n1")
    assert listed == {"Node": node, "Services": [service]}


async def test_what_is_not_there(discovery: Discovery) -> None:
    for path, body in (
        ("/v1/catalog/nodes", "[]"),
        ("/v1/catalog/services", "{}"),
        ("/v1/catalog/service/web", "[]"),
        ("/v1/catalog/connect/web", "[]"),
        ("/v1/catalog/node/n1", "null"),
        ("/v1/catalog/node-services/n1", '{"Node":null,"Services":null}'),
        ("/v1/catalog/gateway-services/g", "[]"),
        ("/v1/health/node/n1", "[]"),
        ("/v1/health/checks/web", "[]"),
        ("/v1/health/state/any", "[]"),
        ("/v1/health/state/other", "[]"),
        ("/v1/health/service/web", "[]"),
        ("/v1/health/connect/web", "[]"),
        ("/v1/health/ingress/web", "[]"),
    ):
        reply = await discovery.get(path)
        assert (reply.status, reply.text) == (200, body), path
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.index == 1


async def test_service_names_carry_the_tags_of_all_instances(discovery: Discovery) -> None:
    await register_web(discovery, "n1", Tags=["v1", "frontend"])
    await register_web(discovery, "n2", Tags=["v2", "frontend"])
    await discovery.register(Node="n1", Address="10.0.0.1", Service={"Service": "consul"})
    names = await discovery.json("/v1/catalog/services")
    assert {name: sorted(tags) for name, tags in names.items()} == {
        "consul": [],
        "web": ["frontend", "v1", "v2"],
    }
    await discovery.put("/v1/catalog/deregister", {"Node": "n2"})
    names = await discovery.json("/v1/catalog/services")
    assert sorted(names["web"]) == ["frontend", "v1"]


async def test_datacenters(discovery: Discovery) -> None:
    reply = await discovery.get("/v1/catalog/datacenters")
    assert reply.json == ["dc1"]
    assert "X-Consul-Index" not in reply.headers


async def test_a_node_is_found_by_the_beginning_of_its_id(discovery: Discovery) -> None:
    await discovery.register(ID=NODE_ID, Node="n1", Address="10.0.0.1")
    for name in ("N1", NODE_ID, NODE_ID[:2], NODE_ID[:9].upper()):
        assert (await discovery.json(f"/v1/catalog/node/{name}"))["Node"]["Node"] == "n1"
    assert await discovery.json(f"/v1/catalog/node/{NODE_ID[:1]}") is None
    await discovery.register(ID="40" + "0" * 6 + NODE_ID[8:], Node="n2", Address="10.0.0.2")
    assert await discovery.json("/v1/catalog/node/40") is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Must provide node"),
        ({"Node": "n"}, "Must provide address if SkipNodeUpdate is not set"),
        ({"Node": "n", "Address": "a", "ID": "x"}, "Bad node ID: uuid string is wrong length"),
        (
            {"Node": "n", "Address": "a", "ID": "x" * 36},
            "Bad node ID: uuid is improperly formatted",
        ),
        (
            {"Node": "n", "Address": "a", "Service": {"ID": "x"}},
            "Must provide service name (Service.Service) when service ID is provided",
        ),
        (
            {"Node": "n", "Address": "a", "Service": {"Service": "s", "Address": "0.0.0.0"}},
            "Invalid service address",
        ),
        (
            {"Node": "n", "Address": "a", "Check": {"CheckID": "c", "ServiceID": "s"}},
            "Unknown service ID 's' for check ID 'c'",
        ),
        (
            {"Node": "n", "Address": "a", "Check": {"CheckID": "c", "Node": "m"}},
            "Node 'm' for check 'c' doesn't match register request node 'n'",
        ),
        (
            {"Node": "n", "Address": "a", "Service": {"Service": "p", "Kind": "connect-proxy"}},
            "2 errors occurred:\n"
            "\t* Port or SocketPath must be set for a connect-proxy\n"
            "\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n\n",
        ),
        ({"Node": "n", "Address": "a", "Datacenter": "dc9"}, "No path to datacenter"),
        (
            {"Node": "n", "Address": "a", "Service": {"PeerName": "p"}},
            "cannot register requests with PeerName in them",
        ),
        ({"Node": "n\0", "Address": "a"}, "Invalid node name: it contains a NUL character"),
    ],
)
async def test_a_registration_that_is_refused(
    discovery: Discovery, body: dict[str, Any], text: str
) -> None:
    reply = await discovery.put("/v1/catalog/register", body)
    assert (reply.status, reply.text) == (500, text)
    assert await discovery.json("/v1/catalog/nodes") == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Request decode failed: EOF"),
        ({"Nod": "n"}, 'Request decode failed: json: unknown field "Nod"'),
        (
            {"Node": "n", "Service": {"Service": "s", "Namespace": "x"}},
            'Request decode failed: json: unknown field "Namespace" - '
            "Namespaces are a Consul Enterprise feature",
        ),
        ({"Check": {"Status": "bad"}}, "Invalid check status: 'bad'"),
    ],
)
async def test_a_registration_that_cannot_be_read(
    discovery: Discovery, body: Any, text: str
) -> None:
    reply = await discovery.put("/v1/catalog/register", body)
    assert (reply.status, reply.text) == (400, text)


async def test_what_a_go_client_sends(discovery: Discovery) -> None:
    """All its fields, empty ones included; zero weights stand for the default."""
    body = {
        "ID": "",
        "Node": "n1",
        "Address": "10.0.0.1",
        "TaggedAddresses": None,
        "NodeMeta": None,
        "Datacenter": "",
        "Partition": "",
        "Locality": None,
        "SkipNodeUpdate": False,
        "Service": web(
            ID="web1",
            Tags=None,
            Meta=None,
            Weights={"Passing": 0, "Warning": 0},
            Namespace="",
            Ports=None,
            CreateIndex=0,
        ),
        "Check": None,
        "Checks": [
            {
                "Node": "n1",
                "CheckID": "service:web1",
                "Name": "up",
                "Status": "passing",
                "ServiceID": "web1",
                "ServiceTags": None,
                "Definition": {
                    "HTTP": "http://10.0.0.1",
                    "Interval": "10s",
                    "Timeout": 5000000000,
                    "DeregisterCriticalServiceAfter": "0s",
                    "Header": None,
                },
                "ExposedPort": 0,
                "PeerName": "",
                "Namespace": "",
                "CreateIndex": 0,
                "ModifyIndex": 0,
            }
        ],
    }
    assert (await discovery.put("/v1/catalog/register", body)).text == "true"
    service = (await discovery.json("/v1/catalog/service/web"))[0]
    assert service["ServiceWeights"] == {"Passing": 1, "Warning": 1}
    check = (await discovery.json("/v1/health/checks/web"))[0]
    assert check["Type"] == "http"
    assert check["Definition"] == {"HTTP": "http://10.0.0.1", "Interval": "10s", "Timeout": "5s"}


async def test_names_of_fields_in_other_letters(discovery: Discovery) -> None:
    body = {
        "node": "n1",
        "ADDRESS": "10.0.0.1",
        "service": {"service": "web", "enable_tag_override": True},
    }
    assert (await discovery.put("/v1/catalog/register", body)).text == "true"
    assert (await discovery.json("/v1/catalog/service/web"))[0]["ServiceEnableTagOverride"]


async def test_deregistration(discovery: Discovery) -> None:
    check = {"CheckID": "c", "ServiceID": "web", "Status": "passing"}
    await discovery.register(Node="n1", Address="a", Service=web(), Check=check)
    await discovery.register(Node="n1", Address="a", Check={"CheckID": "disk"})
    for body in (
        {"Node": "n1", "CheckID": "disk"},
        {"Node": "n1", "CheckID": "disk"},
        {"Node": "n1", "ServiceID": "web"},
        {"Node": "n1", "ServiceID": "other"},
        {"Datacenter": "dc1", "Node": "n1"},
        {"Node": "n1"},
    ):
        reply = await discovery.put("/v1/catalog/deregister", body)
        assert (reply.status, reply.text) == (200, "true")
        checks = await discovery.json("/v1/health/node/n1")
        assert [one["CheckID"] for one in checks] == (["c"] if "CheckID" in body else [])
    assert await discovery.json("/v1/catalog/nodes") == []
    reply = await discovery.put("/v1/catalog/deregister", {})
    assert (reply.status, reply.text) == (500, "Must provide node")


async def test_parameters_every_read_checks(discovery: Discovery) -> None:
    for path in (
        "/v1/catalog/nodes",
        "/v1/catalog/services",
        "/v1/catalog/service/web",
        "/v1/catalog/node/n1",
        "/v1/health/state/any",
        "/v1/health/node/n1",
        "/v1/health/service/web",
    ):
        for query, status, text in (
            ("dc=dc9", 500, "No path to datacenter"),
            ("dc=dc9&datacenter=dc1", 200, ""),
            ("index=x", 400, "Invalid index"),
            ("index=1&wait=x", 400, "Invalid wait time"),
            ("stale&consistent", 400, "Cannot specify ?stale with ?consistent, conflicting"),
            ("ns=x", 400, 'Invalid query parameter: "ns" - Namespaces are a Consul Enterprise'),
            ("filter=Nope==1", 500, "Failed to create boolean expression evaluator: Selector"),
        ):
            if query == "ns=x" and path == "/v1/catalog/nodes":
                continue  # nodes are in no namespace
            reply = await discovery.get(f"{path}?{query}")
            assert reply.status == status, (path, query)
            assert reply.text.startswith(text)


async def test_names_are_required(discovery: Discovery) -> None:
    for path, text in (
        ("/v1/catalog/service/", "Missing service name"),
        ("/v1/catalog/connect/", "Missing service name"),
        ("/v1/catalog/node/", "Missing node name"),
        ("/v1/catalog/node-services/", "Missing node name"),
        ("/v1/catalog/gateway-services/", "Missing gateway name"),
        ("/v1/health/node/", "Missing node name"),
        ("/v1/health/checks/", "Missing service name"),
        ("/v1/health/state/", "Missing check state"),
        ("/v1/health/service/", "Missing service name"),
        ("/v1/health/connect/", "Missing service name"),
        ("/v1/health/ingress/", "Missing service name"),
    ):
        reply = await discovery.get(path)
        assert (reply.status, reply.text) == (400, text)


async def test_filters(discovery: Discovery) -> None:
    await discovery.register(
        Node="n1", Address="a", NodeMeta={"rack": "r1"}, Service=web(Tags=["v1"], Meta={"k": "1"})
    )
    await discovery.register(
        Node="n2", Address="b", NodeMeta={"rack": "r2"}, Service=web(Tags=["v2"], Port=81)
    )
    for path, expected in (
        ('/v1/catalog/nodes?filter=Meta.rack=="r1"', ["n1"]),
        ('/v1/catalog/nodes?filter=Datacenter=="dc1" and Address!="a"', ["n2"]),
        ("/v1/catalog/nodes?node-meta=rack:r2", ["n2"]),
        ("/v1/catalog/nodes?node-meta=rack:r2&node-meta=x:y", []),
        ("/v1/catalog/service/web?filter=ServicePort==81", ["n2"]),
        ('/v1/catalog/service/web?filter=ServiceMeta.k=="1"', ["n1"]),
        ('/v1/catalog/service/web?filter=NodeMeta.rack=="r1"', ["n1"]),
        ("/v1/catalog/service/web?tag=V1", ["n1"]),
        ("/v1/catalog/service/web?tag=v1&tag=v2", []),
        ("/v1/catalog/service/web?node-meta=rack:r1", ["n1"]),
        ("/v1/catalog/service/web?peer=p", []),
    ):
        assert [row["Node"] for row in await discovery.json(path)] == expected, path
    for path, names in (
        ("/v1/catalog/services?node-meta=rack:r1", {"web": ["v1"]}),
        ("/v1/catalog/services?filter=ServicePort==81", {"web": ["v2"]}),
        ("/v1/catalog/services?filter=ServicePort==99", {}),
    ):
        assert await discovery.json(path) == names
    found = await discovery.json("/v1/catalog/node/n1?filter=Port==99")
    assert found["Services"] == {}
    found = await discovery.json('/v1/catalog/node-services/n1?filter="v1" in Tags')
    assert [service["ID"] for service in found["Services"]] == ["web"]


async def test_what_stands_for_a_service_in_the_mesh(discovery: Discovery) -> None:
    await register_web(discovery)
    await discovery.register(
        Node="n1",
        Address="a",
        Service={
            "Kind": "connect-proxy",
            "Service": "web-sidecar-proxy",
            "Port": 20000,
            "Proxy": {"DestinationServiceName": "web", "Config": {"a": 1}},
        },
    )
    await discovery.register(
        Node="n2", Address="b", Service=web(ID="native", Connect={"Native": True})
    )
    rows = await discovery.json("/v1/catalog/connect/web")
    assert [row["ServiceID"] for row in rows] == ["web-sidecar-proxy", "native"]
    assert rows[0]["ServiceProxy"] == PLAIN | {
        "DestinationServiceName": "web",
        "Config": {"a": 1},
    }
    assert rows[1]["ServiceConnect"] == {"Native": True}


async def test_cached_answers_say_so(discovery: Discovery) -> None:
    reply = await discovery.get("/v1/catalog/services?cached")
    assert (reply.headers["X-Cache"], reply.headers["Age"]) == ("HIT", "0")
    assert "X-Cache" not in (await discovery.get("/v1/catalog/services")).headers
    reply = await discovery.get("/v1/catalog/services?cached", Cache_Control="max-age=x")
    assert (reply.status, reply.text) == (400, "Invalid Cache-Control header.")


async def test_a_service_with_several_ports(discovery: Discovery) -> None:
    ports = [
        {"Name": "http", "Port": 80, "Default": True},
        {"Name": "admin", "Port": 81},
    ]
    locality = {"Region": "eu", "Zone": "a"}
    service = {"Service": "web", "Ports": ports, "Locality": locality}
    await discovery.register(Node="n1", Address="10.0.0.1", Service=service)
    (row,) = await discovery.json("/v1/catalog/service/web")
    assert (row["ServicePorts"], row["ServiceLocality"]) == (ports, locality)
    (entry,) = await discovery.json("/v1/health/service/web")
    assert (entry["Service"]["Ports"], entry["Service"]["Locality"]) == (ports, locality)
    for wrong in (
        {"Port": 80, "Ports": ports},
        {"Ports": [ports[1]]},
        {"Ports": [ports[0], ports[0] | {"Default": False}]},
        {"Ports": [ports[0], {"Name": "", "Port": 1}]},
        {"Ports": [ports[0], {"Name": "far", "Port": 70000}]},
    ):
        body = {"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "w2"} | wrong}
        reply = await discovery.put("/v1/catalog/register", body)
        assert reply.status == 500
        assert reply.text.startswith("1 error occurred:\n\t* "), reply.text
