"""Anti-entropy inside a server: the catalog is in the same process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portway.agent.link import Known, LinkError
from portway.discovery.acl import (
    MANAGE_ALL,
    AclNotFoundError,
    Authorizer,
    PermissionDeniedError,
    Resolver,
)
from portway.discovery.model import Check, Service
from portway.discovery.operations import catalog
from portway.discovery.server import Server
from portway.store import StoreError


class ServerLink:
    """The agent's way to the catalog of its own server (``link.Link``).

    ``myself`` is the server's own registration, which servers keep whatever the agent's token.
    """

    def __init__(
        self, server: Server, tokens: Resolver, myself: Callable[[], catalog.Registration]
    ) -> None:
        self._server = server
        self._tokens = tokens
        self._myself = myself

    async def put_node(self, token: str) -> None:
        """Have the node with its health and the servers' service in the catalog."""
        await self._register(self._myself())

    async def known(self) -> Known:
        """What the catalog has of this node."""
        host = self._server.state.catalog.host(self._myself().node.node)
        if host is None:
            return Known({}, {})
        services = {key: instance.service for key, instance in host.instances.items()}
        return Known(services, dict(host.checks))

    async def put(self, service: Service | None, checks: Sequence[Check], token: str) -> None:
        """Register a service and checks."""
        # The node itself is the servers' to keep; a service's token need not know of it.
        node = self._myself().node
        registration = catalog.Registration(node, service, list(checks), skip_node_update=True)
        await self._register(registration, self._authorizer(token))

    async def _register(
        self, registration: catalog.Registration, authorizer: Authorizer = MANAGE_ALL
    ) -> None:
        server = self._server
        try:
            await server.transact(
                lambda draft: catalog.register(server, draft, registration, authorizer)
            )
        except (StoreError, catalog.CatalogError) as error:
            raise LinkError(str(error)) from None

    async def remove(self, service_id: str, check_id: str, token: str) -> None:
        """Take a service or a check out of the catalog."""
        server, authorizer = self._server, self._authorizer(token)
        removal = catalog.Removal(self._myself().node.node, service_id, check_id)
        try:
            await server.transact(
                lambda draft: catalog.deregister(server, draft, removal, authorizer)
            )
        except (StoreError, catalog.CatalogError) as error:
            raise LinkError(str(error)) from None

    def _authorizer(self, token: str) -> Authorizer:
        try:
            return self._tokens.resolve(token)
        except AclNotFoundError as error:
            raise PermissionDeniedError(str(error)) from None
