"""Authorizers: what a token may do, decided without a walk over its rules.

The rule for an exact name beats any prefix, the longest prefix beats the others. Where several
policies have a rule for the same name, deny beats write beats list beats read. Where no rule
applies, the default policy decides; it never grants management of access control itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import cache

from portway.discovery.acl.errors import ANONYMOUS_ID, lacks
from portway.discovery.acl.rules import DENY, GRANTS, LIST, PRECEDENCE, READ, WRITE, Rules

_DENIES = GRANTS[DENY]


class Names:
    """The merged rules of one resource: a lookup costs the number of prefix lengths in use."""

    __slots__ = ("_exact", "_lengths", "_prefixes", "_unwritable")

    def __init__(self, exact: dict[str, str], prefixes: dict[str, str]) -> None:
        self._exact = exact
        self._prefixes = prefixes
        self._lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)
        both = (*exact.items(), *prefixes.items())
        self._unwritable = sorted({name for name, access in both if access != WRITE})

    def access(self, name: str) -> str | None:
        """The access the most specific rule gives; ``None`` without a rule."""
        found = self._exact.get(name)
        return self.prefix_access(name) if found is None else found

    def prefix_access(self, name: str) -> str | None:
        """The same, looking at prefix rules only."""
        size = len(name)
        for length in self._lengths:
            if length <= size:
                found = self._prefixes.get(name[:length])
                if found is not None:
                    return found
        return None

    def tree(self, prefix: str) -> bool | None:
        """Whether everything under ``prefix`` may be written; ``None`` without a rule."""
        base = self.prefix_access(prefix)
        if base is not None and base != WRITE:
            return False
        at = bisect_left(self._unwritable, prefix)
        if at < len(self._unwritable) and self._unwritable[at].startswith(prefix):
            return False
        return None if base is None else True

    def any(self, access: str) -> bool | None:
        """Whether some rule grants ``access``; ``None`` when rules do not say."""
        if any(access in GRANTS[given] for given in (*self._exact.values(), *self._all_prefixes)):
            return True
        return None if self._prefixes.get("") is None else False

    def every(self, access: str) -> bool | None:
        """Whether all names have ``access``; ``None`` when rules do not say."""
        given = (*self._exact.values(), *self._all_prefixes)
        if any(access not in GRANTS[one] for one in given):
            return False
        return None if self._prefixes.get("") is None else True

    @property
    def _all_prefixes(self) -> Iterable[str]:
        return self._prefixes.values()


_NO_NAMES = Names({}, {})


class Permissions:
    """The rules of several policies, merged; tokens with the same policies share one."""

    __slots__ = ("_any", "_every", "_named", "_whole")

    def __init__(self, policies: Iterable[Rules]) -> None:
        self._whole: dict[str, str] = {}
        named: dict[tuple[str, bool], dict[str, str]] = {}
        for rules in policies:
            for resource, access in rules.whole:
                _strongest(self._whole, resource, access)
            for rule in rules.named:
                _strongest(
                    named.setdefault((rule.resource, rule.prefix), {}), rule.name, rule.access
                )
        for prefix in (False, True):
            _imply_intentions(named, prefix)
        resources = {resource for resource, _ in named}
        self._named = {
            resource: Names(named.get((resource, False), {}), named.get((resource, True), {}))
            for resource in resources
        }
        self._any: dict[tuple[str, str], bool | None] = {}
        self._every: dict[tuple[str, str], bool | None] = {}

    def whole(self, resource: str, access: str) -> bool | None:
        """A resource without names; mesh and peering fall back to operator."""
        given = self._whole.get(resource)
        if given is None:
            return self.whole("operator", access) if resource in ("mesh", "peering") else None
        return access in GRANTS[given]

    def named(self, resource: str, access: str, name: str) -> bool | None:
        """A name of a resource. ``intention`` ``*`` asks for any (read) or all (write) of them."""
        names = self._named.get(resource)
        if names is None:
            return None
        if resource == "intention" and name == "*":
            return self.any(resource, access) if access == READ else self.every(resource, access)
        given = names.access(name)
        return None if given is None else access in GRANTS[given]

    def tree(self, prefix: str) -> bool | None:
        """Whether all keys under ``prefix`` may be written."""
        return self._named.get("key", _NO_NAMES).tree(prefix)

    def any(self, resource: str, access: str) -> bool | None:
        """Whether some name of the resource has ``access``."""
        key = (resource, access)
        if key not in self._any:
            self._any[key] = self._named.get(resource, _NO_NAMES).any(access)
        return self._any[key]

    def every(self, resource: str, access: str) -> bool | None:
        """Whether every name of the resource has ``access``."""
        key = (resource, access)
        if key not in self._every:
            self._every[key] = self._named.get(resource, _NO_NAMES).every(access)
        return self._every[key]


def _strongest(rules: dict[str, str], name: str, access: str) -> None:
    given = rules.get(name)
    if given is None or PRECEDENCE[access] > PRECEDENCE[given]:
        rules[name] = access


def _imply_intentions(named: dict[tuple[str, bool], dict[str, str]], prefix: bool) -> None:
    """A service rule that does not mention intentions lets who sees the service read them."""
    services = named.get(("service", prefix))
    if services:
        intentions = named.setdefault(("intention", prefix), {})
        for name, access in services.items():
            intentions.setdefault(name, READ if access in (READ, WRITE) else DENY)


_NO_RULES = Permissions(())
_NAMED = frozenset(("agent", "event", "intention", "key", "node", "query", "service", "session"))
_WHOLE = frozenset(("acl", "keyring", "mesh", "operator", "peering"))
_SHOWN = {"key_list": "key", "key_prefix": "key", "snapshot": "acl"}


class Authorizer:
    """What one token may do.

    Resources and the names they take: ``agent``, ``node``, ``session`` (node names), ``event``,
    ``intention`` and ``service`` (service names; intention by destination), ``key``,
    ``key_list`` (listing under a prefix; always allowed unless the agent enables the key list
    policy, as results are filtered key by key), ``key_prefix`` (writing or deleting a whole
    tree), ``query``; and without a name ``acl``, ``keyring``, ``mesh``, ``operator``,
    ``peering`` and ``snapshot``. Access is ``read``, ``write``, or for keys ``list``.
    """

    __slots__ = ("_default", "_key_list", "_management", "_permissions", "accessor", "unrestricted")

    def __init__(
        self,
        permissions: Permissions | None,
        accessor: str,
        default_allow: bool,
        key_list_policy: bool = False,
        management: bool = False,
    ) -> None:
        self.accessor = accessor
        """The token's accessor ID, for messages and logs."""
        self._permissions = permissions or _NO_RULES
        self._default = default_allow
        self._management = management
        self._key_list = key_list_policy
        self.unrestricted = all(self.allows_all(resource, WRITE) for resource in _NAMED)
        """No name of any resource is refused: nothing needs to be filtered."""

    def allows(self, resource: str, access: str, name: str = "") -> bool:
        """Whether the token may. Raises ValueError for a resource or access that does not exist."""
        _check(resource, access)
        rules = self._permissions
        decided: bool | None
        if resource in _NAMED:
            decided = rules.named(resource, access, name)
        elif resource == "key_list":
            decided = rules.named("key", LIST, name) if self._key_list else True
        elif resource == "key_prefix":
            decided = rules.tree(name)
        elif resource in ("acl", "snapshot"):
            decided = rules.whole("acl", WRITE if resource == "snapshot" else access)
            return self._management if decided is None else decided
        else:
            decided = rules.whole(resource, access)
        return self._default if decided is None else decided

    def require(self, resource: str, access: str, name: str = "") -> None:
        """Raise PermissionDeniedError unless the token may."""
        if not self.allows(resource, access, name):
            shown = LIST if resource == "key_list" else WRITE if resource == "snapshot" else access
            raise lacks(self.accessor, _SHOWN.get(resource, resource), shown, name)

    def allows_all(self, resource: str, access: str = READ) -> bool:
        """Whether the token has ``access`` to every name of a resource, without exception."""
        decided = self._permissions.every(resource, access)
        return self._default if decided is None else decided

    def allows_any(self, resource: str, access: str = WRITE) -> bool:
        """Whether there is some name the token has ``access`` to."""
        decided = self._permissions.any(resource, access)
        return self._default if decided is None else decided

    def require_all(self, resource: str, access: str = READ) -> None:
        """Raise PermissionDeniedError unless every name is allowed (``on "all services"``)."""
        if not self.allows_all(resource, access):
            raise lacks(self.accessor, resource, access, f"all {resource}s")

    def require_any(self, resource: str, access: str = WRITE) -> None:
        """Raise PermissionDeniedError unless some name is allowed (``on "any service"``)."""
        if not self.allows_any(resource, access):
            raise lacks(self.accessor, resource, access, f"any {resource}")


@cache
def _check(resource: str, access: str) -> None:
    known = resource in _NAMED or resource in _WHOLE or resource in _SHOWN
    levels = (READ, LIST, WRITE) if resource.startswith("key") else (READ, WRITE)
    if resource == "keyring":
        levels = (READ, WRITE)
    if not known:
        raise ValueError(f'Invalid ACL resource requested: "{resource}"')
    if access not in levels:
        raise ValueError(f"Invalid access level for {resource} resource: {access}")


MANAGE_ALL = Authorizer(None, "", default_allow=True, management=True)
"""Everything: what every request may while access control is off."""
ALLOW_ALL = Authorizer(None, ANONYMOUS_ID, default_allow=True)
"""Everything except access control itself: the default policy ``allow``."""
DENY_ALL = Authorizer(None, ANONYMOUS_ID, default_allow=False)
"""Nothing: the default policy ``deny``."""
