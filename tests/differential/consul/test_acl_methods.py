"""Auth methods, binding rules, logins."""

from __future__ import annotations

from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

_WORDS = "Texts about wrong auth methods, selectors and templates of binding rules"
_BAD = "A login with a credential that is not good"
_UNKNOWN = "99999999-0000-4000-8000-000000000000"
_KEY = ec.generate_private_key(ec.SECP256R1())
_PUBLIC = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
_CONFIG: dict[str, Any] = {
    "BoundAudiences": ["consul"],
    "JWTValidationPubKeys": [_PUBLIC],
    "JWTSupportedAlgs": ["ES256"],
    "BoundIssuer": "here",
    "ClaimMappings": {"name": "name", "/team/id": "team"},
    "ListClaimMappings": {"groups": "groups"},
}
_METHOD = {"Name": "dif-jwt", "Type": "jwt", "Config": _CONFIG}


def _signed(**claims: Any) -> str:
    standard = {"iss": "here", "aud": "consul", "exp": 4000000000, "nbf": 1600000000, "sub": "s"}
    return jwt.encode({**standard, **claims}, _KEY, "ES256")


def _tidy(ask: World) -> None:
    for method in ask.get("acl/auth-methods", record=False).json:
        ask.delete(f"acl/auth-method/{method['Name']}", record=False)


def test_auth_methods(play: Play) -> None:
    def scenario(ask: World) -> None:
        bodies: tuple[Any, ...] = (
            {},
            "",
            {"Name": "a b", "Type": "jwt"},
            {"Name": "m"},
            {"Name": "m", "Type": "nope"},
            {"Name": "m", "Type": "jwt"},
            {"Name": "m", "Type": "jwt", "Config": {}},
            {"Name": "m", "Type": "jwt", "Config": {"Nope": 1}},
            {**_METHOD, "MaxTokenTTL": "1s"},
            {**_METHOD, "MaxTokenTTL": "48h"},
            {**_METHOD, "MaxTokenTTL": "nope"},
            {**_METHOD, "TokenLocality": "nope"},
            {**_METHOD, "Config": {**_CONFIG, "JWTValidationPubKeys": ["x"]}},
            {**_METHOD, "Config": {**_CONFIG, "JWTSupportedAlgs": ["x"]}},
            {**_METHOD, "Config": {**_CONFIG, "OIDCDiscoveryURL": "https://x"}},
            {**_METHOD, "Config": {**_CONFIG, "ClaimMappings": {"a": "b c"}}},
            {**_METHOD, "Config": {**_CONFIG, "ClaimMappings": {"a": "x", "b": "x"}}},
            _METHOD,
        )
        worded = (3, 4, 7, 10, 12, 13, 16)
        for number, body in enumerate(bodies):
            made = ask.put("acl/auth-method", body, record=False)
            text = made.body.decode() if made.status != 200 else ""
            named = {key: value for key, value in body.items() if key != "Config"} if body else body
            differs = {_WORDS: ["text"]} if number in worded else None
            ask.note(
                f"create {named}",
                {"status": made.status, "text": ask.names.text(text)},
                differs=differs,
            )
        ask.put("acl/auth-method", {**_METHOD, "Name": "DIF-JWT", "DisplayName": "again"})
        ask.put("acl/auth-method", {**_METHOD, "Name": "dif-b", "MaxTokenTTL": "5m0s"})
        ask.put("acl/auth-method", {**_METHOD, "Name": "Dif-a", "TokenLocality": "global"})
        for name in ("dif-jwt", "DIF-JWT", "dif-b", "dif-a", "nope", ""):
            ask.get(f"acl/auth-method/{name}")
        ask.get("acl/auth-methods")
        ask.put("acl/auth-method/dif-b", {"Type": "jwt", "Description": "d", "Config": _CONFIG})
        ask.put("acl/auth-method/dif-b", {"Name": "x", "Type": "jwt", "Config": _CONFIG})
        ask.put("acl/auth-method/dif-b", {"Type": "kubernetes", "Config": {}})
        ask.put("acl/auth-method/dif-b", {"Config": _CONFIG})
        ask.put("acl/auth-method/dif-new", {"Type": "jwt", "Config": _CONFIG})
        ask.delete("acl/auth-method/nope")
        ask.delete("acl/auth-method/")
        ask.delete("acl/auth-method/DIF-B")
        _tidy(ask)
        ask.get("acl/auth-methods")
        ask.get("acl/binding-rules")

    play(scenario, GUARDED, token=MANAGEMENT)


