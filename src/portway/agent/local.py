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
)
from portway.discovery.state import Topic, Topics

Source = Literal["api", "config"]
"""Who registered it: a client of the API, or the agent's configuration."""


class LocalService(msgspec.Struct, kw_only=True):
    """A service of this agent."""

    service: Service
    token: str = ""
    source: Source = "api"
    in_sync: bool = False
    is_new: bool = False
    """A client has just said how it is: the catalog's tags are no answer to that."""
    parent: str = ""
    """The service whose sidecar it is, by ID."""


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
    """Services and checks by ID, and those that were removed but are still in the catalog.

    Everything here changes at once, without waiting: who reads sees all of a change or nothing.
    """

    def __init__(self) -> None:
        self.services: dict[str, LocalService] = {}
        self.checks: dict[str, LocalCheck] = {}
        self.removed_services: dict[str, str] = {}
        """ID → token of services to take out of the catalog."""
        self._removed: dict[str, dict[str, str]] = {}
        """ID of a service → ID → token of its checks to take out of the catalog."""
        self._removed_from: dict[str, str] = {}
        self._of: dict[str, dict[str, LocalCheck]] = {}
        self._topics = Topics()
        self._listeners: list[Callable[[str], None]] = []

    def topic(self, service_id: str) -> Topic:
        """What a change of a service or its checks touches."""
        return self._topics.of(service_id)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with the ID of each service that changes, its checks included.

        An empty ID stands for the checks of the node itself.
        """
        self._listeners.append(listener)

    def touch(self, service_id: str) -> None:
        """A service or one of its checks changed (or one of the node's: an empty ID)."""
        topic = self._topics.get(service_id)
        if topic is not None:
            topic.touch(topic.index + 1)
        for listener in self._listeners:
            listener(service_id)

    def checks_of(self, service_id: str) -> dict[str, LocalCheck]:
        """The checks of a service, or of the node itself for an empty ID, by ID."""
        return dict(self._of.get(service_id, {}))

    def put_service(self, entry: LocalService) -> None:
        """Add or replace a service. Its checks follow its name and tags."""
        service_id = entry.service.id
        self.services[service_id] = entry
        self.removed_services.pop(service_id, None)
        self._describe_checks(entry.service)
        self.touch(service_id)

    def set_tags(self, service_id: str, tags: list[str]) -> None:
        """Take over tags that the catalog has (``enable_tag_override``)."""
        entry = self.services[service_id]
        entry.service = msgspec.structs.replace(entry.service, tags=tags)
        self._describe_checks(entry.service)
        self.touch(service_id)

    def _describe_checks(self, service: Service) -> None:
        for entry in self._of.get(service.id, {}).values():
            entry.check = msgspec.structs.replace(
                entry.check, service_name=service.service, service_tags=service.tags
            )

    def put_check(self, entry: LocalCheck) -> None:
        """Add or replace a check."""
        check_id, service_id = entry.check.check_id, entry.check.service_id
        if check_id in self.checks:
            self._take_out(check_id)
        self.checks[check_id] = entry
        self._of.setdefault(service_id, {})[check_id] = entry
        self.forget_removed_check(check_id)
        self.touch(service_id)

    def drop_service(self, service_id: str) -> None:
        """Remove a service; its checks are removed one by one before."""
        entry = self.services.pop(service_id)
        self.removed_services[service_id] = entry.token
        self.touch(service_id)

    def drop_check(self, check_id: str) -> None:
        """Remove a check."""
        entry = self._take_out(check_id)
        service_id = entry.check.service_id
        service = self.services.get(service_id)
        token = entry.token or (service.token if service else "")
        self.note_removed_check(check_id, service_id, token)
        self.touch(service_id)

    def note_removed_check(self, check_id: str, service_id: str, token: str = "") -> None:
        """A check is to be taken out of the catalog, unless that is noted already."""
        if check_id not in self._removed_from:
            self._removed_from[check_id] = service_id
            self._removed.setdefault(service_id, {})[check_id] = token

    def forget_removed_check(self, check_id: str) -> None:
        """A check has been taken out of the catalog, or is there again."""
        service_id = self._removed_from.pop(check_id, None)
        if service_id is not None:
            checks = self._removed[service_id]
            del checks[check_id]
            if not checks:
                del self._removed[service_id]

    def removed_checks_of(self, service_id: str) -> dict[str, str]:
        """ID → token of checks of a service that are to be taken out of the catalog."""
        return dict(self._removed.get(service_id, {}))

    def behind(self) -> list[str]:
        """The services of which the catalog is known not to have everything as it is here."""
        behind = dict.fromkeys((*self.removed_services, *self._removed))
        behind |= dict.fromkeys(key for key, one in self.services.items() if not one.in_sync)
        behind |= dict.fromkeys(
            one.check.service_id for one in self.checks.values() if not one.in_sync
        )
        return list(behind)

    def _take_out(self, check_id: str) -> LocalCheck:
        entry = self.checks.pop(check_id)
        if entry.deferred is not None:
            entry.deferred.cancel()
        siblings = self._of[entry.check.service_id]
        del siblings[check_id]
        if not siblings:
            del self._of[entry.check.service_id]
        return entry

    def set_status(self, check_id: str, status: CheckStatus, output: str) -> bool:
        """Take over a result; whether the status (not only the output) changed."""
        entry = self.checks[check_id]
        moved = entry.check.status != status
        entry.check = msgspec.structs.replace(entry.check, status=status, output=output)
        entry.in_sync = False
        self.touch(entry.check.service_id)
        return moved
