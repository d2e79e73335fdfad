"""What the console asks."""

from __future__ import annotations

from typing import Any

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

_UI = "internal/ui"


def _setup(ask: World) -> None:
    for node, services in (
        (
            "ui-1",
            [
                {
                    "Service": "ui-web",
                    "ID": "w1",
                    "Port": 80,
                    "Tags": ["a", "b"],
                    "Meta": {"v": "1"},
                },
                {
                    "Service": "ui-web-sidecar-proxy",
                    "ID": "w1-proxy",
                    "Port": 21000,
                    "Kind": "connect-proxy",
                    "Proxy": {
                        "DestinationServiceName": "ui-web",
                        "DestinationServiceID": "w1",
                        "Upstreams": [{"DestinationName": "ui-db", "LocalBindPort": 1234}],
                    },
                },
            ],
        ),
        (
            "ui-2",
            [
                {"Service": "ui-web", "ID": "w2", "Port": 81, "Tags": ["b", "c"]},
                {"Service": "ui-db", "ID": "d1", "Port": 5432, "Connect": {"Native": True}},
                {"Service": "ui-gw", "ID": "g1", "Kind": "ingress-gateway", "Port": 8443},
                {"Service": "ui-term", "ID": "t1", "Kind": "terminating-gateway", "Port": 8444},
            ],
        ),
    ):
        for given in services:
            service = {"Tags": ["t"], "Meta": {"m": "n"}, **given}
            checks: list[dict[str, Any]] = [
                {"Node": node, "CheckID": "alive", "Name": "Alive", "Status": "passing"},
                {
                    "Node": node,
                    "CheckID": f"c-{service['ID']}",
                    "ServiceID": service["ID"],
                    "Name": "It",
                    "Status": "warning" if service["ID"] == "w2" else "passing",
                    "Output": "said",
                },
            ]
            body = {
                "Node": node,
                "Address": "10.7.7.7",
                "NodeMeta": {"synthetic-node": "x"} if node == "ui-2" else {},
                "Service": service,
                "Checks": checks,
            }
            ask.put("catalog/register", body, record=False)
    ask.put(
        "config",
        {
            "Kind": "ingress-gateway",
            "Name": "ui-gw",
            "Listeners": [{"Port": 8443, "Protocol": "tcp", "Services": [{"Name": "ui-web"}]}],
        },
        record=False,
    )
    entry = {"Kind": "terminating-gateway", "Name": "ui-term", "Services": [{"Name": "ui-db"}]}
    ask.put("config", entry, record=False)
    for source in ("ui-web", "ui-x"):
        path = f"connect/intentions/exact?source={source}&destination=ui-db"
        ask.put(path, {"Action": "allow"}, record=False)


def _clean(ask: World) -> None:
    for path in (
        "ingress-gateway/ui-gw",
        "terminating-gateway/ui-term",
        "service-intentions/ui-db",
    ):
        ask.delete(f"config/{path}", record=False)
    for node in ("ui-1", "ui-2"):
        ask.put("catalog/deregister", {"Node": node}, record=False)


def _look(ask: World, path: str, **options: Any) -> None:
    """Ask for what the console shows; virtual addresses and gateways' services are the mesh's."""
    seen = ask.get(f"{_UI}/{path}", record=False, **options)
    rows = {}
    if path.startswith("node") and b"ServiceTags" in seen.body:
        rows["Empty lists in the console"] = ["json.*.ServiceTags"]
        if b'"node-1"' in seen.body:
            rows["Empty lists in the console"].append("json.0.Services.0.Tags")
        if b'"Native": true' in seen.body or b"connect-proxy" in seen.body:
            rows["`.virtual` names"] = ["json.*.TaggedAddresses*"]
    if path.startswith("services") and seen.status == 200 and b"ui-gw" in seen.body:
        rows["Gateways in the console"] = ["json.*.GatewayConfig*", "json.*.ConnectedWithGateway"]
    if path.startswith("gateway-services-nodes") and b'"Name"' in seen.body:
        rows["Gateways in the console"] = ["json.*.ConnectedWith*"]
    if path == "gateway-intentions/ui-term" and b'"SourceName"' in seen.body:
        rows["Intentions at a gateway in the console"] = ["json.1.*"]
    ask.get(f"{_UI}/{path}", differs=rows, **options)


def test_nodes_and_services(play: Play) -> None:
    def scenario(ask: World) -> None:
        _setup(ask)
        for path in (
            *("nodes", "services", "node/ui-1", "node/ui-2", "node/nope", "node/", "node/UI-1"),
            *("nodes?filter=Node==`ui-1`", "services?filter=ServiceName==`ui-web`"),
            *("nodes?filter=Nope==1", "nodes?dc=dc2", "services?dc=dc2", "services?ns=x"),
            *("nodes?stale", "services?partition=x", "exported-services?peer=x"),
            *("exported-services", "service-topology/", "service-topology/ui-web"),
            "service-topology/ui-web?kind=x",
            *("gateway-services-nodes/ui-term", "gateway-services-nodes/nope"),
            *("gateway-services-nodes/", "gateway-intentions/ui-term", "gateway-intentions/nope"),
            "gateway-intentions/",
        ):
            _look(ask, path)
        ask.put(f"{_UI}/nodes", {})
        ask.delete(f"{_UI}/node/ui-1")
        _clean(ask)
        _look(ask, "services")

    play(scenario)


def test_rights(play: Play) -> None:
    def scenario(ask: World) -> None:
        _setup(ask)
        rules = 'service "ui-web" { policy = "read" } node "ui-1" { policy = "read" }'
        policy = {"Name": "ui-rights", "Rules": rules}
        policy_id = ask.put("acl/policy", policy, record=False).json["ID"]
        made = ask.put("acl/token", {"Policies": [{"ID": policy_id}]}, record=False).json
        for token in (made["SecretID"], ""):
            for path in (
                *("nodes", "services", "node/ui-1", "node/ui-2"),
                *("gateway-services-nodes/ui-gw", "gateway-intentions/ui-term"),
            ):
                _look(ask, path, token=token)
            ask.get("exported-services", token=token)
            ask.get("peerings", token=token)
        asked = [
            {"Resource": "service", "Access": "read", "Segment": "ui-web"},
            {"Resource": "service", "Access": "write", "Segment": "ui-web"},
            {"Resource": "operator", "Access": "read"},
            {"Resource": "key", "Access": "list", "Segment": "a"},
            {"Resource": "nope", "Access": "list", "Segment": "a"},
        ]
        ask.ask(
            "POST", "internal/acl/authorize", "{}", differs={"Errors of Go's libraries": ["body"]}
        )
        for body in ("", asked[:4], asked):
            ask.ask("POST", "internal/acl/authorize", body, token=made["SecretID"])
        ask.delete(f"acl/token/{made['AccessorID']}", record=False)
        ask.delete(f"acl/policy/{policy_id}", record=False)
        _clean(ask)

    play(scenario, GUARDED, token=MANAGEMENT)