def test_binding_rules(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("acl/auth-method", _METHOD, record=False)
        rule = {"AuthMethod": "dif-jwt", "BindType": "service", "BindName": "${value.name}"}
        made = []
        bodies: tuple[Any, ...] = (
            {},
            "",
            {**rule, "AuthMethod": "nope"},
            {**rule, "BindType": "nope"},
            {**rule, "BindType": ""},
            {**rule, "BindName": ""},
            {**rule, "BindName": "${value.nope}"},
            {**rule, "BindName": "${nope}"},
            {**rule, "BindName": "${"},
            {**rule, "BindName": "A"},
            {**rule, "BindName": "a-${value.team}-b"},
            {**rule, "BindVars": {"Name": "x"}},
            {**rule, "Selector": "nope"},
            {**rule, "Selector": "value.name=="},
            {**rule, "Selector": "value.nope==a"},
            {**rule, "Selector": "nope.name==a"},
            {**rule, "Selector": "list.groups==a"},
            {**rule, "Selector": "a in list.groups"},
            {**rule, "Selector": "value.name is not empty"},
            {**rule, "Selector": "list.groups is not empty"},
            {**rule, "BindType": "role", "BindName": "role-${value.name}", "Description": "d"},
            {**rule, "BindType": "node"},
            {**rule, "BindType": "policy", "BindName": "p"},
            {**rule, "BindType": "templated-policy", "BindName": "builtin/dns"},
            {**rule, "BindType": "templated-policy", "BindName": "builtin/service"},
            {**rule, "BindType": "templated-policy", "BindName": "builtin/nope"},
            {
                **rule,
                "BindType": "templated-policy",
                "BindName": "builtin/service",
                "BindVars": {"Name": "${value.name}"},
            },
            {**rule, "ID": _UNKNOWN},
        )
        worded = (6, 7, 8, 12, 13, 24, 25)
        for number, body in enumerate(bodies):
            differs = {_WORDS: ["body"]} if number in worded else None
            answer = ask.put("acl/binding-rule", body, differs=differs)
            if answer.status == 200:
                made.append(answer.json["ID"])
        for one in made:
            ask.get(f"acl/binding-rule/{one}")
        ask.note("how many", {"rules": len(ask.get("acl/binding-rules", record=False).json)})
        ask.get("acl/binding-rules?authmethod=nope")
        many = ask.get("acl/binding-rules?authmethod=DIF-JWT", record=False).json
        ask.note("of the method", {"rules": len(many)})
        for path in ("nope", _UNKNOWN, ""):
            ask.get(f"acl/binding-rule/{path}")
            ask.delete(f"acl/binding-rule/{path}")
        ask.put(f"acl/binding-rule/{made[0]}", {**rule, "Description": "changed"})
        ask.put(f"acl/binding-rule/{made[0]}", {"Description": "only"})
        ask.put(f"acl/binding-rule/{made[0]}", {**rule, "ID": _UNKNOWN})
        ask.put(f"acl/binding-rule/{made[0]}", {**rule, "AuthMethod": "nope"})
        ask.put(f"acl/binding-rule/{_UNKNOWN}", rule)
        ask.put("acl/binding-rule/nope", rule)
        ask.delete(f"acl/binding-rule/{made[0]}")
        ask.delete(f"acl/binding-rule/{made[0]}")
        _tidy(ask)

    play(scenario, GUARDED, token=MANAGEMENT)


def test_logins(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("acl/auth-method", {**_METHOD, "MaxTokenTTL": "5m"}, record=False)
        role = ask.put("acl/role", {"Name": "dif-ops"}, record=False).json["ID"]
        for rule in (
            {"BindType": "service", "BindName": "${value.name}", "Selector": "value.name==web"},
            {"BindType": "role", "BindName": "dif-ops", "Selector": "ops in list.groups"},
            {"BindType": "role", "BindName": "dif-none", "Selector": "none in list.groups"},
            {"BindType": "service", "BindName": "${value.team}", "Selector": "value.name==x"},
        ):
            ask.put("acl/binding-rule", {"AuthMethod": "dif-jwt", **rule}, record=False)

        def login(what: str, body: Any) -> dict[str, Any]:
            made = ask.ask("POST", "acl/login", body, token="", record=False)
            facts: dict[str, Any] = {"status": made.status}
            if made.status == 200:
                one = made.json
                shown = {key: one[key] for key in one if key not in ("CreateTime", "Hash")}
                shown.pop("ExpirationTime", None)
                facts |= {"fields": sorted(one), **shown}
                for key in ("AccessorID", "SecretID", "CreateIndex", "ModifyIndex", "Roles"):
                    facts.pop(key, None)
                facts["roles"] = [link["Name"] for link in one.get("Roles", [])]
            else:
                facts["text"] = ask.names.text(made.body.decode())
            bad = what in ("no bearer", "nonsense", "audience", "issuer", "expired")
            ask.note(what, facts, differs={_BAD: ["status", "text"]} if bad else None)
            return made.json if made.status == 200 else {}

        token = login("web", {"AuthMethod": "dif-jwt", "BearerToken": _signed(name="web")})
        meta = {"AuthMethod": "dif-jwt", "Meta": {"b": "2", "a": "1"}}
        login("ops", {**meta, "BearerToken": _signed(name="y", groups=["ops", "dev"])})
        login("both", {**meta, "BearerToken": _signed(name="web", groups=["ops"])})
        login("nothing", {**meta, "BearerToken": _signed(name="y")})
        login("no role", {**meta, "BearerToken": _signed(name="y", groups=["none"])})
        login("bad name", {**meta, "BearerToken": _signed(name="x", team={"id": "A B"})})
        login("no team", {**meta, "BearerToken": _signed(name="x")})
        login("team", {**meta, "BearerToken": _signed(name="x", team={"id": "Blue"})})
        login("no method", {"BearerToken": _signed()})
        login("unknown method", {"AuthMethod": "nope", "BearerToken": _signed()})
        login("no bearer", {"AuthMethod": "dif-jwt"})
        login("nonsense", {"AuthMethod": "dif-jwt", "BearerToken": "nope"})
        login("audience", {"AuthMethod": "dif-jwt", "BearerToken": _signed(name="web", aud="x")})
        login("issuer", {"AuthMethod": "dif-jwt", "BearerToken": _signed(name="web", iss="x")})
        login(
            "expired", {"AuthMethod": "dif-jwt", "BearerToken": _signed(name="web", exp=1600000001)}
        )
        login("empty", "")
        login("nothing given", {})
        ask.ask("POST", "acl/logout", token="")
        ask.ask("POST", "acl/logout", token=_UNKNOWN)
        ask.ask("POST", "acl/logout", token=MANAGEMENT)
        secret = token["SecretID"]
        ask.put(f"acl/token/{token['AccessorID']}/clone", {})
        listed = ask.get("acl/tokens?authmethod=dif-jwt", record=False).json
        ask.note("tokens of the method", {"count": len(listed)})
        ask.ask("POST", "acl/logout", token=secret)
        ask.ask("POST", "acl/logout", token=secret)
        ask.get("acl/token/self", token=secret)
        _tidy(ask)
        ask.delete(f"acl/role/{role}", record=False)
        listed = ask.get("acl/tokens?authmethod=dif-jwt", record=False).json
        ask.note("tokens of the method", {"count": len(listed)})

    play(scenario, GUARDED, token=MANAGEMENT)
