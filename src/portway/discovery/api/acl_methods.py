"""``/v1/acl/auth-method``, ``/v1/acl/binding-rule``, their lists, login and logout."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.discovery.acl import login, tokens
from portway.discovery.acl import methods as operations
from portway.discovery.acl.grants import check_id
from portway.discovery.acl.jwt import JwtValidator
from portway.discovery.acl.requests import AuthMethodRequest, BindingRuleRequest, LoginRequest
from portway.discovery.acl.resolve import utc_now
from portway.discovery.api.acl_tokens import (
    MISSING,
    TURN,
    acl_of,
    resolver_of,
    shown,
)
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import read
from portway.discovery.api.decode import decode
from portway.discovery.api.error import ApiError, bad_request, not_found
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model.acl import AuthMethod

_validator = JwtValidator()


async def create_method(request: Request) -> Answer:
    """Make an auth method."""
    return await _write_method(request, "")


async def put_method(request: Request) -> Answer:
    """Change an auth method."""
    return await _write_method(request, request.rest)


async def _write_method(request: Request, name: str) -> Answer:
    acl = acl_of(request, "write")
    wanted = decode(await request.body(), AuthMethodRequest, prefix="AuthMethod decoding failed: ")
    if name:
        if wanted.name not in ("", name):
            raise bad_request("AuthMethod Name in URL and payload do not match")
        wanted = msgspec.structs.replace(wanted, name=name)
    return json_answer(
        await request.context.server.transact(
            lambda draft: operations.write_method(acl, draft, wanted), TURN
        )
    )


async def get_method(request: Request) -> Answer:
    """Read an auth method."""
    name = _rest(request, "Missing auth method name")
    acl = acl_of(request, "read")
    method = (await read(request, lambda: acl.read(acl.methods, acl.method(name)))).value
    if method is None:
        raise not_found(MISSING.format("auth method"))
    return json_answer(method)


async def delete_method(request: Request) -> Answer:
    """Delete an auth method, its binding rules and its tokens."""
    name = _rest(request, "Missing auth method name")
    acl = acl_of(request, "write")
    await request.context.server.transact(
        lambda draft: operations.delete_method(acl, draft, name), TURN
    )
    return json_answer(True)


async def list_methods(request: Request) -> Answer:
    """List auth methods, without their configuration."""
    acl = acl_of(request, "read")
    methods = (await read(request, lambda: acl.read_all(acl.methods))).value
    return json_answer([_stub(method) for method in methods])


async def create_rule(request: Request) -> Answer:
    """Make a binding rule."""
    return await _write_rule(request, "")


async def put_rule(request: Request) -> Answer:
    """Change a binding rule."""
    return await _write_rule(request, request.rest)


async def _write_rule(request: Request, rule_id: str) -> Answer:
    acl = acl_of(request, "write")
    prefix = "BindingRule decoding failed: "
    wanted = decode(await request.body(), BindingRuleRequest, prefix=prefix)
    if wanted.id not in ("", rule_id):
        raise bad_request("BindingRule ID in URL and payload do not match")
    return json_answer(
        await request.context.server.transact(
            lambda draft: operations.write_rule(acl, draft, rule_id, wanted), TURN
        )
    )


async def get_rule(request: Request) -> Answer:
    """Read a binding rule."""
    rule_id = _rest(request, "Missing binding rule ID")
    acl = acl_of(request, "read")
    rule_id = check_id(rule_id, "binding rule")
    rule = (await read(request, lambda: acl.read(acl.rules, acl.rules.get(rule_id)))).value
    if rule is None:
        raise not_found(MISSING.format("binding rule"))
    return json_answer(rule)


async def delete_rule(request: Request) -> Answer:
    """Delete a binding rule."""
    rule_id = _rest(request, "Missing binding rule ID")
    acl = acl_of(request, "write")
    await request.context.server.transact(
        lambda draft: operations.delete_rule(acl, draft, rule_id), TURN
    )
    return json_answer(True)


async def list_rules(request: Request) -> Answer:
    """List binding rules, those of one auth method if asked."""
    acl = acl_of(request, "read")
    rules = (await read(request, lambda: acl.read_all(acl.rules))).value
    method = request.param("authmethod").lower()
    return json_answer([rule for rule in rules if not method or rule.auth_method.lower() == method])


async def log_in(request: Request) -> Answer:
    """Trade a credential for a token."""
    resolver = resolver_of(request)
    request.datacenter()
    wanted = decode(
        await request.body(1 << 20), LoginRequest, prefix="Failed to decode request body: "
    )
    acl = request.context.server.state.acl
    method, identity = await login.verify(acl, _validator, wanted)
    datacenter = resolver.settings.datacenter
    token = await request.context.server.transact(
        lambda draft: login.grant(acl, draft, method, identity, wanted, datacenter, utc_now()),
        TURN,
    )
    return json_answer(shown(acl, token, secret=True))


async def log_out(request: Request) -> Answer:
    """Give back the caller's token, which a login has made."""
    resolver_of(request)
    request.datacenter()
    secret = request.token
    if not secret:
        raise ApiError(401, "Supplied token does not exist")
    request.authorizer  # noqa: B018  an unknown token is refused
    acl = request.context.server.state.acl
    await request.context.server.transact(
        lambda draft: tokens.delete_by_logout(acl, draft, secret), TURN
    )
    return json_answer(True)


def _rest(request: Request, missing: str) -> str:
    resolver_of(request)
    if not request.rest:
        raise bad_request(missing)
    return request.rest


def _stub(method: AuthMethod) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(method)
    del row["Config"]
    return row


ROUTES = (
    Route("/v1/acl/auth-method", {"PUT": create_method}, access="acl:write"),
    Route("/v1/acl/auth-methods", {"GET": list_methods}, access="acl:read"),
    Route(
        "/v1/acl/auth-method/",
        {"GET": get_method, "PUT": put_method, "DELETE": delete_method},
        access="GET acl:read, PUT and DELETE acl:write",
    ),
    Route("/v1/acl/binding-rule", {"PUT": create_rule}, access="acl:write"),
    Route("/v1/acl/binding-rules", {"GET": list_rules}, access="acl:read"),
    Route(
        "/v1/acl/binding-rule/",
        {"GET": get_rule, "PUT": put_rule, "DELETE": delete_rule},
        access="GET acl:read, PUT and DELETE acl:write",
    ),
    Route("/v1/acl/login", {"POST": log_in}, access="none but a credential of the auth method"),
    Route("/v1/acl/logout", {"POST": log_out}, access="a token made by a login"),
)
