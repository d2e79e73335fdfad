"""Wrong requests of every kind, with the documented status, text and exit code.

After all of them the agent answers as before, has lost nothing and holds nothing for them.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.cli_consul_rig import Agent, agent_running
from tests.patience import PATIENCE


class Wrong(NamedTuple):
    """One request of the HTTP API, and what it is answered."""

    method: str
    path: str
    body: str | bytes
    status: int
    text: str
    """The beginning of the body."""


SERVICE = "/v1/agent/service/register"
CHECK = "/v1/agent/check/register"
CATALOG = "/v1/catalog/register"
SESSION = "/v1/session/create"

REQUESTS = [
    # Paths and methods
    Wrong("GET", "/v1/nothing", "", 404, "Invalid URL path: not a recognized HTTP API endpoint"),
    Wrong("GET", "/nothing", "", 404, "Invalid URL path: if attempting to use the HTTP API"),
    Wrong("GET", "/v1/kv", "", 301, ""),
    Wrong("GET", "/v1/namespaces", "", 404, "Invalid URL path"),
    Wrong("HEAD", "/v1/kv/a", "", 405, ""),
    Wrong("POST", "/v1/kv/a", "x", 405, "method POST not allowed"),
    Wrong("DELETE", "/v1/catalog/nodes", "", 405, "method DELETE not allowed"),
    Wrong("GET", SERVICE, "", 405, "method GET not allowed"),
    Wrong("POST", "/v1/agent/reload", "", 405, "method POST not allowed"),
    Wrong("GET", "/v1/session/create", "", 405, "method GET not allowed"),
    Wrong("GET", "/v1/kv/a%00b", "", 400, "Bad Request"),
    Wrong("GET", "/v1/kv/a?ns=other", "", 400, 'Invalid query parameter: "ns" - Namespaces'),
    Wrong("GET", "/v1/kv/a?partition=x", "", 400, 'Invalid query parameter: "partition"'),
    Wrong("GET", "/v1/kv/a?dc=dc9", "", 500, "No path to datacenter"),
    Wrong("GET", "/v1/catalog/nodes?dc=dc9", "", 500, "No path to datacenter"),
    Wrong("GET", "/v1/health/service/web?datacenter=dc9", "", 500, "No path to datacenter"),
    # Reads
    Wrong("GET", "/v1/kv/a?index=x", "", 400, "Invalid index"),
    Wrong("GET", "/v1/kv/a?index=-1", "", 400, "Invalid index"),
    Wrong("GET", "/v1/kv/a?index=99999999999999999999", "", 400, "Invalid index"),
    Wrong("GET", "/v1/kv/a?index=1&wait=soon", "", 400, "Invalid wait time"),
    Wrong("GET", "/v1/kv/a?index=1&wait=10", "", 400, "Invalid wait time"),
    Wrong("GET", "/v1/kv/a?stale&consistent", "", 400, "Cannot specify ?stale with ?consistent"),
    Wrong("GET", "/v1/catalog/nodes?cached&consistent", "", 400, "Cannot specify ?cached with"),
    Wrong("GET", "/v1/kv/a?max_stale=1", "", 400, "Invalid max_stale"),
    Wrong("GET", "/v1/kv/", "", 400, "Missing key name"),
    Wrong("GET", "/v1/kv/missing", "", 404, ""),
    Wrong("GET", "/v1/kv/missing?recurse", "", 404, ""),
    Wrong("GET", "/v1/kv/missing?keys", "", 404, ""),
    Wrong("GET", "/v1/health/node/", "", 400, "Missing node name"),
    Wrong("GET", "/v1/health/checks/", "", 400, "Missing service name"),
    Wrong("GET", "/v1/health/service/", "", 400, "Missing service name"),
    Wrong("GET", "/v1/health/state/", "", 400, "Missing check state"),
    Wrong("GET", "/v1/health/service/web?passing=maybe", "", 400, "Invalid value for ?passing"),
    Wrong("GET", "/v1/catalog/service/", "", 400, "Missing service name"),
    Wrong("GET", "/v1/catalog/node/", "", 400, "Missing node name"),
    # Filters
    Wrong("GET", "/v1/catalog/nodes?filter=Nope%20%3D%3D%20a", "", 500, "Failed to create boolean"),
    Wrong("GET", "/v1/catalog/nodes?filter=Node%20%3D%3D", "", 500, "Failed to create boolean"),
    Wrong("GET", "/v1/agent/services?filter=(", "", 500, "Failed to create boolean expression"),
    Wrong("GET", "/v1/agent/checks?filter=Status%20in", "", 500, "Failed to create boolean"),
    Wrong("GET", "/v1/agent/members?filter=a", "", 500, "Failed to create boolean expression"),
    # Keys
    Wrong("PUT", "/v1/kv/", "x", 400, "Missing key name"),
    Wrong("DELETE", "/v1/kv/", "", 400, "Missing key name"),
    Wrong("PUT", "/v1/kv/a?flags=many", "x", 500, "strconv.ParseUint: parsing"),
    Wrong("PUT", "/v1/kv/a?flags=-1", "x", 500, "strconv.ParseUint: parsing"),
    Wrong("PUT", "/v1/kv/a?flags=18446744073709551616", "x", 500, "strconv.ParseUint: parsing"),
    Wrong("PUT", "/v1/kv/a?cas=x", "x", 500, "strconv.ParseUint: parsing"),
    Wrong("PUT", "/v1/kv/a?cas=1&acquire=s", "x", 400, "Conflicting flags"),
    Wrong("PUT", "/v1/kv/a?acquire=s&release=s", "x", 400, "Conflicting flags"),
    Wrong("DELETE", "/v1/kv/a?recurse&cas=1", "", 400, "Conflicting flags"),
    Wrong("PUT", "/v1/kv/a?acquire=nobody", "x", 500, "raft apply failed: invalid session"),
    Wrong("PUT", "/v1/kv/a/../b", "x", 500, "invalid key name, path traversal is not allowed"),
    Wrong("PUT", "/v1/kv/%20a", "x", 500, "invalid key name, leading/trailing spaces"),
    Wrong(
        "PUT", "/v1/kv/big", b"x" * (512 * 1024 + 1), 413, "Request body(524289 bytes) too large"
    ),
    # Transactions
    Wrong("PUT", "/v1/txn", "{", 400, ""),
    Wrong("PUT", "/v1/txn", '{"KV": {}}', 400, ""),
    Wrong(
        "PUT", "/v1/txn", '[{"KV": {"Verb": "fly", "Key": "a"}}]', 409, '{"Errors":[{"OpIndex":0'
    ),
    Wrong(
        "PUT",
        "/v1/txn",
        '[{"KV": {"Verb": "check-index", "Key": "a", "Index": 999}}]',
        409,
        '{"Errors":[{"OpIndex":0',
    ),
    Wrong(
        "PUT",
        "/v1/txn",
        json.dumps([{"KV": {"Verb": "get", "Key": "a"}}] * 129),
        413,
        "Transaction contains too many operations (129 > 128)",
    ),
    # Sessions
    Wrong("PUT", SESSION, '{"TTL": "5s"}', 500, "Invalid Session TTL '5000000000'"),
    Wrong("PUT", SESSION, '{"TTL": "48h"}', 500, "Invalid Session TTL"),
    Wrong("PUT", SESSION, '{"Behavior": "keep"}', 500, "Invalid Behavior setting 'keep'"),
    Wrong("PUT", SESSION, '{"Node": "nowhere"}', 500, "apply failed: Missing node registration"),
    Wrong("PUT", SESSION, '{"Name": 5}', 400, "Request decode failed"),
    Wrong("PUT", SESSION, '{"NodeChecks": ["missing"]}', 500, ""),
    Wrong("PUT", "/v1/session/renew/none", "", 404, "Session id 'none' not found"),
    Wrong("PUT", "/v1/session/renew/", "", 400, "Missing session"),
    Wrong("PUT", "/v1/session/destroy/", "", 400, "Missing session"),
    # The agent's services and checks
    Wrong("PUT", SERVICE, "", 400, "Request decode failed"),
    Wrong("PUT", SERVICE, "[]", 400, "Request decode failed"),
    Wrong("PUT", SERVICE, "{}", 400, "Missing service name"),
    Wrong("PUT", SERVICE, '{"Name": "a", "Prot": 80}', 400, "Request decode failed: json: unknown"),
    Wrong("PUT", SERVICE, '{"Name": "a", "Port": "http"}', 400, "Request decode failed"),
    Wrong(
        "PUT", SERVICE, '{"Name": "a", "Namespace": "x"}', 400, "Request decode failed: json: un"
    ),
    Wrong("PUT", SERVICE, '{"Name": "a", "Address": "0.0.0.0"}', 400, "Invalid service address"),
    Wrong("PUT", SERVICE, '{"Name": "a", "Meta": {"b c": "d"}}', 400, "Invalid Service Meta"),
    Wrong("PUT", SERVICE, '{"Name": "a", "Weights": {"Passing": 0}}', 400, "Invalid Weights"),
    Wrong("PUT", SERVICE, '{"Name": "a", "Check": {"TTL": "x"}}', 400, "Request decode failed"),
    Wrong(
        "PUT", SERVICE, '{"Name": "a", "Check": {"TTL": "1s", "Interval": "1s"}}', 400, "Invalid"
    ),
    Wrong(
        "PUT", SERVICE, '{"Name": "a", "Check": {"HTTP": "http://x"}}', 400, "Invalid check: Int"
    ),
    Wrong(
        "PUT",
        SERVICE,
        '{"Name": "a", "Check": {"Args": ["true"], "Interval": "1s"}}',
        500,
        "Scripts are disabled on this agent",
    ),
    Wrong("PUT", "/v1/agent/service/deregister/none", "", 404, 'Unknown service ID "none"'),
    Wrong("GET", "/v1/agent/service/none", "", 404, "unknown service ID: none"),
    Wrong("PUT", "/v1/agent/service/maintenance/none?enable=true", "", 404, "Unknown service ID"),
    Wrong("PUT", "/v1/agent/service/maintenance/none", "", 400, "Missing value for enable"),
    Wrong("PUT", "/v1/agent/service/maintenance/?enable=true", "", 400, "Missing service ID"),
    Wrong("PUT", "/v1/agent/maintenance", "", 400, "Missing value for enable"),
    Wrong("PUT", "/v1/agent/maintenance?enable=x", "", 400, 'Invalid value for enable: "x"'),
    Wrong("PUT", CHECK, "{}", 400, "Missing check name"),
    Wrong("PUT", CHECK, '{"Name": "a"}', 400, "Invalid check: TTL must be > 0 for TTL checks"),
    Wrong("PUT", CHECK, '{"Name": "a", "TTL": "1s", "Status": "ill"}', 400, "Bad check status"),
    Wrong("PUT", CHECK, '{"Name": "a", "TTL": "1s", "ServiceID": "x"}', 404, 'ServiceID "x" does'),
    Wrong("PUT", "/v1/agent/check/deregister/none", "", 404, 'Unknown check ID "none"'),
    Wrong("PUT", "/v1/agent/check/pass/none", "", 404, 'Unknown check ID "none"'),
    Wrong("PUT", "/v1/agent/check/update/none", '{"Status": "ill"}', 400, "Invalid check status"),
    Wrong("PUT", "/v1/agent/check/update/none", '{"Status": "passing"}', 404, "Unknown check ID"),
    Wrong("PUT", "/v1/agent/token/agent", '{"Token": "x"}', 401, "ACL support disabled"),
    Wrong("GET", "/v1/agent/monitor?loglevel=loud", "", 400, "Unknown log level: loud"),
    Wrong("GET", "/v1/agent/health/service/id/none", "", 404, ""),
    Wrong("GET", "/v1/agent/health/service/name/none?format=text", "", 404, ""),
    # The catalog
    Wrong("PUT", CATALOG, "{}", 500, "Must provide node"),
    Wrong("PUT", CATALOG, '{"Node": "a"}', 500, "Must provide address if SkipNodeUpdate is not"),
    Wrong("PUT", CATALOG, '{"Node": "a", "Address": "1.1.1.1", "ID": "x"}', 500, "Bad node ID"),
    Wrong(
        "PUT",
        CATALOG,
        '{"Node": "a", "Address": "1.1.1.1", "Service": {"ID": "x"}}',
        500,
        "Must provide service name (Service.Service) when service ID is provided",
    ),
    Wrong(
        "PUT",
        CATALOG,
        '{"Node": "a", "Address": "1.1.1.1", "Check": {"Node": "b", "CheckID": "c"}}',
        500,
        "Node 'b' for check 'c' doesn't match register request node 'a'",
    ),
    Wrong("PUT", "/v1/catalog/deregister", "{}", 500, "Must provide node"),
    Wrong("PUT", CATALOG, '{"Node": "a", "Adress": "b"}', 400, "Request decode failed"),
    # Events, queries, coordinates, ACL, operator, snapshot
    Wrong("PUT", "/v1/event/fire/", "", 400, "Missing name"),
    Wrong("PUT", "/v1/event/fire/a?tag=x", "", 500, "Cannot provide tag filter"),
    Wrong("PUT", "/v1/event/fire/a?node=(", "", 500, "Invalid node filter"),
    Wrong("PUT", "/v1/event/fire/a", "x" * 301, 413, ""),
    Wrong("GET", "/v1/query/none", "", 500, "failed prepared query lookup: index error: UUID"),
    Wrong("GET", "/v1/query/none/execute", "", 404, "Query not found"),
    Wrong("POST", "/v1/query", "{}", 500, ""),
    Wrong("GET", "/v1/coordinate/node/none", "", 404, ""),
    Wrong("GET", "/v1/acl/tokens", "", 401, "ACL support disabled"),
    Wrong("PUT", "/v1/acl/bootstrap", "", 401, "ACL support disabled"),
    Wrong("DELETE", "/v1/operator/raft/peer", "", 400, "Must specify either ?id"),
    Wrong("PUT", "/v1/operator/autopilot/configuration", "[]", 400, "Error parsing autopilot"),
    Wrong("PUT", "/v1/operator/autopilot/configuration?cas=x", "{}", 400, "Error parsing cas"),
    Wrong("GET", "/v1/operator/keyring", "", 500, "4 errors occurred"),
    Wrong("PUT", "/v1/snapshot", "not a snapshot", 500, "failed to decompress snapshot"),
    Wrong("PUT", "/v1/agent/join/10.9.9.9", "", 500, "1 error occurred"),
    Wrong("PUT", "/v1/agent/force-leave/none", "", 500, "agent: No node found with name 'none'"),
]

# Arguments of the command line → exit code and what is told.
COMMANDS = [
    ("nothing", 127, ""),
    ("kv nothing", 1, "Usage: consul kv <subcommand>"),
    ("kv get", 1, "Error! Missing KEY argument"),
    ("kv get missing", 1, "Error! No key exists at: missing"),
    ("kv get -colour=red a", 1, "flag provided but not defined: -colour"),
    ("kv put", 1, "Error! Missing KEY argument"),
    ("kv put a b c", 1, "Error! Too many arguments"),
    ("kv put -acquire a b", 1, "Error! Missing -session (required with -acquire and -release)"),
    ("kv put -cas -modify-index=99 a b", 1, "Error! Did not write to a: CAS failed"),
    ("kv put -flags=x a b", 1, "-flags"),
    ("kv delete", 1, "Error! Missing KEY argument"),
    ("kv import", 1, ""),
    ("kv import {", 1, ""),
    ("watch -type=colour", 1, "colour"),
    ("watch", 1, ""),
    ("members -status=never", 2, ""),
    ("services register", 1, ""),
    ("services register /does/not/exist.json", 1, "/does/not/exist.json"),
    ("services deregister -id=none", 1, "none"),
    ("catalog nodes extra", 1, ""),
    ("force-leave", 1, ""),
    ("join", 1, ""),
    ("maint -enable -disable", 1, ""),
    ("event", 1, ""),
    ("lock", 1, ""),
    ("snapshot save", 1, ""),
    ("snapshot inspect /does/not/exist", 1, "/does/not/exist"),
    ("snapshot restore /does/not/exist", 1, "/does/not/exist"),
    ("validate /does/not/exist", 1, "/does/not/exist"),
    ("validate", 1, ""),
    ("rtt", 1, ""),
    ("keyring", 1, ""),
    ("operator raft remove-peer", 1, ""),
    ("agent -data-dir", 1, ""),
    ("agent -server", 1, "data_dir"),
    ("agent -dev -http-port=many", 1, "many"),
    ("agent -dev -datacenter=a/b", 1, "datacenter"),
    ("agent -dev -config-file=/does/not/exist.hcl", 1, "/does/not/exist.hcl"),
    ("-http-addr=1.2.3.4:1", 127, ""),
]

# DNS packets that are no questions, or not ones to answer.
PACKETS = [
    b"",
    b"\0",
    b"\0" * 11,
    b"\xff" * 12,
    b"\xff" * 512,
    b"\0\1\1\0\0\1\0\0\0\0\0\0",  # a question is announced and missing
    b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1",  # a name that points to itself
    b"\0\1\1\0\0\1\0\0\0\0\0\0\x3fabc\0\0\1\0\1",  # a label that is longer than the packet
    b"\0\1\1\0\0\2\0\0\0\0\0\0\3web\0\0\1\0\1",  # two questions announced
    b"\0\1\x81\x80\0\1\0\0\0\0\0\0\3web\0\0\1\0\1",  # a response
    b"\0\1\x28\0\0\1\0\0\0\0\0\0\3web\0\0\1\0\1",  # an update
    b"\0\1\1\0\0\1\0\0\0\0\0\0\3web\0\0\1\0\3",  # another class
    b"\0\1\1\0\0\1\0\0\0\0\0\1\3web\0\0\1\0\1\0\0\x29\2\0\0\0\0\0\xff\xff",  # OPT cut short
]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, int]]:
    folder = tmp_path_factory.mktemp("agent")
    with agent_running(folder) as one:
        one.api("PUT", "kv/witness", b"here")
        yield one, json.loads((folder / "ports.json").read_text())["ports"]["dns"]


def ask(agent: Agent, method: str, path: str, body: str | bytes = "") -> tuple[int, str]:
    """Status and body of a request, the path as it is."""
    host, _, port = agent.address.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    try:
        connection.request(method, path, body.encode() if isinstance(body, str) else body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def test_the_tables_are_large_enough() -> None:
    assert len(REQUESTS) + len(COMMANDS) + len(PACKETS) >= 100


@pytest.mark.parametrize("wrong", REQUESTS, ids=lambda w: f"{w.method} {w.path} {w.body[:40]!r}")
def test_requests(agent: tuple[Agent, int], wrong: Wrong) -> None:
    status, text = ask(agent[0], wrong.method, wrong.path, wrong.body)
    compact = json.dumps(json.loads(text), separators=(",", ":")) if status == 409 else text
    assert (status, compact[: len(wrong.text)]) == (wrong.status, wrong.text), text


@pytest.mark.parametrize(("line", "code", "text"), COMMANDS, ids=[line for line, _, _ in COMMANDS])
def test_commands(agent: tuple[Agent, int], line: str, code: int, text: str) -> None:
    done = agent[0].consul(*line.split())
    assert done.code == code, done
    assert text in done.err, done
    assert "Traceback" not in done.err


@pytest.mark.parametrize("packet", PACKETS, ids=lambda packet: packet[:16].hex())
def test_packets(agent: tuple[Agent, int], packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", agent[1]))
        client.send(packet)
    assert node_found(agent[1]), "DNS answers the next question"


def node_found(port: int) -> bool:
    """Whether the agent's own service is found."""
    command = ["dig", "@127.0.0.1", "-p", str(port), "consul.service.consul", "+short"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stdout.strip() == "127.0.0.1"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Name", "ID", "Check", "Checks", "TTL", "KV", "Node", "Verb", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_BODIES = _JSON.map(lambda tree: json.dumps(tree).encode()) | st.binary(max_size=64)
_SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_TARGETS = st.sampled_from(
    [SERVICE, CHECK, CATALOG, SESSION, "/v1/txn", "/v1/catalog/deregister", "/v1/config"]
)


@settings(max_examples=300, suppress_health_check=_SLOW)
@given(path=_TARGETS, body=_BODIES)
def test_no_body_is_an_internal_error(agent: tuple[Agent, int], path: str, body: bytes) -> None:
    _, text = ask(agent[0], "PUT", path, body)
    assert "internal error" not in text


@settings(max_examples=300, suppress_health_check=_SLOW)
@given(packet=st.binary(max_size=600))
def test_no_packet_stops_dns(agent: tuple[Agent, int], packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", agent[1]))
        client.send(packet)


def test_nothing_was_disturbed(agent: tuple[Agent, int]) -> None:
    one, dns = agent
    assert node_found(dns)
    assert ask(one, "GET", "/v1/kv/witness?raw") == (200, "here")
    assert "[ERROR] http" not in one.log.read_text(), "no request failed unexpectedly"
    descriptors = list(Path(f"/proc/{one.process.pid}/fd").iterdir())
    assert len(descriptors) < 100, "connections of wrong requests are closed"
