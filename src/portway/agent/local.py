"""The agent's own services and checks: the authority for what its node has.

The catalog follows by anti-entropy (``sync``). Every change is announced to listeners of the
service or check it concerns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec

from portway.discovery.model import (
    Check,
    CheckDefinition,
    CheckStatus,
    Service,
    ServiceDefinition,
)
from portway.discovery.state import Topic, Topics

Source = Literal["api", "config", "sidecar"]


class LocalService(msgspec.Struct, kw_only=True):
    """A service of this agent."""

    service: Service
    definition: ServiceDefinition
    token: str = ""
    source: Source = "api"
    in_sync: bool = False
    parent: str = ""
    """The service a sidecar belongs to."""


class LocalCheck(msgspec.Struct, kw_only=True):
    """A check of this agent."""

    check: Check
    definition: CheckDefinition
    token: str = ""
    source: Source = "api"
    in_sync: bool = False
    deferred: asyncio.TimerHandle | None = None
    """Runs when a change of output alone is to be told to the catalog."""


class Local:
    """Services and checks by ID. ``changed`` is called with what the catalog must be told."""

    def __init__(self) -> None:
        self.services: dict[str, LocalService] = {}
        self.checks: dict[str, LocalCheck] = {}
        self.removed_services: dict[str, str] = {}
        """ID → token of services to take out of the catalog."""
        self.removed_checks: dict[str, str] = {}
        self._service_topics = Topics()
        self._listeners: list[Callable[[str], None]] = []

    def topic(self, service_id: str) -> Topic:
        """What a change of a service or its checks touches."""
        return self._service_topics.of(service_id)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with the ID of each service that changes, its checks included."""
        self._listeners.append(listener)

    def touch(self, service_id: str) -> None:
        """A service or one of its checks changed (or one of the node's: an empty ID)."""
        topic = self._service_topics.get(service_id)
        if topic is not None:
            topic.touch(topic.index + 1)
        for listener in self._listeners:
            listener(service_id)

    def checks_of(self, service_id: str) -> dict[str, LocalCheck]:
        """The checks of a service, or of the node itself for an empty ID, by ID."""
        return {
            check_id: entry
            for check_id, entry in self.checks.items()
            if entry.check.service_id == service_id
        }

    def put_service(self, entry: LocalService) -> None:
        """Add or replace a service."""
        service_id = entry.service.id
        self.services[service_id] = entry
        self.removed_services.pop(service_id, None)
        self.touch(service_id)

    def put_check(self, entry: LocalCheck) -> None:
        """Add or replace a check."""
        check_id = entry.check.check_id
        old = self.checks.get(check_id)
        if old is not None and old.deferred is not None:
            old.deferred.cancel()
        self.checks[check_id] = entry
        self.removed_checks.pop(check_id, None)
        self.touch(entry.check.service_id)

    def drop_service(self, service_id: str) -> LocalService:
        """Remove a service; its checks are removed one by one before."""
        entry = self.services.pop(service_id)
        self.removed_services[service_id] = entry.token
        self.touch(service_id)
        return entry

    def drop_check(self, check_id: str) -> LocalCheck:
        """Remove a check."""
        entry = self.checks.pop(check_id)
        if entry.deferred is not None:
            entry.deferred.cancel()
        self.removed_checks[check_id] = entry.token
        self.touch(entry.check.service_id)
        return entry

    def set_status(self, check_id: str, status: CheckStatus, output: str) -> bool:
        """Take over a result; whether the status (not only the output) changed."""
        entry = self.checks[check_id]
        moved = entry.check.status != status
        entry.check = msgspec.structs.replace(entry.check, status=status, output=output)
        entry.in_sync = False
        self.touch(entry.check.service_id)
        return moved
