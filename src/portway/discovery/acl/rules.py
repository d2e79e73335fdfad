"""Rules: the text of a policy as typed rules.

HCL 1 or JSON. A resource is either whole (``operator = "read"``) or has names
(``key_prefix "app/" { policy = "write" }``). What is not known is refused: a misspelt rule that
is swallowed would grant or deny something nobody asked for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from portway.config import nearest
from portway.config.hcl import HclError, parse_hcl
from portway.discovery.acl.errors import AclError

READ, LIST, WRITE, DENY = "read", "list", "write", "deny"
PRECEDENCE = {READ: 1, LIST: 2, WRITE: 3, DENY: 4}
"""Which of several rules for the same name counts: the highest."""
GRANTS = {
    READ: frozenset((READ,)),
    LIST: frozenset((READ, LIST)),
    WRITE: frozenset((READ, LIST, WRITE)),
    DENY: frozenset[str](),
}
WHOLE = ("acl", "keyring", "mesh", "operator", "peering")
"""Resources that have no names."""
NAMED = ("agent", "event", "key", "node", "query", "service", "session")
"""Resources whose rules are for a name or for a prefix of names."""

_PLAIN = (READ, WRITE, DENY)
_WITH_LIST = (READ, LIST, WRITE, DENY)
_ENTERPRISE = ("namespace", "namespace_prefix", "partition", "partition_prefix")


class Rule(NamedTuple):
    """What may be done with one name, or with every name under a prefix."""

    resource: str
    """One of ``NAMED``, or ``intention``: a service as the destination of intentions."""
    name: str
    prefix: bool
    access: str


class Rules(NamedTuple):
    """The rules of one policy."""

    whole: tuple[tuple[str, str], ...] = ()
    """(resource, access)"""
    named: tuple[Rule, ...] = ()


@lru_cache(maxsize=1024)
def parse_rules(text: str) -> Rules:
    """Read the rules of a policy. Raises AclError naming the resource and the value."""
    try:
        tree = parse_hcl(text, "")
    except HclError as error:
        raise AclError(f"Failed to parse ACL rules: {error}") from None
    whole: list[tuple[str, str]] = []
    named: list[Rule] = []
    for key, value in tree.items():
        resource = key.removesuffix("_prefix")
        if key in WHOLE:
            # Given twice, the last counts, as in the language.
            if value != "":
                whole.append((key, _access(f"{key} policy", "", value, _PLAIN)))
        elif resource in NAMED:
            named += _blocks(key, resource, value)
        else:
            raise AclError(f"Failed to parse ACL rules: {_unknown(key)}")
    return Rules(tuple(whole), tuple(named))


def _blocks(key: str, resource: str, value: Any) -> list[Rule]:
    rules: list[Rule] = []
    for names in value if isinstance(value, list) else [value]:
        if not isinstance(names, dict):
            example = f'write {key} "name" {{ policy = "read" }}'
            raise AclError(f"Invalid {key} policy: {_shown(names)} names nothing; {example}")
        for name, blocks in names.items():
            for block in blocks if isinstance(blocks, list) else [blocks]:
                rules += _block(key, resource, name, block)
    return rules


def _block(key: str, resource: str, name: str, block: Any) -> list[Rule]:
    if not isinstance(block, dict):
        example = f'write {key} "name" {{ policy = "read" }}'
        raise AclError(f'Invalid {key} policy: "{name}" is no block; {example}')
    prefix = key != resource
    known = ("policy", "intentions") if resource == "service" else ("policy",)
    for option in block:
        if option == "sentinel":
            what = f'Invalid {key} policy: sentinel of "{name}"'
            raise AclError(f"{what}: Sentinel code is a Consul Enterprise feature")
        if option not in known:
            hint = nearest(option, known)
            raise AclError(f'Invalid {key} policy: unknown key "{option}" in "{name}"{hint}')
    valid = _WITH_LIST if resource == "key" else _PLAIN
    access = _access(f"{key} policy", name, block.get("policy"), valid)
    rules = [Rule(resource, name, prefix, access)]
    intentions = block.get("intentions", "")
    if intentions != "":
        access = _access(f"{key} intentions policy", name, intentions, _PLAIN)
        rules.append(Rule("intention", name, prefix, access))
    return rules


def _access(what: str, name: str, value: Any, valid: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in valid:
        return value
    about = f' for "{name}"' if name else ""
    listed = ", ".join(valid)
    given = "none given" if value is None else _shown(value)
    raise AclError(f"Invalid {what}: {given}{about}; it can be {listed}")


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:80] + "…"


def _unknown(key: str) -> str:
    if key in _ENTERPRISE:
        return f'"{key}": namespaces and partitions are a Consul Enterprise feature'
    known = (*WHOLE, *NAMED, *(f"{name}_prefix" for name in NAMED))
    return f'unknown resource "{key[:80]}"{nearest(key, known)}'
