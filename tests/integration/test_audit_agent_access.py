"""The agent's endpoints with access control: who is told what, and whose token counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.audit_rig import Client
from tests.integration.cli_consul_rig import agent_running

ROOT = "11111111-2222-4333-8444-555555555555"
FILTERED = "X-Consul-Results-Filtered-By-ACLs"
RULES = """
service "web" { policy = "write" }
service_prefix "" { policy = "read" }
node "other" { policy = "read" }
agent "here" { policy = "read" }
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An agent that keeps what it has on disk, asked by who may do all."""
    directory = tmp_path_factory.mktemp("agent")
    config = directory / "acl.json"
    tokens = {"initial_management": ROOT, "agent": ROOT}
    acl = {"enabled": True, "default_policy": "deny", "tokens": tokens}
    config.write_text(json.dumps({"acl": acl, "data_dir": str(directory / "data")}))
    flags = ("-server", "-bootstrap-expect=1", "-bind=127.0.0.1", "-node=here")
    with agent_running(directory, f"-config-file={config}", *flags, dev=False) as agent:
        client = Client(agent, ROOT)
        client.does(
            "agent/service/register", {"Name": "web", "Check": {"TTL": "1h", "CheckID": "w"}}
        )
        client.does("agent/service/register", {"Name": "db"})
        client.does("agent/check/register", {"Name": "disk", "TTL": "1h"})
        yield client


@pytest.fixture(scope="module")
def weak(root: Client) -> Client:
    """Who may write web, and read services."""
    policy = root.put("acl/policy", {"Name": "weak", "Rules": RULES})
    assert policy.status == 200, policy.text
    token = root.put("acl/token", {"Policies": [{"Name": "weak"}]}).json
    return Client(root.agent, token["SecretID"])


@pytest.fixture(scope="module")
def nobody(root: Client) -> Client:
    return Client(root.agent)


@pytest.mark.parametrize(
    ("path", "all_", "some", "nothing"),
    [
        ("agent/members", 1, 0, []),
        ("agent/services", 2, 2, {}),
        ("agent/checks", 2, 1, {}),
        ("catalog/nodes", 1, 0, []),
        ("catalog/services", 3, 0, {}),
        ("catalog/service/web", 1, 0, []),
        ("health/service/web", 1, 0, []),
        ("health/state/any", 3, 0, []),
        ("session/list", 0, 0, []),
        ("query", 0, 0, []),
    ],
)
def test_lists_are_filtered(
    root: Client, weak: Client, nobody: Client, path: str, all_: int, some: int, nothing: Any
) -> None:
    """And only who has a token learns that there is more."""
    for client, count in ((root, all_), (weak, some)):
        reply = client.get(path)
        assert (reply.status, len(reply.json)) == (200, count)
        assert reply.headers.get(FILTERED) == (None if count == all_ else "true")
    reply = nobody.get(path)
    assert (reply.status, reply.json, reply.headers.get(FILTERED)) == (200, nothing, None)
    assert reply.headers["X-Consul-Default-ACL-Policy"] == "deny"


DENIED: list[tuple[str, str, Any, str]] = [
    ("GET", "agent/metrics", None, "'agent:read' on \"here\""),
    ("GET", "agent/self", None, "'agent:read' on \"here\""),
    ("GET", "agent/host", None, "'operator:read'"),
    ("PUT", "agent/reload", None, "'agent:write' on \"here\""),
    ("PUT", "agent/leave", None, "'agent:write' on \"here\""),
    ("PUT", "agent/force-leave/x", None, "'operator:write'"),
    ("PUT", "agent/maintenance?enable=true", None, "'node:write' on \"here\""),
    ("PUT", "agent/token/default", {"Token": "x"}, "'agent:write' on \"here\""),
    ("PUT", "agent/service/register", {"Name": "db"}, "'service:write' on \"db\""),
    ("PUT", "agent/service/deregister/db", None, "'service:write' on \"db\""),
    ("PUT", "agent/service/maintenance/db?enable=true", None, "'service:write' on \"db\""),
    ("PUT", "agent/check/register", {"Name": "c", "TTL": "1h"}, "'node:write' on \"here\""),
    ("PUT", "agent/check/pass/disk", None, "'node:write' on \"here\""),
    ("PUT", "agent/check/deregister/disk", None, "'node:write' on \"here\""),
    ("GET", "kv/a", None, "'key:read' on \"a\""),
    ("PUT", "kv/a", b"v", "'key:write' on \"a\""),
    ("PUT", "session/create", {}, "'session:write' on \"here\""),
    ("GET", "snapshot", None, "'acl:write'"),
]


@pytest.mark.parametrize(("method", "path", "body", "what"), DENIED)
def test_what_is_denied(
    weak: Client, nobody: Client, method: str, path: str, body: Any, what: str
) -> None:
    reply = nobody.call(method, path, body)
    assert reply.status == 403
    assert reply.text.startswith(f"Permission denied: anonymous token lacks permission {what}")
    if path in ("agent/metrics", "agent/self"):
        assert weak.get(path).status == 200
        return
    reply = weak.call(method, path, body)
    assert reply.status == 403
    assert reply.text.startswith("Permission denied: token with AccessorID '")
    assert reply.text.endswith(f"' lacks permission {what}")


def test_events_are_denied_in_two_words(nobody: Client) -> None:
    reply = nobody.put("event/fire/deploy")
    assert (reply.status, reply.text) == (403, "Permission denied")


@pytest.mark.parametrize("path", ["agent/services", "catalog/nodes", "kv/a", "agent/service/none"])
def test_a_token_that_is_nobodys(root: Client, path: str) -> None:
    reply = Client(root.agent, "8f246b77-f3e1-ff88-5b48-8ec93abf3e05").get(path)
    assert (reply.status, reply.text) == (403, "ACL not found")


@pytest.mark.parametrize("path", ["status/leader", "status/peers", "catalog/datacenters"])
def test_these_ask_for_no_token(root: Client, path: str) -> None:
    assert Client(root.agent, "nobodys").get(path).status == 200


def test_what_may_be_done_with_little(weak: Client) -> None:
    weak.does("agent/service/register", {"Name": "web", "Port": 81, "Token": weak.token})
    weak.does("agent/check/register", {"Name": "c", "ServiceID": "web", "TTL": "1h"})
    weak.does("agent/check/pass/c")
    weak.does("agent/check/deregister/c")
    assert weak.json("agent/service/web")["Port"] == 81


@pytest.mark.parametrize(
    "kind",
    [
        *("default", "agent", "agent_recovery", "agent_master", "replication", "dns"),
        *("config_file_service_registration", "acl_token", "acl_agent_token"),
        *("acl_agent_master_token", "acl_replication_token"),
    ],
)
def test_tokens_of_the_agent(root: Client, kind: str) -> None:
    root.does(f"agent/token/{kind}", {"Token": ROOT})
    if kind not in ("agent", "acl_agent_token"):
        root.does(f"agent/token/{kind}", {"Token": ""})


def test_a_token_the_agent_does_not_have(root: Client) -> None:
    reply = root.put("agent/token/other", {"Token": "x"})
    assert (reply.status, reply.text) == (404, 'Token "other" is unknown')


def test_the_default_token_is_who_asks_without(root: Client, nobody: Client) -> None:
    assert nobody.get("kv/a?keys").status in (403, 404)
    assert nobody.get("agent/self").status == 403
    root.does("agent/token/default", {"Token": ROOT})
    try:
        assert nobody.get("agent/self").status == 200
        assert Client(root.agent, "nobodys").get("agent/self").status == 403
    finally:
        root.does("agent/token/default", {"Token": ""})
    assert nobody.get("agent/self").status == 403
