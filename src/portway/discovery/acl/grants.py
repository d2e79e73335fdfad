"""What tokens and roles grant, checked and brought into the form that is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import uuid4

from portway.discovery.acl.errors import AclError
from portway.discovery.acl.requests import Grants
from portway.discovery.acl.templates import RESERVED_PREFIX, check_template, valid_identity_name
from portway.discovery.model.acl import Link, NodeIdentity, ServiceIdentity, TemplatedPolicy
from portway.discovery.state import Acl, Draft, Table

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Granted(NamedTuple):
    """Links by ID, identities and templated policies, each once."""

    policies: list[Link]
    service_identities: list[ServiceIdentity]
    node_identities: list[NodeIdentity]
    templated_policies: list[TemplatedPolicy]


def is_uuid(text: str) -> bool:
    """Whether a text has the form of a UUID."""
    return _UUID.fullmatch(text) is not None


def new_id(draft: Draft, *tables: Table[Any]) -> str:
    """A random ID that none of the tables has."""
    while True:
        made = str(uuid4())
        if not made.startswith(RESERVED_PREFIX) and all(
            draft.get(table, made) is None for table in tables
        ):
            return made


def check_id(text: str, what: str, before: str = "") -> str:
    """The ID of a ``what``, as it is stored. Raises AclError for what cannot be one."""
    if not is_uuid(text):
        raise AclError(f"{before}failed acl {what} lookup: index error: UUID must be 36 characters")
    return text.lower()


def linked(
    draft: Draft, links: Iterable[Link], table: Table[Any], by_name: Any, what: str, owner: str
) -> list[Link]:
    """Links of an ``owner`` with IDs only, each once. Raises AclError for one to nowhere."""
    found: dict[str, Link] = {}
    for link in links:
        if link.id:
            if owner == "role":
                before = missing = "Failed to apply role upsert request: "
                missing += f"No such {what} with ID: {link.id}"
            else:
                before = f'Error looking up {what} for ID: "{link.id}": '
                missing = f'No such ACL {what} with ID "{link.id}"'
            link_id = check_id(link.id, what, before)
            if draft.get(table, link_id) is None:
                raise AclError(missing)
            found.setdefault(link_id, Link(link_id))
        else:
            row = by_name(link.name)
            if row is None or draft.get(table, row.id) is None:
                raise AclError(f'No such ACL {what} with name "{link.name}"')
            found.setdefault(row.id, Link(row.id))
    return list(found.values())


def granted(acl: Acl, draft: Draft, request: Grants, owner: str, local: bool = False) -> Granted:
    """Check what a token or role (``owner``) is to grant. Raises AclError."""
    policies = linked(draft, request.policies, acl.policies, acl.policy_by_name, "policy", owner)
    services: dict[str, ServiceIdentity] = {}
    for service in request.service_identities:
        _check_service(service, owner, local)
        known = services.get(service.service_name)
        datacenters = [*service.datacenters, *(known.datacenters if known else ())]
        services[service.service_name] = ServiceIdentity(
            service.service_name, sorted(datacenters if known is None else {*datacenters})
        )
    nodes: dict[tuple[str, str], NodeIdentity] = {}
    for node in request.node_identities:
        _check_node(node, owner)
        nodes[node.node_name, node.datacenter] = node
    templates: list[TemplatedPolicy] = []
    for template in request.templated_policies:
        checked = check_template(template, owner)
        same = (checked.template_name, checked.template_variables)
        if same not in [(one.template_name, one.template_variables) for one in templates]:
            templates.append(checked)
    return Granted(policies, list(services.values()), list(nodes.values()), templates)


def _check_service(service: ServiceIdentity, owner: str, local: bool) -> None:
    name = service.service_name
    if not name:
        raise AclError(f"Service identity is missing the service name field on this {owner}")
    if local and service.datacenters:
        raise AclError(
            f'Service identity "{name}" cannot specify a list of datacenters on a local token'
        )
    if not valid_identity_name(name):
        raise AclError(
            f'Service identity "{name}" has an invalid name. '
            "Only lowercase alphanumeric characters, '-' and '_' are allowed"
        )


def _check_node(node: NodeIdentity, owner: str) -> None:
    if not node.node_name:
        raise AclError(f"Node identity is missing the node name field on this {owner}")
    if not node.datacenter:
        raise AclError(f"Node identity is missing the datacenter field on this {owner}")
    if not valid_identity_name(node.node_name):
        raise AclError(
            "Node identity has an invalid name. "
            "Only lowercase alphanumeric characters, '-' and '_' are allowed"
        )
