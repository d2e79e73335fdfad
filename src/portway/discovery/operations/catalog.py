"""Registration in the catalog and removal from it, for the API and for the agents.

Both are one transaction, checked against what the caller may do. Texts are the documented ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from portway.discovery.acl import MANAGE_ALL, Authorizer
from portway.discovery.model import Check, CheckRun, Node, Service
from portway.discovery.operations.catalog_access import (
    node_names,
    require_check,
    require_id,
    require_node,
)
from portway.discovery.operations.nodes import (
    CatalogError,
    check_identity,
    is_same,
    put_check,
    put_node,
    put_service,
    remove_check,
    remove_node,
    remove_service,
)
from portway.discovery.operations.service_rules import ANY_ADDRESS, problem_of
from portway.discovery.state import Draft, check_key, node_key, service_key

if TYPE_CHECKING:
    from portway.discovery.server import Server

__all__ = [
    "CatalogError",
    "Registration",
    "Removal",
    "deregister",
    "register",
]


class Registration(NamedTuple):
    """A node with, as given, one service and checks of the node or of its services.

    With ``skip_node_update`` a node that exists is left as it is.
    """

    node: Node
    service: Service | None = None
    checks: Sequence[Check] = ()
    skip_node_update: bool = False


class Removal(NamedTuple):
    """A service (with its checks), or a check, or without either a node with all on it."""

    node: str
    service_id: str = ""
    check_id: str = ""


def register(
    server: Server,
    draft: Draft,
    registration: Registration,
    authorizer: Authorizer = MANAGE_ALL,
) -> None:
    """Put a registration into the catalog; what is there already is not written again.

    Raises CatalogError for what cannot be, PermissionDeniedError for what may not be.
    """
    registration = _completed(registration)
    _vet(server, draft, registration, authorizer)
    catalog = server.state.catalog
    node = draft.get(catalog.nodes, node_key(registration.node.node))
    if node is None or not registration.skip_node_update:
        node = put_node(server, draft, registration.node)
    if registration.service is not None:
        put_service(server, draft, node.node, registration.service)
    for check in registration.checks:
        put_check(server, draft, replace(check, node=node.node))


def deregister(
    server: Server, draft: Draft, removal: Removal, authorizer: Authorizer = MANAGE_ALL
) -> None:
    """Take something out of the catalog; what is not there is as good as removed.

    Raises CatalogError without a node, PermissionDeniedError for what may not be.
    """
    if not removal.node:
        raise CatalogError("Must provide node")
    _vet_removal(server, draft, removal, authorizer)
    if removal.service_id:
        remove_service(server, draft, removal.node, removal.service_id)
    elif removal.check_id:
        remove_check(server, draft, removal.node, removal.check_id)
    else:
        remove_node(server, draft, removal.node)


def _completed(registration: Registration) -> Registration:
    """The registration with its defaults. Raises CatalogError."""
    node, service, checks, skip_node_update = registration
    check_identity(node)
    if not node.address and not skip_node_update:
        raise CatalogError("Must provide address if SkipNodeUpdate is not set")
    if service is not None:
        service = completed_service(service)
    checks = [_completed_check(check, node.node) for check in checks]
    return Registration(node, service, checks, skip_node_update)


def completed_service(service: Service) -> Service:
    """A service with its defaults. Raises CatalogError."""
    problem = problem_of(service)
    if problem:
        raise CatalogError(problem)
    if not (service.service or service.id):
        raise CatalogError(
            "service name (Service.Service) is required; both Service ID (Service.ID) and Service "
            "Name cannot be empty"
        )
    if not service.service:
        raise CatalogError(
            "Must provide service name (Service.Service) when service ID is provided"
        )
    if service.address in ANY_ADDRESS:
        raise CatalogError("Invalid service address")
    return service if service.id else replace(service, id=service.service)


def _completed_check(check: Check, node: str) -> Check:
    if check.node and check.node.lower() != node.lower():
        raise CatalogError(
            f"Node '{check.node}' for check '{check.check_id or check.name}' doesn't match "
            f"register request node '{node}'"
        )
    return completed_check(replace(check, node=node))


def completed_check(check: Check) -> Check:
    """A check with its defaults. Raises CatalogError."""
    check_id = check.check_id or check.name
    if not check_id:
        raise CatalogError("Must provide a CheckID or a Name for every check")
    return replace(check, check_id=check_id, type=check.type or type_of(check.definition))


def type_of(definition: CheckRun) -> str:
    """The type of a check by the way it runs; empty when nothing says, as without an interval."""
    runs, often = definition, bool(definition.interval)
    types = (
        ("grpc", often and runs.grpc),
        ("http", often and runs.http),
        ("ttl", runs.ttl > 0),
        ("tcp", often and runs.tcp),
        ("udp", often and runs.udp),
        ("alias", runs.alias_node or runs.alias_service),
        ("docker", often and runs.docker_container_id and runs.script_args),
        ("script", runs.script_args),
        ("h2ping", often and runs.h2ping),
        ("os_service", often and runs.os_service),
    )
    return next((kind for kind, is_it in types if is_it), "")


def _vet(server: Server, draft: Draft, registration: Registration, authorizer: Authorizer) -> None:
    """Refuse what the caller may not register. Raises PermissionDeniedError."""
    if authorizer is MANAGE_ALL:
        return
    catalog = server.state.catalog
    node, service, checks, skip_node_update = registration
    known = draft.get(catalog.nodes, node_key(node.node))
    if known is None or not (skip_node_update or is_same(known, node)):
        require_node(server, draft, authorizer, node.node)
        require_id(server, draft, authorizer, node)
    if service is not None:
        authorizer.require("service", "write", service.service)
        if service.kind == "connect-proxy":
            authorizer.require("service", "write", service.proxy.destination_service_name)
        replaced = draft.get(catalog.services, service_key(node.node, service.id))
        if replaced is not None:
            authorizer.require("service", "write", replaced.service)
    for check in checks:
        if not check.service_id:
            require_node(server, draft, authorizer, node.node)
        elif service is None or service.id != check.service_id:
            other = draft.get(catalog.services, service_key(node.node, check.service_id))
            if other is not None:  # a missing one is refused for that
                authorizer.require("service", "write", other.service)
        require_check(server, draft, authorizer, node.node, check.check_id)


def _vet_removal(server: Server, draft: Draft, removal: Removal, authorizer: Authorizer) -> None:
    """Refuse what the caller may not remove: who may write a node may remove all on it."""
    names = node_names(server, draft, removal.node)
    if all(authorizer.allows("node", "write", name) for name in names):
        return
    catalog = server.state.catalog
    if removal.service_id:
        service = draft.get(catalog.services, service_key(removal.node, removal.service_id))
        if service is None:
            raise CatalogError(f"Unknown service ID '{removal.service_id}'")
        authorizer.require("service", "write", service.service)
        return
    if removal.check_id:
        check = draft.get(catalog.checks, check_key(removal.node, removal.check_id))
        if check is None:
            raise CatalogError(f"Unknown check ID '{removal.check_id}'")
        if check.service_id:
            authorizer.require("service", "write", check.service_name)
            return
    require_node(server, draft, authorizer, removal.node)
