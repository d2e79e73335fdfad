"""Tokens, policies, roles, auth methods and binding rules in memory, found from every side.

Names of policies, roles and auth methods are compared without case. Secrets are found by their
digest, so that how long a lookup takes says nothing about how close a guess was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, TypeVar

from sortedcontainers import SortedDict

from portway.discovery.model.acl import (
    AuthMethod,
    BindingRule,
    Bootstrap,
    Link,
    Policy,
    Role,
    Token,
)
from portway.discovery.state.table import Row, Table, Touch
from portway.discovery.state.topic import Reading

R = TypeVar("R", bound=Row)
Watcher = Callable[[str, str], None]
BOOTSTRAP = "done"


class Acl:
    """The tables of access control and what readers ask of them."""

    def __init__(self) -> None:
        self.tokens: Table[Token] = Table("acl-token/", Token, self._token_changed)
        self.policies: Table[Policy] = Table("acl-policy/", Policy, self._policy_changed)
        self.roles: Table[Role] = Table("acl-role/", Role, self._role_changed)
        self.methods: Table[AuthMethod] = Table("acl-method/", AuthMethod)
        """By name in lower case."""
        self.rules: Table[BindingRule] = Table("acl-rule/", BindingRule, self._rule_changed)
        self.bootstraps: Table[Bootstrap] = Table("acl-bootstrap/", Bootstrap)
        """One row, under ``BOOTSTRAP``."""
        self.rules_by_method: dict[str, set[str]] = {}
        self.tokens_by_method: dict[str, set[str]] = {}
        self.expiring: SortedDict[tuple[datetime, str], None] = SortedDict()
        """Ends of tokens, soonest first, with the accessor."""
        self.watchers: list[Watcher] = []
        """Called with (table prefix, key) when a token, policy or role has changed."""
        self._by_secret: dict[bytes, str] = {}
        self._policy_names: dict[str, str] = {}
        self._role_names: dict[str, str] = {}

    def token_by_secret(self, secret: str) -> Token | None:
        """The token of a secret, expired or not."""
        accessor = self._by_secret.get(_digest(secret))
        token = None if accessor is None else self.tokens.get(accessor)
        if token is None or not compare_digest(token.secret_id.encode(), secret.encode()):
            return None
        return token

    def policy_by_name(self, name: str) -> Policy | None:
        """The policy of a name."""
        return self.policies.get(self._policy_names.get(name.lower(), ""))

    def role_by_name(self, name: str) -> Role | None:
        """The role of a name."""
        return self.roles.get(self._role_names.get(name.lower(), ""))

    def method(self, name: str) -> AuthMethod | None:
        """The auth method of a name."""
        return self.methods.get(name.lower())

    def named(self, links: Iterable[Link], table: Table[Any]) -> list[Link]:
        """Links as shown: with names, without those whose object is gone."""
        found = ((link.id, table.get(link.id)) for link in links)
        return [Link(link_id, row.name) for link_id, row in found if row is not None]

    def read(self, table: Table[R], row: R | None) -> Reading[R | None]:
        """One object of a table."""
        index = table.topic.index if row is None else row.modify_index
        return Reading(row, index, (table.topic,), row is not None)

    def read_all(self, table: Table[R]) -> Reading[list[R]]:
        """Every object of a table: policies and roles by name, tokens by secret, others by key."""
        rows = [table.rows[key] for key in sorted(table.rows)]
        if table in (self.policies, self.roles):
            rows.sort(key=_name)
        elif table is self.tokens:
            rows.sort(key=_secret)
        return Reading(rows, table.topic.index, (table.topic,))

    def _token_changed(
        self, key: str, old: Token | None, new: Token | None, revision: int, touch: Touch
    ) -> None:
        if old is not None:
            digest = _digest(old.secret_id)
            if self._by_secret.get(digest) == key:
                del self._by_secret[digest]
            _remove(self.tokens_by_method, old.auth_method.lower(), key)
            if old.expiration_time is not None:
                self.expiring.pop((old.expiration_time, key), None)
        if new is not None:
            self._by_secret[_digest(new.secret_id)] = key
            if new.auth_method:
                self.tokens_by_method.setdefault(new.auth_method.lower(), set()).add(key)
            if new.expiration_time is not None:
                self.expiring[new.expiration_time, key] = None
        self._tell(self.tokens.prefix, key)

    def _policy_changed(
        self, key: str, old: Policy | None, new: Policy | None, revision: int, touch: Touch
    ) -> None:
        _rename(self._policy_names, key, old, new)
        self._tell(self.policies.prefix, key)

    def _role_changed(
        self, key: str, old: Role | None, new: Role | None, revision: int, touch: Touch
    ) -> None:
        _rename(self._role_names, key, old, new)
        self._tell(self.roles.prefix, key)

    def _rule_changed(
        self,
        key: str,
        old: BindingRule | None,
        new: BindingRule | None,
        revision: int,
        touch: Touch,
    ) -> None:
        if old is not None:
            _remove(self.rules_by_method, old.auth_method.lower(), key)
        if new is not None:
            self.rules_by_method.setdefault(new.auth_method.lower(), set()).add(key)

    def _tell(self, prefix: str, key: str) -> None:
        for watcher in self.watchers:
            watcher(prefix, key)


def _name(row: Any) -> str:
    return str(row.name).lower()


def _secret(row: Any) -> str:
    return str(row.secret_id)


def _digest(secret: str) -> bytes:
    return blake2b(secret.encode(errors="surrogatepass"), digest_size=16).digest()


def _remove(index: dict[str, set[str]], name: str, key: str) -> None:
    keys = index.get(name)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del index[name]


def _rename(
    names: dict[str, str], key: str, old: Policy | Role | None, new: Policy | Role | None
) -> None:
    if old is not None and names.get(old.name.lower()) == key:
        del names[old.name.lower()]
    if new is not None:
        names[new.name.lower()] = key
