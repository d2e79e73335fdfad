"""``/v1/acl/token`` and ``/v1/acl/tokens``."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.discovery.acl import AclDisabledError, Resolver
from portway.discovery.acl import tokens as operations
from portway.discovery.acl.grants import check_id
from portway.discovery.acl.requests import TokenRequest
from portway.discovery.acl.resolve import utc_now
from portway.discovery.acl.templates import synthetic_policies
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import read
from portway.discovery.api.decode import decode
from portway.discovery.api.error import bad_request
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model.acl import HIDDEN, Policy, Role, Token
from portway.discovery.state import Acl, Reading

TURN = "acl"
"""Writes of access control go one after the other."""
MISSING = "Requested {} does not exist: ACL not found"


def resolver_of(request: Request) -> Resolver:
    """The resolver of an agent with access control. Raises AclDisabledError on another."""
    tokens = request.context.tokens
    if not tokens.enabled or not isinstance(tokens, Resolver):
        raise AclDisabledError
    return tokens


def acl_of(request: Request, access: str) -> Acl:
    """The tables, for a caller who has ``acl:read`` or ``acl:write``."""
    resolver_of(request)
    request.datacenter()
    request.require("acl", access)
    return request.context.server.state.acl


def shown(acl: Acl, token: Token, secret: bool) -> Token:
    """A token as answers have it: links with names, and the secret only if ``secret``."""
    return msgspec.structs.replace(
        token,
        secret_id=token.secret_id if secret else HIDDEN,
        policies=acl.named(token.policies, acl.policies),
        roles=acl.named(token.roles, acl.roles),
    )


async def create(request: Request) -> Answer:
    """Make a token; its IDs may be chosen."""
    acl = acl_of(request, "write")
    wanted = decode(await request.body(), TokenRequest, prefix="Token decoding failed: ")
    return await _created(request, acl, wanted)


async def _created(request: Request, acl: Acl, wanted: TokenRequest) -> Answer:
    made = await request.context.server.transact(
        lambda draft: operations.create(acl, draft, wanted, utc_now()), TURN
    )
    return json_answer(shown(acl, made, secret=True))


async def get(request: Request) -> Answer:
    """Read a token by its accessor, with ``?expanded`` all that it grants."""
    accessor = request.rest
    if not accessor:
        resolver_of(request)
        raise bad_request("Missing token AccessorID")
    acl = acl_of(request, "read")
    accessor = check_id(accessor, "token")
    token = _valid(await read(request, lambda: acl.read(acl.tokens, acl.tokens.get(accessor))))
    answer = shown(acl, token, request.allows("acl", "write"))
    if request.has("expanded"):
        return json_answer(_expanded(request, acl, answer, token))
    return json_answer(answer)


async def get_self(request: Request) -> Answer:
    """Read the caller's own token."""
    resolver_of(request)
    acl = request.context.server.state.acl

    def own() -> Reading[Token | None]:
        return acl.read(acl.tokens, acl.token_by_secret(request.token))

    return json_answer(shown(acl, _valid(await read(request, own)), secret=True))


async def put(request: Request) -> Answer:
    """Change a token, or make one like it (``/clone``)."""
    accessor, _, action = request.rest.partition("/")
    acl = acl_of(request, "write")
    body = await request.body()
    if action == "clone":
        wanted = decode(body, TokenRequest, prefix="Token decoding failed: ")
        accessor = check_id(accessor, "token")
        made = await request.context.server.transact(
            lambda draft: operations.clone(acl, draft, accessor, wanted.description, utc_now()),
            TURN,
        )
        return json_answer(shown(acl, made, secret=True))
    accessor = request.rest
    wanted = decode(body, TokenRequest, prefix="Token decoding failed: ")
    if wanted.accessor_id and wanted.accessor_id != accessor:
        raise bad_request("Token Accessor ID in URL and payload do not match")
    if not accessor:
        return await _created(request, acl, wanted)
    changed = await request.context.server.transact(
        lambda draft: operations.update(acl, draft, accessor, wanted, utc_now()), TURN
    )
    return json_answer(shown(acl, changed, secret=True))


async def delete(request: Request) -> Answer:
    """Delete a token."""
    accessor = request.rest
    if not accessor:
        resolver_of(request)
        raise bad_request("Missing token AccessorID")
    acl = acl_of(request, "write")
    caller = request.authorizer.accessor
    await request.context.server.transact(
        lambda draft: operations.delete(acl, draft, accessor, caller), TURN
    )
    return json_answer(True)


async def list_all(request: Request) -> Answer:
    """List tokens, those of one policy, role, auth method or service if asked."""
    acl = acl_of(request, "read")
    tokens = (await read(request, lambda: acl.read_all(acl.tokens))).value
    now = utc_now()
    wanted = operations.tokens_of(
        (token for token in tokens if not token.expired(now)),
        policy=request.param("policy"),
        role=request.param("role"),
        method=request.param("authmethod"),
        service=request.param("servicename"),
    )
    secret = request.allows("acl", "write")
    return json_answer([shown(acl, token, secret) for token in wanted])


def _valid(reading: Reading[Token | None]) -> Token:
    token = reading.value
    if token is None:
        raise operations.TokenNotFoundError
    if token.expired(utc_now()):
        raise operations.TokenNotFoundError("has expired")
    return token


def _expanded(request: Request, acl: Acl, answer: Token, token: Token) -> dict[str, Any]:
    resolver, settings = resolver_of(request), request.context.settings
    roles = resolver.roles(token)
    policies: dict[str, object] = {policy.id: policy for policy in resolver.policies(token)}
    owners: list[Token | Role] = [token, *roles]
    for owner in owners:
        policies |= {one.id: shown_synthetic(one) for one in synthetic_policies(owner)}
    return {
        **msgspec.to_builtins(answer),
        "ExpandedPolicies": list(policies.values()) or None,
        "ExpandedRoles": [named_role(acl, role) for role in roles] or None,
        "NamespaceDefaultPolicyIDs": None,
        "NamespaceDefaultRoleIDs": None,
        "AgentACLDefaultPolicy": settings.default_policy,
        "AgentACLDownPolicy": settings.down_policy,
        "ResolvedByAgent": settings.node_name,
    }


def shown_synthetic(policy: Policy) -> dict[str, Any]:
    """A policy made from a template as answers have it: it is not stored, so its indexes are 0."""
    return {**msgspec.to_builtins(policy), "CreateIndex": 0, "ModifyIndex": 0}


def named_role(acl: Acl, role: Role) -> Role:
    """A role as answers have it: links with names."""
    return msgspec.structs.replace(role, policies=acl.named(role.policies, acl.policies))


ROUTES = (
    Route("/v1/acl/token", {"PUT": create}, access="acl:write"),
    Route("/v1/acl/tokens", {"GET": list_all}, access="acl:read, secrets with acl:write"),
    Route("/v1/acl/token/self", {"GET": get_self}, access="none but a valid token"),
    Route(
        "/v1/acl/token/",
        {"GET": get, "PUT": put, "DELETE": delete},
        access="GET acl:read (secrets with acl:write), PUT and DELETE acl:write",
    ),
)
