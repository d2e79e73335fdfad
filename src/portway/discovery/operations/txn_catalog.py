"""The verbs of transactions on nodes, services and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from portway.discovery.acl import Authorizer
from portway.discovery.model import Check, Node, Service
from portway.discovery.operations import nodes
from portway.discovery.operations.catalog import completed_check, completed_service
from portway.discovery.operations.catalog_access import (
    require_check,
    require_id,
    require_node,
)
from portway.discovery.operations.txn_refusal import RefusedError, quoted
from portway.discovery.state import Draft, check_key, node_key, service_key

if TYPE_CHECKING:
    from portway.discovery.server import Server


class NodeOp(NamedTuple):
    """One operation on a node. ``modified`` is what its ModifyIndex must be, where that counts."""

    verb: str
    node: Node
    modified: int = 0


class ServiceOp(NamedTuple):
    """One operation on a service of a node."""

    verb: str
    node: str
    service: Service
    modified: int = 0


class CheckOp(NamedTuple):
    """One operation on a check."""

    verb: str
    check: Check
    modified: int = 0


CatalogOp = NodeOp | ServiceOp | CheckOp
_VERBS = frozenset(("get", "set", "cas", "delete", "delete-cas"))


def permit(server: Server, draft: Draft, op: CatalogOp, authorizer: Authorizer) -> None:
    """Raise unless the operation can be tried, and may be; reads are filtered.

    Raises RefusedError, CatalogError or PermissionDeniedError.
    """
    if op.verb not in _VERBS:
        kind = type(op).__name__.removesuffix("Op").lower()
        raise RefusedError(f"unknown {kind} operation: {op.verb}")
    if op.verb == "get":
        return
    catalog = server.state.catalog
    if isinstance(op, NodeOp):
        nodes.check_identity(op.node)
        known = _known_node(server, draft, op.node)
        require_node(server, draft, authorizer, op.node.node or (known.node if known else ""))
        if op.verb in ("set", "cas"):
            require_id(server, draft, authorizer, op.node)
    elif isinstance(op, ServiceOp):
        service = op.service
        known_service = draft.get(catalog.services, service_key(op.node, service.id))
        if op.verb in ("set", "cas") or known_service is None:
            authorizer.require("service", "write", service.service)
            if service.kind == "connect-proxy":
                authorizer.require("service", "write", service.proxy.destination_service_name)
        if known_service is not None:
            authorizer.require("service", "write", known_service.service)
    else:
        check = op.check
        known_check = draft.get(catalog.checks, check_key(check.node, check.check_id))
        require_check(server, draft, authorizer, check.node, check.check_id)
        owner = (
            draft.get(catalog.services, service_key(check.node, check.service_id))
            if check.service_id
            else None
        )
        if owner is not None:
            authorizer.require("service", "write", owner.service)
        elif not check.service_id and (known_check is None or op.verb in ("set", "cas")):
            require_node(server, draft, authorizer, check.node)


def apply(server: Server, draft: Draft, op: CatalogOp) -> list[Node | Service | Check]:
    """Do it and return what it answers. Raises RefusedError or CatalogError."""
    if isinstance(op, NodeOp):
        return _node(server, draft, op)
    if isinstance(op, ServiceOp):
        return _service(server, draft, op)
    return _check(server, draft, op)


def _node(server: Server, draft: Draft, op: NodeOp) -> list[Node | Service | Check]:
    verb, node, modified = op
    name = quoted(node.node)
    by_name = draft.get(server.state.catalog.nodes, node_key(node.node))
    match verb:
        case "get":
            known = _known_node(server, draft, node)
            if known is None:
                raise RefusedError(f"node {name} doesn't exist")
            return [known]
        case "set" | "cas":
            if verb == "cas" and not _fits(by_name, modified):
                raise RefusedError(f"failed to set node {name}, index is stale")
            return [nodes.put_node(server, draft, node)]
        case "delete" | "delete-cas":
            if verb == "delete-cas" and (by_name is None or by_name.modify_index != modified):
                raise RefusedError(f"failed to delete node {name}, index is stale")
            nodes.remove_node(server, draft, node.node)
    return []


def _service(server: Server, draft: Draft, op: ServiceOp) -> list[Node | Service | Check]:
    verb, node, service, modified = op
    what = f"service {quoted(service.id)} on node {quoted(node)}"
    known = draft.get(server.state.catalog.services, service_key(node, service.id))
    match verb:
        case "get":
            if known is None:
                raise RefusedError(f"{what} doesn't exist")
            return [known]
        case "set" | "cas":
            if verb == "cas" and not _fits(known, modified):
                raise RefusedError(f"failed to set {what}, index is stale")
            owner = _owner(server, draft, node)
            return [nodes.put_service(server, draft, owner.node, completed_service(service))]
        case "delete" | "delete-cas":
            if verb == "delete-cas" and (known is None or known.modify_index != modified):
                raise RefusedError(f"failed to delete {what}, index is stale")
            nodes.remove_service(server, draft, node, service.id)
    return []


def _check(server: Server, draft: Draft, op: CheckOp) -> list[Node | Service | Check]:
    verb, check, modified = op
    what = f"check {quoted(check.check_id)} on node {quoted(check.node)}"
    known = draft.get(server.state.catalog.checks, check_key(check.node, check.check_id))
    match verb:
        case "get":
            if known is None:
                raise RefusedError(f"{what} doesn't exist")
            return [known]
        case "set" | "cas":
            if verb == "cas" and not _fits(known, modified):
                raise RefusedError(f"failed to set {what}, index is stale")
            owner = _owner(server, draft, check.node)
            service = service_key(owner.node, check.service_id)
            if check.service_id and draft.get(server.state.catalog.services, service) is None:
                raise RefusedError("Missing service registration")
            complete = completed_check(replace(check, node=owner.node))
            return [nodes.put_check(server, draft, complete)]
        case "delete" | "delete-cas":
            if verb == "delete-cas" and (known is None or known.modify_index != modified):
                raise RefusedError(f"failed to delete {what}, index is stale")
            nodes.remove_check(server, draft, check.node, check.check_id)
    return []


def _known_node(server: Server, draft: Draft, node: Node) -> Node | None:
    """The node meant: that of the ID if one is given, else that of the name."""
    catalog = server.state.catalog
    if node.id:
        named = draft.get(catalog.ids, node.id.lower())
        return None if named is None else draft.get(catalog.nodes, node_key(named.node))
    return draft.get(catalog.nodes, node_key(node.node))


def _owner(server: Server, draft: Draft, node: str) -> Node:
    """The node something is registered on. Raises RefusedError without it."""
    owner = draft.get(server.state.catalog.nodes, node_key(node))
    if owner is None:
        raise RefusedError("Missing node registration")
    return owner


def _fits(known: Node | Service | Check | None, index: int) -> bool:
    """Whether a row may be set: index 0 means that it must not exist."""
    return index == 0 if known is None else known.modify_index == index
