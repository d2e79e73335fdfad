"""The agent's way to the servers: what anti-entropy needs of a catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from portway.discovery.model import Check, Service


class Known(NamedTuple):
    """What the catalog has of one node, each by ID."""

    services: dict[str, Service]
    checks: dict[str, Check]


class Link(Protocol):
    """The catalog, as one agent writes to it.

    Every call may raise LinkError, and PermissionDeniedError when the token may not.
    """

    async def put_node(self, token: str) -> None:
        """Have the agent's node in the catalog as it is."""

    async def known(self) -> Known:
        """What the catalog has of this agent's node."""

    async def put(self, service: Service | None, checks: Sequence[Check], token: str) -> None:
        """Register a service and checks."""

    async def remove(self, service_id: str, check_id: str, token: str) -> None:
        """Take a service (with its checks) or a check out of the catalog."""


class LinkError(Exception):
    """The servers cannot be reached or refused; anti-entropy will try again."""
