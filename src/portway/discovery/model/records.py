"""Key-value entries, sessions, coordinates and prepared queries as the store holds them."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType, field

from portway.discovery.model.catalog import Wire


class KVEntry(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A key and its value. ``session`` holds the lock; ``lock_index`` counts acquisitions."""

    key: str
    value: bytes
    flags: int = 0
    session: str = ""
    lock_index: int = 0
    create_index: int = 0
    modify_index: int = 0


class Lock(msgspec.Struct, kw_only=True):
    """A lock that a session holds, in a row of its own: the end of a session is decided on it."""

    create_index: int = 0
    modify_index: int = 0


class SessionServiceCheck(Wire):
    """A service check a session is bound to."""

    id: str
    namespace: str = field(default_factory=str)  # not a default that is left out


class Session(Wire):
    """A session. ``lock_delay`` is in nanoseconds; ``ttl`` is a Go duration or empty.

    ``checks`` is the old form of ``node_checks``, and may stand beside it.
    """

    id: str
    name: str
    node: str
    lock_delay: int
    behavior: Literal["release", "delete"]
    ttl: str
    node_checks: list[str] | None
    service_checks: list[SessionServiceCheck] | None
    create_index: int = 0
    modify_index: int = 0
    checks: list[str] | UnsetType = UNSET

    def check_ids(self) -> list[str]:
        """The IDs of the checks it is bound to, each once."""
        services = [check.id for check in self.service_checks or ()]
        return list(dict.fromkeys([*(self.checks or ()), *(self.node_checks or ()), *services]))


class Coordinate(Wire):
    """A Vivaldi coordinate: all in seconds."""

    vec: list[float]
    error: float
    adjustment: float
    height: float


class NodeCoordinate(Wire):
    """Where a node is in network space."""

    node: str
    segment: str
    coord: Coordinate
    modify_index: int = field(name="ModifyIndex", default=0)
    """Kept for indexes; answers leave it out."""
    create_index: int = field(name="CreateIndex", default=0)


class NodeName(msgspec.Struct):
    """The name of the node that has an ID: a row of its own, so that no two can have it."""

    node: str
    create_index: int = 0
    modify_index: int = 0
