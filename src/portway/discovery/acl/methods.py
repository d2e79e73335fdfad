"""Writes of auth methods and binding rules, as functions over a draft. All raise AclError."""

from __future__ import annotations

import re
from typing import Literal, TypedDict

from portway.discovery.acl.errors import AclError
from portway.discovery.acl.grants import check_id, is_uuid, new_id
from portway.discovery.acl.jwt import read_config
from portway.discovery.acl.requests import AuthMethodRequest, BindingRuleRequest
from portway.discovery.acl.templates import TEMPLATES, valid_identity_name
from portway.discovery.acl.tokens import MIN_TTL, NotFoundError
from portway.discovery.filter import FilterError, compile_filter
from portway.discovery.model.acl import AuthMethod, BindingRule
from portway.discovery.state import Acl, Draft


class Selectable(TypedDict):
    """What selectors of binding rules ask for: ``value.x`` and ``list.y``.

    Any name may stand for x and y: what an identity lacks is equal to nothing.
    """

    value: dict[str, str]
    list: dict[str, list[str]]


_NAME = re.compile(r"[A-Za-z0-9\-_]{1,128}")
_ROLE_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")
_POLICY_NAME = re.compile(r"(?:builtin/)?[A-Za-z0-9\-_]{1,128}")
_VARIABLE = re.compile(r"\$\{\s*([^}]*?)\s*\}")
_UNSUPPORTED = {
    "kubernetes": "Kubernetes logins are not supported yet; a jwt method with the cluster's "
    "issuer as OIDCDiscoveryURL accepts its service account tokens",
    "aws-iam": "AWS IAM logins are not supported yet",
    "oidc": "OIDC logins are a Consul Enterprise feature; jwt is supported",
}
_LOCALITIES: dict[str, Literal["", "local", "global"]] = {
    "": "",
    "local": "local",
    "global": "global",
}
BIND_TYPES = ("service", "node", "role", "policy", "templated-policy")


def write_method(acl: Acl, draft: Draft, request: AuthMethodRequest) -> AuthMethod:
    """Create or change an auth method; its type stays."""
    if not request.name:
        raise AclError("Invalid Auth Method: no Name is set")
    if not _NAME.fullmatch(request.name):
        raise AclError(
            "Invalid Auth Method: invalid Name. "
            "Only alphanumeric characters, '-' and '_' are allowed"
        )
    key = request.name.lower()
    old = draft.get(acl.methods, key)
    kind = request.type or (old.type if old else "")
    if old is not None and kind != old.type:
        raise AclError("the Type field of an Auth Method is immutable")
    if kind in _UNSUPPORTED:
        raise AclError(f'Invalid Auth Method: Type "{kind}": {_UNSUPPORTED[kind]}')
    if kind != "jwt":
        raise AclError("Invalid Auth Method: Type should be one of: [jwt]")
    ttl = request.max_token_ttl
    if ttl and ttl < MIN_TTL.total_seconds():
        raise AclError(f"MaxTokenTTL {ttl} cannot be less than 1m0s")
    if request.token_locality not in _LOCALITIES:
        raise AclError("Invalid Auth Method: TokenLocality should be one of 'local' or 'global'")
    read_config(request.config)
    method = AuthMethod(
        name=request.name,
        type=kind,
        display_name=request.display_name,
        description=request.description,
        max_token_ttl=str(ttl) if ttl else "",
        token_locality=_LOCALITIES[request.token_locality],
        config=request.config,
        create_index=old.create_index if old else 0,
    )
    draft.put(acl.methods, key, method)
    return method


def delete_method(acl: Acl, draft: Draft, name: str) -> None:
    """Delete an auth method with its binding rules and all tokens it has made."""
    key = name.lower()
    draft.guard(acl.rules)
    draft.guard(acl.tokens)
    if draft.delete(acl.methods, key) is None:
        raise NotFoundError("Cannot find auth method to delete")
    for rule in sorted(acl.rules_by_method.get(key, ())):
        draft.delete(acl.rules, rule)
    for accessor in sorted(acl.tokens_by_method.get(key, ())):
        draft.delete(acl.tokens, accessor)


