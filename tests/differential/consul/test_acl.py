"""Access control's own objects: tokens, policies, roles, and who may change them."""

from __future__ import annotations

from typing import Any

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

UNKNOWN = "Unknown resources and keys in ACL rules"
BODIES = "Bodies"
BUILT_IN = "Built-in policies and templates"
_LISTED = {BUILT_IN: ["json.[0-9].Description", "json.[0-9].Hash"]}
_READ = {BUILT_IN: ["json.Description", "json.Hash", "json.Rules"]}
_NOBODY = "99999999-0000-4000-8000-000000000000"


def test_policies(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("acl/policy", {})
        ask.put("acl/policy", "")
        ask.put("acl/policy", "[]", differs={BODIES: ["body"]})
        ask.put("acl/policy", {"Name": "p b"})
        ask.put("acl/policy", {"Name": "p/b"})
        ask.put("acl/policy", {"Name": "p" * 129})
        ask.put("acl/policy", {"ID": _NOBODY, "Name": "p"})
        ask.put("acl/policy", {"Name": "p", "Rules": 1}, differs={BODIES: ["body"]})
        ask.put("acl/policy", {"Name": "p", "Datacenters": ["dc9"]})
        full = {
            "Name": "dif-policy-b",
            "Description": "a <b> & c",
            "Rules": 'node_prefix "" { policy = "read" }',
            "Datacenters": ["dc1"],
        }
        made = ask.put("acl/policy", full).json
        other = ask.put("acl/policy", {"Name": "DIF-policy-a"}).json
        p = ask.get("acl/policy/name/p", record=False)
        if p.status == 200:
            ask.delete(f"acl/policy/{p.json['ID']}")
        ask.put("acl/policy", {"Name": "dif-POLICY-a"})
        ask.get("acl/policies", differs=_LISTED)
        ask.get(f"acl/policy/{made['ID']}")
        ask.get(f"acl/policy/{other['ID']}")
        ask.get("acl/policy/name/dif-policy-b")
        ask.get("acl/policy/name/DIF-POLICY-B")
        ask.get("acl/policy/name/nope")
        ask.get("acl/policy/name/")
        ask.get("acl/policy/")
        ask.get("acl/policy/nope")
        ask.get(f"acl/policy/{_NOBODY}")
        ask.get("acl/policy/name/builtin/global-read-only", differs=_READ)
        ask.get("acl/policy/name/builtin%2Fglobal-read-only", differs=_READ)
        ask.get("acl/policy/name/global-management", differs=_READ)
        ask.put(f"acl/policy/{made['ID']}", {"Name": "dif-policy-c"})
        ask.put(f"acl/policy/{made['ID']}", {"Name": "dif-policy-a"})
        ask.put(f"acl/policy/{made['ID']}", {"Description": "no name"})
        ask.put(f"acl/policy/{made['ID']}", {"ID": other["ID"], "Name": "dif-policy-c"})
        ask.put(f"acl/policy/{made['ID']}", {**made, "Description": "changed"})
        ask.put(f"acl/policy/{_NOBODY}", {"Name": "dif-policy-d"})
        ask.put("acl/policy/nope", {"Name": "dif-policy-d"})
        management = "00000000-0000-0000-0000-000000000001"
        ask.put(f"acl/policy/{management}", {"Name": "global-management"})
        builtin = ask.get(f"acl/policy/{management}", differs=_READ).json
        ask.put(
            f"acl/policy/{management}",
            {**builtin, "Name": "boss", "Description": "d"},
            differs={BUILT_IN: ["json.Hash", "json.Rules"]},
        )
        ask.put(f"acl/policy/{management}", {**builtin, "Datacenters": ["dc1"]})
        ask.put(f"acl/policy/{management}", builtin, differs=_READ)
        ask.delete(f"acl/policy/{management}")
        ask.delete("acl/policy/00000000-0000-0000-0000-000000000002")
        ask.delete(f"acl/policy/{_NOBODY}")
        ask.delete("acl/policy/nope")
        ask.delete("acl/policy/")
        ask.delete("acl/policy/name/dif-policy-b")
        ask.put("acl/policy/", {"Name": "dif-policy-e"})
        e = ask.get("acl/policy/name/dif-policy-e", record=False)
        if e.status == 200:
            ask.delete(f"acl/policy/{e.json['ID']}")
        ask.delete(f"acl/policy/{made['ID']}")
        ask.delete(f"acl/policy/{made['ID']}")
        ask.delete(f"acl/policy/{other['ID']}")
        ask.ask("POST", "acl/policy", {"Name": "x"})
        ask.ask("POST", f"acl/policy/{_NOBODY}", {"Name": "x"})
        ask.get("acl/policies?pretty", differs=_LISTED)
        ask.get("acl/policies?index=bad")
        ask.get("acl/policies?dc=nope")
        ask.get("acl/policies?ns=a")

    play(scenario, GUARDED, token=MANAGEMENT)


def test_rules_that_are_refused(play: Play) -> None:
    rules = [
        'node "a" { policy = "wite" }',
        'node "a" { policy = "list" }',
        'node "a" { }',
        'node "a" "b" { policy = "read" }',
        'node { policy = "read" }',
        'key "a" { policy = "list" }',
        'key_prefix "a" { policy = "list" }',
        'service "a" { policy = "read" intentions = "write" }',
        'service "a" { policy = "read" intentions = "wrte" }',
        'session "" { policy = "read" }',
        'event "" { policy = "deny" }',
        'query "" { policy = "wr" }',
        'agent "" { policy = "wr" }',
        'agent_prefix "" { policy = "wr" }',
        'keyring = "read"',
        'keyring = "lst"',
        'operator = "lst"',
        'mesh = "lst"',
        'peering = "lst"',
        'acl = "lst"',
        "operator",
        'operator = "read',
        'node_prefix "" { policy = "read"',
        '{"node": {"a": {"policy": "read"}}}',
        '{"node": {"a": {"policy": "rad"}}}',
        '{"node_prefix": {"": {"policy": "read"}}, "operator": "write"}',
        "{",
        'service "a" { policy = "write" }\nservice "a" { policy = "read" }',
        'key "k" { policy = "deny" }\nkey "k" { policy = "write" }',
        'identity "a" { policy = "read" }',
        'service "" { policy = "read" }',
        'service "a" { policy = "" }',
        'service "a" { intentions = "read" }',
        "node = 1",
        'node "a" { policy = 1 }',
        'node "a" { policy = ["read"] }',
    ]

    ignored = {'node { policy = "read" }', "{", 'identity "a" { policy = "read" }'}

    def scenario(ask: World) -> None:
        for rule in rules:
            made = ask.put("acl/policy", {"Name": "dif-rules", "Rules": rule}, record=False)
            differs = {UNKNOWN: ["status"]} if rule in ignored else None
            ask.note(rule, {"status": made.status}, differs=differs)
            if made.status == 200:
                ask.delete(f"acl/policy/{made.json['ID']}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)


def test_tokens(play: Play) -> None:
    accessor = "6a1253d2-1785-24fd-91c2-f8e78c745511"
    secret = "45a3bd52-07c7-47a4-52fd-0745e0cfe967"

    def scenario(ask: World) -> None:
        policy = ask.put("acl/policy", {"Name": "dif-token-p"}, record=False).json["ID"]
        role = ask.put("acl/role", {"Name": "dif-token-r"}, record=False).json["ID"]
        ask.get("acl/tokens")
        made = []
        undecodables: tuple[Any, ...] = (
            "[]",
            {"Description": 1},
            {"ExpirationTTL": "nope"},
            {"ExpirationTime": "nope"},
        )
        bodies: tuple[Any, ...] = (
            *undecodables,
            "{",
            {},
            "",
            {"Description": "a", "Local": True},
            {"AccessorID": accessor, "SecretID": secret, "Description": "chosen"},
            {"AccessorID": accessor},
            {"SecretID": secret},
            {"AccessorID": secret},
            {"AccessorID": "nope"},
            {"SecretID": "nope"},
            {"AccessorID": "00000000-0000-0000-0000-000000000009"},
            {"SecretID": "00000000-0000-0000-0000-000000000009"},
            {"AuthMethod": "m"},
            {"Policies": [{"Name": "dif-token-p"}, {"ID": policy}]},
            {"Policies": [{"Name": "nope"}]},
            {"Policies": [{"ID": "nope"}]},
            {"Policies": [{"ID": _NOBODY}]},
            {"Policies": [{}]},
            {"Roles": [{"Name": "dif-token-r"}, {"ID": role}]},
            {"Roles": [{"Name": "nope"}]},
            {"Roles": [{"ID": "nope"}]},
            {"Roles": [{"ID": _NOBODY}]},
            {"ServiceIdentities": [{"ServiceName": "web"}, {"ServiceName": "web"}]},
            {"ServiceIdentities": [{"ServiceName": "web", "Datacenters": ["dc1", "dc2"]}]},
            {"ServiceIdentities": [{"ServiceName": "web", "Datacenters": ["dc2", "dc1", "dc2"]}]},
            {"ServiceIdentities": [{"ServiceName": "web", "Datacenters": ["dc1"]}], "Local": True},
            {"ServiceIdentities": [{"ServiceName": "Web"}]},
            {"ServiceIdentities": [{"ServiceName": "-web"}]},
            {"ServiceIdentities": [{}]},
            {"NodeIdentities": [{"NodeName": "n1", "Datacenter": "dc1"}]},
            {"NodeIdentities": [{"NodeName": "n1"}]},
            {"NodeIdentities": [{"Datacenter": "dc1"}]},
            {"NodeIdentities": [{"NodeName": "N1", "Datacenter": "dc1"}]},
            {"TemplatedPolicies": [{"TemplateName": "builtin/dns"}]},
            {
                "TemplatedPolicies": [
                    {
                        "TemplateName": "builtin/service",
                        "TemplateVariables": {"Name": "api"},
                        "Datacenters": ["dc1"],
                    }
                ]
            },
            {"TemplatedPolicies": [{"TemplateName": "builtin/service"}]},
            {
                "TemplatedPolicies": [
                    {"TemplateName": "builtin/service", "TemplateVariables": {"Name": "A"}}
                ]
            },
            {"TemplatedPolicies": [{"TemplateName": "builtin/nope"}]},
            {"TemplatedPolicies": [{}]},
            {"ExpirationTTL": "1h"},
            {"ExpirationTTL": 3600000000000},
            {"ExpirationTTL": "1s"},
            {"ExpirationTTL": "-1s"},
            {"ExpirationTTL": "25h"},
            {"ExpirationTTL": "1h", "ExpirationTime": "2090-01-01T00:00:00Z"},
            {"ExpirationTime": "2090-01-01T00:00:00Z"},
            {"ExpirationTime": "2000-01-01T00:00:00Z"},
            {"Nope": 1},
        )
        for body in bodies:
            undecodable = body in undecodables
            answer = ask.put("acl/token", body, differs={BODIES: ["body"]} if undecodable else None)
            if answer.status == 200:
                made.append(answer.json["AccessorID"])
        for one in made:
            ask.get(f"acl/token/{one}")
        ask.put("acl/token/", {"Description": "by the long path"})
        for query in (
            f"policy={policy}",
            "policy=nope",
            f"policy={_NOBODY}",
            f"role={role}",
            "role=nope",
            f"role={_NOBODY}",
            "servicename=web",
            "servicename=api",
            "servicename=WEB",
            "servicename=nope",
            "authmethod=nope",
            f"policy={policy}&role={role}",
        ):
            ask.get(f"acl/tokens?{query}", unordered=True)
        ask.get(f"acl/token/{accessor}")
        ask.get(f"acl/token/{accessor}?expanded=true")
        ask.get(f"acl/token/{accessor.upper()}")
        ask.get(f"acl/token/{secret}")
        ask.get("acl/token/nope")
        ask.get(f"acl/token/{_NOBODY}")
        ask.get("acl/token/")
        ask.get("acl/token/self")
        ask.get("acl/token/self", token="")
        ask.get("acl/token/self", token=secret)
        ask.get("acl/token/self", token=_NOBODY)
        ask.get("acl/token/self", token="anonymous")
        ask.get("acl/token/self?expanded", token=secret)
        for body in (
            {"Description": "updated"},
            "",
            {"AccessorID": accessor, "SecretID": secret, "Description": "again"},
            {"AccessorID": secret},
            {"SecretID": accessor},
            {"Local": True},
            {"AuthMethod": "m"},
            {"ExpirationTTL": "1h"},
            {"ExpirationTime": "2090-01-01T00:00:00Z"},
            {"Policies": [{"Name": "dif-token-p"}]},
            {"Policies": [{"Name": "nope"}]},
            {"Policies": []},
        ):
            ask.put(f"acl/token/{accessor}", body)
        ask.put(f"acl/token/{_NOBODY}", {"Description": "x"})
        ask.put("acl/token/nope", {"Description": "x"})
        clone = ask.put(f"acl/token/{accessor}/clone", {"Description": "cloned"}).json
        ask.put(f"acl/token/{accessor}/clone", {})
        ask.put(f"acl/token/{accessor}/clone", "")
        ask.put(f"acl/token/{accessor}/clone", "{")
        ask.put(f"acl/token/{accessor}/clone", {"AccessorID": _NOBODY})
        ask.put(f"acl/token/{_NOBODY}/clone", {"Description": "x"})
        ask.put("acl/token/nope/clone", {"Description": "x"})
        ask.delete(f"acl/token/{clone['AccessorID']}", token=clone["SecretID"])
        ask.delete(f"acl/token/{clone['AccessorID']}")
        ask.delete(f"acl/token/{clone['AccessorID']}")
        ask.delete("acl/token/nope")
        ask.delete("acl/token/")
        ask.delete("acl/token/00000000-0000-0000-0000-000000000002")
        own = ask.get("acl/token/self", record=False).json["AccessorID"]
        ask.delete(f"acl/token/{own}")
        ask.get("acl/token/00000000-0000-0000-0000-000000000002")
        ask.put(
            "acl/token/00000000-0000-0000-0000-000000000002", {"Description": "Anonymous Token"}
        )
        kept = {"00000000-0000-0000-0000-000000000002", own}
        for one in ask.get("acl/tokens", record=False).json:
            if one["AccessorID"] not in kept:
                ask.delete(f"acl/token/{one['AccessorID']}", record=False)
        ask.delete(f"acl/policy/{policy}", record=False)
        ask.delete(f"acl/role/{role}", record=False)
        ask.get("acl/tokens?index=bad")
        ask.get("acl/tokens?ns=a")

    play(scenario, GUARDED, token=MANAGEMENT)


def test_lists_have_an_order(play: Play) -> None:
    def scenario(ask: World) -> None:
        for name in ("dif-zeta", "dif-Beta", "dif-alpha", "dif-a", "dif_b"):
            ask.put("acl/policy", {"Name": name}, record=False)
            ask.put("acl/role", {"Name": name}, record=False)
        for number in (7, 3, 9, 1, 5):
            ask.put(
                "acl/token",
                {
                    "AccessorID": f"{10 - number}aaaaaaa-0000-4000-8000-000000000000",
                    "SecretID": f"{number}bbbbbbb-0000-4000-8000-000000000000",
                    "Description": f"order {number}",
                    "Policies": [{"Name": "dif-a"}],
                    "ServiceIdentities": [{"ServiceName": "dif-order"}],
                },
            )
        ask.get("acl/policies", differs=_LISTED)
        ask.get("acl/roles")
        ask.get("acl/tokens")
        policy = ask.get("acl/policy/name/dif-a", record=False).json["ID"]
        ask.get(f"acl/tokens?policy={policy}")
        ask.get("acl/tokens?servicename=dif-order")
        for kind, plural in (("policy", "policies"), ("role", "roles")):
            for one in ask.get(f"acl/{plural}", record=False).json:
                if one["Name"].startswith("dif"):
                    ask.delete(f"acl/{kind}/{one['ID']}")
        for one in ask.get("acl/tokens", record=False).json:
            if one["Description"].startswith("order"):
                ask.delete(f"acl/token/{one['AccessorID']}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)


def test_roles(play: Play) -> None:
    def scenario(ask: World) -> None:
        policy = ask.put("acl/policy", {"Name": "dif-role-p"}, record=False).json["ID"]
        made = []
        bodies: tuple[Any, ...] = (
            {},
            "",
            "[]",
            {"Description": 1},
            {"Name": "a b"},
            {"Name": "r" * 257},
            {"ID": _NOBODY},
            {"Policies": [{"Name": "dif-role-p"}, {"ID": policy}]},
            {"Policies": [{"Name": "nope"}]},
            {"Policies": [{"ID": "nope"}]},
            {"Policies": [{"ID": _NOBODY}]},
            {"Description": "full", "ServiceIdentities": [{"ServiceName": "web"}]},
            {"ServiceIdentities": [{"ServiceName": "Web"}]},
            {"ServiceIdentities": [{}]},
            {"NodeIdentities": [{"NodeName": "n1", "Datacenter": "dc1"}]},
            {"NodeIdentities": [{"NodeName": "n1"}]},
            {"NodeIdentities": [{"NodeName": "N1", "Datacenter": "dc1"}]},
            {"TemplatedPolicies": [{"TemplateName": "builtin/dns"}]},
            {
                "TemplatedPolicies": [
                    {"TemplateName": "builtin/node", "TemplateVariables": {"Name": "n"}}
                ]
            },
            {"TemplatedPolicies": [{"TemplateName": "builtin/node"}]},
            {"TemplatedPolicies": [{"TemplateName": "builtin/nope"}]},
            {"TemplatedPolicies": [{}]},
        )
        for number, body in enumerate(bodies):
            named = {"Name": f"dif-role-{number}", **body} if body and body != "[]" else body
            undecodable = body in ("[]", {"Description": 1})
            answer = ask.put("acl/role", named, differs={BODIES: ["body"]} if undecodable else None)
            if answer.status == 200:
                made.append(answer.json)
        for one in made:
            ask.get(f"acl/role/{one['ID']}")
            ask.get(f"acl/role/name/{one['Name'].upper()}")
        first = made[0]
        ask.put("acl/role", {"Name": first["Name"].upper()})
        ask.get("acl/roles")
        ask.get(f"acl/roles?policy={policy}")
        ask.get("acl/roles?policy=nope")
        ask.get(f"acl/roles?policy={_NOBODY}")
        ask.get("acl/role/nope")
        ask.get("acl/role/")
        ask.get("acl/role/name/")
        ask.get("acl/role/name/nope")
        ask.get(f"acl/role/{_NOBODY}")
        ask.put(f"acl/role/{first['ID']}", {"Name": "dif-role-renamed"})
        ask.put(f"acl/role/{first['ID']}", {"Name": made[1]["Name"]})
        ask.put(f"acl/role/{first['ID']}", {})
        ask.put(f"acl/role/{first['ID']}", {"ID": _NOBODY, "Name": "x"})
        ask.put(f"acl/role/{_NOBODY}", {"Name": "x"})
        ask.put("acl/role/nope", {"Name": "x"})
        ask.put("acl/role/", {"Name": "dif-role-slash"})
        if (slash := ask.get("acl/role/name/dif-role-slash", record=False)).status == 200:
            made.append(slash.json)
        for one in made:
            ask.delete(f"acl/role/{one['ID']}")
        ask.delete(f"acl/role/{first['ID']}")
        ask.delete("acl/role/nope")
        ask.delete("acl/role/")
        ask.delete(f"acl/policy/{policy}", record=False)
        ask.get("acl/roles")
        ask.ask("POST", "acl/role", {"Name": "x"})

    play(scenario, GUARDED, token=MANAGEMENT)
