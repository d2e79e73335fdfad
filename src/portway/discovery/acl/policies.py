"""Writes of policies and roles, as functions over a draft. All raise AclError."""

from __future__ import annotations

import re

from portway.discovery.acl.errors import AclError
from portway.discovery.acl.grants import check_id, granted, is_uuid, new_id
from portway.discovery.acl.hashes import policy_hash, role_hash
from portway.discovery.acl.requests import PolicyRequest, RoleRequest
from portway.discovery.acl.rules import parse_rules
from portway.discovery.acl.templates import GLOBAL_MANAGEMENT, GLOBAL_READ_ONLY
from portway.discovery.acl.tokens import NotFoundError
from portway.discovery.model.acl import Policy, Role
from portway.discovery.state import Acl, Draft

_POLICY_NAME = re.compile(r"[A-Za-z0-9\-_]+/?[A-Za-z0-9\-_]*")
_LONGEST_NAME = 128
_ROLE_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")
_BUILTIN = {
    GLOBAL_MANAGEMENT: "global-management",
    GLOBAL_READ_ONLY: "builtin/global-read-only",
}


def write_policy(acl: Acl, draft: Draft, policy_id: str, request: PolicyRequest) -> Policy:
    """Create a policy (without an ID), or change one."""
    draft.guard(acl.policies)  # names are unique
    _check_name(request.name)
    same = acl.policy_by_name(request.name)
    old = _old_policy(acl, draft, policy_id)
    if same is not None and (old is None or same.id != old.id):
        what = "policy with name" if old else "Policy with Name"
        raise AclError(f'Invalid Policy: A {what} "{request.name}" already exists')
    builtin = _BUILTIN.get(policy_id)
    if builtin and old is not None:
        if request.datacenters:
            raise AclError(f"Changing the Datacenters of the {builtin} policy is not permitted")
        if request.rules != old.rules:
            raise AclError(f"Changing the Rules for the builtin {builtin} policy is not permitted")
    parse_rules(request.rules)
    policy = Policy(
        id=old.id if old else new_id(draft, acl.policies),
        name=request.name,
        description=request.description,
        rules=request.rules,
        datacenters=request.datacenters,
        hash=b"",
        create_index=old.create_index if old else 0,
    )
    policy.hash = policy_hash(policy)
    draft.put(acl.policies, policy.id, policy)
    return policy


def _check_name(name: str) -> None:
    if not name:
        raise AclError("Invalid Policy: no Name is set")
    if len(name.encode()) > _LONGEST_NAME:
        problem = f"Length must be greater than 0 and less than {_LONGEST_NAME}"
    elif name.startswith(("/", "builtin/")):
        problem = "Names cannot be prefixed with '/' or 'builtin/'"
    elif not _POLICY_NAME.fullmatch(name):
        problem = "Only alphanumeric characters, a single '/', '-' and '_' are allowed"
    else:
        return
    raise AclError(f"Invalid Policy: invalid Name. {problem}")


def _old_policy(acl: Acl, draft: Draft, policy_id: str) -> Policy | None:
    if not policy_id:
        return None
    if not is_uuid(policy_id):
        raise AclError("Policy ID invalid UUID")
    old = draft.get(acl.policies, policy_id.lower())
    if old is None:
        raise AclError(f"cannot find policy {policy_id}")
    return old


def delete_policy(acl: Acl, draft: Draft, policy_id: str) -> None:
    """Delete a policy; what links it grants less from then on."""
    policy_id = check_id(policy_id, "policy")
    builtin = _BUILTIN.get(policy_id)
    if builtin:
        raise AclError(f"Delete operation not permitted on the builtin {builtin} policy")
    if draft.delete(acl.policies, policy_id) is None:
        raise NotFoundError("Cannot find policy to delete")


def write_role(acl: Acl, draft: Draft, role_id: str, request: RoleRequest) -> Role:
    """Create a role (without an ID), or change one."""
    draft.guard(acl.roles)  # names are unique
    if not request.name:
        raise AclError("Invalid Role: no Name is set")
    if not _ROLE_NAME.fullmatch(request.name):
        raise AclError(
            "Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"
        )
    old = _old_role(acl, draft, role_id)
    same = acl.role_by_name(request.name)
    if same is not None and (old is None or same.id != old.id):
        what = "role with name" if old else "Role with Name"
        raise AclError(f'Invalid Role: A {what} "{request.name}" already exists')
    grants = granted(acl, draft, request, "role")
    role = Role(
        id=old.id if old else new_id(draft, acl.roles),
        name=request.name,
        description=request.description,
        policies=grants.policies,
        service_identities=grants.service_identities,
        node_identities=grants.node_identities,
        templated_policies=grants.templated_policies,
        hash=b"",
        create_index=old.create_index if old else 0,
    )
    role.hash = role_hash(role)
    draft.put(acl.roles, role.id, role)
    return role


def _old_role(acl: Acl, draft: Draft, role_id: str) -> Role | None:
    if not role_id:
        return None
    if not is_uuid(role_id):
        raise AclError("Role ID invalid UUID")
    old = draft.get(acl.roles, role_id.lower())
    if old is None:
        raise AclError(f"cannot find role {role_id}")
    return old


def delete_role(acl: Acl, draft: Draft, role_id: str) -> None:
    """Delete a role; tokens that link it grant less from then on."""
    if draft.delete(acl.roles, check_id(role_id, "role")) is None:
        raise NotFoundError("Cannot find role to delete")
