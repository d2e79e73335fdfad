"""Access control beside its objects: where tokens are given, what they may, switched off."""

from __future__ import annotations

from typing import Any

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

_UNKNOWN = "99999999-0000-4000-8000-000000000000"
_OPEN = {
    "acl": {
        "enabled": True,
        "default_policy": "allow",
        "enable_key_list_policy": True,
        "tokens": {"initial_management": MANAGEMENT},
    }
}


def _token(ask: World, name: str, rules: str) -> tuple[str, str]:
    """A token's secret, and what deletes it and its policy."""
    policy = ask.put("acl/policy", {"Name": name, "Rules": rules}, record=False).json["ID"]
    link = {"Description": name, "Policies": [{"ID": policy}]}
    made = ask.put("acl/token", link, token=MANAGEMENT, record=False).json
    return made["SecretID"], made["AccessorID"]


def _gone(ask: World, name: str, accessor: str) -> None:
    ask.delete(f"acl/token/{accessor}", token=MANAGEMENT, record=False)
    policy = ask.get(f"acl/policy/name/{name}", token=MANAGEMENT, record=False).json["ID"]
    ask.delete(f"acl/policy/{policy}", token=MANAGEMENT, record=False)


def test_switched_off(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in (
            *("acl/tokens", "acl/token/self", "acl/token/x", "acl/policies", "acl/policy/x"),
            *("acl/policy/name/x", "acl/roles", "acl/role/x", "acl/role/name/x", "acl/replication"),
            *("acl/auth-methods", "acl/auth-method/x", "acl/binding-rules", "acl/binding-rule/x"),
            *("acl/templated-policies", "acl/templated-policy/name/builtin/dns"),
            *("acl/token/", "acl/policy/", "acl/list", "acl/info/x", "acl/rules/translate/x"),
        ):
            ask.get(path)
        for path in (
            *("acl/bootstrap", "acl/token", "acl/token/x", "acl/policy", "acl/role", "acl/create"),
            *("acl/auth-method", "acl/binding-rule", "acl/token/x/clone", "acl/update"),
            *("acl/destroy/x", "acl/clone/x"),
        ):
            ask.put(path, {})
        for path in ("acl/login", "acl/logout", "internal/acl/authorize", "acl/rules/translate"):
            ask.ask("POST", path, {})
        ask.ask("POST", "acl/templated-policy/preview/builtin/dns", {})
        ask.delete("acl/token/x")
        ask.put("agent/token/default", {"Token": "x"})
        ask.put("agent/token/nope", {"Token": "x"})
        ask.get("kv/none", token=_UNKNOWN)

    play(scenario)


def test_where_a_token_is_given(play: Play) -> None:
    def scenario(ask: World) -> None:
        bearer = {"Authorization": f"Bearer {MANAGEMENT}"}
        ask.get("acl/token/self", headers=bearer)
        ask.get("acl/token/self", headers={"Authorization": f"bearer {MANAGEMENT}"})
        ask.get("acl/token/self", headers={"Authorization": f"Basic {MANAGEMENT}"})
        ask.get("acl/token/self", headers={"Authorization": f"Bearer   {MANAGEMENT}  "})
        ask.get("acl/token/self", headers={"Authorization": MANAGEMENT})
        ask.get("acl/token/self", headers={"Authorization": "Bearer"})
        ask.get(f"acl/token/self?token={MANAGEMENT}")
        ask.get(f"acl/token/self?token={_UNKNOWN}", headers={"X-Consul-Token": MANAGEMENT})
        ask.get("acl/token/self?token=", headers={"X-Consul-Token": MANAGEMENT})
        ask.get("acl/token/self", headers={**bearer, "X-Consul-Token": _UNKNOWN})
        ask.get("acl/token/self", headers={**bearer, "X-Consul-Token": ""})
        ask.get("acl/token/self", headers={"X-Consul-Token": MANAGEMENT.upper()})
        ask.get("acl/token/self", headers={"X-Consul-Token": f" {MANAGEMENT} "})

    play(scenario, GUARDED)


def test_replication_and_what_is_gone(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.get("acl/replication")
        ask.get("acl/replication", token=_UNKNOWN)
        ask.get("acl/replication?dc=nope")
        for path in ("acl/list", "acl/info/x", "acl/rules/translate/x", "acl/nope", "acl/", "acl"):
            ask.get(path)
        for path in ("acl/create", "acl/update", "acl/destroy/x", "acl/clone/x"):
            ask.put(path, {})
        ask.ask("POST", "acl/rules/translate", "x")
        ask.ask("POST", "acl/tokens", {})
        ask.delete("acl/tokens")
        ask.ask("OPTIONS", "acl/token/x")
        ask.ask("POST", "acl/token/x", {})
        ask.get("acl/bootstrap")

    play(scenario, GUARDED)


def test_authorize(play: Play) -> None:
    asked = [
        {"Resource": resource, "Access": access, "Segment": segment}
        for resource, segment in (
            *(("acl", ""), ("agent", "a"), ("event", "a"), ("intention", "a"), ("key", "a/b")),
            *(("key", "c"), ("keyring", ""), ("mesh", ""), ("node", "a"), ("operator", "")),
            *(("peering", ""), ("query", "a"), ("service", "a"), ("service", ""), ("session", "a")),
        )
        for access in ("read", "write")
    ]

    def scenario(ask: World) -> None:
        secret, accessor = _token(
            ask,
            "dif-authorize",
            'key_prefix "a/" { policy = "list" } service "a" { policy = "write" } mesh = "read"',
        )
        path = "internal/acl/authorize"
        for token in (secret, MANAGEMENT, "", _UNKNOWN):
            ask.ask("POST", path, asked, token=token)
        keys = [
            {"Resource": "key", "Access": access, "Segment": segment}
            for access in ("list", "write-prefix")
            for segment in ("a/", "", "b")
        ]
        ask.ask("POST", path, keys, token=secret)
        bodies: tuple[Any, ...] = (
            *([], {}, "", "x", [{}], [{"Resource": "nope", "Access": "read"}]),
            *([{"Resource": "key", "Access": "nope"}], [{"Resource": "acl", "Access": "list"}]),
            *([{"Resource": "node", "Access": "READ", "Segment": "a"}], asked * 3),
        )
        for body in bodies:
            ask.ask("POST", path, body, token=secret, differs=_WRONG if body in ({}, "x") else None)
        ask.get(path)
        _gone(ask, "dif-authorize", accessor)

    play(scenario, GUARDED, token=MANAGEMENT)


_WRONG = {"Bodies": ["body"]}
_LISTING = "Reading a tree of keys in a transaction under `enable_key_list_policy`"


def test_everything_allowed_by_default(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in (
            *("acl/tokens", "acl/token/self", "acl/policies", "acl/auth-methods", "agent/self"),
            *("operator/raft/configuration", "kv/open", "kv/open?recurse", "kv/open?keys"),
            *("operator/keyring", "agent/members", "snapshot"),
        ):
            if path in ("snapshot", "agent/self", "agent/members", "operator/keyring"):
                ask.note(path, {"status": ask.get(path, record=False).status})
            elif "raft" not in path:
                ask.get(path)
        ask.put("kv/open/a", "1")
        ask.put("acl/token", {})
        rules = 'key_prefix "open/" { policy = "read" } key_prefix "open/list" { policy = "list" }'
        rules += ' key "open/no" { policy = "deny" }'
        ask.token = MANAGEMENT
        secret, accessor = _token(ask, "dif-open", rules)
        ask.put("kv/open/list/x", "1")
        for path in ("kv/open/a", "kv/open/no", "kv/open?recurse", "kv/open/?recurse"):
            ask.get(path, token=secret)
        for path in ("kv/open/?keys", "kv/open/list?recurse", "kv/open/list?keys", "kv/other?keys"):
            ask.get(path, token=secret)
        ask.put("kv/open/a", "2", token=secret)
        ask.put("kv/elsewhere", "2", token=secret)
        ask.delete("kv/open?recurse", token=secret)
        body = [{"KV": {"Verb": "get-tree", "Key": "open/"}}]
        status = ask.put("txn", body, token=secret, record=False).status
        ask.note("txn", {"status": status}, differs={_LISTING: ["status"]})
        ask.delete("kv/open?recurse")
        ask.delete("kv/elsewhere")
        _gone(ask, "dif-open", accessor)

    play(scenario, _OPEN)


def test_an_agents_own_tokens(play: Play) -> None:
    def scenario(ask: World) -> None:
        path = "agent/token"
        ask.put(f"{path}/default", {"Token": "x"}, token="")
        ask.put(f"{path}/nope", {"Token": "x"})
        ask.put(f"{path}/", {"Token": "x"})
        ask.put(f"{path}/default", "")
        ask.put(f"{path}/default", "x", differs=_WRONG)
        ask.put(f"{path}/default", {})
        ask.put(f"{path}/acl_token", {"Token": ""})
        ask.put(f"{path}/acl_agent_token", {"Token": MANAGEMENT})
        ask.put(f"{path}/acl_agent_master_token", {"Token": ""})
        ask.put(f"{path}/acl_replication_token", {"Token": ""})
        ask.put(f"{path}/agent_master", {"Token": ""})
        ask.put(f"{path}/replication", {"Token": ""})
        ask.put(f"{path}/dns", {"Token": ""})
        ask.put(f"{path}/config_file_service_registration", {"Token": ""})
        secret, accessor = _token(
            ask, "dif-agent", 'key_prefix "dif-agent" { policy = "read" } operator = "read"'
        )
        ask.put("kv/dif-agent/a", "1", record=False)
        ask.get("kv/dif-agent/a", token="")
        ask.put(f"{path}/default", {"Token": secret})
        ask.get("kv/dif-agent/a", token="")
        ask.get("kv/dif-agent/b", token="")
        ask.put("kv/dif-agent/a", "2", token="")
        ask.get("acl/token/self", token="")
        ask.put(f"{path}/default", {"Token": ""})
        ask.get("kv/dif-agent/a", token="")
        recovery = "22222222-2222-4333-8444-555555555555"
        ask.put(f"{path}/agent_recovery", {"Token": recovery})
        ask.get("agent/checks", token=recovery)
        ask.get("kv/dif-agent/a", token=recovery)
        ask.get("acl/token/self", token=recovery)
        ask.get("acl/tokens", token=recovery)
        ask.put("agent/maintenance?enable=false", token=recovery)
        ask.put(f"{path}/agent_recovery", {"Token": ""})
        ask.get("kv/dif-agent/a", token=recovery)
        ask.delete("kv/dif-agent?recurse", record=False)
        _gone(ask, "dif-agent", accessor)

    play(scenario, GUARDED, token=MANAGEMENT)


def test_templates(play: Play) -> None:
    built_in = {"Built-in policies and templates": ["json.*.*"]}

    def scenario(ask: World) -> None:
        listed = ask.get("acl/templated-policies", differs=built_in)
        ask.note("templates", {name: sorted(one) for name, one in listed.json.items()})
        for name in ("builtin/service", "builtin/dns"):
            one = ask.get(f"acl/templated-policy/name/{name}", record=False).json
            ask.note(name, {"fields": sorted(one), "schema": bool(one.get("Schema"))})
        ask.get("acl/templated-policy/name/nope")
        ask.get("acl/templated-policy/name/")
        preview = "acl/templated-policy/preview"
        for name, body in (
            *(("builtin/service", {"Name": "api"}), ("builtin/node", {"name": "n"})),
            *(("builtin/dns", {}), ("builtin/api-gateway", {"Name": "g"})),
        ):
            made = ask.ask("POST", f"{preview}/{name}", body, record=False)
            ask.note(name, {"status": made.status, "fields": sorted(made.json)})
        wrong: tuple[tuple[str, Any], ...] = (
            *(("builtin/service", ""), ("builtin/service", {}), ("builtin/dns", "")),
            *(("builtin/service", {"Name": "A"}), ("builtin/node", {"Name": "A"})),
            *(("builtin/api-gateway", {}), ("nope", {}), ("", {})),
        )
        for name, given in wrong:
            made = ask.ask("POST", f"{preview}/{name}", given, record=False)
            text = made.body.decode() if made.status != 200 else ""
            ask.note(f"{name} {given}", {"status": made.status, "text": text})

    play(scenario, GUARDED, token=MANAGEMENT)


def test_dns(play: Play) -> None:
    def scenario(ask: World) -> None:
        service = {"Service": "dns-svc", "Port": 1}
        node = {"Node": "dns-node", "Address": "10.9.9.9", "Service": service}
        ask.put("catalog/register", node, record=False)
        names = ("dns-svc.service.consul", "dns-node.node.consul", "consul.service.consul")
        for name in names:
            ask.dig(name)
        rules = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
        secret, accessor = _token(ask, "dif-dns", rules)
        for kind in ("default", "dns"):
            ask.put(f"agent/token/{kind}", {"Token": secret}, record=False)
            for name in names[:2]:
                ask.dig(name)
            ask.dig("dns-svc.service.consul", "SRV")
            ask.put(f"agent/token/{kind}", {"Token": ""}, record=False)
        ask.dig(names[0])
        ask.put("catalog/deregister", {"Node": "dns-node"}, record=False)
        _gone(ask, "dif-dns", accessor)

    play(scenario, GUARDED, token=MANAGEMENT)
