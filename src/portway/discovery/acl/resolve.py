"""Secret to authorizer. What has been resolved is kept until something it was made of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from portway.discovery.acl.authorizer import MANAGE_ALL, Authorizer, Permissions
from portway.discovery.acl.errors import ANONYMOUS_ID, AclError, AclNotFoundError
from portway.discovery.acl.rules import DENY, NAMED, WHOLE, Rule, Rules, parse_rules
from portway.discovery.acl.templates import (
    node_rules,
    recovery_rules,
    service_rules,
    template_rules,
)
from portway.discovery.model.acl import Policy, Role, Token
from portway.discovery.state.acl import Acl

_LIMIT = 8192  # resolved tokens, and sets of policies, that are kept


class AclSettings(NamedTuple):
    """What of the agent's ``acl`` block decides about requests."""

    enabled: bool = False
    datacenter: str = "dc1"
    default_allow: bool = True
    key_list_policy: bool = False


def utc_now() -> datetime:
    """The time tokens expire by."""
    return datetime.now(UTC)


class Resolver:
    """Tokens to authorizers. Tokens with the same policies share their merged rules."""

    def __init__(
        self, acl: Acl, settings: AclSettings, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.settings = settings
        self.enabled = settings.enabled
        self._acl = acl
        self._clock = clock
        self._local: dict[str, Authorizer] = {}
        self._resolved: dict[str, tuple[Authorizer, tuple[str, ...]]] = {}
        """By accessor: the authorizer, and the policies and roles that have part in it."""
        self._users: dict[str, set[str]] = {}
        """ID of a policy or role → accessors of the resolved tokens it has part in."""
        self._shared: dict[tuple[str, ...], Permissions] = {}
        acl.watchers.append(self._changed)

    def set_recovery(self, secret: str, node: str) -> None:
        """Let ``secret`` manage the agent of ``node`` even when no token can be looked up."""
        self._local = {}
        if secret:
            rules = parse_rules(recovery_rules(node))
            self._local[secret] = self._authorizer(Permissions((rules,)), f"agent-recovery:{node}")

    def resolve(self, secret: str) -> Authorizer:
        """What the token of a secret may do; an empty secret is the anonymous token's.

        Raises AclNotFoundError when it is nobody's or its time is over.
        """
        if not self.enabled:
            return MANAGE_ALL
        token = self.token(secret)
        if token is None:
            local = self._local.get(secret)
            if local is not None:
                return local
            if secret in ("", "anonymous"):
                return self._authorizer(None, ANONYMOUS_ID)
            raise AclNotFoundError
        found = self._resolved.get(token.key)
        if found is not None:
            return found[0]
        authorizer = self._compile(token)
        self._keep(token, authorizer)
        return authorizer

    def token(self, secret: str) -> Token | None:
        """The valid token of a secret."""
        if secret in ("", "anonymous"):
            return self._acl.tokens.get(ANONYMOUS_ID)
        token = self._acl.token_by_secret(secret)
        return None if token is None or token.expired(self._clock()) else token

    def policies(self, token: Token) -> list[Policy]:
        """The stored policies of a token, those of its roles included, that hold here."""
        found: dict[str, Policy] = {}
        for owner in self._owners(token):
            for link in owner.policies:
                policy = self._acl.policies.get(link.id)
                if policy is not None and self._here(policy.datacenters):
                    found.setdefault(policy.id, policy)
        return list(found.values())

    def roles(self, token: Token) -> list[Role]:
        """The roles of a token that exist."""
        roles = (self._acl.roles.get(link.id) for link in token.roles)
        return [role for role in roles if role is not None]

    def _owners(self, token: Token) -> list[Token | Role]:
        return [token, *self.roles(token)]

    def _compile(self, token: Token) -> Authorizer:
        texts = tuple(sorted({*self._texts(token)}))
        permissions = self._shared.get(texts)
        if permissions is None:
            if len(self._shared) >= _LIMIT:
                self._shared.clear()
            permissions = self._shared[texts] = Permissions(map(_stored_rules, texts))
        return self._authorizer(permissions, token.accessor_id)

    def _keep(self, token: Token, authorizer: Authorizer) -> None:
        if len(self._resolved) >= _LIMIT:
            self._resolved.clear()
            self._users.clear()
        parts = {link.id for link in token.roles}
        parts.update(link.id for owner in self._owners(token) for link in owner.policies)
        self._resolved[token.key] = (authorizer, tuple(parts))
        for part in parts:
            self._users.setdefault(part, set()).add(token.key)

    def _forget(self, accessor: str) -> None:
        _, parts = self._resolved.pop(accessor, (None, ()))
        for part in parts:
            users = self._users.get(part)
            if users is not None:
                users.discard(accessor)
                if not users:
                    del self._users[part]

    def _texts(self, token: Token) -> Iterator[str]:
        for policy in self.policies(token):
            yield policy.rules
        for owner in self._owners(token):
            for service in owner.service_identities:
                if self._here(service.datacenters):
                    yield service_rules(service)
            for node in owner.node_identities:
                if node.datacenter == self.settings.datacenter:
                    yield node_rules(node)
            for template in owner.templated_policies:
                if self._here(template.datacenters):
                    yield template_rules(template)

    def _here(self, datacenters: list[str]) -> bool:
        return not datacenters or self.settings.datacenter in datacenters

    def _authorizer(self, permissions: Permissions | None, accessor: str) -> Authorizer:
        settings = self.settings
        return Authorizer(permissions, accessor, settings.default_allow, settings.key_list_policy)

    def _changed(self, prefix: str, key: str) -> None:
        if prefix == self._acl.tokens.prefix:
            self._forget(key)
        else:
            for accessor in list(self._users.get(key, ())):
                self._forget(accessor)


def _stored_rules(text: str) -> Rules:
    """Rules that were valid when they were stored; should they no longer be, they deny all."""
    try:
        return parse_rules(text)
    except AclError:
        return _deny_everything()


def _deny_everything() -> Rules:
    named = tuple(Rule(resource, "", True, DENY) for resource in NAMED)
    return Rules(tuple((resource, DENY) for resource in WHOLE), named)
