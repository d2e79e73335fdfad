"""The ACL endpoints over a store in memory: tokens, policies, roles and what they refuse."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import pytest

from portway.discovery.acl import ANONYMOUS_ID, AclSettings, Resolver
from portway.discovery.acl import tokens as token_operations
from portway.discovery.acl.resolve import utc_now
from portway.discovery.api import App, Context, Settings, all_routes
from portway.discovery.server import Server
from portway.store.sqlite import open_sqlite

ROOT = "11111111-2222-4333-8444-555555555555"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HIDDEN = "<hidden>"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Agent:
    """The API of an agent with access control on."""

    def __init__(self, server: Server, resolver: Resolver, settings: Settings) -> None:
        self.server = server
        self.resolver = resolver
        self.app = App(all_routes(), Context(server, resolver, settings))
        self.secret = ROOT

    async def call(
        self, method: str, target: str, body: Any = None, token: str | None = None
    ) -> Answer:
        path, _, query = target.partition("?")
        secret = self.secret if token is None else token
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "query_string": query.encode(),
            "headers": [(b"x-consul-token", secret.encode())] if secret else [],
            "client": ("127.0.0.1", 1),
        }
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]))

    async def get(self, target: str, **options: Any) -> Answer:
        return await self.call("GET", target, **options)

    async def put(self, target: str, body: Any = None, **options: Any) -> Answer:
        return await self.call("PUT", target, body, **options)

    async def made(self, target: str, body: Any) -> Any:
        answer = await self.put(target, body)
        assert answer.status == 200, answer.text
        return answer.json()


async def started(tmp_path: Path, management: str = ROOT, **settings: Any) -> Agent:
    server = Server(await open_sqlite(None))
    await server.start()
    resolver = Resolver(server.state.acl, AclSettings(True, default_allow=False))
    acl = server.state.acl
    await server.transact(lambda draft: token_operations.seed(acl, draft, utc_now(), management))
    return Agent(
        server, resolver, Settings(default_policy="deny", data_dir=str(tmp_path), **settings)
    )


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = await started(tmp_path)
    yield agent
    agent.server.stop()
    await agent.server.store.close()


async def token_with(agent: Agent, rules: str, name: str = "p") -> str:
    await agent.made("/v1/acl/policy", {"Name": name, "Rules": rules})
    token = await agent.made("/v1/acl/token", {"Policies": [{"Name": name}]})
    return str(token["SecretID"])


# --- policies ---------------------------------------------------------------------------------


async def test_life_of_a_policy(agent: Agent) -> None:
    rules = 'key_prefix "a/" { policy = "read" }'
    made = await agent.made(
        "/v1/acl/policy",
        {"name": "one", "Description": "d", "Rules": rules, "Datacenters": ["dc1"]},
    )
    assert UUID.fullmatch(made["ID"])
    assert made == {
        "ID": made["ID"],
        "Name": "one",
        "Description": "d",
        "Rules": rules,
        "Datacenters": ["dc1"],
        "Hash": made["Hash"],
        "CreateIndex": made["CreateIndex"],
        "ModifyIndex": made["CreateIndex"],
    }
    by_id = await agent.get(f"/v1/acl/policy/{made['ID']}")
    by_name = await agent.get("/v1/acl/policy/name/ONE")
    assert by_id.json() == by_name.json() == made
    assert by_id.headers["x-consul-index"] == str(made["ModifyIndex"])

    made["Name"] = "two"
    made["Datacenters"] = None
    changed = await agent.made(f"/v1/acl/policy/{made['ID']}", made)
    assert (changed["Name"], "Datacenters" in changed) == ("two", False)
    assert changed["CreateIndex"] == made["CreateIndex"] < changed["ModifyIndex"]
    assert changed["Hash"] != made["Hash"]
    listed = (await agent.get("/v1/acl/policies")).json()
    assert [policy["Name"] for policy in listed] == sorted(
        ["global-management", "builtin/global-read-only", "two"],
        key=[policy["Name"] for policy in listed].index,
    )
    stub = next(policy for policy in listed if policy["Name"] == "two")
    assert stub["Datacenters"] is None and "Rules" not in stub

    assert (await agent.call("DELETE", f"/v1/acl/policy/{made['ID']}")).json() is True
    gone = await agent.get(f"/v1/acl/policy/{made['ID']}")
    assert (gone.status, gone.text) == (404, "Requested policy does not exist: ACL not found")
    again = await agent.call("DELETE", f"/v1/acl/policy/{made['ID']}")
    assert (again.status, again.text) == (404, "Cannot find policy to delete")


MANAGEMENT = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("PUT", "policy", b"", 400, "Policy decoding failed: EOF"),
        ("PUT", "policy", b"{", 400, "Policy decoding failed: "),
        (
            "PUT",
            "policy",
            {"Rule": ""},
            400,
            'Policy decoding failed: json: unknown field "Rule"',
        ),
        (
            "PUT",
            "policy",
            {"Namespace": "x"},
            400,
            'Policy decoding failed: json: unknown field "Namespace" - '
            "Namespaces are a Consul Enterprise feature",
        ),
        ("PUT", "policy", {"ID": "x"}, 400, "Cannot specify the ID when creating a new policy"),
        ("PUT", "policy", {}, 500, "Invalid Policy: no Name is set"),
        ("PUT", "policy", {"Name": "a b"}, 500, "Invalid Policy: invalid Name. Only "),
        ("PUT", "policy", {"Name": "builtin/x"}, 500, "Invalid Policy: invalid Name. Names "),
        ("PUT", "policy", {"Name": "x" * 129}, 500, "Invalid Policy: invalid Name. Length "),
        (
            "PUT",
            "policy",
            {"Name": "Global-Management"},
            500,
            'Invalid Policy: A Policy with Name "Global-Management" already exists',
        ),
        ("PUT", "policy", {"Name": "a", "Rules": "key {"}, 500, "Failed to parse ACL rules: "),
        ("PUT", "policy", {"Name": "a", "Rules": 'acl = "x"'}, 500, 'Invalid acl policy: "x"'),
        ("PUT", "policy/x", {"Name": "a"}, 500, "Policy ID invalid UUID"),
        ("PUT", f"policy/{ROOT}", {"Name": "a"}, 500, f"cannot find policy {ROOT}"),
        (
            "PUT",
            f"policy/{ROOT}",
            {"ID": "x", "Name": "a"},
            400,
            "Policy ID in URL and payload do not match",
        ),
        (
            "PUT",
            f"policy/{MANAGEMENT}",
            {"Name": "global-management", "Rules": ""},
            500,
            "Changing the Rules for the builtin global-management policy is not permitted",
        ),
        (
            "PUT",
            f"policy/{MANAGEMENT}",
            {"Name": "global-management", "Datacenters": ["dc1"]},
            500,
            "Changing the Datacenters of the global-management policy is not permitted",
        ),
        (
            "DELETE",
            f"policy/{MANAGEMENT}",
            None,
            500,
            "Delete operation not permitted on the builtin global-management policy",
        ),
        ("GET", "policy/", None, 400, "Missing policy ID"),
        ("GET", "policy/name/", None, 400, "Missing policy Name"),
        ("GET", "policy/name/x", None, 404, "Requested policy does not exist: ACL not found"),
        ("PUT", "role", {}, 500, "Invalid Role: no Name is set"),
        ("PUT", "role", {"Name": "a b"}, 500, "Invalid Role: invalid Name. Only "),
        ("PUT", "role/x", {"Name": "a"}, 500, "Role ID invalid UUID"),
        ("PUT", f"role/{ROOT}", {"Name": "a"}, 500, f"cannot find role {ROOT}"),
        ("PUT", "role/x", {"ID": "y", "Name": "a"}, 400, "Role ID in URL and payload do not match"),
        (
            "PUT",
            "role",
            {"Name": "a", "Policies": [{"Name": "none"}]},
            500,
            'No such ACL policy with name "none"',
        ),
        (
            "PUT",
            "role",
            {"Name": "a", "ServiceIdentities": [{"ServiceName": "A"}]},
            500,
            'Service identity "A" has an invalid name. Only lowercase alphanumeric characters, ',
        ),
        (
            "PUT",
            "role",
            {"Name": "a", "NodeIdentities": [{"NodeName": "a"}]},
            500,
            "Node identity is missing the datacenter field on this role",
        ),
        ("DELETE", f"role/{ROOT}", None, 404, "Cannot find role to delete"),
        ("GET", f"role/{ROOT}", None, 404, "Requested role does not exist: ACL not found"),
        ("GET", "role/name/", None, 400, "Missing role Name"),
        ("PUT", "token", b"x", 400, "Token decoding failed: "),
        ("PUT", "token", {"AccessorID": "x"}, 500, "Invalid Token: AccessorID - not a valid UUID"),
        (
            "PUT",
            "token",
            {"SecretID": "00000000-0000-0000-0000-000000000009"},
            500,
            'Invalid Token: SecretID - UUIDs with the prefix "00000000-0000-0000-0000-0000000000" ',
        ),
        ("PUT", "token", {"SecretID": ROOT}, 500, "Invalid Token: SecretID is already in use"),
        ("PUT", "token", {"AccessorID": ROOT}, 500, "Invalid Token: AccessorID is already in use"),
        ("PUT", "token", {"AuthMethod": "x"}, 500, "AuthMethod field is disallowed outside of lo"),
        ("PUT", "token", {"ExpirationTTL": "-1s"}, 500, "Token Expiration TTL '-1s' should be > 0"),
        (
            "PUT",
            "token",
            {"ExpirationTTL": "30s"},
            500,
            "ExpirationTime cannot be less than 1m0s in the future (was 30s)",
        ),
        (
            "PUT",
            "token",
            {"ExpirationTTL": "1h", "ExpirationTime": "2099-01-01T00:00:00Z"},
            500,
            "Token Expiration TTL and Expiration Time cannot both be set",
        ),
        (
            "PUT",
            "token",
            {"ExpirationTime": "1999-01-01T00:00:00Z"},
            500,
            "ExpirationTime cannot be before CreateTime",
        ),
        ("PUT", "token", {"Policies": [{"ID": ROOT}]}, 500, f'No such ACL policy with ID "{ROOT}"'),
        ("PUT", "token", {"Roles": [{"Name": "no"}]}, 500, 'No such ACL role with name "no"'),
        (
            "PUT",
            "token",
            {"ServiceIdentities": [{}]},
            500,
            "Service identity is missing the service name field on this token",
        ),
        (
            "PUT",
            "token",
            {"Local": True, "ServiceIdentities": [{"ServiceName": "a", "Datacenters": ["dc1"]}]},
            500,
            'Service identity "a" cannot specify a list of datacenters on a local token',
        ),
        (
            "PUT",
            "token",
            {"TemplatedPolicies": [{"TemplateName": "x"}]},
            500,
            'no such ACL templated policy with Name "x"',
        ),
        (
            "PUT",
            "token",
            {"TemplatedPolicies": [{"TemplateName": "builtin/service"}]},
            500,
            'validation error for templated policy "builtin/service": 1 error occurred:',
        ),
        ("PUT", "token/x", {}, 500, "AccessorID is not a valid UUID"),
        ("PUT", f"token/{ROOT}", {}, 500, f'Cannot find token "{ROOT}"'),
        (
            "PUT",
            f"token/{ROOT}",
            {"AccessorID": "x"},
            400,
            "Token Accessor ID in URL and payload do not match",
        ),
        ("PUT", f"token/{ROOT}/clone", {}, 403, "token does not exist: ACL not found"),
        ("PUT", "token/x/clone", {}, 500, "failed acl token lookup: index error: UUID must be 36"),
        ("GET", "token/", None, 400, "Missing token AccessorID"),
        ("GET", f"token/{ROOT}", None, 403, "token does not exist: ACL not found"),
        ("GET", "token/x", None, 500, "failed acl token lookup: index error: UUID must be 36 char"),
        ("GET", "policy/x", None, 500, "failed acl policy lookup: index error: UUID must be 36"),
        ("GET", "role/x", None, 500, "failed acl role lookup: index error: UUID must be 36 char"),
        ("GET", "binding-rule/x", None, 500, "failed acl binding rule lookup: index error: UUID"),
        ("DELETE", "token/x", None, 500, "Accessor ID is missing or an invalid UUID"),
        ("DELETE", f"token/{ROOT}", None, 404, "Cannot find token to delete"),
        (
            "DELETE",
            f"token/{ANONYMOUS_ID}",
            None,
            500,
            "Delete operation not permitted on the anonymous token",
        ),
        ("PUT", "auth-method", {}, 500, "Invalid Auth Method: no Name is set"),
        ("PUT", "auth-method", {"Name": "a b"}, 500, "Invalid Auth Method: invalid Name."),
        ("PUT", "auth-method", {"Name": "a"}, 500, "Invalid Auth Method: Type should be one of"),
        (
            "PUT",
            "auth-method",
            {"Name": "a", "Type": "kubernetes"},
            500,
            'Invalid Auth Method: Type "kubernetes": Kubernetes logins are not supported yet',
        ),
        (
            "PUT",
            "auth-method",
            {"Name": "a", "Type": "jwt", "Config": {}},
            500,
            "Invalid Auth Method: exactly one of 'JWTValidationPubKeys', 'JWKSURL', or ",
        ),
        (
            "PUT",
            "auth-method",
            {"Name": "a", "Type": "jwt", "Config": {"JWKSUrl": "x"}},
            500,
            'Invalid Auth Method: Config has invalid key "JWKSUrl"; did you mean JWKSURL?',
        ),
        (
            "PUT",
            "auth-method",
            {"Name": "a", "Type": "jwt", "Config": {"JWKSURL": "file:///etc/passwd"}},
            500,
            'Invalid Auth Method: "file:///etc/passwd" is no http or https URL',
        ),
        (
            "PUT",
            "auth-method",
            {"Name": "a", "Type": "jwt", "Config": {"JWTValidationPubKeys": ["x"]}},
            500,
            "Invalid Auth Method: JWTValidationPubKeys has an entry that is no PEM public key",
        ),
        (
            "PUT",
            "auth-method",
            {"Name": "a", "Type": "jwt", "MaxTokenTTL": "1s"},
            500,
            "MaxTokenTTL 1s cannot be less than 1m0s",
        ),
        ("GET", "auth-method/x", None, 404, "Requested auth method does not exist: ACL not found"),
        ("DELETE", "auth-method/x", None, 404, "Cannot find auth method to delete"),
        ("PUT", "binding-rule", {}, 500, "Invalid Binding Rule: no AuthMethod is set"),
        (
            "PUT",
            "binding-rule",
            {"AuthMethod": "x"},
            500,
            'cannot find auth method with name "x"',
        ),
        ("PUT", "binding-rule/x", {}, 500, "Binding Rule ID invalid UUID"),
        ("DELETE", f"binding-rule/{ROOT}", None, 404, "Cannot find binding rule to delete"),
        ("POST", "login", {}, 403, 'ACL not found: auth method "" not found'),
        (
            "POST",
            "login",
            {"AuthMethod": "x", "BearerToken": "y"},
            403,
            'ACL not found: auth method "x" not found',
        ),
        ("POST", "logout", None, 403, "Permission denied: token wasn't created via login"),
        ("PUT", "bootstrap", {"BootstrapSecret": "x"}, 403, "Permission denied: ACL bootstrap no "),
        ("GET", "token", None, 405, "method GET not allowed"),
        ("GET", "templated-policy/name/x", None, 400, "Invalid templated policy Name: x"),
        ("POST", "templated-policy/preview/x", {}, 400, 'templated policy "x" does not exist'),
    ],
)  # fmt: skip
async def test_refused(
    agent: Agent, method: str, path: str, body: Any, status: int, message: str
) -> None:
    before = agent.server.state.view.revision
    answer = await agent.call(method, f"/v1/acl/{path}", body)
    assert (answer.status, answer.text[: len(message)]) == (status, message)
    assert agent.server.state.view.revision == before
    assert ROOT not in answer.text or ROOT in path or ROOT in json.dumps(body if body else "")


# --- tokens -----------------------------------------------------------------------------------


async def test_life_of_a_token(agent: Agent) -> None:
    await agent.made("/v1/acl/policy", {"Name": "p"})
    policy = (await agent.get("/v1/acl/policy/name/p")).json()["ID"]
    role = await agent.made("/v1/acl/role", {"Name": "r", "Policies": [{"ID": policy}]})
    assert role["Policies"] == [{"ID": policy, "Name": "p"}]
    made = await agent.made(
        "/v1/acl/token",
        {
            "Description": "d",
            "Policies": [{"Name": "p"}, {"ID": policy}],
            "Roles": [{"Name": "R"}],
            "ServiceIdentities": [
                {"ServiceName": "web", "Datacenters": ["dc1"]},
                {"ServiceName": "web", "Datacenters": ["dc2"]},
            ],
            "NodeIdentities": [{"NodeName": "n", "Datacenter": "dc1"}],
            "TemplatedPolicies": [
                {"TemplateName": "builtin/service", "TemplateVariables": {"Name": "api"}}
            ],
            "ExpirationTTL": "1h",
        },
    )
    assert UUID.fullmatch(made["AccessorID"]) and UUID.fullmatch(made["SecretID"])
    assert made["AccessorID"] != made["SecretID"]
    times = [datetime.fromisoformat(made[name]) for name in ("CreateTime", "ExpirationTime")]
    assert times[1] - times[0] == timedelta(hours=1)
    assert made == {
        "AccessorID": made["AccessorID"],
        "SecretID": made["SecretID"],
        "Description": "d",
        "Policies": [{"ID": policy, "Name": "p"}],
        "Roles": [{"ID": role["ID"], "Name": "r"}],
        "ServiceIdentities": [{"ServiceName": "web", "Datacenters": ["dc1", "dc2"]}],
        "NodeIdentities": [{"NodeName": "n", "Datacenter": "dc1"}],
        "TemplatedPolicies": [
            {
                "TemplateName": "builtin/service",
                "TemplateID": "00000000-0000-0000-0000-000000000003",
                "TemplateVariables": {"name": "api"},
            }
        ],
        "Local": False,
        "ExpirationTime": made["ExpirationTime"],
        "CreateTime": made["CreateTime"],
        "Hash": made["Hash"],
        "CreateIndex": made["CreateIndex"],
        "ModifyIndex": made["ModifyIndex"],
    }
    path = f"/v1/acl/token/{made['AccessorID']}"
    assert (await agent.get(path)).json() == made
    assert (await agent.get("/v1/acl/token/self", token=made["SecretID"])).json() == made
    for wrong in ({"SecretID": ROOT}, {"Local": True}, {"ExpirationTTL": "2h"}):
        refused = await agent.put(path, wrong)
        assert refused.status == 500 and re.match("Chang|Cannot", refused.text)

    clone = await agent.made(f"{path}/clone", {"Description": "c"})
    ids = {made["AccessorID"], made["SecretID"], clone["AccessorID"], clone["SecretID"]}
    assert len(ids) == 4
    same = ("Policies", "Roles", "ServiceIdentities", "ExpirationTime")
    assert [clone[name] for name in same] == [made[name] for name in same]
    assert clone["Description"] == "c"

    made["Policies"] = None  # a client sends back what it has read, with changes
    made["Description"] = "other"
    changed = await agent.made(path, made)
    assert (changed["Description"], changed.get("Policies")) == ("other", None)
    assert changed["SecretID"] == made["SecretID"]
    assert (await agent.call("DELETE", path)).json() is True
    assert (await agent.get(path)).status == 403
    refused = await agent.get("/v1/acl/policies", token=made["SecretID"])
    assert (refused.status, refused.text) == (403, "ACL not found")


async def test_secrets_are_hidden_from_readers(agent: Agent) -> None:
    reader = await token_with(agent, 'acl = "read"')
    token = await agent.made("/v1/acl/token", {"Description": "x"})
    seen = (await agent.get(f"/v1/acl/token/{token['AccessorID']}", token=reader)).json()
    assert seen["SecretID"] == HIDDEN
    assert seen | {"SecretID": token["SecretID"]} == token
    listed = (await agent.get("/v1/acl/tokens", token=reader)).json()
    assert {row["SecretID"] for row in listed} == {HIDDEN}
    everything = (await agent.get("/v1/acl/tokens")).json()
    assert {row["SecretID"] for row in everything} >= {token["SecretID"], "anonymous", ROOT}
    refused = await agent.put("/v1/acl/token", {}, token=reader)
    assert refused.status == 403 and refused.text.endswith("lacks permission 'acl:write'")
    assert reader not in refused.text


async def test_list_filters(agent: Agent) -> None:
    policy = await agent.made("/v1/acl/policy", {"Name": "p"})
    role = await agent.made("/v1/acl/role", {"Name": "r", "Policies": [{"Name": "p"}]})
    await agent.made("/v1/acl/role", {"Name": "empty"})
    templated = {"TemplateName": "builtin/service", "TemplateVariables": {"Name": "web"}}
    grants: dict[str, Any] = {
        "policy": {"Policies": [{"Name": "p"}]},
        "role": {"Roles": [{"Name": "r"}]},
        "service": {"ServiceIdentities": [{"ServiceName": "web"}]},
        "template": {"TemplatedPolicies": [templated]},
    }
    made = {
        name: (await agent.made("/v1/acl/token", grant))["AccessorID"]
        for name, grant in grants.items()
    }

    async def listed(query: str) -> set[str]:
        return {row["AccessorID"] for row in (await agent.get(f"/v1/acl/tokens?{query}")).json()}

    assert await listed(f"policy={policy['ID']}") == {made["policy"]}
    assert await listed(f"role={role['ID']}") == {made["role"]}
    assert await listed("servicename=web") == {made["service"], made["template"]}
    assert await listed("authmethod=x") == set()
    roles = (await agent.get(f"/v1/acl/roles?policy={policy['ID']}")).json()
    assert [row["Name"] for row in roles] == ["r"]
    assert len((await agent.get("/v1/acl/roles")).json()) == 2


async def test_expanded(agent: Agent) -> None:
    await agent.made("/v1/acl/policy", {"Name": "a", "Rules": 'acl = "read"'})
    await agent.made("/v1/acl/policy", {"Name": "b"})
    await agent.made("/v1/acl/role", {"Name": "r", "Policies": [{"Name": "b"}]})
    token = await agent.made(
        "/v1/acl/token", {"Policies": [{"Name": "a"}], "Roles": [{"Name": "r"}]}
    )
    seen = (await agent.get(f"/v1/acl/token/{token['AccessorID']}?expanded")).json()
    assert {policy["Name"] for policy in seen["ExpandedPolicies"]} == {"a", "b"}
    assert seen["ExpandedRoles"][0]["Policies"][0]["Name"] == "b"
    assert (seen["AgentACLDefaultPolicy"], seen["AgentACLDownPolicy"]) == ("deny", "extend-cache")
    assert seen["ResolvedByAgent"] == "localhost"


async def test_links_follow_renames_and_deletions(agent: Agent) -> None:
    policy = await agent.made("/v1/acl/policy", {"Name": "old", "Rules": 'acl = "write"'})
    token = await agent.made("/v1/acl/token", {"Policies": [{"Name": "old"}]})
    path = f"/v1/acl/token/{token['AccessorID']}"
    await agent.made(f"/v1/acl/policy/{policy['ID']}", policy | {"Name": "new"})
    assert (await agent.get(path)).json()["Policies"] == [{"ID": policy["ID"], "Name": "new"}]
    assert (await agent.get("/v1/acl/tokens", token=token["SecretID"])).status == 200
    await agent.call("DELETE", f"/v1/acl/policy/{policy['ID']}")
    assert "Policies" not in (await agent.get(path)).json()
    assert (await agent.get("/v1/acl/tokens", token=token["SecretID"])).status == 403


async def test_own_token_cannot_be_deleted(agent: Agent) -> None:
    accessor = (await agent.get("/v1/acl/token/self")).json()["AccessorID"]
    answer = await agent.call("DELETE", f"/v1/acl/token/{accessor}")
    assert answer.text == "Deletion of the request's authorization token is not permitted"


async def test_expired_tokens_are_unknown_and_then_gone(agent: Agent) -> None:
    acl, server = agent.server.state.acl, agent.server
    early = datetime.now(UTC) - timedelta(hours=2)
    from portway.discovery.acl.requests import TokenRequest

    wanted = TokenRequest(expiration_time=early + timedelta(hours=1))
    token = await server.transact(lambda draft: token_operations.create(acl, draft, wanted, early))
    assert (await agent.get(f"/v1/acl/token/{token.accessor_id}")).status == 403
    answer = await agent.get("/v1/acl/token/self", token=token.secret_id)
    assert (answer.status, answer.text) == (403, "token has expired: ACL not found")
    answer = await agent.get("/v1/acl/tokens", token=token.secret_id)
    assert (answer.status, answer.text) == (403, "ACL not found")
    listed = (await agent.get("/v1/acl/tokens")).json()
    assert token.accessor_id not in {row["AccessorID"] for row in listed}
    assert acl.tokens.get(token.accessor_id) is not None
    gone = await server.transact(
        lambda draft: token_operations.delete_expired(acl, draft, utc_now())
    )
    assert (gone, acl.tokens.get(token.accessor_id)) == (1, None)
    assert not acl.expiring


async def test_anonymous_token(agent: Agent) -> None:
    answer = await agent.get("/v1/acl/tokens", token="")
    assert (answer.status, answer.text) == (
        403,
        "Permission denied: anonymous token lacks permission 'acl:read'. The anonymous token is "
        "used implicitly when a request does not specify a token.",
    )
    await agent.made("/v1/acl/policy", {"Name": "p", "Rules": 'acl = "read"'})
    await agent.made(
        f"/v1/acl/token/{ANONYMOUS_ID}", {"Description": "A", "Policies": [{"Name": "p"}]}
    )
    assert (await agent.get("/v1/acl/tokens", token="")).status == 200
    assert (await agent.get("/v1/acl/tokens", token="anonymous")).status == 200


async def test_unknown_token(agent: Agent) -> None:
    for path in ("/v1/acl/tokens", "/v1/kv/x", "/v1/acl/policies"):
        answer = await agent.get(path, token="5" * 36)
        assert (answer.status, answer.text) == (403, "ACL not found")


async def test_disabled(tmp_path: Path, agent: Agent) -> None:
    off = Resolver(agent.server.state.acl, AclSettings(False))
    agent.app.context.tokens = off
    paths = {
        route.path
        for route in agent.app.router.routes
        if route.path.startswith(("/v1/acl/", "/v1/internal/acl/"))
    }
    assert len(paths) > 20
    for route in agent.app.router.routes:
        if route.path in paths:
            for method in route.methods:
                answer = await agent.call(method, route.path, {})
                assert (answer.status, answer.text) == (401, "ACL support disabled"), route.path


# --- bootstrap --------------------------------------------------------------------------------


async def test_bootstrap_works_once_and_again_with_the_reset_file(tmp_path: Path) -> None:
    agent = await started(tmp_path, management="")
    agent.secret = ""
    first = await agent.put("/v1/acl/bootstrap")
    token = first.json()
    assert first.status == 200 and token["ID"] == token["SecretID"]
    assert token["Policies"] == [{"ID": MANAGEMENT, "Name": "global-management"}]
    assert (await agent.get("/v1/acl/tokens", token=token["ID"])).status == 200

    refused = await agent.put("/v1/acl/bootstrap")
    found = re.fullmatch(
        r"Permission denied: ACL bootstrap no longer allowed \(reset index: (\d+)\)", refused.text
    )
    assert refused.status == 403 and found
    reset = tmp_path / "acl-bootstrap-reset"
    reset.write_text("1\n")
    wrong = await agent.put("/v1/acl/bootstrap")
    assert wrong.status == 500
    assert wrong.text == f"Invalid bootstrap reset index (specified 1, reset index: {found[1]})"
    reset.write_text(f"{found[1]}\n")
    again = await agent.put("/v1/acl/bootstrap", {"BootstrapSecret": ROOT})
    assert again.status == 200 and again.json()["SecretID"] == ROOT
    assert not reset.exists()
    assert (await agent.put("/v1/acl/bootstrap")).status == 403
    agent.server.stop()
    await agent.server.store.close()


async def test_initial_management_token_counts_as_bootstrap(agent: Agent) -> None:
    assert (await agent.put("/v1/acl/bootstrap", token="")).status == 403
    mine = (await agent.get("/v1/acl/token/self")).json()
    assert mine["Description"] == "Initial Management Token"
    acl, revision = agent.server.state.acl, agent.server.state.view.revision
    await agent.server.transact(lambda draft: token_operations.seed(acl, draft, utc_now(), ROOT))
    assert agent.server.state.view.revision == revision  # a restart changes nothing


async def test_built_in_rules_are_renewed_at_start_and_names_kept(agent: Agent) -> None:
    acl = agent.server.state.acl
    mine = (await agent.get(f"/v1/acl/policy/{MANAGEMENT}")).json()
    await agent.made(f"/v1/acl/policy/{MANAGEMENT}", mine | {"Name": "root", "Description": "d"})
    stored = acl.policies.get(MANAGEMENT)
    assert stored is not None
    old = msgspec.structs.replace(stored, rules='acl = "write"')
    await agent.server.transact(lambda draft: draft.put(acl.policies, MANAGEMENT, old))
    await agent.server.transact(lambda draft: token_operations.seed(acl, draft, utc_now()))
    now = (await agent.get(f"/v1/acl/policy/{MANAGEMENT}")).json()
    assert (now["Name"], now["Description"], now["Rules"]) == ("root", "d", mine["Rules"])


# --- the rest ---------------------------------------------------------------------------------


async def test_templated_policies(agent: Agent) -> None:
    listed = (await agent.get("/v1/acl/templated-policies")).json()
    assert set(listed) == {
        f"builtin/{name}"
        for name in ("service", "node", "dns", "nomad-server", "nomad-client", "api-gateway")
    }
    one = (await agent.get("/v1/acl/templated-policy/name/builtin/service")).json()
    assert one == listed["builtin/service"] and json.loads(one["Schema"])["required"] == ["name"]
    preview = await agent.call(
        "POST", "/v1/acl/templated-policy/preview/builtin/service", {"Name": "api"}
    )
    assert 'service "api-sidecar-proxy"' in preview.json()["Rules"]
    assert preview.json()["Name"].startswith("synthetic-policy-")
    refused = await agent.call("POST", "/v1/acl/templated-policy/preview/builtin/service")
    assert (refused.status, refused.text) == (400, "Failed to decode request body: EOF")


async def test_replication_and_authorize(agent: Agent) -> None:
    assert (await agent.get("/v1/acl/replication", token="")).json()["Enabled"] is False
    secret = await token_with(agent, 'key_prefix "a/" { policy = "write" }')
    asked = [
        {"Resource": "key", "Access": "write", "Segment": "a/b"},
        {"Resource": "key", "Access": "write-prefix", "Segment": "a/"},
        {"Resource": "key", "Access": "READ", "Segment": "b"},
        {"Resource": "operator", "Access": "read"},
    ]
    answer = await agent.call("POST", "/v1/internal/acl/authorize", asked, token=secret)
    assert [row["Allow"] for row in answer.json()] == [True, True, False, False]
    assert answer.json()[0] == asked[0] | {"Allow": True}
    for body, message in [
        (asked * 17, "Refusing to process more than 64 authorizations at once"),
        ([{"Resource": "x", "Access": "read"}], 'Invalid ACL resource requested: "x"'),
        ([{"Resource": "key", "Access": "x"}], "Invalid access level for key resource: x"),
    ]:
        refused = await agent.call("POST", "/v1/internal/acl/authorize", body)
        assert (refused.status, refused.text) == (400, message)


async def test_identities_grant_what_they_stand_for(agent: Agent) -> None:
    async def authorizer(grant: dict[str, Any]) -> Any:
        return agent.resolver.resolve((await agent.made("/v1/acl/token", grant))["SecretID"])

    service = await authorizer({"ServiceIdentities": [{"ServiceName": "web"}]})
    assert service.allows("service", "write", "web")
    assert service.allows("service", "write", "web-sidecar-proxy")
    assert service.allows_all("service") and service.allows_all("node")
    assert not service.allows("service", "write", "web2")
    assert not service.allows("node", "write", "n")
    elsewhere = await authorizer(
        {"ServiceIdentities": [{"ServiceName": "web", "Datacenters": ["dc2"]}]}
    )
    assert not elsewhere.allows("service", "read", "web")
    node = await authorizer({"NodeIdentities": [{"NodeName": "n", "Datacenter": "dc1"}]})
    assert node.allows("node", "write", "n") and node.allows_all("service")
    assert not node.allows("service", "write", "web")
    other = await authorizer({"NodeIdentities": [{"NodeName": "n", "Datacenter": "dc2"}]})
    assert not other.allows("node", "read", "n")
    dns = await authorizer({"TemplatedPolicies": [{"TemplateName": "builtin/dns"}]})
    assert dns.allows("query", "read", "x") and not dns.allows_any("service")


async def test_a_change_reaches_exactly_the_tokens_it_concerns(agent: Agent) -> None:
    policy = await agent.made("/v1/acl/policy", {"Name": "p", "Rules": 'operator = "read"'})
    await agent.made("/v1/acl/role", {"Name": "r", "Policies": [{"Name": "p"}]})
    by_role = (await agent.made("/v1/acl/token", {"Roles": [{"Name": "r"}]}))["SecretID"]
    twin = (await agent.made("/v1/acl/token", {"Roles": [{"Name": "r"}]}))["SecretID"]
    other = await token_with(agent, 'operator = "read"', "q")
    resolve = agent.resolver.resolve
    kept, changed = resolve(other), resolve(by_role)
    assert changed.allows("operator", "read") and not changed.allows("operator", "write")
    assert resolve(by_role) is changed  # resolved once
    assert resolve(twin)._permissions is changed._permissions  # merged once
    await agent.made(f"/v1/acl/policy/{policy['ID']}", policy | {"Rules": 'operator = "write"'})
    assert resolve(by_role).allows("operator", "write")
    assert resolve(twin).allows("operator", "write")
    assert resolve(other) is kept


async def test_recovery_token(agent: Agent) -> None:
    agent.resolver.set_recovery("s3cret", "n1")
    authorizer = agent.resolver.resolve("s3cret")
    assert authorizer.allows("agent", "write", "n1") and authorizer.allows_all("node")
    assert not authorizer.allows("agent", "write", "n2")
    assert not authorizer.allows("acl", "read")


async def test_names_stay_unique_under_concurrent_writers(agent: Agent) -> None:
    import asyncio

    answers = await asyncio.gather(
        *(agent.put("/v1/acl/policy", {"Name": "same"}) for _ in range(8)),
        *(agent.put("/v1/acl/token", {"SecretID": ROOT[:-1] + "6"}) for _ in range(8)),
    )
    assert [answer.status for answer in answers].count(200) == 2
