"""``/v1/agent/…`` of a real agent, over HTTP: shapes, statuses and texts that clients depend on."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent_rig import Reply, Running, home
from tests.integration.cli_consul_rig import eventually
from tests.patience import PATIENCE


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("agent")
    with home(directory, node_meta={"rack": "r1"}, enable_debug=True) as place:
        yield place.start()


@pytest.fixture(autouse=True)
def tidy(agent: Running) -> Iterator[None]:
    yield
    for service_id in agent.json("agent/services"):
        agent.put(f"agent/service/deregister/{service_id}")
    for check_id in agent.json("agent/checks"):
        agent.put(f"agent/check/deregister/{check_id}")
    agent.put("agent/maintenance?enable=false")


def register(agent: Running, body: dict[str, Any], query: str = "") -> None:
    reply = agent.put(f"agent/service/register{query}", body)
    assert (reply.status, reply.body) == (200, b""), reply.text


def first(connection: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
    connection.request("GET", f"/v1/{path}")
    return connection.getresponse()


# The agent itself


def test_self(agent: Running) -> None:
    shown = agent.json("agent/self")
    assert set(shown) >= {"Config", "DebugConfig", "Coord", "Member", "Stats", "Meta", "xDS"}
    config = shown["Config"]
    assert set(config) >= {"Datacenter", "PrimaryDatacenter", "NodeName", "NodeID", "Revision"}
    assert set(config) >= {"Server", "Version", "BuildDate"}
    assert (config["Datacenter"], config["NodeName"], config["Server"]) == ("dc1", "n1", True)
    assert config["Version"].split(".")[0] == "1"
    debug = shown["DebugConfig"]
    assert debug["GRPCPort"] == -1
    assert debug["GRPCTLSPort"] == -1
    assert debug["TaggedAddresses"]["lan"] == "127.0.0.1"
    assert debug["EnableLocalScriptChecks"] is False
    assert debug["HTTPPort"] == agent.ports["http"]
    assert len(shown["Coord"]["Vec"]) == 8
    assert set(shown["Coord"]) == {"Vec", "Error", "Adjustment", "Height"}
    member = shown["Member"]
    assert (member["Name"], member["Addr"], member["Status"]) == ("n1", "127.0.0.1", 1)
    assert member["Tags"]["role"] == "consul"
    assert shown["Stats"].keys() >= {"agent", "build", "consul", "raft", "runtime", "serf_lan"}
    assert all(type(v) is str for block in shown["Stats"].values() for v in block.values())
    assert shown["Stats"]["raft"]["state"] == "Leader"
    assert shown["Meta"]["rack"] == "r1"
    assert set(shown["xDS"]) == {"SupportedProxies", "Port", "Ports"}
    assert set(shown["xDS"]["Ports"]) == {"Plaintext", "TLS"}
    assert isinstance(shown["xDS"]["SupportedProxies"]["envoy"], list)


def test_version(agent: Running) -> None:
    assert set(agent.json("agent/version")) == {"SHA", "BuildDate", "HumanVersion", "FIPS"}


def test_host(agent: Running) -> None:
    shown = agent.json("agent/host")
    assert set(shown) == {"Memory", "CPU", "Host", "Disk", "CollectionTime", "Errors"}
    assert shown["Memory"]["total"] > shown["Memory"]["available"] > 0
    assert shown["CPU"]
    assert shown["Errors"] is None


def test_members(agent: Running) -> None:
    members = agent.json("agent/members")
    assert [member["Name"] for member in members] == ["n1"]
    assert set(members[0]) == {
        *("Name", "Addr", "Port", "Tags", "Status", "ProtocolMin", "ProtocolMax", "ProtocolCur"),
        *("DelegateMin", "DelegateMax", "DelegateCur"),
    }
    assert agent.json('agent/members?filter=Name == "n1"') == members
    assert agent.json('agent/members?filter=Tags["role"] == "node"') == []
    assert agent.json("agent/members?filter=Status == 1") == members
    assert agent.json("agent/members?wan=1")[0]["Name"] == "n1.dc1"
    wrong = agent.get("agent/members?filter=Nonsense == 1")
    assert (wrong.status, "is not valid" in wrong.text) == (500, True)


def test_metrics(agent: Running) -> None:
    shown = agent.json("agent/metrics")
    assert set(shown) == {"Timestamp", "Gauges", "Points", "Counters", "Samples"}
    names = {gauge["Name"] for gauge in shown["Gauges"]}
    assert names >= {"consul.state.nodes", "consul.state.services", "consul.runtime.alloc_bytes"}
    for path in ("agent/metrics?format=prometheus",):
        reply = agent.get(path)
        assert reply.headers["content-type"].startswith("text/plain")
        assert b"consul_state_nodes{" in reply.body
        assert b"consul_api_http_count{" in reply.body
    asked = agent.get("agent/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert asked.headers["content-type"].startswith("text/plain")  # where names have no _total
    scraped = agent.get("agent/metrics", Accept="text/plain;version=0.0.4;q=0.5, */*;q=0.1")
    assert scraped.body.startswith(b"# HELP")


def test_the_stream_of_metrics(agent: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", agent.ports["http"], timeout=PATIENCE)
    response = first(connection, "agent/metrics/stream")
    line = response.readline()
    assert set(json.loads(line)) >= {"Gauges", "Counters", "Samples"}
    connection.close()


@pytest.mark.parametrize("as_json", [False, True])
def test_monitor(agent: Running, as_json: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", agent.ports["http"], timeout=PATIENCE)
    response = first(connection, "agent/monitor?loglevel=debug" + "&logjson" * as_json)
    assert response.status == 200
    register(agent, {"Name": "seen-by-the-monitor"})
    while b"seen-by-the-monitor" not in (line := response.readline()):
        assert line
    if as_json:
        assert set(json.loads(line)) >= {"@level", "@message", "@module", "@timestamp"}
    else:
        assert b"[DEBUG] agent.anti_entropy: " in line
    connection.close()


def test_monitor_refuses_what_is_no_level(agent: Running) -> None:
    reply = agent.get("agent/monitor?loglevel=loud")
    assert (reply.status, reply.text) == (400, "Unknown log level: loud")


REFUSED = [
    ("GET", "agent/nothing", None, 404, "Invalid URL path: not a recognized HTTP API endpoint"),
    ("GET", "agent/reload", None, 405, "method GET not allowed"),
    ("PUT", "agent/maintenance", None, 400, "Missing value for enable"),
    ("PUT", "agent/maintenance?enable=x", None, 400, 'Invalid value for enable: "x"'),
    ("PUT", "agent/force-leave/nobody", None, 500, "agent: No node found with name 'nobody'"),
    ("PUT", "agent/token/default", {"Token": "x"}, 401, "ACL support disabled"),
    ("GET", "agent/service/none", None, 404, "unknown service ID: none"),
    (
        *("PUT", "agent/service/deregister/none", None, 404),
        'Unknown service ID "none". Ensure that the service ID is passed, not the service name.',
    ),
    ("PUT", "agent/service/maintenance/none", None, 400, "Missing value for enable"),
    (
        *("PUT", "agent/service/maintenance/none?enable=true", None, 404),
        'Unknown service ID "none". Ensure that the service ID is passed, not the service name.',
    ),
    ("PUT", "agent/service/maintenance/?enable=true", None, 400, "Missing service ID"),
    ("PUT", "agent/service/register", {}, 400, "Missing service name"),
    (
        *("PUT", "agent/service/register", {"Name": "web", "Address": "0.0.0.0"}, 400),
        "Invalid service address",
    ),
    (
        *("PUT", "agent/service/register", {"Name": "web", "Nonsense": 1}, 400),
        'Request decode failed: json: unknown field "Nonsense"',
    ),
    (
        *("PUT", "agent/service/register", {"Name": "web", "Namespace": "x"}, 400),
        'Request decode failed: json: unknown field "Namespace" - '
        "Namespaces are a Consul Enterprise feature",
    ),
    (
        *(
            "PUT",
            "agent/service/register",
            {"Name": "web", "Check": {"Status": "odd", "TTL": "1s"}},
        ),
        *(400, "Status for checks must 'passing', 'warning', 'critical'"),
    ),
    (
        *("PUT", "agent/service/register", {"Name": "web", "Check": {"HTTP": "http://x"}}, 400),
        "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService "
        "checks",
    ),
    (
        *("PUT", "agent/service/register", {"Name": "w", "Weights": {"Passing": 0}}, 400),
        "Invalid Weights: Passing must be greater than 0",
    ),
    ("PUT", "agent/check/register", {"TTL": "1s"}, 400, "Missing check name"),
    (
        *("PUT", "agent/check/register", {"Name": "c", "TTL": "1s", "Status": "odd"}, 400),
        "Bad check status",
    ),
    (
        *("PUT", "agent/check/register", {"Name": "c", "TTL": "1s", "ServiceID": "x"}, 404),
        'ServiceID "x" does not exist',
    ),
    (
        *("PUT", "agent/check/register", {"Name": "c", "TTL": "1s", "Interval": "1s"}, 400),
        "Invalid check: Interval and TTL cannot both be specified",
    ),
    (
        *("PUT", "agent/check/register", {"Name": "c", "Interval": "1s", "Args": ["true"]}, 500),
        "Scripts are disabled on this agent from remote calls; to enable, configure "
        "'enable_script_checks' to true",
    ),
    (
        *("PUT", "agent/check/deregister/none", None, 404),
        'Unknown check ID "none". Ensure that the check ID is passed, not the check name.',
    ),
    (
        *("PUT", "agent/check/pass/none", None, 404),
        'Unknown check ID "none". Ensure that the check ID is passed, not the check name.',
    ),
    (
        *("PUT", "agent/check/update/none", {"Status": "odd"}, 400),
        "Invalid check status: 'odd'",
    ),
    ("GET", "agent/self?ns=x", None, 400, "Namespaces are a Consul Enterprise feature"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"), REFUSED, ids=lambda value: str(value)[:40]
)
def test_what_is_refused(
    agent: Running, method: str, path: str, body: Any, status: int, text: str
) -> None:
    reply = agent.call(method, path, body)
    assert reply.status == status
    assert text in reply.text
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("agent/self", "OPTIONS,GET"),
        ("agent/service/register", "OPTIONS,PUT"),
        ("agent/check/pass/x", "OPTIONS,PUT"),
        ("agent/monitor", "OPTIONS,GET"),
    ],
)
def test_methods(agent: Running, path: str, allow: str) -> None:
    asked = agent.call("OPTIONS", path)
    assert (asked.status, asked.body, asked.headers["allow"]) == (200, b"", allow)
    refused = agent.call("DELETE", path)
    assert (refused.status, refused.headers["allow"]) == (405, allow)
    assert refused.text == "method DELETE not allowed"


@pytest.mark.parametrize(
    "path",
    ["agent/join/127.0.0.1", "agent/join/127.0.0.1?wan=1", "agent/force-leave/n1?prune"],
)
def test_a_lone_server_joins_itself(agent: Running, path: str) -> None:
    reply = agent.put(path)
    assert (reply.status, reply.body) == (200, b"")


def test_maintenance_of_the_node(agent: Running) -> None:
    for _ in range(2):  # doing so twice changes nothing
        agent.done("agent/maintenance?enable=true&reason=new disks")
        check = agent.json("agent/checks")["_node_maintenance"]
        assert (check["Name"], check["Status"]) == ("Node Maintenance Mode", "critical")
        assert (check["Notes"], check["Type"], check["ServiceID"]) == (
            "new disks",
            "maintenance",
            "",
        )
    register(agent, {"Name": "web"})
    assert agent.get("agent/health/service/id/web").json["AggregatedStatus"] == "maintenance"
    assert agent.checks() == {"_node_maintenance": "critical"}
    for _ in range(2):
        agent.done("agent/maintenance?enable=false")
        assert agent.checks() == {}
    agent.done("agent/maintenance?enable=true")
    notes = agent.json("agent/checks")["_node_maintenance"]["Notes"]
    assert notes == (
        "Maintenance mode is enabled for this node, but no reason was provided. "
        "This is a default message."
    )


# Services

FULL = {
    "ID": "web-1",
    "Name": "web",
    "Tags": ["a", "b"],
    "Address": "10.0.0.1",
    "TaggedAddresses": {"wan": {"Address": "198.51.100.1", "Port": 80}},
    "Meta": {"version": "1"},
    "Port": 8080,
    "EnableTagOverride": True,
    "Weights": {"Passing": 10, "Warning": 2},
    "Locality": {"Region": "eu", "Zone": "a"},
    "Check": {"TTL": "1h", "Status": "passing", "Notes": "says so itself"},
}
# The same as scripts write it: fields in snake_case, in lower case, as Go's JSON accepts them.
SNAKE = {
    "id": "web-1",
    "name": "web",
    "tags": ["a", "b"],
    "address": "10.0.0.1",
    "tagged_addresses": {"wan": {"address": "198.51.100.1", "port": 80}},
    "meta": {"version": "1"},
    "port": 8080,
    "enable_tag_override": True,
    "weights": {"passing": 10, "warning": 2},
    "locality": {"region": "eu", "zone": "a"},
    "check": {"ttl": "1h", "status": "passing", "notes": "says so itself"},
}
LOWER = {key.replace("_", "").upper(): value for key, value in SNAKE.items()}


@pytest.mark.parametrize("body", [FULL, SNAKE, LOWER], ids=["go", "snake", "upper"])
def test_a_service_with_everything(agent: Running, body: dict[str, Any]) -> None:
    register(agent, body)
    shown = agent.json("agent/services")["web-1"]
    own = {"Address": "10.0.0.1", "Port": 8080}
    assert shown == {
        "ID": "web-1",
        "Service": "web",
        "Tags": ["a", "b"],
        "Meta": {"version": "1"},
        "Port": 8080,
        "Address": "10.0.0.1",
        "TaggedAddresses": {
            "wan": {"Address": "198.51.100.1", "Port": 80},
            "lan_ipv4": own,
            "wan_ipv4": own,
        },
        "Weights": {"Passing": 10, "Warning": 2},
        "EnableTagOverride": True,
        "Locality": {"Region": "eu", "Zone": "a"},
        "Datacenter": "dc1",
    }
    check = agent.json("agent/checks")["service:web-1"]
    assert check["Name"] == "Service 'web' check"
    assert (check["Status"], check["Notes"], check["Type"]) == ("passing", "says so itself", "ttl")
    assert (check["ServiceID"], check["ServiceName"]) == ("web-1", "web")
    assert check["ServiceTags"] == ["a", "b"]
    assert (check["Definition"], check["ExposedPort"], check["Output"]) == ({}, 0, "")
    found = agent.json("health/service/web?passing")
    assert [one["Service"]["ID"] for one in found] == ["web-1"]


def test_a_service_with_nothing(agent: Running) -> None:
    register(agent, {"Name": "web"})
    assert agent.json("agent/services") == {
        "web": {
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
    }


def test_services_are_filtered(agent: Running) -> None:
    register(agent, {"Name": "web", "Tags": ["a"], "Meta": {"v": "1"}})
    register(agent, {"Name": "db"})
    assert list(agent.json('agent/services?filter="a" in Tags')) == ["web"]
    assert list(agent.json("agent/services?filter=Meta.v == 1")) == ["web"]
    assert list(agent.json('agent/services?filter=Service == "db"')) == ["db"]


def test_several_ports(agent: Running) -> None:
    ports = [{"Name": "http", "Port": 80, "Default": True}, {"Name": "admin", "Port": 81}]
    register(agent, {"Name": "web", "Ports": ports})
    shown = agent.json("agent/services")["web"]["Ports"]
    assert [(port["Name"], port["Port"]) for port in shown] == [("http", 80), ("admin", 81)]


def test_native_services_and_proxies(agent: Running) -> None:
    register(agent, {"Name": "native", "Port": 1, "Connect": {"Native": True}})
    proxy = {"DestinationServiceName": "web", "LocalServicePort": 80}
    register(agent, {"Kind": "connect-proxy", "Name": "p", "Port": 2, "Proxy": proxy})
    shown = agent.json("agent/services")
    assert shown["native"]["Connect"] == {"Native": True}
    assert "Proxy" not in shown["native"]
    assert (shown["p"]["Kind"], shown["p"]["Proxy"]["DestinationServiceName"]) == (
        "connect-proxy",
        "web",
    )


def test_a_sidecar_comes_and_goes_with_its_service(agent: Running) -> None:
    register(agent, {"Name": "web", "Port": 80, "Tags": ["t"], "Connect": {"SidecarService": {}}})
    register(agent, {"Name": "db", "Port": 90, "Connect": {"SidecarService": {}}})
    shown = agent.json("agent/services")
    sidecar = shown["web-sidecar-proxy"]
    assert "Connect" not in shown["web"]
    assert (sidecar["Service"], sidecar["Kind"]) == ("web-sidecar-proxy", "connect-proxy")
    assert (sidecar["Port"], sidecar["Tags"]) == (21000, ["t"])
    assert sidecar["Proxy"]["DestinationServiceID"] == "web"
    assert sidecar["Proxy"]["LocalServicePort"] == 80
    assert shown["db-sidecar-proxy"]["Port"] == 21001
    checks = agent.json("agent/checks")
    listening, aliasing = (checks[f"service:web-sidecar-proxy:{n}"] for n in (1, 2))
    assert (listening["Name"], listening["Type"]) == ("Connect Sidecar Listening", "tcp")
    assert (aliasing["Name"], aliasing["Type"]) == ("Connect Sidecar Aliasing web", "alias")
    register(agent, {"Name": "web", "Port": 81, "Connect": {"SidecarService": {}}})
    assert agent.json("agent/service/web-sidecar-proxy")["Port"] == 21000
    agent.done("agent/service/deregister/web")
    assert set(agent.json("agent/services")) == {"db", "db-sidecar-proxy"}
    assert agent.services() == ["db", "db-sidecar-proxy"]
    assert not [check_id for check_id in agent.checks() if "web" in check_id]


def test_checks_that_are_not_mentioned_stay_unless_replaced(agent: Running) -> None:
    first_check = {"CheckID": "one", "Name": "one", "TTL": "1h"}
    second = {"CheckID": "two", "Name": "two", "TTL": "1h"}
    register(agent, {"Name": "web", "Check": first_check})
    agent.done("agent/check/pass/one")
    register(agent, {"Name": "web", "Check": second})
    assert agent.checks() == {"one": "passing", "two": "critical"}
    register(agent, {"Name": "web", "Check": second}, "?replace-existing-checks=false")
    assert agent.checks() == {"one": "passing", "two": "critical"}
    agent.done("agent/service/maintenance/web?enable=true")
    register(agent, {"Name": "web", "Check": second}, "?replace-existing-checks")
    assert agent.checks() == {"_service_maintenance:web": "critical", "two": "critical"}


def test_a_check_that_is_registered_again_keeps_its_status(agent: Running) -> None:
    body = {"Name": "web", "Check": {"TTL": "1h", "Status": "critical"}}
    register(agent, body)
    agent.done("agent/check/pass/service:web?note=fine")
    register(agent, body)
    check = agent.json("agent/checks")["service:web"]
    assert (check["Status"], check["Output"]) == ("passing", "fine")


def test_several_checks_are_numbered(agent: Running) -> None:
    check = {"TTL": "1h"}
    register(agent, {"Name": "web", "Check": check, "Checks": [check, {**check, "Name": "own"}]})
    names = {key: check["Name"] for key, check in agent.json("agent/checks").items()}
    assert names == {
        "service:web:1": "Service 'web' check",
        "service:web:2": "Service 'web' check",
        "service:web:3": "own",
    }


def test_one_service_by_hash(agent: Running) -> None:
    register(agent, {"Name": "web", "Port": 1})
    reply = agent.get("agent/service/web")
    shown, digest = reply.json, reply.headers["x-consul-contenthash"]
    assert shown["ContentHash"] == digest
    assert "x-consul-index" not in reply.headers
    replies: list[Reply] = []
    waiting = threading.Thread(
        target=lambda: replies.append(agent.get(f"agent/service/web?hash={digest}&wait=9m"))
    )
    began = time.monotonic()
    waiting.start()
    register(agent, {"Name": "other"})  # concerns nobody
    register(agent, {"Name": "web", "Port": 1})  # changes nothing
    assert not replies
    register(agent, {"Name": "web", "Port": 2})
    waiting.join(60)
    assert replies[0].json["Port"] == 2
    assert replies[0].headers["x-consul-contenthash"] != digest
    assert time.monotonic() - began < 50
    same = agent.get(f"agent/service/web?hash={digest}&wait=9m")
    assert same.json["Port"] == 2, "another hash answers at once"
    digest = same.headers["x-consul-contenthash"]
    assert agent.get(f"agent/service/web?hash={digest}&wait=10ms").json["Port"] == 2


def test_deregistration_ends_a_wait_for_the_service(agent: Running) -> None:
    register(agent, {"Name": "web"})
    digest = agent.get("agent/service/web").headers["x-consul-contenthash"]
    replies: list[Reply] = []
    waiting = threading.Thread(
        target=lambda: replies.append(agent.get(f"agent/service/web?hash={digest}&wait=9m"))
    )
    waiting.start()
    agent.done("agent/service/deregister/web")
    waiting.join(60)
    assert (replies[0].status, replies[0].text) == (404, "unknown service ID: web")


@pytest.mark.parametrize(
    ("statuses", "code", "word"),
    [
        ({}, 200, "passing"),
        ({"a": "pass", "b": "pass"}, 200, "passing"),
        ({"a": "pass", "b": "warn"}, 429, "warning"),
        ({"a": "fail", "b": "warn"}, 503, "critical"),
    ],
)
def test_health_is_told_by_the_status(
    agent: Running, statuses: dict[str, str], code: int, word: str
) -> None:
    checks = [{"CheckID": check, "Name": check, "TTL": "1h"} for check in statuses]
    register(agent, {"Name": "web", "ID": "web-1", "Checks": checks})
    for check, verb in statuses.items():
        agent.done(f"agent/check/{verb}/{check}")
    by_id = agent.get("agent/health/service/id/web-1")
    assert by_id.status == code
    assert (by_id.json["AggregatedStatus"], by_id.json["Service"]["ID"]) == (word, "web-1")
    assert sorted(check["CheckID"] for check in by_id.json["Checks"]) == sorted(statuses)
    by_name = agent.get("agent/health/service/name/web")
    assert (by_name.status, len(by_name.json)) == (code, 1)
    for path in ("id/web-1", "name/web"):
        text = agent.get(f"agent/health/service/{path}?format=text")
        assert (text.status, text.text) == (code, word)
        assert text.headers["content-type"].startswith("text/plain")
        accepted = agent.get(f"agent/health/service/{path}", Accept="text/plain")
        assert accepted.text == word


def test_health_by_name_is_the_worst(agent: Running) -> None:
    for service_id, verb in (("web-1", "pass"), ("web-2", "warn")):
        register(agent, {"Name": "web", "ID": service_id, "Check": {"TTL": "1h"}})
        agent.done(f"agent/check/{verb}/service:{service_id}")
    reply = agent.get("agent/health/service/name/web")
    assert reply.status == 429
    assert [one["AggregatedStatus"] for one in reply.json] == ["passing", "warning"]
    agent.done("agent/service/maintenance/web-1?enable=true&reason=why")
    maintained = agent.get("agent/health/service/id/web-1?format=text")
    assert (maintained.status, maintained.text) == (503, "maintenance")
    check = agent.json("agent/checks")["_service_maintenance:web-1"]
    assert (check["Name"], check["Notes"]) == ("Service Maintenance Mode", "why")
    agent.done("agent/service/maintenance/web-1?enable=false")
    assert agent.get("agent/health/service/id/web-1").status == 200


def test_health_of_what_is_not_there(agent: Running) -> None:
    for path in ("id/none", "name/none"):
        assert agent.get(f"agent/health/service/{path}").status == 404
        assert agent.get(f"agent/health/service/{path}?format=text").status == 404


# Checks


def test_a_check_of_its_own(agent: Running) -> None:
    register(agent, {"Name": "web"})
    body = {"ID": "c1", "Name": "memory", "Notes": "n", "TTL": "1h", "ServiceID": "web"}
    agent.done("agent/check/register", body)
    agent.done("agent/check/register", {"name": "disk", "ttl": "1h", "status": "warning"})
    shown = agent.json("agent/checks")
    assert (shown["c1"]["Name"], shown["c1"]["ServiceName"]) == ("memory", "web")
    assert (shown["c1"]["Status"], shown["c1"]["Node"]) == ("critical", "n1")
    assert (shown["disk"]["Status"], shown["disk"]["ServiceID"]) == ("warning", "")
    assert agent.checks() == {"c1": "critical", "disk": "warning"}
    assert list(agent.json('agent/checks?filter=Status == "warning"')) == ["disk"]
    assert list(agent.json("agent/checks?filter=ServiceID==``")) == ["disk"]
    agent.done("agent/check/deregister/disk")
    assert agent.checks() == {"c1": "critical"}
    agent.done("agent/service/deregister/web")
    assert agent.checks() == {}


@pytest.mark.parametrize(
    ("path", "body", "status", "output"),
    [
        ("pass/ttl?note=very well", None, "passing", "very well"),
        ("warn/ttl", None, "warning", ""),
        ("fail/ttl?note=oh", None, "critical", "oh"),
        ("update/ttl", {"Status": "warning", "Output": "hm"}, "warning", "hm"),
        ("update/ttl", {"status": "passing", "output": "x" * 5000}, "passing", "x" * 4096),
    ],
)
def test_ttl_checks_are_told_their_status(
    agent: Running, path: str, body: Any, status: str, output: str
) -> None:
    agent.done("agent/check/register", {"Name": "ttl", "TTL": "1h", "Status": "passing"})
    agent.done(f"agent/check/{path}", body)
    check = agent.json("agent/checks")["ttl"]
    assert (check["Status"], check["Output"][: len(output)]) == (status, output)
    if len(output) == 4096:
        assert check["Output"].endswith(" ... (captured 4096 of 5000 bytes)")
    assert agent.checks() == {"ttl": status}


def test_only_ttl_checks_are_told(agent: Running) -> None:
    check = {"Name": "tcp", "TCP": "127.0.0.1:1", "Interval": "1h"}
    agent.done("agent/check/register", check)
    reply = agent.put("agent/check/pass/tcp")
    assert (reply.status, reply.text) == (500, 'CheckID "tcp" does not have associated TTL')


def test_a_ttl_runs_out(agent: Running) -> None:
    agent.done("agent/check/register", {"Name": "ttl", "TTL": "100ms", "Status": "passing"})
    agent.done("agent/check/pass/ttl?note=last words")
    eventually(lambda: agent.checks() == {"ttl": "critical"}, "a TTL that ran out")
    output = agent.json("agent/checks")["ttl"]["Output"]
    assert output == "TTL expired (last output before timeout follows): last words"


def test_an_alias_follows_a_service_of_the_agent(agent: Running) -> None:
    register(agent, {"Name": "web", "Check": {"TTL": "1h"}})
    agent.done("agent/check/register", {"Name": "alias", "AliasService": "web"})
    eventually(
        lambda: "failing" in agent.json("agent/checks")["alias"]["Output"], "an alias that follows"
    )
    assert agent.checks()["alias"] == "critical"
    agent.done("agent/check/pass/service:web")
    eventually(lambda: agent.checks()["alias"] == "passing", "an alias that recovers")
    agent.done("agent/service/deregister/web")
    eventually(lambda: agent.checks()["alias"] == "critical", "an alias of nothing")


def test_an_alias_follows_another_node(agent: Running) -> None:
    remote = {"Node": "other", "Address": "10.0.0.9", "Service": {"ID": "db-1", "Service": "db"}}
    check = {"Node": "other", "CheckID": "db", "Name": "db", "ServiceID": "db-1"}
    agent.done("catalog/register", remote)
    agent.done("catalog/register", {**remote, "Check": {**check, "Status": "passing"}})
    body = {"Name": "alias", "AliasNode": "other", "AliasService": "db-1"}
    agent.done("agent/check/register", body)
    eventually(lambda: agent.checks()["alias"] == "passing", "an alias of another node")
    agent.done("catalog/register", {**remote, "Check": {**check, "Status": "critical"}})
    eventually(lambda: agent.checks()["alias"] == "critical", "an alias that follows")
    agent.done("catalog/register", {**remote, "Check": {**check, "Status": "passing"}})
    eventually(lambda: agent.checks()["alias"] == "passing", "an alias that recovers")
    agent.done("catalog/deregister", {"Node": "other"})
    eventually(lambda: agent.checks()["alias"] == "critical", "an alias of a node that is gone")


def test_paths_may_be_quoted(agent: Running) -> None:
    register(agent, {"Name": "web", "ID": "a/b c"})
    connection_path = "agent/service/deregister/a%2Fb%20c"
    assert agent.json("agent/services").keys() == {"a/b c"}
    assert agent.put(connection_path).status == 200
    assert agent.json("agent/services") == {}


def test_the_data_is_readable_by_the_owner_only(agent: Running, tmp_path: Path) -> None:
    register(agent, {"Name": "web", "Token": "", "Check": {"TTL": "1h"}})
    data = agent.log.parent / "data"
    files = [path for path in data.rglob("*") if path.is_file() or path.is_dir()]
    assert {path.name for path in files} >= {"services", "checks", "store", "node-id"}
    for path in files:
        assert path.stat().st_mode & 0o077 == 0, path