def write_rule(acl: Acl, draft: Draft, rule_id: str, request: BindingRuleRequest) -> BindingRule:
    """Create a binding rule (without an ID), or change one; its auth method stays."""
    old = None
    if rule_id:
        if not is_uuid(rule_id):
            raise AclError("Binding Rule ID invalid UUID")
        rule_id = rule_id.lower()
        old = draft.get(acl.rules, rule_id)
        if old is None:
            raise AclError(f"cannot find binding rule {rule_id}")
        if request.auth_method not in ("", old.auth_method):
            raise AclError("the AuthMethod field of an Binding Rule is immutable")
    name = request.auth_method or (old.auth_method if old else "")
    if not name:
        raise AclError("Invalid Binding Rule: no AuthMethod is set")
    method = draft.get(acl.methods, name.lower())
    if method is None:
        raise AclError(f'cannot find auth method with name "{name}"')
    config = read_config(method.config)
    if request.selector:
        try:
            compile_filter(request.selector, Selectable)
        except FilterError as error:
            raise AclError(f"invalid Binding Rule: Selector is invalid: {error.reason}") from None
    _check_bind(request, frozenset(f"value.{value}" for value in config.claims.values()))
    rule = BindingRule(
        id=rule_id or new_id(draft, acl.rules),
        description=request.description,
        auth_method=method.name,
        selector=request.selector,
        bind_type=request.bind_type,
        bind_name=request.bind_name,
        bind_vars=request.bind_vars,
        create_index=old.create_index if old else 0,
    )
    draft.put(acl.rules, rule.id, rule)
    return rule


def delete_rule(acl: Acl, draft: Draft, rule_id: str) -> None:
    """Delete a binding rule."""
    if draft.delete(acl.rules, check_id(rule_id, "binding rule")) is None:
        raise NotFoundError("Cannot find binding rule to delete")


def _check_bind(request: BindingRuleRequest, variables: frozenset[str]) -> None:
    if not request.bind_type:
        raise AclError("Invalid Binding Rule: no BindType is set")
    if not request.bind_name:
        raise AclError("Invalid Binding Rule: no BindName is set")
    wrong = "Invalid Binding Rule: invalid BindName or BindVars: "
    if request.bind_type not in BIND_TYPES:
        raise AclError(f'{wrong}invalid Binding Rule: unknown BindType "{request.bind_type}"')
    wrong += f'failed to validate bindType "{request.bind_type}": '
    if request.bind_vars is not None and request.bind_type != "templated-policy":
        raise AclError(
            "invalid Binding Rule: BindVars cannot be set when bind type is not templated-policy."
        )
    texts = [request.bind_name, request.bind_vars.name if request.bind_vars else ""]
    sample = dict.fromkeys(variables, "fake")
    try:
        name, variable = (interpolated(text, sample) for text in texts)
    except KeyError as error:
        known = ", ".join(sorted(variables)) or "none"
        raise AclError(
            f"{wrong}unknown variable accessed: {error.args[0]}; there are: {known}"
        ) from None
    if not valid_bind(request.bind_type, name, variable):
        raise AclError(f'{wrong}invalid bind name: "{name}"')


def valid_bind(bind_type: str, name: str, variable: str) -> bool:
    """Whether something of this name can be handed out."""
    if bind_type in ("service", "node"):
        return valid_identity_name(name)
    if bind_type == "role":
        return _ROLE_NAME.fullmatch(name) is not None
    if bind_type == "policy":
        return _POLICY_NAME.fullmatch(name) is not None
    template = TEMPLATES.get(name)
    return template is not None and (not template.schema or valid_identity_name(variable))


def interpolated(text: str, variables: dict[str, str]) -> str:
    """The text with ``${value.name}`` filled in, in lower case. Raises KeyError."""
    return _VARIABLE.sub(lambda found: variables[found[1]].lower(), text)
