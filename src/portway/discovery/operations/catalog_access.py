"""What a caller must be allowed to write what is in the catalog already.

Names of nodes are compared without case, rules are not: whoever writes a node under another
spelling of its name must be allowed both. All raise PermissionDeniedError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portway.discovery.acl import Authorizer
from portway.discovery.model import Node
from portway.discovery.state import Draft, check_key, node_key, service_key

if TYPE_CHECKING:
    from portway.discovery.server import Server


def node_names(server: Server, draft: Draft, name: str) -> list[str]:
    """The name of a node as given and, if it is another spelling of a known one, as stored."""
    known = draft.get(server.state.catalog.nodes, node_key(name))
    return list(dict.fromkeys((name, name if known is None else known.node)))


def require_node(server: Server, draft: Draft, authorizer: Authorizer, name: str) -> None:
    """The caller may write a node."""
    for one in node_names(server, draft, name):
        authorizer.require("node", "write", one)


def require_id(server: Server, draft: Draft, authorizer: Authorizer, node: Node) -> None:
    """The caller may write the node that has the ID so far: it is deleted with all on it."""
    owner = draft.get(server.state.catalog.ids, node.id.lower()) if node.id else None
    if owner is not None and owner.node.lower() != node.node.lower():
        authorizer.require("node", "write", owner.node)


def require_check(
    server: Server, draft: Draft, authorizer: Authorizer, node: str, check_id: str
) -> None:
    """The caller may write the check of this ID, if there is one, whatever it belongs to."""
    catalog = server.state.catalog
    check = draft.get(catalog.checks, check_key(node, check_id))
    if check is None:
        return
    service = (
        draft.get(catalog.services, service_key(node, check.service_id))
        if check.service_id
        else None
    )
    if service is None:
        require_node(server, draft, authorizer, node)
    else:
        authorizer.require("service", "write", service.service)
