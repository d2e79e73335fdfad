"""Status, operator, events, coordinates, queries and what the console asks: shapes and refusals."""

from __future__ import annotations

import http.client
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.audit_rig import Client
from tests.integration.cli_consul_rig import agent_running, eventually
from tests.patience import PATIENCE

NONE = "8f246b77-f3e1-ff88-5b48-8ec93abf3e05"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An agent with a service of two instances, of which one is critical."""
    with agent_running(tmp_path_factory.mktemp("agent"), "-node=here") as agent:
        client = Client(agent)
        for service_id, status in (("a", "passing"), ("b", "critical")):
            check = {"TTL": "1h", "Status": status}
            service = {"Name": "web", "ID": service_id, "Tags": [service_id], "Check": check}
            client.does("agent/service/register", service)
        yield client


def shape(value: Any) -> Any:
    """JSON without its values: names, and of lists the first element."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


SERVER = {"ID": "str", "Name": "str", "Address": "str", "LastContact": "str", "Version": "str"} | {
    "LastTerm": "int",
    "LastIndex": "int",
    "Healthy": "bool",
    "StableSince": "str",
}
SHAPES: dict[str, Any] = {
    "status/leader": "str",
    "status/peers": ["str"],
    "operator/raft/configuration": {
        "Index": "int",
        "Servers": [
            {
                "ID": "str",
                "Node": "str",
                "Address": "str",
                "ProtocolVersion": "str",
                "Leader": "bool",
                "Voter": "bool",
                "LastIndex": "int",
            }
        ],
    },
    "operator/autopilot/configuration": {
        "CleanupDeadServers": "bool",
        "LastContactThreshold": "str",
        "MaxTrailingLogs": "int",
        "MinQuorum": "int",
        "ServerStabilizationTime": "str",
        "RedundancyZoneTag": "str",
        "DisableUpgradeMigration": "bool",
        "UpgradeVersionTag": "str",
        "CreateIndex": "int",
        "ModifyIndex": "int",
    },
    "operator/autopilot/health": {
        "Healthy": "bool",
        "FailureTolerance": "int",
        "Servers": [SERVER | {"SerfStatus": "str", "Leader": "bool", "Voter": "bool"}],
    },
    "operator/usage": {
        "Index": "int",
        "LastContact": "int",
        "KnownLeader": "bool",
        "ConsistencyLevel": "str",
        "NotModified": "bool",
        "Backend": "int",
        "ResultsFilteredByACLs": "bool",
        "Usage": {
            "dc1": {
                "Nodes": "int",
                "Services": "int",
                "ServiceInstances": "int",
                "BillableServiceInstances": "int",
                "ConnectServiceInstances": dict.fromkeys(
                    (
                        *("connect-proxy", "connect-native", "mesh-gateway", "api-gateway"),
                        *("terminating-gateway", "ingress-gateway"),
                    ),
                    "int",
                ),
            }
        },
    },
    "coordinate/datacenters": [
        {
            "Datacenter": "str",
            "AreaID": "str",
            "Coordinates": [
                {
                    "Node": "str",
                    "Segment": "str",
                    "Coord": {
                        "Vec": ["float"],
                        **dict.fromkeys(("Error", "Adjustment", "Height"), "float"),
                    },
                }
            ],
        }
    ],
    "internal/ui/catalog-overview": {
        part: [
            {
                **({} if part == "Nodes" else {"Name": "str"}),
                **dict.fromkeys(("Total", "Passing", "Warning", "Critical"), "int"),
            }
        ]
        for part in ("Nodes", "Services", "Checks")
    },
    "internal/ui/service-topology/web?kind=": {
        "Protocol": "str",
        "TransparentProxy": "bool",
        "FilteredByACLs": "bool",
        "Upstreams": [],
        "Downstreams": [],
    },
    "peerings": [],
    "internal/federation-states": [],
    "internal/federation-states/mesh-gateways": {},
    "exported-services": [],
    "internal/ui/gateway-services-nodes/none": [],
    "internal/ui/gateway-intentions/none": [],
}


@pytest.mark.parametrize("path", SHAPES)
def test_shapes(client: Client, path: str) -> None:
    assert shape(client.json(path)) == SHAPES[path]


def test_autopilot_state(client: Client) -> None:
    state = client.json("operator/autopilot/state")
    assert set(state) == {
        *("Healthy", "FailureTolerance", "OptimisticFailureTolerance"),
        *("Servers", "Leader", "Voters"),
    }
    assert list(state["Servers"]) == state["Voters"] == [state["Leader"]]
    assert set(state["Servers"][state["Leader"]]) >= {*SERVER, "NodeStatus", "Status", "NodeType"}


def test_autopilot_is_configured_by_compare_and_set(client: Client) -> None:
    path = "operator/autopilot/configuration"
    old = client.json(path)
    assert client.put(f"{path}?cas=999", old | {"MaxTrailingLogs": 1}).text == "false"
    assert client.put(path, {"MaxTrailingLogs": 300, "LastContactThreshold": "1s"}).text == "true"
    new = client.json(path)
    assert (new["MaxTrailingLogs"], new["LastContactThreshold"]) == (300, "1s")
    assert client.put(f"{path}?cas={new['ModifyIndex']}", old).text == "true"
    assert client.put(path, {"Other": 1}).status == 400


