"""Logins with JSON Web Tokens: what is believed, and what a login is worth."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portway.discovery.acl import PermissionDeniedError
from portway.discovery.acl import jwt as validation
from portway.discovery.acl.jwt import Identity, JwtConfig, JwtValidator, read_config
from tests.unit.test_acl_api import Agent, started

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    public = key.public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def signed(claims: dict[str, Any], key: Any = KEY, algorithm: str = "RS256", **headers: Any) -> str:
    now = time.time()
    claims = {"iss": "https://issuer", "iat": now, "exp": now + 600} | claims
    return jwt.encode(claims, key, algorithm, headers)


def config(**options: Any) -> JwtConfig:
    base: dict[str, Any] = {
        "JWTValidationPubKeys": [pem(KEY)],
        "BoundIssuer": "https://issuer",
        "ClaimMappings": {"sub": "user", "/realm/name": "realm", "admin": "admin"},
        "ListClaimMappings": {"groups": "teams"},
    }
    return read_config(base | options)


async def test_claims_become_an_identity() -> None:
    token = signed(
        {"sub": "Ann", "realm": {"name": "eu"}, "admin": True, "groups": ["dev", "ops"], "x": 1}
    )
    assert await JwtValidator().validate(config(), token) == Identity(
        {"user": "Ann", "realm": "eu", "admin": "true"}, {"teams": ["dev", "ops"]}
    )
    assert await JwtValidator().validate(config(), signed({"groups": "one"})) == Identity(
        {"user": "", "realm": "", "admin": ""}, {"teams": ["one"]}
    )


NOW = time.time()


@pytest.fixture
def it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time at which the tokens of the tables were made, however long ago that was."""
    monkeypatch.setattr(validation, "time", SimpleNamespace(time=lambda: NOW))


@pytest.mark.parametrize(
    ("token", "options", "reason"),
    [
        ("", {}, "error verifying token"),
        ("a.b.c", {}, "error verifying token"),
        (signed({}, OTHER), {}, "error verifying token: Signature verification failed"),
        (signed({}, "x" * 64, "HS256"), {}, "error verifying token"),
        (jwt.encode({"iss": "https://issuer"}, "", "none"), {}, "error verifying token"),
        (signed({}, CURVE, "ES256"), {}, "error verifying token"),
        (signed({}, algorithm="RS512"), {}, "error verifying token"),
        (signed({"iss": "https://other"}), {}, "invalid issuer (iss) claim"),
        (signed({"exp": NOW - 120, "iat": NOW - 500}), {}, "token is expired"),
        (signed({"iat": None}), {}, "token is not valid yet"),  # a start 150 s before the end
        (signed({"nbf": NOW + 300}), {}, "token is not valid yet"),
        (signed({"iat": NOW + 300}), {}, "token is not valid yet"),
        (
            signed({"exp": None, "iat": None}),
            {},
            "no issued at (iat), not before (nbf), or expiration time",
        ),
        (signed({"exp": "soon"}), {}, "exp is no time"),
        (signed({"exp": None, "iat": NOW - 300}), {}, "token is expired"),
        (signed({"aud": "a"}), {}, "audience claim found in JWT but no audiences are bound"),
        (signed({"aud": "a"}), {"BoundAudiences": ["b"]}, "invalid audience (aud) claim"),
        (signed({}), {"BoundAudiences": ["b"]}, "invalid audience (aud) claim"),
        (signed({"admin": {"a": 1}}), {}, 'claim "admin" is no single value'),
    ],
)
@pytest.mark.usefixtures("it_is_now")
async def test_not_believed(token: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        await JwtValidator().validate(config(**options), token)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("token", "options"),
    [
        (signed({"exp": NOW - 30}), {}),  # within the clocks' skew
        (signed({"exp": NOW - 600}), {"ClockSkewLeeway": "1h"}),
        (signed({"iat": None, "exp": NOW + 100}), {}),
        (signed({"exp": None, "iat": NOW - 100}), {}),
        (signed({"exp": None, "iat": NOW - 500}), {"ExpirationLeeway": 600_000_000_000}),
        (signed({"aud": ["a", "b"]}), {"BoundAudiences": ["b"]}),
        (
            signed({}, CURVE, "ES256"),
            {"JWTValidationPubKeys": [pem(KEY), pem(CURVE)], "JWTSupportedAlgs": ["ES256"]},
        ),
        (signed({}, algorithm="PS384"), {"JWTSupportedAlgs": ["PS384"]}),
    ],
)
@pytest.mark.usefixtures("it_is_now")
async def test_believed(token: str, options: dict[str, Any]) -> None:
    await JwtValidator().validate(config(**options), token)


