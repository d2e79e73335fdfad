"""Writes of single nodes, services and checks of the catalog, and what each entails.

What is equal to what is stored already is not written, so that nobody is woken by it. Rows that
are handed in stay the caller's: what is stored is a copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from portway.discovery.model import CRITICAL, SERF_HEALTH, Check, Node, NodeName, Service
from portway.discovery.operations.service_rules import meta_problem
from portway.discovery.operations.sessions import invalidate_bound, invalidate_node
from portway.discovery.state import Draft, Table, check_key, node_key, service_key
from portway.discovery.state.catalog import SEPARATOR

if TYPE_CHECKING:
    from portway.discovery.server import Server


_UUID = re.compile(r"[^-]{8}(-[^-]{4}){3}-[^-]{12}")
_NOT_HEX = re.compile(r"[^-0-9a-fA-F]")


class CatalogError(Exception):
    """The catalog refuses it; the message is the documented one."""


def put_node(server: Server, draft: Draft, node: Node) -> Node:
    """Create or change a node; returns it as it is stored.

    An ID belongs to one node: a known ID under another name renames the node, which takes
    everything off the old one. A name belongs to one ID as long as its node is alive. A node
    that is registered without an ID keeps the one it has. Raises CatalogError.
    """
    check_identity(node)
    catalog = server.state.catalog
    key = node_key(node.node)
    old = draft.get(catalog.nodes, key)
    if old is not None and not node.id:
        node = replace(node, id=old.id)
    if node.id and (old is None or old.id.lower() != node.id.lower()):
        _take_id(server, draft, node, old)
        old = draft.get(catalog.nodes, key)
    if old is not None and is_same(old, node):
        return old
    node = replace(node)
    draft.put(catalog.nodes, key, node)
    return node


def is_same(known: Node, node: Node) -> bool:
    """Whether a registration of ``node`` changes nothing: the case of its name is nothing."""
    return known == replace(
        node,
        id=node.id or known.id,
        node=known.node if known.node.lower() == node.node.lower() else node.node,
        create_index=known.create_index,
        modify_index=known.modify_index,
    )


def check_identity(node: Node) -> None:
    """Raise CatalogError unless the node's name and ID can be those of a node."""
    if not node.node:
        raise CatalogError("Must provide node")
    if SEPARATOR in node.node:
        raise CatalogError("Invalid node name: it contains a NUL character")
    if node.id:
        problem = uuid_problem(node.id)
        if problem:
            raise CatalogError(f"Bad node ID: {problem}")


def uuid_problem(text: str) -> str:
    """What is wrong with the text of a UUID, or nothing."""
    if len(text) != 36:
        return "uuid string is wrong length"
    if not _UUID.fullmatch(text):
        return "uuid is improperly formatted"
    wrong = _NOT_HEX.search(text)
    if wrong:
        return f"encoding/hex: invalid byte: U+{ord(wrong[0]):04X} {wrong[0]!r}"
    return ""


def _take_id(server: Server, draft: Draft, node: Node, old: Node | None) -> None:
    """Let ``node`` have its ID, if it may; ``old`` is the node of that name so far."""
    catalog = server.state.catalog
    key = node.id.lower()
    owner = draft.get(catalog.ids, key)
    if old is not None and _is_alive(server, draft, old) and (old.id or owner is not None):
        where = f" ({node.address})" if owner is not None else ""
        raise CatalogError(
            f'failed inserting node: Error while renaming Node ID: "{node.id}"{where}: Node name '
            f"{node.node} is reserved by node {old.id} with name {old.node} ({old.address})"
        )
    if owner is not None:
        remove_node(server, draft, owner.node)
    if old is not None and old.id:
        draft.delete(catalog.ids, old.id.lower())
    draft.put(catalog.ids, key, NodeName(node=node.node))


def _is_alive(server: Server, draft: Draft, node: Node) -> bool:
    """Whether the servers say so; nodes they do not watch are nobody's loss."""
    check = draft.get(server.state.catalog.checks, check_key(node.node, SERF_HEALTH))
    return check is not None and check.status != CRITICAL


