"""Logins: what the binding rules of an auth method make of a verified identity."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime

from portway.config import Duration
from portway.discovery.acl.errors import AclError, PermissionDeniedError
from portway.discovery.acl.jwt import Identity, JwtValidator, read_config
from portway.discovery.acl.methods import Selectable, interpolated, valid_bind
from portway.discovery.acl.requests import LoginRequest, TokenRequest
from portway.discovery.acl.tokens import create_by_login
from portway.discovery.filter import compile_filter
from portway.discovery.model.acl import (
    AuthMethod,
    BindingRule,
    Link,
    NodeIdentity,
    ServiceIdentity,
    TemplatedPolicy,
    TemplateVariables,
    Token,
)
from portway.discovery.state import Acl, Draft


class UnknownMethodError(AclError):
    """There is no auth method of this name."""

    status = 403


async def verify(
    acl: Acl, validator: JwtValidator, request: LoginRequest
) -> tuple[AuthMethod, Identity]:
    """Check a credential. Raises AclError, PermissionDeniedError when it is not good."""
    method = acl.method(request.auth_method)
    if method is None:
        raise UnknownMethodError(f'ACL not found: auth method "{request.auth_method}" not found')
    return method, await validator.validate(read_config(method.config), request.bearer_token)


def grant(
    acl: Acl,
    draft: Draft,
    method: AuthMethod,
    identity: Identity,
    request: LoginRequest,
    datacenter: str,
    now: datetime,
) -> Token:
    """Make the token that a verified identity is worth.

    Raises PermissionDeniedError when no rule gives it anything.
    """
    draft.guard(acl.rules)
    if draft.get(acl.methods, method.name.lower()) is None:
        raise UnknownMethodError(f'ACL not found: auth method "{method.name}" not found')
    wanted = TokenRequest(
        description=_description(request.meta),
        auth_method=method.name,
        local=method.token_locality != "global",  # noqa: S105  no password
        expiration_ttl=Duration.parse(method.max_token_ttl or 0),
    )
    for rule_id in sorted(acl.rules_by_method.get(method.name.lower(), ())):
        rule = draft.get(acl.rules, rule_id)
        if rule is not None and _selects(rule, identity):
            _bind(acl, rule, identity, wanted, datacenter)
    if not (
        wanted.policies
        or wanted.roles
        or wanted.service_identities
        or wanted.node_identities
        or wanted.templated_policies
    ):
        raise PermissionDeniedError
    return create_by_login(acl, draft, wanted, now)


def _selects(rule: BindingRule, identity: Identity) -> bool:
    row = {"value": identity.values, "list": identity.lists}
    return compile_filter(rule.selector, Selectable)(row)


def _bind(
    acl: Acl, rule: BindingRule, identity: Identity, wanted: TokenRequest, datacenter: str
) -> None:
    # What the credential lacks is empty.
    variables: defaultdict[str, str] = defaultdict(str)
    variables.update((f"value.{name}", value) for name, value in identity.values.items())
    name = interpolated(rule.bind_name, variables)
    variable = interpolated(rule.bind_vars.name, variables) if rule.bind_vars else ""
    if not valid_bind(rule.bind_type, name, variable):
        raise AclError(f'invalid bind name: "{name}"')
    if rule.bind_type == "service":
        wanted.service_identities.append(ServiceIdentity(name))
    elif rule.bind_type == "node":
        wanted.node_identities.append(NodeIdentity(name, datacenter))
    elif rule.bind_type == "role":
        if acl.role_by_name(name) is not None:
            wanted.roles.append(Link(name=name))
    elif rule.bind_type == "policy":
        if acl.policy_by_name(name) is not None:
            wanted.policies.append(Link(name=name))
    else:
        wanted.templated_policies.append(
            TemplatedPolicy(name, "", TemplateVariables(variable) if variable else None)
        )


def _description(meta: dict[str, str]) -> str:
    if not meta:
        return "token created via login"
    return f"token created via login: {json.dumps(meta, sort_keys=True, separators=(',', ':'))}"