class Issuer:
    """An OpenID provider that counts what is fetched from it."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"k1": KEY}
        self.fetched: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetched.append(self.path)
                if self.path == "/.well-known/openid-configuration":
                    body: Any = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
                else:
                    jwk = jwt.algorithms.RSAAlgorithm.to_jwk
                    body = {
                        "keys": [
                            json.loads(jwk(key.public_key())) | {"kid": kid, "alg": "RS256"}
                            for kid, key in issuer.keys.items()
                        ]
                    }
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


async def test_keys_are_discovered_and_kept(issuer: Issuer) -> None:
    discovered = config(JWTValidationPubKeys=[], OIDCDiscoveryURL=issuer.url, BoundIssuer="")
    validator = JwtValidator()
    token = signed({"iss": issuer.url, "sub": "a"}, kid="k1")
    for _ in range(3):
        assert (await validator.validate(discovered, token)).values["user"] == "a"
    assert issuer.fetched.count("/keys") == 1
    with pytest.raises(PermissionDeniedError, match="no known key has signed it"):
        await validator.validate(discovered, signed({}, OTHER, kid="k2"))
    with pytest.raises(PermissionDeniedError, match="invalid issuer"):
        await validator.validate(discovered, signed({"iss": "https://x"}, kid="k1"))


async def test_unreachable_keys(issuer: Issuer) -> None:
    nowhere = config(JWTValidationPubKeys=[], JWKSURL="http://127.0.0.1:1/keys")
    with pytest.raises(PermissionDeniedError, match=r"cannot fetch http://127\.0\.0\.1:1/keys"):
        await JwtValidator().validate(nowhere, signed({}))


# --- through the API --------------------------------------------------------------------------


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = await started(tmp_path)
    await agent.made(
        "/v1/acl/auth-method",
        {
            "Name": "Corp",
            "Type": "jwt",
            "MaxTokenTTL": "10m",
            "Config": {
                "JWTValidationPubKeys": [pem(KEY)],
                "ClaimMappings": {"sub": "user", "svc": "service"},
                "ListClaimMappings": {"groups": "teams"},
            },
        },
    )
    yield agent
    agent.server.stop()
    await agent.server.store.close()


async def login(agent: Agent, claims: dict[str, Any], **body: Any) -> Any:
    body = {"AuthMethod": "corp", "BearerToken": signed(claims)} | body
    return await agent.call("POST", "/v1/acl/login", body, token="")


async def bind(agent: Agent, bind_type: str, name: str, selector: str = "", **more: Any) -> Any:
    rule = {"AuthMethod": "Corp", "BindType": bind_type, "BindName": name, "Selector": selector}
    return await agent.made("/v1/acl/binding-rule", rule | more)


async def test_a_login_is_worth_what_its_rules_say(agent: Agent) -> None:
    await agent.made("/v1/acl/policy", {"Name": "ops", "Rules": 'operator = "write"'})
    await agent.made("/v1/acl/role", {"Name": "dev-ann"})
    await bind(agent, "service", "svc-${value.service}", 'value.service != ""')
    await bind(agent, "role", "dev-${ value.user }", "dev in list.teams")
    await bind(agent, "role", "none-such")
    await bind(agent, "policy", "ops", 'ops in list.teams and value.user != "eve"')
    await bind(agent, "node", "${value.user}-laptop", 'value.user matches "^a"')
    await bind(
        agent,
        "templated-policy",
        "builtin/service",
        'value.service != ""',
        BindVars={"Name": "${value.service}"},
    )
    claims = {"sub": "Ann", "svc": "Web", "groups": ["dev", "ops"]}
    answer = await login(agent, claims, Meta={"host": "h1"})
    assert answer.status == 200, answer.text
    token = answer.json()
    assert token["ServiceIdentities"] == [{"ServiceName": "svc-web"}]
    assert [role["Name"] for role in token["Roles"]] == ["dev-ann"]
    assert [policy["Name"] for policy in token["Policies"]] == ["ops"]
    assert "NodeIdentities" not in token  # the selector is case-sensitive
    assert token["TemplatedPolicies"][0]["TemplateVariables"] == {"name": "web"}
    assert (token["AuthMethod"], token["Local"]) == ("Corp", True)
    assert token["Description"] == 'token created via login: {"host":"h1"}'
    times = [datetime.fromisoformat(token[name]) for name in ("CreateTime", "ExpirationTime")]
    assert times[1] - times[0] == timedelta(minutes=10)
    assert agent.resolver.resolve(token["SecretID"]).allows("operator", "write")

    clone = await agent.put(f"/v1/acl/token/{token['AccessorID']}/clone", {})
    assert clone.text == "Cannot clone a token created from an auth method"
    assert (await agent.call("POST", "/v1/acl/logout", token=token["SecretID"])).json() is True
    gone = await agent.call("POST", "/v1/acl/logout", token=token["SecretID"])
    assert (gone.status, gone.text) == (403, "ACL not found")


async def test_a_login_without_a_rule_is_refused(agent: Agent) -> None:
    await bind(agent, "service", "web", 'value.user == "ann"')
    before = agent.server.state.view.revision
    for claims in ({"sub": "eve"}, {"iss": "x", "exp": time.time() - 999}):
        answer = await login(agent, claims)
        assert answer.status == 403 and answer.text.startswith("Permission denied")
    assert agent.server.state.view.revision == before


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "Invalid Binding Rule: no BindType is set"),
        ({"BindType": "x", "BindName": "a"}, 'invalid Binding Rule: unknown BindType "x"'),
        ({"BindType": "role"}, "Invalid Binding Rule: no BindName is set"),
        ({"BindType": "service", "BindName": "A B"}, "Invalid Binding Rule: invalid BindName"),
        (
            {"BindType": "service", "BindName": "${value.x}"},
            "unknown variable accessed: value.x; there are: value.service, value.user",
        ),
        ({"BindType": "templated-policy", "BindName": "x"}, "Invalid Binding Rule: invalid Bind"),
        (
            {"BindType": "role", "BindName": "a", "BindVars": {"Name": "x"}},
            "invalid Binding Rule: BindVars cannot be set when bind type is not templated-policy.",
        ),
        (
            {"BindType": "role", "BindName": "a", "Selector": "x == 1"},
            'invalid Binding Rule: Selector is invalid: Selector "x" is not valid',
        ),
        ({"AuthMethod": "none"}, 'cannot find auth method with name "none"'),
    ],
)
async def test_binding_rules_are_checked(agent: Agent, rule: dict[str, Any], message: str) -> None:
    answer = await agent.put("/v1/acl/binding-rule", {"AuthMethod": "corp"} | rule)
    assert answer.status == 500
    assert message in answer.text


async def test_life_of_auth_methods_and_binding_rules(agent: Agent) -> None:
    method = (await agent.get("/v1/acl/auth-method/corp")).json()
    assert (method["Name"], method["MaxTokenTTL"]) == ("Corp", "10m0s")
    listed = (await agent.get("/v1/acl/auth-methods")).json()
    assert [row["Name"] for row in listed] == ["Corp"] and "Config" not in listed[0]
    changed = await agent.made("/v1/acl/auth-method/Corp", method | {"Description": "d"})
    assert changed["CreateIndex"] == method["CreateIndex"] < changed["ModifyIndex"]
    refused = await agent.put("/v1/acl/auth-method/Corp", {"Type": "oidc"})
    assert refused.text == "the Type field of an Auth Method is immutable"

    rule = await bind(agent, "service", "web")
    path = f"/v1/acl/binding-rule/{rule['ID']}"
    assert (await agent.get(path)).json() == rule
    changed = await agent.made(path, {"BindType": "service", "BindName": "api"})
    assert changed["AuthMethod"] == "Corp"
    assert len((await agent.get("/v1/acl/binding-rules?authmethod=CORP")).json()) == 1
    assert (await agent.get("/v1/acl/binding-rules?authmethod=x")).json() == []

    token = (await login(agent, {"sub": "a"})).json()
    assert len((await agent.get("/v1/acl/tokens?authmethod=corp")).json()) == 1
    assert (await agent.call("DELETE", "/v1/acl/auth-method/corp")).json() is True
    assert (await agent.get(path)).status == 404  # its rules and tokens go with it
    answer = await agent.get("/v1/acl/token/self", token=token["SecretID"])
    assert (answer.status, answer.text) == (403, "token does not exist: ACL not found")
    assert (await agent.call("DELETE", path)).status == 404


async def test_secrets_of_logins_never_reach_the_log(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    await bind(agent, "service", "web")
    credential = signed({"sub": "a"})
    token = (await login(agent, {}, BearerToken=credential)).json()
    await login(agent, {}, BearerToken=credential[:-4] + "AAAA")
    await asyncio.sleep(0)
    out = "".join(capsys.readouterr())
    assert credential not in out and token["SecretID"] not in out
