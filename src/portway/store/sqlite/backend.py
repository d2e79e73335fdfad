"""Where a store's requests and reads are carried out: beside it on disk, or right here."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from portway.store import StoreError
from portway.store.sqlite import schema
from portway.store.sqlite.compaction import Limits
from portway.store.sqlite.database import Database
from portway.store.sqlite.errors import explain
from portway.store.sqlite.messages import Reply, Request

T = TypeVar("T")


class Client(Protocol):
    """What a backend calls, on the event loop."""

    def receive(self, replies: Sequence[Reply]) -> None:
        """Take the replies to a group of requests."""

    def lost(self, reason: StoreError) -> None:
        """No further reply will come."""


class Backend(Protocol):
    """A database that is open."""

    revision: int
    """The revision at the beginning."""
    leases: Mapping[int, float]
    """The leases at the beginning, with their seconds."""

    def start(self, client: Client) -> None:
        """Name the client; before the first request."""

    def submit(self, request: Request) -> None:
        """Queue a request."""

    async def query(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Read with a function. Raises StoreError."""

    def size(self) -> int:
        """Bytes on disk, or in memory."""

    async def close(self) -> None:
        """Carry out what is queued and close."""


class InMemory:
    """A database in memory. All that is submitted in one turn of the loop is one group."""

    def __init__(self, keep_versions: Mapping[str, int], limits: Limits) -> None:
        connection = schema.connect(":memory:")
        schema.create(connection)
        self._name = Path("the store in memory")
        self._database = Database(connection, self._name, keep_versions, limits)
        self._loop = asyncio.get_running_loop()
        self._requests: list[Request] = []
        self._client: Client | None = None
        self.revision = self._database.state.revision
        self.leases: Mapping[int, float] = {}

    def start(self, client: Client) -> None:
        """Name the client; before the first request."""
        self._client = client

    def submit(self, request: Request) -> None:
        """Queue a request."""
        if not self._requests:
            self._loop.call_soon(self._apply)
        self._requests.append(request)

    async def query(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Read with a function. Raises StoreError."""
        try:
            return function(self._database.connection)
        except (sqlite3.Error, OSError) as error:
            raise explain(self._name, error) from error

    def size(self) -> int:
        """Bytes in memory."""
        (pages,) = self._database.connection.execute("PRAGMA page_count").fetchone()
        return int(pages) * schema.PAGE_SIZE

    async def close(self) -> None:
        """Carry out what is queued and close."""
        self._apply()
        self._database.close()

    def _apply(self) -> None:
        requests, self._requests = self._requests, []
        if requests and self._client is not None:
            self._client.receive(self._database.apply(requests))