def test_services_in_numbers(client: Client) -> None:
    web = next(row for row in client.json("internal/ui/services") if row["Name"] == "web")
    assert web == {
        "Name": "web",
        "Datacenter": "dc1",
        "Tags": ["a", "b"],
        "Nodes": ["here"],
        "ExternalSources": None,
        "InstanceCount": 2,
        "ChecksPassing": 2,
        "ChecksWarning": 0,
        "ChecksCritical": 1,
        "GatewayConfig": {},
        "TransparentProxy": False,
        "ConnectNative": False,
        "ConnectedWithProxy": False,
        "ConnectedWithGateway": False,
    }
    (node,) = client.json("internal/ui/nodes")
    assert node == client.json("internal/ui/node/here")
    assert {one["ID"] for one in node["Services"]} == {"consul", "a", "b"}
    assert {one["CheckID"] for one in node["Checks"]} == {"serfHealth", "service:a", "service:b"}


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("DELETE", "operator/raft/peer", None, 400, "Must specify either ?id with the server's ID or"),
    ("DELETE", "operator/raft/peer?id=a&address=b", None, 400, "Must specify only one of"),
    ("GET", "operator/utilization", None, 404, "Invalid URL path"),
    ("GET", "operator/license", None, 404, "Invalid URL path"),
    ("GET", "operator/area", None, 404, "Invalid URL path"),
    ("GET", "operator/segment", None, 404, "Invalid URL path"),
    ("GET", "namespaces", None, 404, "Invalid URL path"),
    ("GET", "partitions", None, 404, "Invalid URL path"),
    ("GET", "operator/keyring?relay-factor=6", None, 400, "Invalid relay-factor"),
    ("PUT", "operator/keyring?local-only=true", {"Key": "x"}, 400, ""),
    ("GET", "peering/none", None, 404, 'Peering not found for "none"'),
    ("GET", "internal/ui/node/", None, 400, "Missing node name"),
    ("GET", "internal/ui/node/none", None, 404, ""),
    ("PUT", "event/fire/", None, 400, "Missing name"),
    ("PUT", "event/fire/e?tag=a", None, 500, ""),
    ("PUT", "event/fire/e", b"x" * 301, 413, ""),
    ("GET", "coordinate/node/none", None, 404, ""),
    ("GET", f"query/{NONE}", None, 404, "Query not found"),
    ("GET", "query/none/execute", None, 404, "Query not found"),
    ("GET", "query/none/explain", None, 404, "Query not found"),
    ("DELETE", f"query/{NONE}", None, 500, f"Cannot modify non-existent prepared query: '{NONE}'"),
    (
        *("PUT", f"query/{NONE}", {"Service": {"Service": "a"}}, 500),
        f"Cannot modify non-existent prepared query: '{NONE}'",
    ),
    ("PUT", "snapshot", b"nothing", 500, ""),
    ("PUT", "status/leader", None, 405, "method PUT not allowed"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), REFUSED)
def test_refusals(
    client: Client, method: str, path: str, body: Any, status: int, text: str
) -> None:
    reply = client.call(method, path, body)
    assert reply.status == status, reply.text
    assert reply.text.startswith(text)


def test_an_event(client: Client) -> None:
    fired = client.put("event/fire/deploy?node=here&service=web&tag=a", b"now").json
    assert fired == {
        "ID": fired["ID"],
        "Name": "deploy",
        "Payload": "bm93",
        "NodeFilter": "here",
        "ServiceFilter": "web",
        "TagFilter": "a",
        "Version": 1,
        "LTime": 0,
    }
    listed = eventually(lambda: client.json("event/list?name=deploy"), "an event in the list")
    assert listed == [fired | {"LTime": listed[0]["LTime"]}]
    assert listed[0]["LTime"] > 0


def test_a_query(client: Client) -> None:
    made = client.call("POST", "query", {"Name": "q", "Service": {"Service": "web"}})
    query_id = made.json["ID"]
    assert list(made.json) == ["ID"]
    (shown,) = client.json("query")
    assert client.json(f"query/{query_id}") == [shown]
    changed = shown | {"Service": shown["Service"] | {"OnlyPassing": True}}
    updated = client.put(f"query/{query_id}", changed)
    assert (updated.status, updated.text) == (200, "")
    for named in ("q", query_id):
        found = client.json(f"query/{named}/execute")
        assert [row["Service"]["ID"] for row in found["Nodes"]] == ["a"]
        assert set(found) >= {"Service", "Nodes", "DNS", "Datacenter", "Failovers", "PeerName"}
        assert (found["Service"], found["Failovers"], found["DNS"]) == ("web", 0, {"TTL": ""})
    assert client.json("query/q/explain")["Query"]["Service"]["OnlyPassing"] is True
    removed = client.call("DELETE", f"query/{query_id}")
    assert (removed.status, removed.text) == (200, "")
    assert client.json("query") == []


def test_a_snapshot(client: Client) -> None:
    host, _, port = client.agent.address.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    connection.request("GET", "/v1/snapshot?stale")
    reply = connection.getresponse()
    archive = reply.read()
    connection.close()
    assert int(reply.headers["X-Consul-Index"]) > 1
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        assert files.getnames() == ["meta.json", "state.bin", "SHA256SUMS"]
        meta = files.extractfile("meta.json")
        assert meta is not None
        assert json.load(meta)["Index"] == int(reply.headers["X-Consul-Index"])
    client.put("kv/later", b"x")
    assert client.put("snapshot", archive).status == 200
    assert client.get("kv/later").status == 404
    assert len(client.json("catalog/service/web")) == 2
