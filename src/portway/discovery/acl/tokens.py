"""Writes of tokens, as functions over a draft. All raise AclError for what is not valid."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from portway.config import Duration
from portway.discovery.acl.errors import ANONYMOUS_ID, AclError, PermissionDeniedError
from portway.discovery.acl.grants import check_id, granted, is_uuid, linked, new_id
from portway.discovery.acl.hashes import policy_hash, token_hash
from portway.discovery.acl.requests import TokenRequest
from portway.discovery.acl.templates import GLOBAL_MANAGEMENT, RESERVED_PREFIX, builtin_policies
from portway.discovery.model.acl import Bootstrap, Link, Token
from portway.discovery.state import Acl, Draft
from portway.discovery.state.acl import BOOTSTRAP

MIN_TTL = timedelta(minutes=1)
"""The shortest life of a token."""


class NotFoundError(AclError):
    """What is to be changed or deleted does not exist."""

    status = 404


class TokenNotFoundError(AclError):
    """The token to be read or cloned does not exist.

    Like the refusal of an unknown caller, and other than for policies and roles, this is a 403.
    """

    status = 403

    def __init__(self, problem: str = "does not exist") -> None:
        super().__init__(f"token {problem}: ACL not found")


def create(acl: Acl, draft: Draft, request: TokenRequest, now: datetime) -> Token:
    """A new token."""
    if request.auth_method:
        raise AclError("AuthMethod field is disallowed outside of login")
    return _create(acl, draft, request, now)


def create_by_login(acl: Acl, draft: Draft, request: TokenRequest, now: datetime) -> Token:
    """A new token that an auth method vouches for."""
    if not request.auth_method:
        raise AclError("AuthMethod field is required during login")
    return _create(acl, draft, request, now)


def _create(acl: Acl, draft: Draft, request: TokenRequest, now: datetime) -> Token:
    accessor = _chosen(acl, draft, request.accessor_id, "AccessorID")
    secret = _chosen(acl, draft, request.secret_id, "SecretID")
    token = Token(
        accessor_id=accessor,
        secret_id=secret,
        description=request.description,
        local=request.local,
        auth_method=request.auth_method,
        expiration_time=_expiration(request, now),
        create_time=now,
        hash=b"",
    )
    return _write(acl, draft, token, request)


def update(acl: Acl, draft: Draft, accessor: str, request: TokenRequest, now: datetime) -> Token:
    """Change a token; its secret, locality, auth method and expiry stay as they are."""
    if not is_uuid(accessor):
        raise AclError("AccessorID is not a valid UUID")
    old = draft.get(acl.tokens, accessor.lower())
    if old is None or old.expired(now):
        raise AclError(f'Cannot find token "{accessor}"')
    if request.secret_id and request.secret_id != old.secret_id:
        raise AclError("Changing a token's SecretID is not permitted")
    if request.local != old.local:
        raise AclError(f"Cannot toggle local mode of {accessor}")
    if request.auth_method and request.auth_method != old.auth_method:
        raise AclError(f"Cannot change AuthMethod of {accessor}")
    changed_time = request.expiration_time not in (None, old.expiration_time)
    if request.expiration_ttl or changed_time:
        raise AclError(f"Cannot change expiration time of {accessor}")
    return _write(acl, draft, replace(old, description=request.description), request)


def clone(acl: Acl, draft: Draft, accessor: str, description: str, now: datetime) -> Token:
    """A new token that grants what another one does, with its expiry."""
    old = draft.get(acl.tokens, accessor)
    if old is None:
        raise TokenNotFoundError
    if old.expired(now):
        raise TokenNotFoundError("is expired")
    if old.auth_method:
        raise AclError("Cannot clone a token created from an auth method")
    token = replace(
        old,
        accessor_id=new_id(draft, acl.tokens),
        secret_id=_new_secret(acl, draft),
        description=description or old.description,
        create_time=now,
        create_index=0,
        modify_index=0,
    )
    token.hash = token_hash(token)
    draft.put(acl.tokens, token.key, token)
    return token


def delete(acl: Acl, draft: Draft, accessor: str, caller: str) -> None:
    """Delete a token, except the caller's own (``caller`` is its accessor)."""
    if not is_uuid(accessor):
        raise AclError("Accessor ID is missing or an invalid UUID")
    accessor = accessor.lower()
    if accessor == ANONYMOUS_ID:
        raise AclError("Delete operation not permitted on the anonymous token")
    if accessor == caller.lower():
        raise AclError("Deletion of the request's authorization token is not permitted")
    if draft.delete(acl.tokens, accessor) is None:
        raise NotFoundError("Cannot find token to delete")