def put_service(server: Server, draft: Draft, node: str, service: Service) -> Service:
    """Create or change a service of a node; returns it as it is stored.

    Its checks follow its name and tags. Raises CatalogError when the node does not exist.
    """
    _require_node(server, draft, node)
    problem = meta_problem(service.meta or {}, gateway=service.kind == "mesh-gateway")
    if problem:
        about = f"for node {node} and serviceID {service.id}"
        raise CatalogError(f"failed inserting service: Invalid Service Meta {about}: {problem}")
    services = server.state.catalog.services
    key = service_key(node, service.id)
    old = draft.get(services, key)
    if old is not None:
        service = replace(service, create_index=old.create_index, modify_index=old.modify_index)
        if service == old:
            return old
    else:
        service = replace(service)
    draft.put(services, key, service)
    if old is not None and (old.service != service.service or old.tags != service.tags):
        for check in _checks_of(server, draft, node, service.id):
            put_check(server, draft, check)
    return service


def put_check(server: Server, draft: Draft, check: Check) -> Check:
    """Create or change a check of a node; returns it as it is stored.

    A check that turns critical ends the sessions bound to it. Raises CatalogError when its
    node or service does not exist.
    """
    _require_node(server, draft, check.node)
    catalog = server.state.catalog
    name, tags = check.service_name, check.service_tags
    if check.service_id:
        service = draft.get(catalog.services, service_key(check.node, check.service_id))
        if service is None:
            raise CatalogError(
                f"Unknown service ID '{check.service_id}' for check ID '{check.check_id}'"
            )
        name, tags = service.service, service.tags
    key = check_key(check.node, check.check_id)
    old = draft.get(catalog.checks, key)
    check = replace(
        check,
        service_name=name,
        service_tags=tags,
        create_index=old.create_index if old else 0,
        modify_index=old.modify_index if old else 0,
    )
    if old == check:
        return check
    if old is not None and old.status != CRITICAL and check.status == CRITICAL:
        invalidate_bound(server, draft, check.node, check.check_id)
    draft.put(catalog.checks, key, check)
    return check


def _require_node(server: Server, draft: Draft, node: str) -> None:
    if draft.get(server.state.catalog.nodes, node_key(node)) is None:
        raise CatalogError("Missing node registration")


def remove_node(server: Server, draft: Draft, node: str) -> bool:
    """Delete a node with everything on it; false when there is none."""
    catalog, coordinates = server.state.catalog, server.state.coordinates
    old = draft.get(catalog.nodes, node_key(node))
    if old is None:
        return False
    invalidate_node(server, draft, node)
    host = catalog.host(node)
    prefix = node_key(node) + SEPARATOR
    everything: tuple[tuple[Table[Any], Iterable[str]], ...] = (
        (catalog.checks, () if host is None else host.checks),
        (catalog.services, () if host is None else host.instances),
    )
    for table, known in everything:
        draft.guard(table, prefix)
        for key in _keys(draft, table, prefix, known):
            draft.delete(table, key)
    draft.guard(coordinates.table, prefix)
    for segment in coordinates.by_node.get(node_key(node), {}):
        draft.delete(coordinates.table, prefix + segment)
    if old.id:
        draft.delete(catalog.ids, old.id.lower())
    draft.delete(catalog.nodes, node_key(node))
    return True


def remove_service(server: Server, draft: Draft, node: str, service_id: str) -> bool:
    """Delete a service with its checks; false when there is none."""
    services = server.state.catalog.services
    key = service_key(node, service_id)
    if draft.get(services, key) is None:
        return False
    for check in _checks_of(server, draft, node, service_id):
        remove_check(server, draft, node, check.check_id)
    draft.delete(services, key)
    return True


def remove_check(server: Server, draft: Draft, node: str, check_id: str) -> bool:
    """Delete a check, which ends the sessions bound to it; false when there is none."""
    old = draft.delete(server.state.catalog.checks, check_key(node, check_id))
    if old is None:
        return False
    if old.status != CRITICAL:
        invalidate_bound(server, draft, node, check_id)
    return True


def _checks_of(server: Server, draft: Draft, node: str, service_id: str) -> list[Check]:
    """The checks of a service; the commit fails when the node's checks change meanwhile."""
    catalog = server.state.catalog
    prefix = node_key(node) + SEPARATOR
    draft.guard(catalog.checks, prefix)
    host = catalog.host(node)
    keys = _keys(draft, catalog.checks, prefix, () if host is None else host.checks)
    checks = (draft.get(catalog.checks, key) for key in keys)
    return [check for check in checks if check is not None and check.service_id == service_id]


def _keys(draft: Draft, table: Table[Any], prefix: str, known: Iterable[str]) -> list[str]:
    """The keys of a table under a node, those written in the draft included."""
    keys = {prefix + one for one in known}
    keys.update(key for key in draft.written(table) if key.startswith(prefix))
    return sorted(keys)
