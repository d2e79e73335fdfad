"""Anti-entropy inside a server: the catalog is in the same process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portway.agent.link import Known, LinkError
from portway.discovery.acl import AclNotFoundError, Authorizer, PermissionDeniedError, Resolver
from portway.discovery.model import Check, Node, Service
from portway.discovery.operations import catalog
from portway.discovery.server import Server
from portway.store import StoreError


class ServerLink:
    """The agent's way to the catalog of its own server (``link.Link``)."""

    def __init__(self, server: Server, tokens: Resolver, node: Callable[[], Node]) -> None:
        self._server = server
        self._tokens = tokens
        self._node = node

    async def known(self) -> Known:
        """What the catalog has of this node."""
        host = self._server.state.catalog.host(self._node().node)
        if host is None:
            return Known(None, {}, {})
        services = {key: instance.service for key, instance in host.instances.items()}
        return Known(host.node, services, dict(host.checks))

    async def put(self, service: Service | None, checks: Sequence[Check], token: str) -> None:
        """Register the node with a service and checks."""
        authorizer = self._authorizer(token)
        # The node itself is the servers' to keep; a service's token need not know of it.
        registration = catalog.Registration(
            self._node(), service, list(checks), skip_node_update=bool(service or checks)
        )
        try:
            await self._server.transact(
                lambda draft: catalog.register(self._server, draft, registration, authorizer)
            )
        except (StoreError, catalog.CatalogError) as error:
            raise LinkError(str(error)) from None

    async def remove(self, service_id: str, check_id: str, token: str) -> None:
        """Take a service or a check out of the catalog."""
        authorizer = self._authorizer(token)
        removal = catalog.Removal(self._node().node, service_id, check_id)
        try:
            await self._server.transact(
                lambda draft: catalog.deregister(self._server, draft, removal, authorizer)
            )
        except (StoreError, catalog.CatalogError) as error:
            raise LinkError(str(error)) from None

    def _authorizer(self, token: str) -> Authorizer:
        try:
            return self._tokens.resolve(token)
        except AclNotFoundError as error:
            raise PermissionDeniedError(str(error)) from None
