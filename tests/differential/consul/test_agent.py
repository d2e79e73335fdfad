"""The agent itself: who it is, its members, its words to others, and who may ask for what."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

TRUST = "spiffe://11111111-2222-3333-4444-555555555555.consul"
API = f"{TRUST}/ns/default/dc/dc1/svc/api"
PATHS = ("self", "version", "host", "metrics", "services", "checks", "members", "monitor")
WRITES = (
    *("reload", "maintenance", "join/x", "force-leave/x", "leave", "token/x"),
    *("service/register", "service/deregister/x", "service/maintenance/x", "check/register"),
    *("check/deregister/x", "check/pass/x", "check/warn/x", "check/fail/x", "check/update/x"),
)
DECODER = {"Errors of Go's libraries": ["body"]}
NO_CLUSTER = {"Joining others": ["body"]}


def test_members(play: Play) -> None:
    def scenario(ask: World) -> None:
        for query in (
            *("", "?wan=1", "?wan", "?wan=0", "?segment=", "?segment=_all", "?segment=x"),
            *("?wan=1&segment=_all", "?wan=1&segment=x", "?dc=x", "?partition=x", "?pretty"),
            *("?filter=Name==`node-1`", "?filter=Name==x", "?filter=Status==1"),
            *("?filter=Tags.role==consul", "?filter=Foo==x", "?wan=1&filter=Port>1"),
        ):
            differs = DECODER if "Port>1" in query else None
            ask.get(f"agent/members{query}", differs=differs)
        ask.get("agent/members?ns=x")
        ask.cli("members")
        ask.cli("members", "-detailed")
        ask.cli("members", "-wan")
        ask.cli("members", "-status=left")
        ask.cli("members", "-segment=x")
        ask.cli("members", "-filter=Name==foo")

    play(scenario, mixed=True)


def test_the_agent_itself(play: Play) -> None:
    def scenario(ask: World) -> None:
        own = ask.get("agent/self", record=False).json
        config, debug = own["Config"], own["DebugConfig"]
        for one in (config, own["Stats"]["build"]):
            for name in ("Revision", "revision", "BuildDate", "BindAddr"):
                one.pop(name, None)  # of a version
        own["Member"]["Tags"].pop("build")
        ask.note("self", {str(key): ask.names.text(str(one)) for key, one in config.items()})
        ask.note("member", {key: ask.names.text(str(one)) for key, one in own["Member"].items()})
        ask.note("coordinate", {key: len(str(key)) for key in own["Coord"]})
        ask.note("keys", {"keys": sorted(own), "xds": sorted(own["xDS"])})
        ask.note("xds", {key: ask.names.text(str(own["xDS"][key])) for key in ("Port", "Ports")})
        ask.note("stats", {key: own["Stats"]["consul"][key] for key in ("bootstrap", "server")})
        ask.note("meta", {"keys": sorted(own["Meta"])})
        for name in (
            "ACLsEnabled",
            "Datacenter",
            "DevMode",
            "EnableDebug",
            "NodeName",
            "ServerMode",
        ):
            ask.note(f"DebugConfig {name}", {"value": debug[name]})
        ask.note("version", {"keys": sorted(ask.get("agent/version", record=False).json)})
        host = ask.get("agent/host", record=False).json
        ask.note("host", {"keys": sorted(host), "memory": host["Memory"]["total"]})
        metrics = ask.get("agent/metrics", record=False)
        ask.note("metrics", {"keys": sorted(metrics.json), "type": metrics.headers["Content-Type"]})

    play(scenario)


def test_methods_and_paths(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in PATHS:
            for method in ("PUT", "DELETE", "POST", "OPTIONS"):
                ask.ask(method, f"agent/{path}")
        for path in WRITES:
            for method in ("GET", "DELETE", "OPTIONS"):
                ask.ask(method, f"agent/{path}")
        for path in ("service/", "service/nope", "health/service/id/", "health/service/name/"):
            ask.get(f"agent/{path}")
        for query in ("", "?format=text", "?format=json"):
            ask.get(f"agent/health/service/id/nope{query}")
            ask.get(f"agent/health/service/name/nope{query}")

    play(scenario)


def test_words_to_the_agent(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("agent/join/127.0.0.1")
        ask.put("agent/join/", differs=NO_CLUSTER)
        for name in ("nope", "node-1", "nope?prune"):
            ask.put(f"agent/force-leave/{name}")
        ask.put("agent/token/default", {"Token": "x"})  # without access control
        ask.put("agent/reload")
        ask.get("agent/monitor?loglevel=bad")

    play(scenario)


def test_connections(play: Play) -> None:
    def scenario(ask: World) -> None:
        def authorize(body: Any, **options: Any) -> None:
            ask.ask("POST", "agent/connect/authorize", body, **options)

        for body in ("", {}, {"Target": "web"}, {"Target": "", "ClientCertURI": "x"}, {"Bogus": 1}):
            authorize(body)
        for uri in ("x", "spiffe://x", TRUST, f"{TRUST}/agent/client/dc/dc1/id/x", f"{TRUST}/x"):
            authorize({"Target": "agent-web", "ClientCertURI": uri})
        cached = {"`?cached`": ["header.x-cache", "header.age"]}
        authorize({"Target": "agent-web", "ClientCertURI": API}, differs=cached)
        entry = {"Kind": "service-intentions", "Name": "agent-web"}
        ask.put("config", {**entry, "Sources": [{"Name": "api", "Action": "deny"}]}, record=False)

        def denied() -> bool:
            body = {"Target": "agent-web", "ClientCertURI": API}
            answer = ask.ask("POST", "agent/connect/authorize", body, record=False)
            return not answer.json["Authorized"]

        ask.until(denied, "the intention")
        authorize({"Target": "agent-web", "ClientCertURI": API})
        ask.delete("config/service-intentions/agent-web", record=False)

    play(scenario)


TOKENS = {
    "none": "",
    "service": 'service "aw" { policy = "write" }',
    "services": 'service_prefix "" { policy = "read" }',
    "node": 'node "node-1" { policy = "write" }',
    "nodes": 'node_prefix "" { policy = "read" }',
    "agent": 'agent "node-1" { policy = "read" }',
    "agents": 'agent_prefix "" { policy = "write" }',
    "operator": 'operator = "read"',
    "anonymous": None,
}


@pytest.mark.parametrize("holder", TOKENS)
def test_who_may(play: Play, holder: str) -> None:
    rules = TOKENS[holder]

    def scenario(ask: World) -> None:
        token = ""
        if rules is not None:
            made = {"Name": f"agent-{holder}", "Rules": rules}
            policy = ask.put("acl/policy", made, record=False).json["ID"]
            given = ask.put("acl/token", {"Policies": [{"ID": policy}]}, record=False).json
            token = given["SecretID"]

        def tell(method: str, path: str, body: Any = None) -> None:
            answer = ask.ask(method, f"agent/{path}", body, token=token, record=False)
            facts: dict[str, Any] = {"status": answer.status}
            facts["filtered"] = "x-consul-results-filtered-by-acls" in map(
                str.lower, answer.headers
            )
            if answer.status >= 400 and "/name/" not in path and "/id/" not in path:
                facts["body"] = ask.names.text(answer.body.decode())
            if path in ("services", "checks") and answer.status == 200:
                facts["rows"] = sorted(answer.json)
            ask.note(f"{method} {path} {body}", facts)

        web = {"Name": "aw", "Check": {"TTL": "1h"}}
        ask.put("agent/service/register", web, record=False)
        ask.put("agent/check/register", {"Name": "nodec", "TTL": "1h"}, record=False)
        for path in (
            *("self", "host", "members", "members?wan=1", "version", "metrics", "services"),
            *("checks", "service/aw", "service/nope", "health/service/id/aw"),
            *("health/service/name/aw", "health/service/name/zz", "health/service/id/zz"),
            *("services?filter=Port==0", "checks?filter=Status==critical"),
        ):
            tell("GET", path)
        tell("PUT", "service/register", web)
        tell("PUT", "service/register", {"Name": "other"})
        tell("PUT", "service/register", {"Name": "aw", "ID": "other"})
        tell("PUT", "service/register", {"Name": ""})
        tell("PUT", "service/deregister/nope")
        tell("PUT", "service/maintenance/aw?enable=true")
        tell("PUT", "service/maintenance/aw?enable=false")
        tell("PUT", "check/register", {"Name": "c", "TTL": "1h"})
        tell("PUT", "check/register", {"Name": "c2", "TTL": "1h", "ServiceID": "aw"})
        tell("PUT", "check/register", {"Name": ""})
        for path in ("pass/nodec", "pass/service:aw", "pass/nope", "deregister/nope"):
            tell("PUT", f"check/{path}")
        tell("PUT", "check/update/nodec", {"Status": "passing"})
        tell("PUT", "maintenance?enable=false")
        tell("PUT", "force-leave/nope")
        tell("PUT", "token/nope", {"Token": "x"})
        tell("POST", "connect/authorize", {"Target": "aw", "ClientCertURI": API})
        for one in ("other", "aw"):
            ask.put(f"agent/service/deregister/{one}", record=False)
        for one in ("c", "c2", "nodec"):
            ask.put(f"agent/check/deregister/{one}", record=False)
        if token:
            ask.delete(f"acl/token/{given['AccessorID']}", record=False)
            ask.delete(f"acl/policy/{policy}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)


def test_tokens_of_the_agent(play: Play) -> None:
    def scenario(ask: World) -> None:
        for name in ("agent", "acl_agent_token"):
            ask.put(f"agent/token/{name}", {"Token": MANAGEMENT})
        for name in (
            *("default", "acl_token", "replication", "acl_replication_token", "dns", "dns_token"),
            *("agent_recovery", "agent_master", "acl_agent_master_token", "recovery", "master"),
            *("config_file_service_registration", "config_file_registration", "nope", ""),
        ):
            ask.put(f"agent/token/{name}", {"Token": ""})
        for body in ("", {}, {"token": ""}, {"Bogus": 1}):
            ask.put("agent/token/replication", body)
        ask.put("agent/token/replication", {"Token": 5}, differs=DECODER)
        ask.get("agent/services", token="00000000-0000-0000-0000-00000000dead")
        ask.get("agent/self", token="nonsense")

    play(scenario, GUARDED, token=MANAGEMENT)
