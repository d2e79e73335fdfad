"""Who may do what: every family of requests with tokens of every kind of rule."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest

from .conftest import GUARDED, MANAGEMENT, Play
from .facts import of_json
from .world import World

_UNKNOWN = "99999999-0000-4000-8000-000000000000"
_NODE, _SERVICE = "tab-a", "tab-web"


_OTHERS_TEXTS = ("agent/join/", "operator/keyring", "snapshot", "internal/federation")
"""What has texts of its own, that other scenarios compare."""
_NOBODY = ("unknown", "not even an ID")
_JUDGED_BEFORE = (
    *(f"GET query/{_UNKNOWN}", "PUT event/fire", "PUT agent/service/reg", "PUT agent/check/reg"),
    *("DELETE acl/", "POST peering/token"),
)


class Ask(NamedTuple):
    """A request of the table."""

    method: str
    path: str
    body: Any = None


_READS = [
    Ask("GET", path)
    for path in (
        "catalog/datacenters",
        "catalog/nodes",
        "catalog/services",
        f"catalog/service/{_SERVICE}",
        "catalog/service/tab-none",
        f"catalog/connect/{_SERVICE}",
        f"catalog/node/{_NODE}",
        "catalog/node/tab-none",
        f"catalog/node-services/{_NODE}",
        f"catalog/gateway-services/{_SERVICE}",
        f"health/node/{_NODE}",
        f"health/checks/{_SERVICE}",
        f"health/service/{_SERVICE}",
        f"health/connect/{_SERVICE}",
        f"health/ingress/{_SERVICE}",
        "health/state/critical",
        "kv/tab/a",
        "kv/tab/none",
        "kv/tab?recurse",
        "kv/tab?keys",
        "kv/tab/none?recurse",
        "session/list",
        f"session/node/{_NODE}",
        "session/info/{session}",
        f"session/info/{_UNKNOWN}",
        "query",
        "query/{query}",
        "query/{query}/execute",
        "query/{query}/explain",
        "query/tab-query/execute",
        f"query/{_UNKNOWN}",
        "event/list",
        f"coordinate/node/{_NODE}",
        "coordinate/datacenters",
        "agent/self",
        "agent/services",
        "agent/service/tab-none",
        "agent/checks",
        "agent/members",
        "agent/metrics",
        "agent/host",
        "agent/version",
        "agent/health/service/name/tab-none",
        "agent/health/service/id/tab-none",
        "operator/raft/configuration",
        "operator/autopilot/configuration",
        "operator/autopilot/health",
        "operator/autopilot/state",
        "operator/usage",
        "operator/keyring",
        "connect/intentions",
        f"connect/intentions/match?by=destination&name={_SERVICE}",
        f"connect/intentions/match?by=source&name={_SERVICE}",
        f"connect/intentions/check?source=tab-x&destination={_SERVICE}",
        f"connect/intentions/exact?source=tab-x&destination={_SERVICE}",
        "config/service-defaults",
        f"config/service-defaults/{_SERVICE}",
        "config/proxy-defaults",
        "config/proxy-defaults/global",
        "config/mesh/mesh",
        f"config/service-intentions/{_SERVICE}",
        "exported-services",
        "acl/tokens",
        "acl/token/self",
        f"acl/token/{_UNKNOWN}",
        "acl/policies",
        f"acl/policy/{_UNKNOWN}",
        "acl/policy/name/tab-none",
        "acl/roles",
        f"acl/role/{_UNKNOWN}",
        "acl/auth-methods",
        "acl/auth-method/tab-none",
        "acl/binding-rules",
        f"acl/binding-rule/{_UNKNOWN}",
        "acl/templated-policies",
        "acl/templated-policy/name/builtin/dns",
        "acl/replication",
        "internal/ui/nodes",
        "internal/ui/services",
        f"internal/ui/node/{_NODE}",
        "internal/ui/catalog-overview",
        f"internal/ui/service-topology/{_SERVICE}?kind=",
        f"internal/ui/gateway-services-nodes/{_SERVICE}",
        f"internal/ui/gateway-intentions/{_SERVICE}",
        "internal/federation-states",
        "status/leader",
        "status/peers",
    )
]
_READS_OF_PEERINGS = (Ask("GET", "peerings"), Ask("GET", "peering/tab-none"))
_MAY_READ_PEERINGS = ("mesh write", "operator read")
"""Of others the real one repeats the question to itself for seconds before it refuses."""
_ENTRY = {"Kind": "service-defaults", "Name": _SERVICE, "Protocol": "http"}
_WRITES = [
    Ask("PUT", "kv/tab/w", "1"),
    Ask("PUT", "kv/tab/w?acquire={session}", "1"),
    Ask("DELETE", "kv/tab/w"),
    Ask("DELETE", "kv/tab/none?recurse"),
    Ask("PUT", "txn", [{"KV": {"Verb": "set", "Key": "tab/w", "Value": "MQ=="}}]),
    Ask("PUT", "txn", [{"KV": {"Verb": "get", "Key": "tab/a"}}]),
    Ask("PUT", "txn", [{"KV": {"Verb": "get-tree", "Key": "tab/a"}}]),
    Ask("PUT", "txn", [{"Node": {"Verb": "get", "Node": {"Node": _NODE}}}]),
    Ask("PUT", "txn", [{"Node": {"Verb": "set", "Node": {"Node": _NODE, "Address": "10.0.0.1"}}}]),
    Ask("PUT", "catalog/register", {"Node": _NODE, "Address": "10.0.0.1"}),
    Ask(
        "PUT",
        "catalog/register",
        {"Node": _NODE, "Address": "10.0.0.1", "Service": {"Service": _SERVICE, "Port": 80}},
    ),
    Ask(
        "PUT",
        "catalog/register",
        {
            "Node": _NODE,
            "Address": "10.0.0.1",
            "SkipNodeUpdate": True,
            "Service": {"Service": _SERVICE, "Port": 80},
        },
    ),
    Ask(
        "PUT",
        "catalog/register",
        {"Node": _NODE, "Address": "10.0.0.1", "Check": {"CheckID": "c", "Name": "c"}},
    ),
    Ask("PUT", "catalog/deregister", {"Node": "tab-none"}),
    Ask("PUT", "catalog/deregister", {"Node": _NODE, "ServiceID": "tab-none"}),
    Ask("PUT", "catalog/deregister", {"Node": _NODE, "CheckID": "tab-none"}),
    Ask("PUT", "session/create", {"Node": _NODE, "Checks": []}),
    Ask("PUT", "session/create", {"Node": "tab-none", "Checks": []}),
    Ask("PUT", "session/renew/{session}"),
    Ask("PUT", f"session/renew/{_UNKNOWN}"),
    Ask("PUT", f"session/destroy/{_UNKNOWN}"),
    Ask("POST", "query", {"Name": "tab-other", "Service": {"Service": ""}}),
    Ask("PUT", "query/{query}", {"Name": "tab-query", "Service": {"Service": ""}}),
    Ask("PUT", f"query/{_UNKNOWN}", {"Name": "tab-query", "Service": {"Service": _SERVICE}}),
    Ask("DELETE", f"query/{_UNKNOWN}"),
    Ask("PUT", "event/fire/tab-event", "x"),
    Ask("PUT", "agent/service/register", {"Name": ""}),
    Ask("PUT", "agent/service/deregister/tab-none"),
    Ask("PUT", "agent/service/maintenance/tab-none?enable=true"),
    Ask("PUT", "agent/maintenance?enable=false"),
    Ask("PUT", "agent/check/register", {"Name": ""}),
    Ask("PUT", "agent/check/deregister/tab-none"),
    Ask("PUT", "agent/check/pass/tab-none"),
    Ask("PUT", "agent/check/update/tab-none", {"Status": "passing"}),
    Ask("PUT", "agent/join/"),
    Ask("PUT", "agent/token/nope", {"Token": "x"}),
    Ask("PUT", "coordinate/update", {"Node": "tab-none", "Coord": {"Vec": [0] * 8}}),
    Ask("PUT", "operator/autopilot/configuration?cas=1", {"CleanupDeadServers": True}),
    Ask("DELETE", "operator/raft/peer?id=tab-none"),
    Ask("PUT", "config", _ENTRY),
    Ask("PUT", "config", {"Kind": "mesh"}),
    Ask("PUT", "config", {"Kind": "proxy-defaults", "Name": "global"}),
    Ask("DELETE", "config/service-defaults/tab-none"),
    Ask("DELETE", "config/mesh/mesh"),
    Ask("DELETE", "config/proxy-defaults/global"),
    Ask(
        "PUT",
        f"connect/intentions/exact?source=tab-x&destination={_SERVICE}",
        {"Action": "allow"},
    ),
    Ask("DELETE", f"connect/intentions/exact?source=tab-none&destination={_SERVICE}"),
    Ask("PUT", "acl/policy", {"Name": "a b"}),
    Ask("PUT", f"acl/policy/{_UNKNOWN}", {"Name": "ab"}),
    Ask("DELETE", f"acl/policy/{_UNKNOWN}"),
    Ask("PUT", "acl/role", {"Name": "a b"}),
    Ask("DELETE", f"acl/role/{_UNKNOWN}"),
    Ask("PUT", "acl/token", {"AuthMethod": "x"}),
    Ask("PUT", f"acl/token/{_UNKNOWN}", {}),
    Ask("PUT", f"acl/token/{_UNKNOWN}/clone", {}),
    Ask("DELETE", f"acl/token/{_UNKNOWN}"),
    Ask("PUT", "acl/auth-method", {}),
    Ask("DELETE", "acl/auth-method/tab-none"),
    Ask("PUT", "acl/binding-rule", {}),
    Ask("DELETE", f"acl/binding-rule/{_UNKNOWN}"),
    Ask("POST", "acl/templated-policy/preview/builtin/dns", {}),
    Ask("POST", "acl/logout"),
    Ask("PUT", "acl/bootstrap"),
    Ask("PUT", "snapshot", "nonsense"),
    Ask("POST", "peering/token", {"PeerName": ""}),
    Ask("DELETE", "peering/tab-none"),
]

_RULES = {
    "nothing": "",
    "node read": f'node "{_NODE}" {{ policy = "read" }}',
    "nodes read": 'node_prefix "" { policy = "read" }',
    "node write": f'node "{_NODE}" {{ policy = "write" }} node_prefix "tab" {{ policy = "deny" }}',
    "service read": f'service "{_SERVICE}" {{ policy = "read" }}',
    "services read": 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }',
    "service write": f'service "{_SERVICE}" {{ policy = "write" intentions = "read" }}',
    "intentions": 'service_prefix "tab" { policy = "read" intentions = "write" }',
    "services write, one denied": 'service_prefix "" { policy = "write" } '
    f'service "{_SERVICE}" {{ policy = "deny" }} node_prefix "" {{ policy = "read" }}',
    "key read": 'key "tab/a" { policy = "read" }',
    "keys write, one denied": 'key_prefix "tab" { policy = "write" } '
    'key "tab/w" { policy = "deny" }',
    "keys list": 'key_prefix "tab" { policy = "list" }',
    "sessions": 'session_prefix "tab-a" { policy = "write" } key_prefix "" { policy = "write" }',
    "queries read": 'query_prefix "tab" { policy = "read" }',
    "queries write": 'query_prefix "" { policy = "write" } service_prefix "" { policy = "read" } '
    'node_prefix "" { policy = "read" }',
    "event": 'event "tab-event" { policy = "write" }',
    "agent read": 'agent_prefix "" { policy = "read" }',
    "agent write": 'agent "node-1" { policy = "write" }',
    "operator read": 'operator = "read"',
    "operator write": 'operator = "write"',
    "operator write, mesh denied": 'operator = "write" mesh = "deny" peering = "deny"',
    "keyring": 'keyring = "read"',
    "mesh read": 'mesh = "read"',
    "mesh write": 'mesh = "write" peering = "read"',
    "acl read": 'acl = "read"',
    "acl write": 'acl = "write"',
    "all services read, intentions denied": 'service_prefix "" { policy = "read" '
    'intentions = "deny" } node_prefix "" { policy = "read" }',
}


def _prepare(ask: World) -> dict[str, str]:
    register = {
        "Node": _NODE,
        "Address": "10.0.0.1",
        "Service": {"Service": _SERVICE, "Port": 80},
        "Checks": [
            {"CheckID": "n", "Name": "n", "Status": "critical"},
            {"CheckID": "s", "Name": "s", "Status": "critical", "ServiceID": _SERVICE},
        ],
    }
    ask.put("catalog/register", register, record=False)
    ask.put("kv/tab/a", "1", record=False)
    ask.put("kv/tab/b", "2", record=False)
    session = ask.put("session/create", {"Node": _NODE, "Checks": []}, record=False).json["ID"]
    query = {"Name": "tab-query", "Service": {"Service": _SERVICE}}
    made = ask.ask("POST", "query", query, record=False).json["ID"]
    ask.put("config", _ENTRY, record=False)
    ask.put(
        f"connect/intentions/exact?source=tab-x&destination={_SERVICE}",
        {"Action": "allow"},
        record=False,
    )
    return {"session": session, "query": made}


def _clean(ask: World) -> None:
    for query in ask.get("query", record=False).json:
        if query["Name"].startswith("tab"):
            ask.delete(f"query/{query['ID']}", record=False)
    for entry in (f"service-intentions/{_SERVICE}", f"service-defaults/{_SERVICE}"):
        ask.delete(f"config/{entry}", record=False)
    for kind in ("mesh/mesh", "proxy-defaults/global"):
        ask.delete(f"config/{kind}", record=False)
    ask.delete("kv/tab?recurse", record=False)
    ask.put("catalog/deregister", {"Node": _NODE}, record=False)
    ask.put("catalog/deregister", {"Node": "tab-none"}, record=False)


def _ask(ask: World, request: Ask, ids: dict[str, str], token: str, who: str) -> None:
    path = request.path
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    answer = ask.ask(request.method, path, request.body, token=token, record=False)
    facts: dict[str, Any] = {"status": answer.status}
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if request.path == "txn" and "json" in headers.get("content-type", ""):
        facts |= of_json(answer.json.get("Errors"), ask.names)
    elif request.path.startswith(_OTHERS_TEXTS):
        pass
    elif answer.status >= 400 and "json" not in headers.get("content-type", ""):
        text = ask.names.text(answer.body.decode())
        facts["body"] = re.sub(r"reset index: \d+", "reset index", text)
    elif request.method == "GET":
        facts["empty"] = answer.body in (b"[]", b"{}", b"null", b"")
    facts["filtered"] = headers.get("x-consul-results-filtered-by-acls")
    facts["leader known"] = headers.get("x-consul-knownleader")
    differs = {}
    if request.path == "internal/ui/catalog-overview" and "lacks permission" in facts.get(
        "body", ""
    ):
        differs["Refusing the overview of the catalog"] = ["body"]
    intentions = request.path.startswith(("connect/intentions/exact", "connect/intentions/check"))
    if intentions and answer.status == 200 and request.method == "GET":
        differs["Reads of one intention, and of whether one lets pass"] = ["leader known"]
    if request.path.startswith("coordinate/node/") and answer.status == 404:
        differs["A node without coordinates"] = ["leader known"]
    if "intentions/exact" in request.path and "lacks permission" in facts.get("body", ""):
        differs["Refusals for want of rights on intentions"] = ["body"]
    if who in _NOBODY and f"{request.method} {request.path}".startswith(_JUDGED_BEFORE):
        differs["A token that is nobody's"] = ["[bfls]*"]
    ask.note(f"{who}: {request.method} {request.path}", facts, differs=differs)


@pytest.mark.parametrize("who", ["no token", "unknown", "not even an ID", *_RULES])
def test_what_a_token_may(play: Play, who: str) -> None:
    def scenario(ask: World) -> None:
        ids = _prepare(ask)
        token, policy, accessor = "", "", ""
        if who == "unknown":
            token = _UNKNOWN
        elif who == "not even an ID":
            token = "nope"
        elif who in _RULES:
            body = {"Name": "tab-policy", "Rules": _RULES[who]}
            policy = ask.put("acl/policy", body, record=False).json["ID"]
            link = {"Description": "tab", "Policies": [{"ID": policy}]}
            made = ask.put("acl/token", link, record=False).json
            token, accessor = made["SecretID"], made["AccessorID"]
        peering = (*_READS_OF_PEERINGS,) if who in _MAY_READ_PEERINGS else ()
        for request in (*_READS, *peering, *_WRITES):
            _ask(ask, request, ids, token, who)
        if policy:
            ask.delete(f"acl/token/{accessor}", record=False)
            ask.delete(f"acl/policy/{policy}", record=False)
        _clean(ask)

    play(scenario, GUARDED, token=MANAGEMENT)
