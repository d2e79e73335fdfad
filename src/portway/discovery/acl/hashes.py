"""Content hashes, with which other copies of the same thing are recognised."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from portway.discovery.model.acl import Policy, Role, Token


def token_hash(token: Token) -> bytes:
    """Blake2b-256 over what a user can set of a token."""
    locality = "local" if token.local else "global"
    return _digest([token.description, locality, *_grants(token)])


def policy_hash(policy: Policy) -> bytes:
    """Blake2b-256 over what a user can set of a policy."""
    return _digest([policy.name, policy.description, policy.rules, *policy.datacenters])


def role_hash(role: Role) -> bytes:
    """Blake2b-256 over what a user can set of a role."""
    return _digest([role.name, role.description, *_grants(role)])


def _grants(owner: Token | Role) -> Iterable[str]:
    for link in owner.policies:
        yield link.id
    if isinstance(owner, Token):
        for link in owner.roles:
            yield link.id
    for service in owner.service_identities:
        yield service.service_name
        yield from service.datacenters
    for node in owner.node_identities:
        yield node.node_name
        yield node.datacenter
    for template in owner.templated_policies:
        yield template.template_id
        yield template.template_name
        if template.template_variables is not None:
            yield template.template_variables.name
        yield from template.datacenters


def _digest(parts: Iterable[str]) -> bytes:
    digest = blake2b(digest_size=32)
    for part in parts:
        digest.update(part.encode())
    return digest.digest()