def delete_by_logout(acl: Acl, draft: Draft, secret: str) -> None:
    """Delete the caller's own token, which a login must have made."""
    token = acl.token_by_secret(secret)
    if token is None or draft.get(acl.tokens, token.key) is None:
        raise NotFoundError("ACL not found")
    if not token.auth_method:
        raise PermissionDeniedError("token wasn't created via login")
    draft.delete(acl.tokens, token.key)


def delete_expired(acl: Acl, draft: Draft, now: datetime, most: int = 256) -> int:
    """Delete tokens whose time is over, at most ``most``; returns how many."""
    gone = 0
    for end, accessor in acl.expiring:
        if end > now or gone == most:
            break
        draft.delete(acl.tokens, accessor)
        gone += 1
    return gone


def seed(acl: Acl, draft: Draft, now: datetime, management: str = "") -> None:
    """What every cluster has: the built-in policies and the anonymous token.

    ``management`` is the secret of the agent's ``acl.tokens.initial_management``: it becomes a
    management token, and the first time counts as the bootstrap.
    """
    for policy in builtin_policies():
        old = draft.get(acl.policies, policy.id)
        if old is None:
            draft.put(acl.policies, policy.id, policy)
        elif old.rules != policy.rules:  # of an earlier version
            renewed = replace(old, rules=policy.rules)
            renewed.hash = policy_hash(renewed)
            draft.put(acl.policies, policy.id, renewed)
    if draft.get(acl.tokens, ANONYMOUS_ID) is None:
        anonymous = Token(
            accessor_id=ANONYMOUS_ID,
            secret_id="anonymous",  # noqa: S106  its documented name, which is no secret
            description="Anonymous Token",
            local=False,
            create_time=now,
            hash=b"",
        )
        anonymous.hash = token_hash(anonymous)
        draft.put(acl.tokens, ANONYMOUS_ID, anonymous)
    if management and acl.token_by_secret(management) is None:
        token = _management(acl, draft, management, now, "Initial Management Token")
        if draft.get(acl.bootstraps, BOOTSTRAP) is None:
            draft.put(acl.bootstraps, BOOTSTRAP, Bootstrap(accessor_id=token.accessor_id))


def bootstrap(acl: Acl, draft: Draft, secret: str, reset_index: int, now: datetime) -> Token:
    """The first management token, once; again only with the index of the last time.

    ``reset_index`` is what the operator wrote to the reset file, 0 without one.
    """
    done = draft.get(acl.bootstraps, BOOTSTRAP)
    if done is not None and reset_index != done.modify_index:
        if not reset_index:
            raise PermissionDeniedError(
                f"ACL bootstrap no longer allowed (reset index: {done.modify_index})"
            )
        raise AclError(
            f"Invalid bootstrap reset index (specified {reset_index}, "
            f"reset index: {done.modify_index})"
        )
    secret = _chosen(acl, draft, secret, "SecretID")
    token = _management(acl, draft, secret, now, "Bootstrap Token (Global Management)")
    draft.put(acl.bootstraps, BOOTSTRAP, Bootstrap(accessor_id=token.accessor_id))
    return token


