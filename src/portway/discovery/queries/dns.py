"""Prepared queries for the DNS interface."""

from __future__ import annotations

from collections.abc import Callable

from portway.discovery.acl import AclError, Authorizer
from portway.discovery.dns.found import Executed
from portway.discovery.operations.durations import go_duration
from portway.discovery.queries.execute import QueryNotFoundError, Source, execute
from portway.discovery.queries.template import TemplateError
from portway.discovery.server import Server


class DnsQueries:
    """Executes queries for DNS. ``node`` is the agent's, ``resolve_token`` is of tokens."""

    def __init__(
        self, server: Server, resolve_token: Callable[[str], Authorizer], node: str
    ) -> None:
        self._server = server
        self._resolve_token = resolve_token
        self._node = node

    def execute(self, name: str, source: str, authorizer: Authorizer) -> Executed | None:
        """Execute a query for a client's address; ``None`` when there is none of the name."""

        def resolve_token(secret: str) -> Authorizer:
            return self._resolve_token(secret) if secret else authorizer

        try:
            found = execute(
                self._server, name, Source(self._node, ip=source), resolve_token=resolve_token
            )
        except (QueryNotFoundError, TemplateError, AclError):
            return None
        ttl = found.query.dns.ttl
        return Executed(found.instances, int(go_duration(ttl)) if ttl else None)
