"""The agent's own endpoints and what registrations mean: shapes, defaults, status codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.audit_rig import Client
from tests.integration.cli_consul_rig import agent_running, eventually


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with agent_running(tmp_path_factory.mktemp("agent"), "-node=here") as agent:
        yield Client(agent)


@pytest.fixture(autouse=True)
def empty(client: Client) -> Iterator[None]:
    """Every test finds and leaves an agent without services and checks."""
    yield
    client.put("agent/maintenance?enable=false")
    for service_id in client.json("agent/services"):
        client.put(f"agent/service/deregister/{service_id}")
    for check_id in client.json("agent/checks"):
        client.does(f"agent/check/deregister/{check_id}")


def check(**fields: Any) -> dict[str, Any]:
    """A check as every endpoint of the agent shows it."""
    return {
        "Node": "here",
        "Status": "critical",
        "Notes": "",
        "Output": "",
        "ServiceID": "web",
        "ServiceName": "web",
        "ServiceTags": [],
        "Type": "ttl",
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": 0,
        "ModifyIndex": 0,
    } | fields


# Shapes


def test_a_service_as_the_agent_shows_it(client: Client) -> None:
    """What is empty is left out, but for tags and meta, which are never null."""
    client.does("agent/service/register", {"Name": "web"})
    row = {
        "ID": "web",
        "Service": "web",
        "Tags": [],
        "Meta": {},
        "Port": 0,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Datacenter": "dc1",
    }
    assert client.json("agent/services") == {"web": row}
    one = client.get("agent/service/web")
    assert one.json == row | {"ContentHash": one.headers["X-Consul-ContentHash"]}
    assert "X-Consul-Index" not in one.headers


def test_a_native_service_with_everything(client: Client) -> None:
    client.does(
        "agent/service/register",
        {
            "ID": "web1",
            "Name": "web",
            "Tags": ["a"],
            "Meta": {"k": "v"},
            "Port": 80,
            "Address": "10.0.0.1",
            "Weights": {"Passing": 5, "Warning": 0},
            "EnableTagOverride": True,
            "SocketPath": "/tmp/s",
            "Connect": {"Native": True},
            "Locality": {"Region": "r", "Zone": "z"},
        },
    )
    assert client.json("agent/services")["web1"] == {
        "ID": "web1",
        "Service": "web",
        "Tags": ["a"],
        "Meta": {"k": "v"},
        "Port": 80,
        "Address": "10.0.0.1",
        "SocketPath": "/tmp/s",
        "TaggedAddresses": {
            "lan_ipv4": {"Address": "10.0.0.1", "Port": 80},
            "wan_ipv4": {"Address": "10.0.0.1", "Port": 80},
        },
        "Weights": {"Passing": 5, "Warning": 0},
        "EnableTagOverride": True,
        "Connect": {"Native": True},
        "Locality": {"Region": "r", "Zone": "z"},
        "Datacenter": "dc1",
    }


def test_a_proxy_shows_its_proxy_block(client: Client) -> None:
    client.does(
        "agent/service/register",
        {
            "Name": "web-proxy",
            "Kind": "connect-proxy",
            "Port": 21000,
            "Proxy": {"DestinationServiceName": "web", "Config": {"a": 1}},
        },
    )
    row = client.json("agent/services")["web-proxy"]
    assert row["Kind"] == "connect-proxy"
    assert row["Proxy"]["DestinationServiceName"] == "web"
    assert row["Proxy"]["Config"] == {"a": 1}
    assert "Connect" not in row


def test_a_check_as_the_agent_shows_it(client: Client) -> None:
    """Both indexes are there, though the agent has none; the definition is not shown."""
    client.does("agent/service/register", {"Name": "web", "Check": {"TTL": "30s"}})
    client.does(
        "agent/check/register",
        {
            "Name": "disk",
            "HTTP": "http://127.0.0.1:1",
            "Interval": "600s",
            "Timeout": "2s",
            "Notes": "n",
        },
    )
    checks = client.json("agent/checks")
    assert checks["service:web"] == check(CheckID="service:web", Name="Service 'web' check")
    disk = checks["disk"] | {"Output": ""}
    assert disk == check(
        CheckID="disk",
        Name="disk",
        Notes="n",
        ServiceID="",
        ServiceName="",
        Type="http",
        Interval="10m0s",
        Timeout="2s",
    )
    by_id = client.get("agent/health/service/id/web").json
    assert [row["CheckID"] for row in by_id["Checks"]] == ["disk", "service:web"]
    for row in by_id["Checks"]:
        assert (row["Type"], row["ServiceTags"], row["Definition"]["Interval"]) == ("", None, "0s")


def test_a_check_as_the_catalog_shows_it(client: Client) -> None:
    client.does("agent/service/register", {"Name": "web", "Check": {"TTL": "30s"}})
    (row,) = client.json("health/checks/web")
    assert row.pop("CreateIndex") == row.pop("ModifyIndex") > 1
    expected = check(CheckID="service:web", Name="Service 'web' check")
    del expected["CreateIndex"], expected["ModifyIndex"]
    assert row == expected


def test_the_agent_itself(client: Client) -> None:
    about = client.json("agent/self")
    assert set(about) >= {"Config", "Coord", "DebugConfig", "Member", "Meta", "Stats", "xDS"}
    assert {
        "Datacenter",
        "PrimaryDatacenter",
        "NodeName",
        "NodeID",
        "Revision",
        "Server",
        "Version",
        "BuildDate",
    } <= set(about["Config"])
    assert (about["Config"]["NodeName"], about["Config"]["Server"]) == ("here", True)
    assert len(about["Coord"]["Vec"]) == 8
    assert {"Error", "Adjustment", "Height"} <= set(about["Coord"])
    assert {"GRPCPort", "GRPCTLSPort", "TaggedAddresses", "EnableLocalScriptChecks"} <= set(
        about["DebugConfig"]
    )
    assert {"agent", "build", "consul", "raft", "serf_lan", "serf_wan", "runtime"} <= set(
        about["Stats"]
    )
    assert all(
        isinstance(value, str) for group in about["Stats"].values() for value in group.values()
    )
    assert set(about["xDS"]) == {"SupportedProxies", "Port", "Ports"}
    assert set(about["xDS"]["Ports"]) == {"Plaintext", "TLS"}
    assert set(client.json("agent/version")) == {"SHA", "BuildDate", "HumanVersion", "FIPS"}
    assert set(client.json("agent/host")) == {
        "Memory",
        "CPU",
        "Host",
        "Disk",
        "CollectionTime",
        "Errors",
    }


def test_members(client: Client) -> None:
    (member,) = client.json("agent/members")
    assert list(member) == [
        *("Name", "Addr", "Port", "Tags", "Status", "ProtocolMin", "ProtocolMax", "ProtocolCur"),
        *("DelegateMin", "DelegateMax", "DelegateCur"),
    ]
    assert (member["Name"], member["Status"], member["Tags"]["role"]) == ("here", 1, "consul")
    assert [one["Name"] for one in client.json("agent/members?wan=1")] == ["here.dc1"]
    assert [one["Name"] for one in client.json("agent/members?wan")] == ["here"]
    assert client.json("agent/members?filter=Name==none") == []


def test_metrics(client: Client) -> None:
    metrics = client.json("agent/metrics")
    assert set(metrics) == {"Timestamp", "Gauges", "Points", "Counters", "Samples"}
    for one in metrics["Gauges"]:
        assert set(one) == {"Name", "Value", "Labels"}
    figures = {"Name", "Count", "Rate", "Sum", "Min", "Max", "Mean", "Stddev", "Labels"}
    for one in [*metrics["Counters"], *metrics["Samples"]]:
        assert set(one) == figures
    for asked in (
        {"Accept": "text/plain;version=0.4.0"},
        {"Accept": "application/openmetrics-text"},
    ):
        assert client.get("agent/metrics", **asked).text.startswith("# ")


# Health by status code


@pytest.mark.parametrize(
    ("status", "code"), [("passing", 200), ("warning", 429), ("critical", 503)]
)
def test_the_status_code_carries_health(client: Client, status: str, code: int) -> None:
    for service_id in ("a", "b"):
        client.does(
            "agent/service/register",
            {"ID": service_id, "Name": "web", "Check": {"TTL": "1h", "Status": "passing"}},
        )
    client.does("agent/check/update/service:b", {"Status": status})
    reply = client.get("agent/health/service/id/b")
    assert (reply.status, reply.headers["X-Consul-Reason"]) == (code, status)
    assert list(reply.json) == ["AggregatedStatus", "Checks", "Service"]  # -dev sorts names
    assert reply.json["AggregatedStatus"] == status
    assert reply.json["Service"] == client.json("agent/services")["b"]
    named = client.get("agent/health/service/name/web")
    assert (named.status, [one["AggregatedStatus"] for one in named.json]) == (
        code,
        ["passing", status],
    )
    for text in (
        client.get("agent/health/service/id/b?format=text"),
        client.get("agent/health/service/name/web", Accept="text/plain"),
    ):
        assert (text.status, text.text) == (code, status)
        assert text.headers["Content-Type"].startswith("text/plain")
        assert text.headers["X-Consul-Reason"] == status


def test_maintenance_outranks_critical(client: Client) -> None:
    client.does("agent/service/register", {"Name": "web", "Check": {"TTL": "1h"}})
    client.does("agent/service/maintenance/web?enable=true")
    reply = client.get("agent/health/service/id/web")
    assert (reply.status, reply.json["AggregatedStatus"]) == (503, "maintenance")
    assert client.get("agent/health/service/id/web?format=text").text == "maintenance"


def test_health_of_what_is_not_there(client: Client) -> None:
    by_id = client.get("agent/health/service/id/none")
    assert by_id.status == 404
    assert by_id.headers["X-Consul-Reason"] == "ServiceId none not found"
    assert by_id.json == {"AggregatedStatus": "critical", "Checks": None, "Service": None}
    by_name = client.get("agent/health/service/name/none")
    assert (by_name.status, by_name.json) == (404, [])
    assert by_name.headers["X-Consul-Reason"] == "ServiceName none Not Found"
    for text in ("id/none", "name/none"):
        assert (
            client.get(f"agent/health/service/{text}?format=text")
            .text.lower()
            .endswith("not found")
        )


# Blocking by hash


def test_a_service_is_waited_for_by_its_hash(client: Client) -> None:
    client.does("agent/service/register", {"Name": "web"})
    first = client.get("agent/service/web").headers["X-Consul-ContentHash"]
    assert client.get("agent/service/web").headers["X-Consul-ContentHash"] == first
    same = client.get(f"agent/service/web?hash={first}&wait=10ms")
    assert same.headers["X-Consul-ContentHash"] == first
    assert client.get("agent/service/web?hash=other&wait=9m").status == 200
    client.does("agent/service/register", {"Name": "web", "Port": 80})
    changed = client.get(f"agent/service/web?hash={first}&wait=9m")
    assert changed.json["Port"] == 80
    assert changed.headers["X-Consul-ContentHash"] != first
    missing = client.get("agent/service/none?hash=x&wait=9m")
    assert (missing.status, missing.text) == (404, "unknown service ID: none")


# Defaults and registering again


def test_ids_and_names_of_checks(client: Client) -> None:
    ttl = {"TTL": "1h"}
    client.does("agent/service/register", {"Name": "one", "ID": "1", "Checks": [ttl]})
    client.does("agent/service/register", {"Name": "two", "Check": ttl, "Checks": [ttl]})
    client.does(
        "agent/service/register",
        {
            "Name": "named",
            "Check": {"CheckID": "c", "Name": "C", **ttl},
            "Checks": [ttl, {"ID": "d", **ttl}],
        },
    )
    names = {key: row["Name"] for key, row in client.json("agent/checks").items()}
    assert names == {
        "service:1": "Service 'one' check",
        "service:two:1": "Service 'two' check",
        "service:two:2": "Service 'two' check",
        "c": "C",
        "service:named:2": "Service 'named' check",
        "d": "Service 'named' check",
    }


def test_an_empty_check_is_none(client: Client) -> None:
    client.does("agent/service/register", {"Name": "web", "Check": {}, "Checks": None})
    client.does("agent/service/register", {"Name": "web2", "Check": None, "Checks": []})
    assert client.json("agent/checks") == {}


@pytest.mark.parametrize("status", ["", "passing", "critical"])
def test_registering_again_keeps_the_status(client: Client, status: str) -> None:
    """Whatever the definition says: a check does not flap because a service starts again."""
    client.does("agent/service/register", {"Name": "web", "Check": {"TTL": "1h"}})
    client.does("agent/check/update/service:web", {"Status": "warning", "Output": "hm"})
    again = {"Name": "web", "Check": {"TTL": "1h", "Status": status}}
    client.does("agent/service/register", again)
    client.does(
        "agent/check/register",
        {"Name": "c", "CheckID": "service:web", "ServiceID": "web", "TTL": "1h", "Status": status},
    )
    row = client.json("agent/checks")["service:web"]
    assert (row["Status"], row["Output"]) == ("warning", "hm")


def test_checks_that_are_not_named_again_stay(client: Client) -> None:
    client.does(
        "agent/service/register",
        {"Name": "web", "Checks": [{"CheckID": "a", "TTL": "1h"}, {"CheckID": "b", "TTL": "1h"}]},
    )
    only_a = {"Name": "web", "Checks": [{"CheckID": "a", "TTL": "1h"}]}
    client.does("agent/service/register", only_a)
    assert set(client.json("agent/checks")) == {"a", "b"}
    client.does("agent/service/register?replace-existing-checks=false", only_a)
    assert set(client.json("agent/checks")) == {"a", "b"}
    client.does("agent/service/register?replace-existing-checks", only_a)
    assert set(client.json("agent/checks")) == {"a"}
    (row,) = client.json("health/checks/web")
    assert row["CheckID"] == "a"


def test_a_service_takes_its_checks_and_its_sidecar_along(client: Client) -> None:
    client.does(
        "agent/service/register",
        {"Name": "web", "Port": 80, "Check": {"TTL": "1h"}, "Connect": {"SidecarService": {}}},
    )
    sidecar = client.json("agent/services")["web-sidecar-proxy"]
    assert sidecar["Proxy"]["DestinationServiceID"] == "web"
    assert sidecar["Proxy"]["LocalServicePort"] == 80
    names = {row["Name"] for row in client.json("agent/checks").values()}
    assert names == {
        "Service 'web' check",
        "Connect Sidecar Listening",
        "Connect Sidecar Aliasing web",
    }
    client.does("agent/service/deregister/web")
    assert client.json("agent/services") == {}
    assert client.json("agent/checks") == {}
    assert client.json("catalog/services") == {"consul": []}


@pytest.mark.parametrize(
    ("address", "tagged"),
    [
        ("10.0.0.1", {"lan_ipv4": "10.0.0.1", "wan_ipv4": "10.0.0.1"}),
        ("fd00::1", {"lan_ipv6": "fd00::1", "wan_ipv6": "fd00::1"}),
        ("web.example", {}),
        ("", {}),
    ],
)
def test_addresses_are_tagged_by_their_family(
    client: Client, address: str, tagged: dict[str, str]
) -> None:
    client.does("agent/service/register", {"Name": "web", "Address": address, "Port": 80})
    row = client.json("agent/services")["web"]
    assert row.get("TaggedAddresses", {}) == {
        name: {"Address": value, "Port": 80} for name, value in tagged.items()
    }


# What the catalog gets


def test_a_call_returns_when_the_catalog_knows(client: Client) -> None:
    client.does("agent/service/register", {"Name": "web", "Tags": ["a"], "Check": {"TTL": "1h"}})
    (entry,) = client.json("health/service/web")
    assert [row["CheckID"] for row in entry["Checks"]] == ["serfHealth", "service:web"]
    assert entry["Checks"][1]["ServiceTags"] == ["a"]
    client.does("agent/check/pass/service:web?note=fine")
    (entry,) = client.json("health/service/web?passing")
    assert entry["Checks"][1]["Output"] == "fine"
    client.does("agent/service/deregister/web")
    assert client.json("health/service/web") == []


def test_what_servers_register_of_themselves(client: Client) -> None:
    (row,) = client.json("catalog/service/consul")
    assert (row["ServiceID"], row["ServiceTags"], row["Node"]) == ("consul", [], "here")
    assert {
        "non_voter",
        "read_replica",
        "raft_version",
        "version",
        "grpc_port",
        "serf_protocol_current",
        "serf_protocol_min",
        "serf_protocol_max",
    } <= set(row["ServiceMeta"])
    assert {"consul-network-segment", "consul-version"} <= set(row["NodeMeta"])
    assert set(row["TaggedAddresses"]) == {"lan", "lan_ipv4", "wan", "wan_ipv4"}
    assert client.json("agent/services") == {}
    (serf,) = client.json("health/node/here")
    assert (serf["CheckID"], serf["Name"], serf["Output"], serf["Status"]) == (
        "serfHealth",
        "Serf Health Status",
        "Agent alive and reachable",
        "passing",
    )
    assert serf["Interval"] == serf["Timeout"] == serf["Type"] == ""


def test_anti_entropy(client: Client) -> None:
    """What others write of this node is put right; but tags may be theirs, if a service says so."""
    client.does("agent/service/register", {"Name": "mine", "Tags": ["a"]})
    client.does(
        "agent/service/register", {"Name": "open", "Tags": ["a"], "EnableTagOverride": True}
    )
    node = client.json("catalog/node/here")["Node"]
    base = {"Node": "here", "Address": node["Address"], "SkipNodeUpdate": True}
    for service in (
        {"Service": "mine", "Tags": ["changed"]},
        {"Service": "open", "Tags": ["changed"], "EnableTagOverride": True},
        {"Service": "stranger"},
    ):
        assert client.put("catalog/register", base | {"Service": service}).text == "true"
    client.put("catalog/register", base | {"Check": {"Name": "strange"}})
    client.does("agent/reload")  # which compares everything

    def right() -> bool:
        tags = client.json("catalog/services")
        checks = {row["CheckID"] for row in client.json("health/node/here")}
        return tags == {"consul": [], "mine": ["a"], "open": ["changed"]} and checks == {
            "serfHealth"
        }

    eventually(right, "a catalog that is in step")
    assert client.json("agent/services")["open"]["Tags"] == ["changed"]


# Maintenance


def test_maintenance(client: Client) -> None:
    client.does("agent/service/register", {"Name": "web"})
    for _ in range(2):  # saying it twice changes nothing
        client.does("agent/maintenance?enable=true&reason=broken")
        client.does("agent/service/maintenance/web?enable=true")
    checks = client.json("agent/checks")
    node, service = checks["_node_maintenance"], checks["_service_maintenance:web"]
    assert (node["Name"], node["Notes"]) == ("Node Maintenance Mode", "broken")
    assert (service["Name"], service["ServiceID"]) == ("Service Maintenance Mode", "web")
    assert service["Notes"] == (
        "Maintenance mode is enabled for this service, but no reason was provided. "
        "This is a default message."
    )
    assert {node["Status"], service["Status"]} == {"critical"}
    assert {node["Type"], service["Type"]} == {"maintenance"}
    assert client.json("health/service/web?passing") == []
    for _ in range(2):
        client.does("agent/maintenance?enable=false")
        client.does("agent/service/maintenance/web?enable=false")
    assert client.json("agent/checks") == {}
    assert len(client.json("health/service/web?passing")) == 1


def test_a_node_check_takes_its_services_along(client: Client) -> None:
    """A critical check of the node: its services do not pass, each keeps its own status."""
    client.does(
        "agent/service/register", {"Name": "web", "Check": {"TTL": "1h", "Status": "passing"}}
    )
    client.does("agent/check/register", {"Name": "disk", "TTL": "1h"})
    assert client.json("health/service/web?passing") == []
    (entry,) = client.json("health/service/web")
    assert {row["CheckID"]: row["Status"] for row in entry["Checks"]} == {
        "disk": "critical",
        "serfHealth": "passing",
        "service:web": "passing",
    }


# TTL checks


def test_what_applications_say(client: Client) -> None:
    client.does("agent/check/register", {"Name": "app", "TTL": "1h"})
    for path, status in (("pass", "passing"), ("warn", "warning"), ("fail", "critical")):
        client.does(f"agent/check/{path}/app?note=n{path}")
        row = client.json("agent/checks")["app"]
        assert (row["Status"], row["Output"]) == (status, f"n{path}")
    client.does("agent/check/update/app", {"status": "passing", "output": "x" * 5000})
    output = client.json("agent/checks")["app"]["Output"]
    assert output == "x" * 4096 + " ... (captured 4096 of 5000 bytes)"
    client.does("agent/check/update/app", {"Status": "warning"})
    assert client.json("agent/checks")["app"]["Output"] == ""


def test_ttl_expires(client: Client) -> None:
    client.does("agent/check/register", {"Name": "silent", "TTL": "100ms"})
    client.does("agent/check/register", {"Name": "was", "TTL": "300ms"})
    client.does("agent/check/pass/was?note=well")

    def expired() -> bool:
        rows = client.json("agent/checks").values()
        return {(row["CheckID"], row["Status"], row["Output"]) for row in rows} == {
            ("silent", "critical", "TTL expired"),
            ("was", "critical", "TTL expired (last output before timeout follows): well"),
        }

    eventually(expired, "checks that expire")


# Tokens without access control


def test_tokens_need_access_control(client: Client) -> None:
    reply = client.put("agent/token/default", {"Token": "x"})
    assert (reply.status, reply.text) == (401, "ACL support disabled")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("agent/monitor?loglevel=loud", 400, "Unknown log level: loud"),
        ("agent/service/none", 404, "unknown service ID: none"),
        ("agent/health/service/id/", 500, "Missing serviceID"),
        ("agent/health/service/name/", 500, "Missing service Name"),
    ],
)
def test_refusals_of_reads(client: Client, path: str, status: int, text: str) -> None:
    reply = client.get(path)
    assert (reply.status, reply.text) == (status, text)


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("service/register", {"Name": "w", "Address": "::"}, 400, "Invalid service address"),
        (
            "service/register",
            {"Name": "w", "Meta": {"a b": ""}},
            400,
            "Key contains invalid characters",
        ),
        (
            "service/register",
            {"Name": "w", "Meta": {"k" * 129: ""}},
            400,
            "Key is too long (limit: 128 characters)",
        ),
        (
            "service/register",
            {"Name": "w", "Meta": {"consul-x": ""}},
            400,
            "Key prefix 'consul-' is reserved for internal use",
        ),
        (
            "service/register",
            {"Name": "w", "Meta": {"k": "v" * 513}},
            400,
            "Value is too long (limit: 512 characters)",
        ),
        (
            "service/register",
            {"Name": "w", "Weights": {"Passing": 0, "Warning": 1}},
            400,
            "Invalid Weights: ",
        ),
        (
            "service/register",
            {"Name": "w", "Weights": {"Passing": 1, "Warning": 65536}},
            400,
            "Invalid Weights: ",
        ),
        (
            "service/register",
            {"Name": "w", "Weights": {"Passing": 1, "Warning": -1}},
            400,
            "Invalid Weights: ",
        ),
        (
            "service/register",
            {"Name": "w", "Kind": "connect-proxy", "Port": 1},
            400,
            "Proxy.DestinationServiceName must be non-empty for Connect proxy services",
        ),
        (
            "service/register",
            {"Name": "w", "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "a"}},
            400,
            "Port or SocketPath must be set for a connect-proxy",
        ),
        (
            "service/register",
            {
                "Name": "w",
                "Kind": "connect-proxy",
                "Port": 1,
                "Proxy": {"DestinationServiceName": "a"},
                "Connect": {"Native": True},
            },
            400,
            "A Proxy cannot also be Connect Native, only typical services",
        ),
        (
            "service/register",
            {"Name": "w", "Kind": "mesh-gateway"},
            400,
            "Port must be non-zero for a mesh-gateway",
        ),
        (
            "service/register",
            {"Name": "w", "Connect": {"SidecarService": {"ID": "x"}}},
            400,
            "A SidecarService cannot specify an ID as this is managed by the agent",
        ),
        (
            "service/register",
            {
                "Name": "w",
                "Address": "10.0.0.1",
                "TaggedAddresses": {"lan_ipv6": {"Address": "10.0.0.1"}},
            },
            500,
            "lan_ipv6",
        ),
        (
            "service/register",
            {"Name": "w", "Ports": [{"Name": "a", "Port": 1, "Default": True}], "Port": 1},
            400,
            "",
        ),
        ("service/register", {"Name": "w", "Ports": [{"Name": "a", "Port": 1}]}, 400, ""),
        (
            "service/register",
            {
                "Name": "w",
                "Ports": [{"Name": "a", "Port": 1, "Default": True}, {"Name": "a", "Port": 2}],
            },
            400,
            "",
        ),
        (
            "service/register",
            {"Name": "w", "Check": {"HTTP": "http://x"}},
            400,
            "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or "
            "OSService checks",
        ),
        (
            "service/register",
            {"Name": "w", "Checks": [{}]},
            400,
            "Invalid check: TTL must be > 0 for TTL checks",
        ),
        (
            "service/register",
            {"Name": "w", "Check": {"AliasService": "x", "TTL": "1s"}},
            400,
            "Invalid check: TTL must be not be set for Alias checks",
        ),
        (
            "service/register",
            {"Name": "w", "Check": {"AliasService": "x", "HTTP": "http://x", "Interval": "1s"}},
            400,
            "Invalid check: Interval cannot be set for Alias checks",
        ),
        (
            "service/register",
            {"Name": "w", "Check": {"TTL": "1s", "OutputMaxSize": -1}},
            400,
            "Invalid check: MaxOutputMaxSize must be positive",
        ),
        (
            "service/register",
            {
                "Name": "w",
                "Check": {"TTL": "1s", "FailuresBeforeWarning": 2, "FailuresBeforeCritical": 1},
            },
            400,
            "Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
        ),
        (
            "service/register",
            {"Name": "w", "Check": {"TTL": "1s", "Status": "well"}},
            400,
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            "service/register",
            {"Name": "w", "Check": {"Args": ["true"], "Interval": "1s"}},
            500,
            "Scripts are disabled on this agent from remote calls; to enable, configure "
            "'enable_script_checks' to true",
        ),
        ("check/register", {"TTL": "1s"}, 400, "Missing check name"),
        ("check/register", {"Name": "c", "TTL": "1s", "Status": "well"}, 400, "Bad check status"),
        (
            "check/register",
            {"Name": "c", "TTL": "1s", "Interval": "1s"},
            400,
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (
            "check/register",
            {"Name": "c", "TTL": "1s", "ServiceID": "none"},
            404,
            'ServiceID "none" does not exist',
        ),
    ],
)
def test_registrations_that_are_refused(
    client: Client, path: str, body: Any, status: int, text: str
) -> None:
    reply = client.put(f"agent/{path}", body)
    assert reply.status == status, reply.text
    assert text in reply.text
    assert client.json("agent/services") == {}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"name": "w", "TAGS": ["a"], "port": 1}, {"Service": "w", "Tags": ["a"], "Port": 1}),
        ({"name": "w", "enable_tag_override": True}, {"EnableTagOverride": True}),
        (
            {"name": "w", "tagged_addresses": {"lan": {"address": "1.2.3.4", "port": 5}}},
            {"TaggedAddresses": {"lan": {"Address": "1.2.3.4", "Port": 5}}},
        ),
        ({"name": "w", "socket_path": "/s"}, {"SocketPath": "/s"}),
        (
            {
                "name": "w",
                "kind": "connect-proxy",
                "port": 1,
                "proxy": {"destination_service_name": "d"},
            },
            {"Kind": "connect-proxy"},
        ),
    ],
)
def test_snake_case_of_services(client: Client, body: Any, shown: dict[str, Any]) -> None:
    client.does("agent/service/register", body)
    (row,) = client.json("agent/services").values()
    assert {name: row[name] for name in shown} == shown


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"ttl": "5s", "deregister_critical_service_after": "90m"}, "ttl"),
        ({"TTL": 5_000_000_000}, "ttl"),
        (
            {
                "http": "http://127.0.0.1:1",
                "interval": "1h",
                "tls_skip_verify": True,
                "tls_server_name": "a",
                "disable_redirects": True,
            },
            "http",
        ),
        ({"tcp": "127.0.0.1:1", "interval": "1h", "tcp_use_tls": True}, "tcp"),
        ({"grpc": "127.0.0.1:1", "interval": "1h", "grpc_use_tls": True}, "grpc"),
        ({"h2ping": "127.0.0.1:1", "interval": "1h", "h2ping_use_tls": False}, "h2ping"),
        ({"udp": "127.0.0.1:1", "interval": "1h"}, "udp"),
        ({"alias_service": "w"}, "alias"),
        (
            {
                "ttl": "5s",
                "success_before_passing": 1,
                "failures_before_critical": 2,
                "failures_before_warning": 1,
                "output_max_size": 10,
            },
            "ttl",
        ),
    ],
)
def test_spellings_and_types_of_checks(client: Client, fields: Any, kind: str) -> None:
    client.does("agent/check/register", {"name": "c", **fields})
    assert client.json("agent/checks")["c"]["Type"] == kind