def _management(acl: Acl, draft: Draft, secret: str, now: datetime, description: str) -> Token:
    token = Token(
        accessor_id=new_id(draft, acl.tokens),
        secret_id=secret,
        description=description,
        policies=[Link(GLOBAL_MANAGEMENT)],
        local=False,
        create_time=now,
        hash=b"",
    )
    token.hash = token_hash(token)
    draft.put(acl.tokens, token.key, token)
    return token


def _write(acl: Acl, draft: Draft, token: Token, request: TokenRequest) -> Token:
    grants = granted(acl, draft, request, "token", token.local)
    token = replace(
        token,
        policies=grants.policies,
        roles=linked(draft, request.roles, acl.roles, acl.role_by_name, "role", "token"),
        service_identities=grants.service_identities,
        node_identities=grants.node_identities,
        templated_policies=grants.templated_policies,
    )
    token.hash = token_hash(token)
    draft.put(acl.tokens, token.key, token)
    return token


def _chosen(acl: Acl, draft: Draft, wanted: str, field: str) -> str:
    """The ID the request chooses, or a new one."""
    draft.guard(acl.tokens)  # secrets are unique, but not the keys of the table
    if not wanted:
        return new_id(draft, acl.tokens) if field == "AccessorID" else _new_secret(acl, draft)
    if wanted.startswith(RESERVED_PREFIX):
        raise AclError(
            f'Invalid Token: {field} - UUIDs with the prefix "{RESERVED_PREFIX}" are reserved'
        )
    if not is_uuid(wanted):
        raise AclError(f"Invalid Token: {field} - not a valid UUID")
    if draft.get(acl.tokens, wanted.lower()) is not None or acl.token_by_secret(wanted) is not None:
        raise AclError(f"Invalid Token: {field} is already in use")
    return wanted


def _new_secret(acl: Acl, draft: Draft) -> str:
    while True:
        secret = new_id(draft, acl.tokens)
        if acl.token_by_secret(secret) is None:
            return secret


def _expiration(request: TokenRequest, now: datetime) -> datetime | None:
    ttl, end = request.expiration_ttl, request.expiration_time
    if ttl < 0:
        raise AclError(f"Token Expiration TTL '{ttl}' should be > 0")
    if ttl:
        if end is not None:
            raise AclError("Token Expiration TTL and Expiration Time cannot both be set")
        try:
            end = now + timedelta(seconds=float(ttl))
        except OverflowError:
            raise AclError(f"Token Expiration TTL '{ttl}' is too long") from None
    if end is None:
        return None
    try:
        end = end.replace(tzinfo=UTC) if end.tzinfo is None else end.astimezone(UTC)
    except OverflowError:
        raise AclError("ExpirationTime is out of range") from None
    if end < now:
        raise AclError("ExpirationTime cannot be before CreateTime")
    if end - now < MIN_TTL:
        was = Duration((end - now).total_seconds())
        raise AclError(f"ExpirationTime cannot be less than 1m0s in the future (was {was})")
    return end


def tokens_of(
    tokens: Iterable[Token],
    *,
    policy: str = "",
    role: str = "",
    method: str = "",
    service: str = "",
) -> Iterable[Token]:
    """The tokens that link a policy or role, come from an auth method, or are for a service.

    Raises AclError when more than one is asked for, and for IDs that cannot be.
    """
    if sum(map(bool, (policy, role, method, service))) > 1:
        raise AclError(
            "can only filter by one of policy, role, serviceName, or methodName at a time"
        )
    if policy:
        policy = check_id(policy, "token")
        return (token for token in tokens if any(link.id == policy for link in token.policies))
    if role:
        role = check_id(role, "token")
        return (token for token in tokens if any(link.id == role for link in token.roles))
    if method:
        method = method.lower()
        return (token for token in tokens if token.auth_method.lower() == method)
    if service:
        return (token for token in tokens if service.lower() in _services(token))
    return tokens


def _services(token: Token) -> set[str]:
    names = {identity.service_name.lower() for identity in token.service_identities}
    for template in token.templated_policies:
        if template.template_name == "builtin/service" and template.template_variables:
            names.add(template.template_variables.name.lower())
    return names
