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


def linked(
    draft: Draft, links: Iterable[Link], table: Table[Any], by_name: Any, what: str
) -> list[Link]:
    """Links with IDs only, each once. Raises AclError for one that leads nowhere."""
    found: dict[str, Link] = {}
    for link in links:
        if link.id:
            if draft.get(table, link.id) is None:
                raise AclError(f'No such ACL {what} with ID "{link.id}"')
            found.setdefault(link.id, Link(link.id))
        else:
            row = by_name(link.name)
            if row is None or draft.get(table, row.id) is None:
                raise AclError(f'No such ACL {what} with name "{link.name}"')
            found.setdefault(row.id, Link(row.id))
    return list(found.values())


def granted(acl: Acl, draft: Draft, request: Grants, owner: str, local: bool = False) -> Granted:
    """Check what a token or role (``owner``) is to grant. Raises AclError."""
    policies = linked(draft, request.policies, acl.policies, acl.policy_by_name, "policy")
    services: dict[str, ServiceIdentity] = {}
    for service in request.service_identities:
        _check_service(service, owner, local)
        known = services.get(service.service_name)
        if known is None:
            services[service.service_name] = service
        else:
            services[service.service_name] = _both(known, service)
    nodes: dict[tuple[str, str], NodeIdentity] = {}
    for node in request.node_identities:
        _check_node(node, owner)
        nodes[node.node_name, node.datacenter] = node
    templates: list[TemplatedPolicy] = []
    for template in request.templated_policies:
        checked = check_template(template)
        if local and checked.datacenters:
            raise AclError(
                f'templated policy "{checked.template_name}" cannot specify a list of '
                "datacenters on a local token"
            )
        if checked not in templates:
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
            f'Node identity "{node.node_name}" has an invalid name. '
            "Only lowercase alphanumeric characters, '-' and '_' are allowed"
        )


def _both(one: ServiceIdentity, other: ServiceIdentity) -> ServiceIdentity:
    if not one.datacenters or not other.datacenters:
        return ServiceIdentity(one.service_name)  # everywhere
    return ServiceIdentity(one.service_name, sorted({*one.datacenters, *other.datacenters}))
