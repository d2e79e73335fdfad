"""Every endpoint under default deny: refused without the permission, allowed with it.

The table names, for each route and method, a request and the rules that allow it. A route without
an entry fails the test, so no endpoint is unguarded by oversight.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
import structlog

from portway.agent.api import agent_routes
from portway.agent.config.load import load
from portway.agent.logs import Log
from portway.agent.runtime import Runtime
from portway.discovery.api import App, Context, all_routes
from portway.discovery.operations import coordinates
from tests.patience import PATIENCE

ROOT = "11111111-2222-4333-8444-555555555555"
OTHER = "11111111-2222-4333-8444-666666666666"


class Case(NamedTuple):
    """A request. ``rules`` allow it; nothing less in the table does.

    With ``seen`` the endpoint is one that filters: the caller without permission gets a success
    that does not have this text. ``statuses`` are what the allowed caller may get.
    """

    path: str
    rules: str
    body: Any = None
    seen: str = ""
    statuses: tuple[int, ...] = (200,)


class Public(NamedTuple):
    """A request that needs no permission, and why."""

    path: str
    why: str
    body: Any = None


PEER = {"PeerName": "p"}


def rule(resource: str, access: str, name: str = "") -> str:
    return f'{resource} "{name}" {{ policy = "{access}" }}\n'


def service(access: str, name: str = "web") -> str:
    return rule("service", access, name)


def node(access: str, name: str = "n1") -> str:
    return rule("node", access, name)


def key(access: str, name: str) -> str:
    return rule("key", access, name)


def agent(access: str) -> str:
    return rule("agent", access, "n1")


def session(access: str) -> str:
    return rule("session", access, "n1")


def query(name: str) -> dict[str, Any]:
    return {"Name": name, "Service": {"Service": "web"}}


READ_WEB = node("read") + service("read")
ACL_READ, ACL_WRITE = 'acl = "read"', 'acl = "write"'
OPERATOR_READ, OPERATOR_WRITE = 'operator = "read"', 'operator = "write"'
CHECK = {"Name": "c", "CheckID": "{c}", "TTL": "1h"}
PASSING = {"Node": "n1", "CheckID": "t", "Name": "t", "Status": "passing"}
COORDINATE = {
    "Node": "n1",
    "Coord": {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-5},
}
SOURCE = {"Name": "api", "Action": "allow"}
INTEND = 'service "new" { policy = "read" intentions = "write" }'
INTEND_OLD = 'service "old" { policy = "read" intentions = "write" }'
SESSION = "/v1/session/{}/{{session}}"

TABLE: dict[str, Case | Public | list[Case]] = {
    # acl
    "PUT /v1/acl/bootstrap": Public("/v1/acl/bootstrap", "the first token; refused once done"),
    "GET /v1/acl/replication": Public("/v1/acl/replication", "for health checks"),
    "PUT /v1/acl/token": Case("/v1/acl/token", ACL_WRITE, {}),
    "GET /v1/acl/tokens": Case("/v1/acl/tokens", ACL_READ),
    "GET /v1/acl/token/self": Public("/v1/acl/token/self", "the caller has the secret"),
    "GET /v1/acl/token/": Case("/v1/acl/token/{token}", ACL_READ),
    "PUT /v1/acl/token/": [
        Case("/v1/acl/token/{token}", ACL_WRITE, {}),
        Case("/v1/acl/token/{token}/clone", ACL_WRITE, {}),
    ],
    "DELETE /v1/acl/token/": Case("/v1/acl/token/{token}", ACL_WRITE),
    "PUT /v1/acl/policy": Case("/v1/acl/policy", ACL_WRITE, {"Name": "new"}),
    "GET /v1/acl/policies": Case("/v1/acl/policies", ACL_READ),
    "GET /v1/acl/policy/": Case("/v1/acl/policy/{policy}", ACL_READ),
    "PUT /v1/acl/policy/": Case("/v1/acl/policy/{policy}", ACL_WRITE, {"Name": "p2"}),
    "DELETE /v1/acl/policy/": Case("/v1/acl/policy/{policy}", ACL_WRITE),
    "GET /v1/acl/policy/name/": Case("/v1/acl/policy/name/global-management", ACL_READ),
    "PUT /v1/acl/role": Case("/v1/acl/role", ACL_WRITE, {"Name": "new"}),
    "GET /v1/acl/roles": Case("/v1/acl/roles", ACL_READ),
    "GET /v1/acl/role/": Case("/v1/acl/role/{role}", ACL_READ),
    "PUT /v1/acl/role/": Case("/v1/acl/role/{role}", ACL_WRITE, {"Name": "r2"}),
    "DELETE /v1/acl/role/": Case("/v1/acl/role/{role}", ACL_WRITE),
    "GET /v1/acl/role/name/": Case("/v1/acl/role/name/r2", ACL_READ, statuses=(404,)),
    "GET /v1/acl/templated-policies": Case("/v1/acl/templated-policies", ACL_READ),
    "GET /v1/acl/templated-policy/name/": Case(
        "/v1/acl/templated-policy/name/builtin/dns", ACL_READ
    ),
    "POST /v1/acl/templated-policy/preview/": Case(
        "/v1/acl/templated-policy/preview/builtin/dns", ACL_READ, {}
    ),
    "PUT /v1/acl/auth-method": Case("/v1/acl/auth-method", ACL_WRITE, {}, statuses=(500,)),
    "GET /v1/acl/auth-methods": Case("/v1/acl/auth-methods", ACL_READ),
    "GET /v1/acl/auth-method/": Case("/v1/acl/auth-method/x", ACL_READ, statuses=(404,)),
    "PUT /v1/acl/auth-method/": Case("/v1/acl/auth-method/x", ACL_WRITE, {}, statuses=(500,)),
    "DELETE /v1/acl/auth-method/": Case("/v1/acl/auth-method/x", ACL_WRITE, statuses=(404,)),
    "PUT /v1/acl/binding-rule": Case("/v1/acl/binding-rule", ACL_WRITE, {}, statuses=(500,)),
    "GET /v1/acl/binding-rules": Case("/v1/acl/binding-rules", ACL_READ),
    "GET /v1/acl/binding-rule/": Case(f"/v1/acl/binding-rule/{ROOT}", ACL_READ, statuses=(404,)),
    "PUT /v1/acl/binding-rule/": Case("/v1/acl/binding-rule/x", ACL_WRITE, {}, statuses=(500,)),
    "DELETE /v1/acl/binding-rule/": Case(
        f"/v1/acl/binding-rule/{OTHER}", ACL_WRITE, statuses=(404,)
    ),
    "POST /v1/acl/login": Public("/v1/acl/login", "its credential is checked", {}),
    "POST /v1/acl/logout": Public("/v1/acl/logout", "only of a token that a login has made"),
    "POST /v1/internal/acl/authorize": Public(
        "/v1/internal/acl/authorize", "the caller could find out by trying", []
    ),
    # key-value store
    "GET /v1/kv/": [
        Case("/v1/kv/k/read", key("read", "k/read")),
        Case("/v1/kv/k/read?raw", key("read", "k/read")),
        Case("/v1/kv/k/read?history", key("read", "k/read")),
        Case("/v1/kv/k/?recurse", key("read", "k/read"), seen="k/read"),
        Case("/v1/kv/k/?keys", key("read", "k/read"), seen="k/read"),
    ],
    "PUT /v1/kv/": [
        Case("/v1/kv/k/new", key("write", "k/new"), b"x"),
        Case("/v1/kv/k/new?cas=0", key("write", "k/new"), b"x"),
        Case("/v1/kv/k/locked?acquire={session}", key("write", "k/locked"), b"x"),
        Case("/v1/kv/k/locked?release={session}", key("write", "k/locked"), b"x"),
    ],
    "DELETE /v1/kv/": [
        Case("/v1/kv/k/new", key("write", "k/new")),
        Case("/v1/kv/k/new?cas=1", key("write", "k/new")),
        Case("/v1/kv/k/tree?recurse", rule("key_prefix", "write", "k/tree")),
    ],
    # catalog and health
    "PUT /v1/catalog/register": [
        Case("/v1/catalog/register", node("write", "n2"), {"Node": "n2", "Address": "10.0.0.2"}),
        Case(
            "/v1/catalog/register",
            service("write"),
            {"Node": "n2", "SkipNodeUpdate": True, "Service": {"Service": "web"}},
        ),
    ],
    "PUT /v1/catalog/deregister": [
        Case(
            "/v1/catalog/deregister",
            service("write", "far"),
            {"Node": "n3", "ServiceID": "far"},
        ),
        Case("/v1/catalog/deregister", node("write", "n3"), {"Node": "n3"}),
    ],
    "GET /v1/catalog/datacenters": Public("/v1/catalog/datacenters", "names of datacenters only"),
    "GET /v1/catalog/nodes": Case("/v1/catalog/nodes", node("read"), seen='"n1"'),
    "GET /v1/catalog/services": Case("/v1/catalog/services", READ_WEB, seen='"web"'),
    "GET /v1/catalog/service/": Case("/v1/catalog/service/web", READ_WEB, seen='"web"'),
    "GET /v1/catalog/connect/": Case("/v1/catalog/connect/native", node("read")
        + service("read", "native"), seen='"native"'),
    "GET /v1/catalog/node/": Case("/v1/catalog/node/n1", READ_WEB, seen='"web"'),
    "GET /v1/catalog/node-services/": Case(
        "/v1/catalog/node-services/n1", READ_WEB, seen='"web"'
    ),
    "GET /v1/catalog/gateway-services/": Case(
        "/v1/catalog/gateway-services/web", service("read")
    ),
    "GET /v1/health/node/": Case("/v1/health/node/n1", READ_WEB, seen='"service:web"'),
    "GET /v1/health/checks/": Case("/v1/health/checks/web", READ_WEB, seen='"service:web"'),
    "GET /v1/health/state/": Case("/v1/health/state/any", READ_WEB, seen='"service:web"'),
    "GET /v1/health/service/": Case("/v1/health/service/web", READ_WEB, seen='"web"'),
    "GET /v1/health/connect/": Case("/v1/health/connect/native", node("read")
        + service("read", "native")),
    "GET /v1/health/ingress/": Case("/v1/health/ingress/web", READ_WEB),
    # sessions
    "PUT /v1/session/create": Case("/v1/session/create", session("write"), {}),
    "PUT /v1/session/renew/": Case(SESSION.format("renew"), session("write")),
    "GET /v1/session/info/": Case(SESSION.format("info"), session("read"), seen="{session}"),
    "GET /v1/session/node/": Case("/v1/session/node/n1", session("read"), seen="{session}"),
    "GET /v1/session/list": Case("/v1/session/list", session("read"), seen="{session}"),
    "PUT /v1/session/destroy/": Case(SESSION.format("destroy"), session("write")),
    # events
    "PUT /v1/event/fire/": Case("/v1/event/fire/deploy", rule("event", "write", "deploy")),
    "GET /v1/event/list": Case("/v1/event/list", rule("event", "read", "seen"), seen='"seen"'),
    # transactions
    "PUT /v1/txn": [
        Case("/v1/txn", key("read", "k/read"), [{"KV": {"Verb": "get", "Key": "k/read"}}],
             "k/read"),
        Case("/v1/txn", key("read", "k/read"), [{"KV": {"Verb": "get-tree", "Key": "k/read"}}],
             "k/read"),
        Case("/v1/txn", key("write", "k/t"), [{"KV": {"Verb": "set", "Key": "k/t", "Value": ""}}]),
        Case("/v1/txn", rule("key_prefix", "write", "k/t"),
             [{"KV": {"Verb": "delete-tree", "Key": "k/t"}}]),
        Case("/v1/txn", node("read"), [{"Node": {"Verb": "get", "Node": {"Node": "n1"}}}], '"n1"'),
        Case("/v1/txn", node("write", "n4"),
             [{"Node": {"Verb": "set", "Node": {"Node": "n4", "Address": "10.0.0.4"}}}]),
        Case("/v1/txn", service("read"),
             [{"Service": {"Verb": "get", "Node": "n1", "Service": {"ID": "web"}}}], '"web"'),
        Case("/v1/txn", service("write", "t"),
             [{"Service": {"Verb": "set", "Node": "n1", "Service": {"Service": "t"}}}]),
        Case("/v1/txn", node("write"),
             [{"Check": {"Verb": "set", "Check": PASSING}}]),
    ],
    # coordinates
    "GET /v1/coordinate/datacenters": Public("/v1/coordinate/datacenters", "documented so"),
    "GET /v1/coordinate/nodes": Case("/v1/coordinate/nodes", node("read"), seen='"n1"'),
    "GET /v1/coordinate/node/": Case("/v1/coordinate/node/n1", node("read")),
    "PUT /v1/coordinate/update": Case("/v1/coordinate/update", node("write"), COORDINATE),
    # prepared queries
    "GET /v1/query": Case("/v1/query", rule("query", "read", "geo"), seen='"geo"'),
    "POST /v1/query": Case("/v1/query", rule("query", "write", "new"), query("new")),
    "GET /v1/query/": [
        Case("/v1/query/{query}", rule("query", "read", "geo")),
        Case("/v1/query/geo/explain", rule("query", "read", "geo")),
        Case("/v1/query/geo/execute", READ_WEB, seen='"n1"'),
    ],
    "PUT /v1/query/": Case("/v1/query/{query}", rule("query", "write", "geo"), query("geo")),
    "DELETE /v1/query/": Case("/v1/query/{query}", rule("query", "write", "geo")),
    # user interfaces
    "GET /v1/internal/ui/nodes": Case("/v1/internal/ui/nodes", READ_WEB, seen='"web"'),
    "GET /v1/internal/ui/node/": Case("/v1/internal/ui/node/n1", READ_WEB, seen='"web"'),
    "GET /v1/internal/ui/services": Case("/v1/internal/ui/services", READ_WEB, seen='"web"'),
    "GET /v1/internal/ui/catalog-overview": Case(
        "/v1/internal/ui/catalog-overview", OPERATOR_READ
    ),
    "GET /v1/internal/ui/service-topology/": Case(
        "/v1/internal/ui/service-topology/web?kind=", service("read"), statuses=(200, 400)
    ),
    "GET /v1/internal/ui/gateway-services-nodes/": Case(
        "/v1/internal/ui/gateway-services-nodes/web", service("read")
    ),
    "GET /v1/internal/ui/gateway-intentions/": Case(
        "/v1/internal/ui/gateway-intentions/web", service("read")
    ),
    "GET /v1/internal/ui/exported-services": Public(
        "/v1/internal/ui/exported-services", "nothing is exported without peerings"
    ),
    "GET /v1/internal/ui/metrics-proxy/": Public(
        "/v1/internal/ui/metrics-proxy/x", "there is no metrics provider behind it"
    ),
    # config entries and intentions; the first is read by all, as proxies need it
    "PUT /v1/config": [
        Case("/v1/config", service("write", "conf"),
             {"Kind": "service-defaults", "Name": "conf"}),
        Case("/v1/config", 'mesh = "write"', {"Kind": "proxy-defaults"}),
        Case("/v1/config", OPERATOR_WRITE, {"Kind": "mesh"}),
        Case("/v1/config", 'service "conf" { policy = "read" intentions = "write" }',
             {"Kind": "service-intentions", "Name": "conf", "Sources": [SOURCE]}),
    ],
    "GET /v1/config/": [
        Case("/v1/config/service-defaults/web", service("read")),
        Case("/v1/config/service-defaults", service("read"), seen='"web"'),
        Case("/v1/config/service-intentions/web", service("read")),
        Case("/v1/config/exported-services/default", 'mesh = "read"', statuses=(404,)),
    ],
    "DELETE /v1/config/": [
        Case("/v1/config/service-defaults/gone", service("write", "gone")),
        Case("/v1/config/mesh/gone", 'mesh = "write"'),
    ],
    "GET /v1/exported-services": Case("/v1/exported-services", 'mesh = "read"'),
    "GET /v1/connect/intentions": Case(
        "/v1/connect/intentions", service("read"), seen='"web"'
    ),
    "POST /v1/connect/intentions": Case("/v1/connect/intentions", INTEND, {
        "SourceName": "a", "DestinationName": "new", "Action": "allow"}),
    "GET /v1/connect/intentions/exact": Case(
        "/v1/connect/intentions/exact?source=api&destination=web", service("read")
    ),
    "PUT /v1/connect/intentions/exact": Case(
        "/v1/connect/intentions/exact?source=b&destination=new", INTEND, {"Action": "deny"}
    ),
    "DELETE /v1/connect/intentions/exact": Case(
        "/v1/connect/intentions/exact?source=b&destination=new", INTEND
    ),
    "GET /v1/connect/intentions/match": Case(
        "/v1/connect/intentions/match?by=destination&name=web", service("read")
    ),
    "GET /v1/connect/intentions/check": Case(
        "/v1/connect/intentions/check?source=api&destination=web", service("read")
    ),
    "GET /v1/connect/intentions/": Case(
        "/v1/connect/intentions/{intention}", service("read", "old")
    ),
    "PUT /v1/connect/intentions/": Case(
        "/v1/connect/intentions/{intention}",
        INTEND_OLD,
        {"SourceName": "a", "DestinationName": "old", "Action": "deny"},
    ),
    "DELETE /v1/connect/intentions/": Case("/v1/connect/intentions/{intention}", INTEND_OLD),
    "POST /v1/agent/connect/authorize": Case("/v1/agent/connect/authorize", service("write"), {
        "Target": "web", "ClientCertURI": "spiffe://td.consul/ns/default/dc/dc1/svc/api"}),
    # peering and federation
    "GET /v1/peerings": Case("/v1/peerings", 'peering = "read"'),
    "POST /v1/peering/token": Case("/v1/peering/token", 'peering = "write"', PEER, "", (500,)),
    "POST /v1/peering/establish": Case(
        "/v1/peering/establish", 'peering = "write"', PEER, "", (500,)
    ),
    "GET /v1/peering/": Case("/v1/peering/x", 'peering = "read"', statuses=(404,)),
    "DELETE /v1/peering/": Case("/v1/peering/x", 'peering = "write"'),
    "GET /v1/internal/federation-states": Case("/v1/internal/federation-states", OPERATOR_READ),
    "GET /v1/internal/federation-states/mesh-gateways": Case(
        "/v1/internal/federation-states/mesh-gateways", OPERATOR_READ
    ),
    "GET /v1/internal/federation-state/": Case(
        "/v1/internal/federation-state/dc1", OPERATOR_READ, statuses=(404,)
    ),
    # operator
    "GET /v1/operator/raft/configuration": Case("/v1/operator/raft/configuration", OPERATOR_READ),
    "DELETE /v1/operator/raft/peer": Case(
        "/v1/operator/raft/peer?id=x", OPERATOR_WRITE, statuses=(500,)
    ),
    "POST /v1/operator/raft/transfer-leader": Case(
        "/v1/operator/raft/transfer-leader", OPERATOR_WRITE, statuses=(500,)
    ),
    "GET /v1/operator/autopilot/configuration": Case(
        "/v1/operator/autopilot/configuration", OPERATOR_READ
    ),
    "PUT /v1/operator/autopilot/configuration": Case(
        "/v1/operator/autopilot/configuration", OPERATOR_WRITE, {}
    ),
    "GET /v1/operator/autopilot/health": Case("/v1/operator/autopilot/health", OPERATOR_READ),
    "GET /v1/operator/autopilot/state": Case("/v1/operator/autopilot/state", OPERATOR_READ),
    "GET /v1/operator/usage": Case("/v1/operator/usage", OPERATOR_READ),
    **{
        f"{method} /v1/operator/keyring": Case(
            "/v1/operator/keyring", f'keyring = "{access}"', {}, statuses=(500,)
        )
        for method, access in (
            ("GET", "read"),
            ("POST", "write"),
            ("PUT", "write"),
            ("DELETE", "write"),
        )
    },
    # status, snapshots
    "GET /v1/status/leader": Public("/v1/status/leader", "documented so"),
    "GET /v1/status/peers": Public("/v1/status/peers", "documented so"),
    "GET /v1/snapshot": Case("/v1/snapshot", ACL_WRITE),
    "PUT /v1/snapshot": Case("/v1/snapshot", ACL_WRITE, b"x", statuses=(500,)),
    # the agent
    "GET /v1/agent/self": Case("/v1/agent/self", agent("read")),
    "GET /v1/agent/version": Public("/v1/agent/version", "measured so"),
    "GET /v1/agent/host": Case("/v1/agent/host", OPERATOR_READ),
    "GET /v1/agent/members": Case("/v1/agent/members", node("read"), seen='"n1"'),
    "GET /v1/agent/monitor": Case("/v1/agent/monitor", agent("read")),
    "GET /v1/agent/metrics": Case("/v1/agent/metrics", agent("read")),
    "GET /v1/agent/metrics/stream": Case("/v1/agent/metrics/stream", agent("read")),
    "PUT /v1/agent/reload": Case("/v1/agent/reload", agent("write")),
    "PUT /v1/agent/leave": Case("/v1/agent/leave", agent("write")),
    "PUT /v1/agent/join/": Case("/v1/agent/join/127.0.0.1", agent("write")),
    "PUT /v1/agent/force-leave/": Case("/v1/agent/force-leave/n1", OPERATOR_WRITE),
    "PUT /v1/agent/maintenance": Case("/v1/agent/maintenance?enable=false", node("write")),
    "PUT /v1/agent/token/": Case("/v1/agent/token/agent", agent("write"), {"Token": ""}),
    "GET /v1/agent/services": Case("/v1/agent/services", service("read"), seen='"web"'),
    "GET /v1/agent/service/": Case("/v1/agent/service/web", service("read")),
    "PUT /v1/agent/service/register": Case(
        "/v1/agent/service/register", service("write", "new"), {"Name": "new"}
    ),
    "PUT /v1/agent/service/deregister/": Case(
        "/v1/agent/service/deregister/native", service("write", "native")
    ),
    "PUT /v1/agent/service/maintenance/": Case(
        "/v1/agent/service/maintenance/web?enable=false", service("write")
    ),
    "GET /v1/agent/health/service/id/": Case(
        "/v1/agent/health/service/id/web", service("read"), statuses=(200, 503)
    ),
    "GET /v1/agent/health/service/name/": Case(
        "/v1/agent/health/service/name/web", service("read"), statuses=(200, 503)
    ),
    "GET /v1/agent/checks": [
        Case("/v1/agent/checks", service("read"), seen='"service:web"'),
        Case("/v1/agent/checks", node("read"), seen='"alone"'),
    ],
    "PUT /v1/agent/check/register": [
        Case("/v1/agent/check/register", node("write"), {"Name": "c1", "TTL": "1h"}),
        Case(
            "/v1/agent/check/register",
            service("write"),
            {"Name": "c2", "TTL": "1h", "ServiceID": "web"},
        ),
    ],
    "PUT /v1/agent/check/pass/": [
        Case("/v1/agent/check/pass/alone", node("write")),
        Case("/v1/agent/check/pass/service:web", service("write")),
    ],
    "PUT /v1/agent/check/warn/": Case("/v1/agent/check/warn/alone", node("write")),
    "PUT /v1/agent/check/fail/": Case("/v1/agent/check/fail/alone", node("write")),
    "PUT /v1/agent/check/update/": Case(
        "/v1/agent/check/update/alone", node("write"), {"Status": "passing"}
    ),
    "PUT /v1/agent/check/deregister/": Case("/v1/agent/check/deregister/alone", node("write")),
}  # fmt: skip


class Answer(NamedTuple):
    status: int
    body: str


class Rig:
    """An agent with something of everything."""

    def __init__(self, runtime: Runtime) -> None:
        async def reload() -> None:
            return None

        context = Context(runtime.server, runtime.resolver, runtime.settings)
        self.routes = (*all_routes(), *agent_routes(runtime, reload))
        self.app = App(self.routes, context)
        self.runtime = runtime
        self.names: dict[str, str] = {}
        self.secrets = {ROOT}

    async def call(self, method: str, path: str, body: Any = None, token: str = "") -> Answer:
        """One request; of an answer that streams only the status."""
        target, _, query = path.partition("?")
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(target),
            "query_string": query.encode(),
            "headers": [(b"x-consul-token", token.encode())] if token else [],
            "client": ("127.0.0.1", 1),
        }
        sent: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        task = asyncio.create_task(self.app(scope, receive, sent.put))
        start = await sent.get()
        if path.endswith(("/monitor", "/stream")) and start["status"] == 200:
            task.cancel()
            return Answer(200, "")
        await task
        parts = [sent.get_nowait() for _ in range(sent.qsize())]
        return Answer(start["status"], b"".join(p["body"] for p in parts).decode(errors="replace"))

    async def made(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.call(method, path, body, ROOT)
        assert answer.status == 200, (path, answer)
        return json.loads(answer.body) if answer.body else None

    async def token(self, rules: str) -> str:
        """A token with these rules only."""
        name = f"policy-{len(self.secrets)}"
        await self.made("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        token = await self.made("PUT", "/v1/acl/token", {"Policies": [{"Name": name}]})
        self.secrets.add(token["SecretID"])
        return str(token["SecretID"])

    async def fill(self) -> None:
        """What the requests of the table are about."""
        web = {"Name": "web", "Check": {"TTL": "1h", "Status": "passing"}}
        await self.made("PUT", "/v1/agent/service/register", web)
        native = {"Name": "native", "Port": 1, "Connect": {"Native": True}}
        await self.made("PUT", "/v1/agent/service/register", native)
        alone = {"Name": "alone", "CheckID": "alone", "TTL": "1h", "Status": "passing"}
        await self.made("PUT", "/v1/agent/check/register", alone)
        far = {"Node": "n3", "Address": "10.0.0.3", "Service": {"Service": "far"}}
        await self.made("PUT", "/v1/catalog/register", far)
        await self.made("PUT", "/v1/coordinate/update", COORDINATE)
        await coordinates.flush(self.runtime.server)
        for entry in (
            {"Kind": "service-defaults", "Name": "web"},
            {"Kind": "service-intentions", "Name": "web", "Sources": [SOURCE]},
        ):
            await self.made("PUT", "/v1/config", entry)
        old = {"SourceName": "a", "DestinationName": "old", "Action": "allow"}
        for name in ("read", "locked", "tree/a", "tree/b"):
            await self.made("PUT", f"/v1/kv/k/{name}", b"v")
        await self.made("PUT", "/v1/event/fire/seen")
        made = await self.made("PUT", "/v1/session/create", {})
        self.names = {
            "session": made["ID"],
            "policy": (await self.made("PUT", "/v1/acl/policy", {"Name": "p"}))["ID"],
            "role": (await self.made("PUT", "/v1/acl/role", {"Name": "r"}))["ID"],
            "intention": (await self.made("POST", "/v1/connect/intentions", old))["ID"],
            "query": (await self.made("POST", "/v1/query", query("geo")))["ID"],
            "token": (await self.made("PUT", "/v1/acl/token", {}))["AccessorID"],
        }

    def filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    tokens = f'tokens {{ initial_management = "{ROOT}" agent = "{ROOT}" }}'
    acl = f'acl {{ enabled = true default_policy = "deny" {tokens} }}'
    runtime = Runtime(load(["-dev", "-node=n1", "-hcl", acl]).config, Log())
    await runtime.start()
    rig = Rig(runtime)
    await rig.fill()
    yield rig
    await runtime.stop()


def cases(entry: Case | Public | list[Case]) -> list[Case]:
    return entry if isinstance(entry, list) else [] if isinstance(entry, Public) else [entry]


def is_refused(name: str, answer: Answer) -> bool:
    """A refusal for want of permission; a transaction has it among its errors."""
    if name == "PUT /v1/txn":
        return answer.status == 409 and '"Permission denied: ' in answer.body
    return answer.status == 403 and answer.body.startswith("Permission denied")


def endpoints(rig: Rig) -> set[str]:
    return {f"{method} {route.path}" for route in rig.routes for method in route.methods}


async def test_every_route_is_in_the_table(rig: Rig) -> None:
    assert endpoints(rig) - set(TABLE) == set(), "routes without an entry"
    assert set(TABLE) - endpoints(rig) == set(), "entries without a route"
    for name, entry in TABLE.items():
        method, _, path = name.partition(" ")
        for case in [entry] if isinstance(entry, Public) else cases(entry):
            found = rig.app.router.find(case.path.partition("?")[0])
            assert found is not None and found[0].path == path, (name, case.path)
            assert method in found[0].methods


async def test_without_permission_nothing_is_seen_or_done(rig: Rig) -> None:
    """No token, a token without rules, and one with rules for something else."""
    nothing = await rig.token("")
    elsewhere = await rig.token(
        "".join(
            rule(resource, "write", "elsewhere")
            for resource in ("agent", "event", "key", "node", "query", "service", "session")
        )
    )
    revision = rig.runtime.server.state.view.revision
    wrong = []
    for name, entry in TABLE.items():
        for case in cases(entry):
            for token in ("", nothing, elsewhere):
                path = rig.filled(case.path)
                answer = await rig.call(name.split()[0], path, case.body, token)
                refused = is_refused(name, answer)
                empty = answer.status in (200, 404) and rig.filled(case.seen) not in answer.body
                if not (empty if case.seen not in ("", "[]") else refused or case.seen == "[]"):
                    wrong.append((name, path, token, answer))
    assert wrong == []
    assert rig.runtime.server.state.view.revision == revision


async def test_an_unknown_token_is_refused_everywhere(rig: Rig) -> None:
    wrong = []
    for name, entry in TABLE.items():
        for case in cases(entry):
            answer = await rig.call(name.split()[0], rig.filled(case.path), case.body, OTHER)
            if answer != Answer(403, "ACL not found"):
                wrong.append((name, case.path, answer))
    assert wrong == []


async def test_reading_everything_writes_nothing(rig: Rig) -> None:
    made = await rig.made(
        "PUT", "/v1/acl/token", {"Policies": [{"Name": "builtin/global-read-only"}]}
    )
    revision, wrong = rig.runtime.server.state.view.revision, []
    for name, entry in TABLE.items():
        for case in cases(entry):
            answer = await rig.call(
                name.split()[0], rig.filled(case.path), case.body, made["SecretID"]
            )
            writes = "write" in case.rules
            if is_refused(name, answer) is not writes:
                wrong.append((name, case.path, answer))
    assert wrong == []
    assert rig.runtime.server.state.view.revision == revision


async def test_the_permission_is_enough_and_secrets_are_never_logged(rig: Rig) -> None:
    wrong = []
    with structlog.testing.capture_logs() as logged:
        for name, entry in TABLE.items():
            for case in cases(entry):
                token, path = await rig.token(case.rules), rig.filled(case.path)
                answer = await rig.call(name.split()[0], path, case.body, token)
                seen = rig.filled(case.seen) in answer.body
                if answer.status not in case.statuses or not seen:
                    wrong.append((name, path, answer))
    assert wrong == []
    text = json.dumps(logged, default=repr)
    assert [secret for secret in rig.secrets if secret in text] == []


async def test_a_parked_query_does_not_outlive_its_permission(rig: Rig) -> None:
    token = await rig.token(key("read", "k/read"))
    accessor = rig.runtime.resolver.resolve(token).accessor
    nothing = await rig.made("PUT", "/v1/acl/policy", {"Name": "nothing"})
    path = "/v1/kv/k/read?index=999999&wait=9m"
    for change in ({"Policies": [{"ID": nothing["ID"]}]}, None):
        parked = asyncio.create_task(rig.call("GET", path, token=token))
        await asyncio.sleep(0.05)
        assert not parked.done()
        method = "DELETE" if change is None else "PUT"
        await rig.made(method, f"/v1/acl/token/{accessor}", change)
        await rig.made("PUT", "/v1/kv/k/read", b"changed" if change is None else b"once more")
        answer = await asyncio.wait_for(parked, PATIENCE)
        assert answer.status == 403 and "changed" not in answer.body
        if change is not None:
            policy = await rig.made("GET", "/v1/acl/policies")
            readers = [row["ID"] for row in policy if row["Name"].startswith("policy-")]
            await rig.made(
                "PUT", f"/v1/acl/token/{accessor}", {"Policies": [{"ID": i} for i in readers]}
            )


async def test_public_endpoints_answer_anybody(rig: Rig) -> None:
    for name, entry in TABLE.items():
        if isinstance(entry, Public):
            answer = await rig.call(name.split()[0], entry.path, entry.body)
            assert "lacks permission" not in answer.body, name
            assert entry.why
