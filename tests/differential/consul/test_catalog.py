"""The catalog: registrations in every shape, and what its lists show of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .conftest import NEWER, Play
from .world import World

REFUSED = {"Bodies": ["status", "body", "json", "header.content-type"]}
TEXT = {"Errors of Go's libraries": ["body"]}
VIRTUAL = {"`.virtual` names": ["json.*consul-virtual*"]}
ID = "a0000000-0000-4000-8000-0000000000{:02d}"


@contextmanager
def nodes(ask: World, *names: str) -> Iterator[None]:
    """Names of nodes that are gone at the end."""
    try:
        yield
    finally:
        for name in names:
            ask.put("catalog/deregister", {"Node": name}, record=False)


def show(ask: World, node: str, *services: str, mesh: bool = False) -> None:
    """Record everything the catalog and the health API know of a node and of services.

    ``mesh``: some of it has virtual addresses, which Portway does not assign.
    """
    differs = VIRTUAL if mesh else None
    ask.get(f"catalog/node/{node}", differs=differs)
    ask.get(f"catalog/node-services/{node}", differs=differs)
    ask.get(f"health/node/{node}")
    for service in services:
        ask.get(f"catalog/service/{service}")
        ask.get(f"health/service/{service}")
        ask.get(f"health/checks/{service}")


def node(name: str, **fields: Any) -> dict[str, Any]:
    return {"Node": name, "Address": "10.1.0.1", **fields}


def test_what_is_registered(play: Play) -> None:
    def scenario(ask: World) -> None:
        with nodes(ask, "cat-1", "cat-2", "cat-3"):
            for body in (
                node("cat-1"),
                node("cat-1", ID=ID.format(1)),
                node(
                    "cat-1",
                    ID=ID.format(1),
                    NodeMeta={"a": "b"},
                    TaggedAddresses={"lan": "10.1.0.2"},
                ),
                node("cat-1", ID=ID.format(1), NodeMeta={}, TaggedAddresses={}),
                node("cat-1", Address="10.1.0.9", ID=ID.format(1).upper()),
                node("cat-1", SkipNodeUpdate=True, Address="10.9.9.9", NodeMeta={"x": "y"}),
                {"Node": "cat-1", "SkipNodeUpdate": True},
                {"Node": "cat-2", "SkipNodeUpdate": True, "Service": {"Service": "cat-s"}},
                node("cat-3", Locality={"Region": "r", "Zone": "z"}),
                node("cat-3", NodeMeta={"k" * 200: "v"}),
                node("CAT-3", Address="10.1.0.10"),
                {"Datacenter": "dc1", **node("cat-3")},
                {"Datacenter": "dc9", **node("cat-3")},
                {"datacenter": "dc1", "node": "cat-3", "address": "10.1.0.11"},
                {"Datacenter": "", **node("cat-3")},
            ):
                ask.put("catalog/register", body)
                for name in ("cat-1", "cat-2", "cat-3"):
                    show(ask, name)

    play(scenario)


def test_what_cannot_be_registered(play: Play) -> None:
    def scenario(ask: World) -> None:
        with nodes(ask, "cat-4"):
            for body in (
                {},
                {"Node": "cat-4"},
                {"Address": "10.1.0.1"},
                {"ID": ID.format(4), "Address": "10.1.0.1"},
                node("cat-4", ID="short"),
                node("cat-4", ID="zzzzzzzz-0000-4000-8000-000000000001"),
                node("cat-4", Check={"Node": "other", "Name": "c"}),
                node("cat-4", Check={"CheckID": "c", "ServiceID": "nope"}),
                node("cat-4", Service={"ID": "x"}),
                node("cat-4", Service={"Service": "x", "Address": "0.0.0.0"}),
                node("cat-4", Service={"Service": "x", "Address": "::"}),
                node("cat-4", Service={"Service": "x", "Kind": "connect-proxy"}),
                node("cat-4", Service={"Service": "x", "Kind": "mesh-gateway"}),
                node("cat-4", Service={"Service": "x", "Weights": {"Passing": 0, "Warning": 1}}),
                node("cat-4", Service={"Service": "x", "Weights": {"Passing": 1, "Warning": -1}}),
                node("cat-4", Service={"Service": "x", "Weights": {"Passing": 70000}}),
                node("cat-4", Service={"Service": "x", "Meta": {"a b": "c"}}),
                node("cat-4", Service={"Service": "x", "PeerName": "p"}),
                node("cat-4", Nonsense=1),
                node("cat-4", Address="not an address"),
                node("cat 4"),
                node("cat-4", PeerName="p"),
                node("cat-4", Checks=[{"Name": "a"}], Check={"Name": "b"}),
            ):
                ask.put("catalog/register", body)
                ask.get("catalog/node/cat-4")
                ask.get("health/node/cat-4")
                ask.put("catalog/deregister", {"Node": body.get("Node", "cat-4")}, record=False)
            differs: Mapping[str, Sequence[str]]
            for body, differs in (
                (node("cat-4", Check={"Name": ""}), TEXT),
                (node("cat-4", Check={}), TEXT),
                (node("cat-4", Check={"CheckID": "c", "Status": "great"}), REFUSED),
                (node("cat-4", Service={"Service": "x", "Port": -1}), REFUSED),
                (node("cat-4", Service={"Service": "x", "Port": 70000}), REFUSED),
                (node("cat-4", Service={"Service": "x", "Kind": "nonsense"}), REFUSED),
                (node("cat-4", Service={}), {NEWER: REFUSED["Bodies"]}),
                (
                    node("cat-4", Check={"Name": "c", "Definition": {"Nonsense": 1}}),
                    REFUSED,
                ),
            ):
                ask.put("catalog/register", body, differs=differs)

    play(scenario)


def test_services(play: Play) -> None:
    def scenario(ask: World) -> None:
        with nodes(ask, "cat-5"):
            for service in (
                {"Service": "cat-web"},
                {"ID": "w2", "Service": "cat-web", "Tags": ["b", "a"], "Port": 80},
                {"ID": "w2", "Service": "cat-web", "Tags": None, "Meta": None},
                {"ID": "w2", "Service": "cat-web", "Tags": [], "Meta": {}},
                {"ID": "w3", "Service": "cat-web", "Tags": ["b", "b"], "Meta": {"k": "v"}},
                {"ID": "w4", "Service": "cat-web", "Weights": {"Passing": 3, "Warning": 0}},
                {"ID": "w4", "Service": "cat-web", "Weights": {"Passing": 3}},
                {"ID": "w4", "Service": "cat-web", "Weights": {}},
                {"ID": "w4", "Service": "cat-web", "EnableTagOverride": True},
                {
                    "ID": "w5",
                    "Service": "cat-web",
                    "Address": "10.1.1.1",
                    "TaggedAddresses": {"lan": {"Address": "10.1.1.2", "Port": 8}},
                },
                {"ID": "w5", "Service": "cat-web", "TaggedAddresses": {}},
                {"ID": "w6", "Service": "Cat-Web", "SocketPath": "/tmp/s.sock"},
                {"ID": "w6", "Service": "cat-renamed"},
                {"ID": "w7", "Service": "cat-web", "Connect": {}},
                {"ID": "w8", "Service": "cat-web", "Locality": {"Region": "r"}},
                {"Kind": "ingress-gateway", "Service": "cat-in", "Port": 1},
                {"Kind": "terminating-gateway", "Service": "cat-term", "Port": 1},
                {"Kind": "mesh-gateway", "Service": "cat-mesh", "Port": 1},
                {"Kind": "api-gateway", "Service": "cat-api", "Port": 1},
            ):
                ask.put("catalog/register", node("cat-5", Service=service))
                show(ask, "cat-5", "cat-web")
                ask.get("catalog/connect/cat-web")
                ask.get("health/connect/cat-web")
                ask.get("catalog/services", unordered=True)
            show(ask, "cat-5", "cat-renamed", "cat-in", "cat-term", "cat-mesh", "cat-api")
            ask.get("catalog/service/CAT-WEB")
            ask.get("health/ingress/cat-web")
            ask.get("catalog/gateway-services/cat-in")
        ask.get("catalog/services", unordered=True)

    play(scenario)


def test_proxies(play: Play) -> None:
    def scenario(ask: World) -> None:
        with nodes(ask, "cat-11"):
            for service in (
                {
                    "Kind": "connect-proxy",
                    "Service": "cat-web-proxy",
                    "Port": 20000,
                    "Proxy": {"DestinationServiceName": "cat-web"},
                },
                {
                    "Kind": "connect-proxy",
                    "Service": "cat-web-proxy",
                    "Port": 20000,
                    "Proxy": {
                        "DestinationServiceName": "cat-web",
                        "DestinationServiceID": "w2",
                        "LocalServiceAddress": "127.0.0.1",
                        "LocalServicePort": 80,
                        "Config": {"a": 1, "b": {"c": [1, "x"]}},
                        "Mode": "transparent",
                        "Upstreams": [
                            {"DestinationName": "db", "LocalBindPort": 1234},
                            {
                                "DestinationType": "prepared_query",
                                "DestinationName": "q",
                                "LocalBindPort": 1235,
                                "LocalBindAddress": "127.0.0.2",
                                "Datacenter": "dc2",
                                "Config": {"x": 1},
                                "MeshGateway": {"Mode": "local"},
                            },
                        ],
                        "MeshGateway": {"Mode": "remote"},
                        "Expose": {
                            "Checks": True,
                            "Paths": [{"Path": "/h", "LocalPathPort": 1, "ListenerPort": 2}],
                        },
                        "TransparentProxy": {"OutboundListenerPort": 808},
                    },
                },
                {
                    "ID": "n",
                    "Service": "cat-native",
                    "Port": 1,
                    "Connect": {"Native": True},
                },
            ):
                ask.put("catalog/register", node("cat-11", Service=service))
                ask.get("catalog/node/cat-11", differs=VIRTUAL)
                ask.get("catalog/node-services/cat-11", differs=VIRTUAL)
                for side in ("connect/cat-web", "service/cat-web-proxy"):
                    ask.get(f"catalog/{side}", differs=VIRTUAL)
                    ask.get(f"health/{side}", differs=VIRTUAL)
                ask.get("catalog/services", unordered=True)
            ask.get("health/connect/cat-native", differs=VIRTUAL)
            ask.get("catalog/connect/cat-web-proxy")
            ask.get("health/ingress/cat-web")
            proxy = {"Kind": "connect-proxy", "Service": "p", "Port": 1}
            lists: tuple[list[dict[str, Any]], ...] = (
                [{}],
                [{"DestinationName": "*", "LocalBindPort": 1}],
                [{"DestinationName": "a"}],
                [{"DestinationName": "a", "LocalBindPort": 1}] * 2,
                [{"DestinationName": one, "LocalBindPort": 1} for one in "ab"],
                [{"DestinationName": "a", "LocalBindPort": 1, "LocalBindSocketPath": "/x"}],
            )
            block: dict[str, Any]
            for upstreams in lists:
                block = {"DestinationServiceName": "cat-web", "Upstreams": upstreams}
                ask.put("catalog/register", node("cat-11", Service={**proxy, "Proxy": block}))
            blocks: tuple[dict[str, Any], ...] = (
                {"DestinationServiceName": "*"},
                {"DestinationServiceName": " "},
                {"DestinationServiceName": "a", "Expose": {"Paths": [{}]}},
                {
                    "DestinationServiceName": "a",
                    "Expose": {"Paths": [{"Path": "/", "ListenerPort": 1}] * 2},
                },
            )
            for block in blocks:
                ask.put("catalog/register", node("cat-11", Service={**proxy, "Proxy": block}))
            for kind in ("mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway"):
                block = {"DestinationServiceName": "a", "LocalServicePort": 1}
                service = {"Kind": kind, "Service": "g", "Proxy": block}
                ask.put("catalog/register", node("cat-11", Service=service))
            native = {"Service": "x", "Connect": {"Native": True}}
            ask.put("catalog/register", node("cat-11", Service=native))

    play(scenario)


def test_checks(play: Play) -> None:
    def scenario(ask: World) -> None:
        with nodes(ask, "cat-6"):
            ask.put("catalog/register", node("cat-6", Service={"Service": "cat-c", "Tags": ["t"]}))
            registrations: tuple[dict[str, Any], ...] = (
                {"Check": {"Name": "plain"}},
                {"Check": {"CheckID": "c1", "Status": "passing", "Notes": "n", "Output": "o"}},
                {"Check": {"CheckID": "c2", "ServiceID": "cat-c", "Status": "warning"}},
                {"Check": {"CheckID": "c2", "ServiceID": "cat-c", "ServiceName": "wrong"}},
                {"Check": {"CheckID": "c3", "ServiceTags": ["x"], "ServiceName": "x"}},
                {"Checks": [{"Name": "c4"}, {"CheckID": "c5", "Node": "cat-6"}]},
                {"Checks": None},
                {"Checks": []},
                {
                    "Check": {
                        "CheckID": "c6",
                        "Type": "tcp",
                        "Interval": "10s",
                        "Timeout": "5s",
                        "ExposedPort": 3,
                        "Definition": {
                            "TCP": "localhost:1",
                            "Interval": "5s",
                            "Timeout": "1s",
                            "DeregisterCriticalServiceAfter": "1m",
                        },
                    }
                },
                {
                    "Check": {
                        "CheckID": "c7",
                        "Definition": {
                            "HTTP": "https://x",
                            "Header": {"A": ["b"]},
                            "Method": "POST",
                            "Body": "b",
                            "TLSSkipVerify": True,
                            "TLSServerName": "s",
                            "Interval": 10_000_000_000,
                        },
                    }
                },
                {"Check": {"CheckID": "c8", "Definition": {"TTL": "30s"}}},
                {"Check": {"CheckID": "c8", "Definition": {"GRPC": "x:1", "GRPCUseTLS": True}}},
                {
                    "Check": {
                        "CheckID": "c9x",
                        "Definition": {"Interval": "1s", "GRPC": "x:1", "GRPCUseTLS": True},
                    }
                },
                {"Check": {"CheckID": "c8", "Definition": {"ScriptArgs": ["a"], "Shell": "s"}}},
                {
                    "Check": {
                        "CheckID": "c9x",
                        "Definition": {"Interval": "1s", "ScriptArgs": ["a"], "Shell": "s"},
                    }
                },
                {"Check": {"CheckID": "c8", "Definition": {"DockerContainerID": "a"}}},
                {
                    "Check": {
                        "CheckID": "c9x",
                        "Definition": {"Interval": "1s", "DockerContainerID": "a"},
                    }
                },
                {"Check": {"CheckID": "c8", "Definition": {"UDP": "a:1", "OSService": "x"}}},
                {
                    "Check": {
                        "CheckID": "c9x",
                        "Definition": {"Interval": "1s", "UDP": "a:1", "OSService": "x"},
                    }
                },
                {"Check": {"CheckID": "c8", "Definition": {"H2PING": "a:1", "H2PingUseTLS": True}}},
                {
                    "Check": {
                        "CheckID": "c9x",
                        "Definition": {"Interval": "1s", "H2PING": "a:1", "H2PingUseTLS": True},
                    }
                },
                {"Check": {"CheckID": "c8", "Definition": {"AliasNode": "n"}}},
                {"Check": {"CheckID": "c8", "Definition": {"AliasService": "n"}}},
                {"Check": {"CheckID": "c8", "Definition": {"OutputMaxSize": 5}}},
                {"Check": {"CheckID": "c8", "Definition": {"DisableRedirects": True}}},
                {"Check": {"CheckID": "c8", "Definition": {}}},
                {"Service": {"ID": "other", "Service": "cat-c"}, "Check": {"Name": "c9"}},
                {
                    "Service": {"ID": "other", "Service": "cat-c"},
                    "Check": {"Name": "c10", "ServiceID": "other"},
                },
            )
            for fields in registrations:
                ask.put("catalog/register", node("cat-6", **fields))
                show(ask, "cat-6", "cat-c", "cat-d")
            wrong = {"CheckID": "c8", "Definition": {"Interval": "nonsense"}}
            ask.put("catalog/register", node("cat-6", Check=wrong), differs=TEXT)
            ask.put(
                "catalog/register",
                node("cat-6", Service={"ID": "other", "Service": "cat-d", "Tags": ["new"]}),
            )
            ask.get(
                "health/service/cat-d",
                differs={
                    "Checks of a service that changes": [
                        "json.0.Checks.*.ServiceName",
                        "json.0.Checks.*.ServiceTags*",
                    ]
                },
            )

    play(scenario)


def test_what_is_deregistered(play: Play) -> None:
    def scenario(ask: World) -> None:
        def register() -> None:
            ask.put(
                "catalog/register",
                node(
                    "cat-7",
                    ID=ID.format(7),
                    Service={"ID": "s1", "Service": "cat-s"},
                    Checks=[{"Name": "n1"}, {"CheckID": "sc", "ServiceID": "s1"}],
                ),
                record=False,
            )

        with nodes(ask, "cat-7"):
            for body in (
                {},
                {"Node": ""},
                {"Node": "nope"},
                {"Node": "cat-7", "ServiceID": "nope"},
                {"Node": "cat-7", "CheckID": "nope"},
                {"Node": "nope", "CheckID": "nope"},
                {"Node": "cat-7", "CheckID": "sc"},
                {"Node": "cat-7", "CheckID": "n1"},
                {"Node": "cat-7", "ServiceID": "s1"},
                {"Node": "cat-7", "ServiceID": "s1", "CheckID": "n1"},
                {"Node": "CAT-7"},
                {"Node": ID.format(7)},
                {"Datacenter": "dc9", "Node": "cat-7"},
                {"Datacenter": "dc1", "Node": "cat-7"},
                {"Node": "cat-7", "Nonsense": 1},
                {"node": "cat-7", "serviceid": "s1"},
                {"node": "cat-7", "service_id": "s1"},
                {"Node": "cat-7", "Address": "10.1.0.1"},
                {"Node": "cat-7", "Namespace": "default"},
                {"Node": "cat-7", "ServiceName": "cat-s"},
            ):
                register()
                ask.put("catalog/deregister", body)
                show(ask, "cat-7", "cat-s")

    play(scenario)


def test_ids_of_nodes(play: Play) -> None:
    def scenario(ask: World) -> None:
        with nodes(ask, "cat-8", "cat-9", "cat-10"):

            def put(name: str, number: int | None, **fields: Any) -> None:
                given = {} if number is None else {"ID": ID.format(number)}
                ask.put("catalog/register", node(name, **given, **fields))
                for one in ("cat-8", "cat-9", "cat-10"):
                    show(ask, one)

            service = {"Service": "cat-i"}
            put("cat-8", 8, Service=service)
            put("cat-9", 8)  # renamed
            put("cat-9", 9)  # another ID
            put("cat-8", None)
            put("cat-8", 9)
            put("cat-8", 10)
            alive = {"CheckID": "serfHealth", "Name": "Serf", "Status": "passing"}
            put("cat-8", 10, Check=alive)
            put("cat-8", 11)
            put("cat-9", 12)
            put("cat-8", 12)
            put("cat-9", 10)
            put("cat-8", None, Check={**alive, "Status": "critical"})
            put("cat-8", 13)
            put("cat-10", None, Check=alive)
            put("cat-10", 14)
            put("cat-10", 13)
            ask.get(f"catalog/node/{ID.format(14)}")
            ask.get(f"catalog/node/{ID.format(14)[:8]}")
            ask.get(f"catalog/node/{ID.format(14).upper()}")
            ask.get(f"health/node/{ID.format(14)}")
            ask.get("catalog/nodes?filter=Node matches `cat-.*`")

    play(scenario)


def test_requests_of_every_endpoint(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in (
            *("catalog/nodes", "catalog/services", "catalog/service/consul"),
            *("catalog/service/nope", "catalog/connect/consul", "catalog/node/node-1"),
            *("catalog/node/nope", "catalog/node-services/node-1", "catalog/node-services/nope"),
            *("catalog/gateway-services/nope",),
        ):
            for query in (
                *("", "dc=dc1", "datacenter=dc1", "stale", "consistent", "leader"),
                *("stale&consistent", "cached&consistent", "max_stale=5s", "max_stale=x"),
                *("index=x", "index=-1", "wait=x", "index=1&wait=1", "index=1&wait=1ms"),
                *("near=_agent", "near=node-1", "near=nope", "near=_ip", "node-meta=a:b"),
                *("node-meta=a", "node-meta=", "pretty", "merge-central-config", "tag=x"),
                *("passing", "filter=", "nonsense", "index=99999999999999999999999"),
            ):
                ask.get(f"{path}?{query}" if query else path)
            ask.get(f"{path}?dc=dc9")
            ask.get(f"{path}?dc=DC1")
        for path in ("nodes", "services", "node/node-1", "node-services/node-1"):
            ask.get(f"catalog/{path}?peer=p&sg=x")
        for path in ("service", "connect", "node", "node-services", "gateway-services"):
            ask.get(f"catalog/{path}/")
        for query in ("", "?dc=dc1", "?stale", "?consistent", "?index=5", "?pretty", "?nonsense"):
            ask.get(f"catalog/datacenters{query}")
        for method in ("POST", "DELETE"):
            for path in ("nodes", "register", "deregister", "service/a", "datacenters"):
                ask.ask(method, f"catalog/{path}")
        ask.get("catalog/service/a/b")
        ask.get("catalog/node/a/b")
        for path in ("catalog/register", "catalog/deregister"):
            ask.get(path)
            ask.put(path, "")
            ask.put(path, "null")
            ask.put(path, "{")
            for body in ("[]", "1", '"x"', '{"Node": 1}'):
                ask.put(path, body, differs=TEXT)

    play(scenario)


def test_transactions(play: Play) -> None:
    def scenario(ask: World) -> None:
        def txn(*operations: dict[str, Any]) -> Any:
            return ask.put("txn", list(operations))

        def op(kind: str, verb: str, **body: Any) -> dict[str, Any]:
            return {kind: {"Verb": verb, **body}}

        with nodes(ask, "cat-t", "cat-u"):
            one = node("cat-t", ID=ID.format(30), Meta={"a": "b"})
            service = {"ID": "s", "Service": "cat-txn", "Port": 1}
            check = {"Node": "cat-t", "CheckID": "c", "Name": "n", "Status": "passing"}
            txn(op("Node", "get", Node={"Node": "cat-t"}))
            txn(op("Node", "delete", Node={"Node": "cat-t"}))
            txn(op("Node", "set", Node=one), op("Node", "get", Node={"Node": "cat-t"}))
            txn(op("Node", "get", Node={"ID": ID.format(30)}))
            txn(op("Node", "cas", Node={**one, "Address": "10.1.0.5"}))
            txn(op("Node", "cas", Node={**one, "Address": "10.1.0.5", "ModifyIndex": 1}))
            index = ask.get("catalog/node/cat-t", record=False).json["Node"]["ModifyIndex"]
            txn(op("Node", "cas", Node={**one, "Address": "10.1.0.5", "ModifyIndex": index}))
            txn(op("Node", "delete-cas", Node={**one, "ModifyIndex": 1}))
            txn(op("Node", "nonsense", Node=one))
            txn(op("Node", "set", Node={"Node": "cat-u"}))
            txn(op("Node", "set", Node={"Address": "x"}))
            txn(op("Service", "get", Node="cat-t", Service=service))
            txn(op("Service", "set", Node="cat-t", Service=service))
            txn(op("Service", "set", Node="nope", Service=service))
            txn(op("Service", "set", Node="cat-t", Service={"ID": "x"}))
            txn(op("Service", "get", Node="cat-t", Service=service))
            txn(op("Service", "cas", Node="cat-t", Service={**service, "Port": 2}))
            txn(op("Service", "cas", Node="cat-t", Service={**service, "ModifyIndex": 1}))
            found = ask.get("catalog/node/cat-t", record=False).json["Services"]["s"]
            cas = {**service, "Port": 3, "ModifyIndex": found["ModifyIndex"]}
            txn(op("Service", "cas", Node="cat-t", Service=cas))
            txn(op("Service", "delete-cas", Node="cat-t", Service={**service, "ModifyIndex": 1}))
            txn(op("Check", "get", Check=check))
            txn(op("Check", "set", Check=check))
            txn(op("Check", "set", Check={**check, "ServiceID": "s", "CheckID": "d"}))
            txn(op("Check", "set", Check={**check, "ServiceID": "nope", "CheckID": "e"}))
            txn(op("Check", "set", Check={**check, "Node": "nope"}))
            txn(op("Check", "get", Check={"Node": "cat-t", "CheckID": "d"}))
            txn(op("Check", "cas", Check={**check, "ModifyIndex": 1}))
            txn(op("Check", "delete-cas", Check={**check, "ModifyIndex": 1}))
            txn(op("Check", "delete", Check=check), op("Check", "delete", Check=check))
            show(ask, "cat-t", "cat-txn")
            txn(
                op("Node", "set", Node=node("cat-u")),
                op("Service", "set", Node="cat-u", Service=service),
                op("Check", "set", Check={**check, "Node": "cat-u", "ServiceID": "nope"}),
            )
            ask.get("catalog/node/cat-u")
            txn(op("Service", "delete", Node="cat-t", Service=service))
            txn(op("Service", "delete", Node="cat-t", Service=service))
            txn(op("Node", "delete", Node={"Node": "cat-t"}))
            show(ask, "cat-t", "cat-txn")

    play(scenario)


def test_services_of_gateways(play: Play) -> None:
    def scenario(ask: World) -> None:
        entries = (
            {"Kind": "service-defaults", "Name": "cat-gw-a", "Protocol": "http"},
            {
                "Kind": "ingress-gateway",
                "Name": "cat-gw-in",
                "Listeners": [
                    {"Port": 81, "Protocol": "tcp", "Services": [{"Name": "cat-gw-b"}]},
                    {
                        "Port": 80,
                        "Protocol": "http",
                        "Services": [{"Name": "cat-gw-a", "Hosts": ["a.test"]}],
                    },
                ],
            },
            {
                "Kind": "terminating-gateway",
                "Name": "cat-gw-term",
                "Services": [
                    {"Name": "cat-gw-b", "CAFile": "ca", "SNI": "b.test"},
                    {"Name": "cat-gw-a", "CertFile": "c", "KeyFile": "k"},
                ],
            },
        )
        try:
            for entry in entries:
                ask.put("config", entry)
            for name in ("cat-gw-in", "cat-gw-term", "cat-gw-none", "CAT-GW-IN"):
                ask.get(f"catalog/gateway-services/{name}", unordered=True)
            with nodes(ask, "cat-g"):
                ask.put("catalog/register", node("cat-g", Service={"Service": "cat-gw-b"}))
                gateway = {"Kind": "ingress-gateway", "Service": "cat-gw-in", "Port": 1}
                ask.put("catalog/register", node("cat-g", Service=gateway))
                ask.get("catalog/gateway-services/cat-gw-in", unordered=True)
        finally:
            for entry in reversed(entries):
                ask.delete(f"config/{entry['Kind']}/{entry['Name']}", record=False)
        ask.get("catalog/gateway-services/cat-gw-in")

    play(scenario)


def test_spellings_of_fields(play: Play) -> None:
    def scenario(ask: World) -> None:
        with nodes(ask, "cat-sp"):
            for body in (
                {"NODE": "cat-sp", "ADDRESS": "10.1.0.1"},
                {"Node": "cat-sp", "Address": "10.1.0.1", "nodemeta": {"a": "c"}},
                node("cat-sp", Service={"service": "cat-sp", "port": 1, "tags": ["a"]}),
                node("cat-sp", Service={"Service": "cat-sp", "EnableTagOverride": True}),
                node("cat-sp", Service={"Name": "cat-sp"}),
                node("cat-sp", Service={"Service": "cat-sp", "Check": {"TTL": "1s"}}),
                node("cat-sp", Service={"Service": "cat-sp", "CreateIndex": 7}),
                node("cat-sp", Check={"checkid": "c", "serviceid": "cat-sp"}),
                node("cat-sp", Check={"CheckID": "d", "Interval": "10s", "Timeout": "1s"}),
                node("cat-sp", Check={"CheckID": "f", "Status": None}),
                node("cat-sp", Check=None, Service=None, Checks=None, NodeMeta=None),
                node("cat-sp", CreateIndex=1),
                node("cat-sp", WriteRequest={}),
            ):
                ask.put("catalog/register", body)
                show(ask, "cat-sp", "cat-sp")
            for body in (
                {"Node": "cat-sp", "SkipNodeUpdate": "true"},
                node("cat-sp", Service={"Service": "cat-sp", "Port": "80"}),
                node("cat-sp", Service={"Service": "cat-sp", "Meta": {"a": 1}}),
                node("cat-sp", Check={"CheckID": "e", "Interval": 5}),
            ):
                ask.put("catalog/register", body, differs=TEXT)
            for body in (
                {"Node": "cat-sp", "Address": "10.1.0.1", "node_meta": {"a": "b"}},
                node("cat-sp", Service={"Service": "cat-sp", "enable_tag_override": True}),
                node("cat-sp", Check={"check_id": "a"}),
                node("cat-sp", Token="x"),
            ):
                ask.put("catalog/register", body, differs=REFUSED)

    play(scenario)
