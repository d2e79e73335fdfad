"""The SQLite engine: requests go to the writer, reads to the readers, events to the watches."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from portway.store import (
    Batch,
    Committed,
    Condition,
    Operation,
    Put,
    Record,
    Snapshot,
    Status,
    StoreClosedError,
    StoreError,
    Unchanged,
    Version,
    Watch,
)
from portway.store.sqlite import schema, tables, writer
from portway.store.sqlite.backup import write_backup
from portway.store.sqlite.compaction import Limits
from portway.store.sqlite.leases import Leases
from portway.store.sqlite.readers import Readers
from portway.store.sqlite.watches import Deliver, Hub

T = TypeVar("T")
MAX_VALUE: Final = 64 << 20
"""Bytes; far above every limit of the layers above."""
_MAX_TTL: Final = 10.0 * 365 * 24 * 3600


class SqliteStore:
    """A store in a SQLite database. Make one with ``open_sqlite``."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        readers: Readers | None,
        release: Callable[[], None],
        keep_versions: Mapping[str, int],
        limits: Limits,
    ) -> None:
        self._path = path
        self._readers = readers
        self._release = release
        self._keep = sorted(keep_versions.items(), reverse=True)  # longer prefixes come first
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Task[None] | None = None
        self._writer = writer.Writer(connection, path, self._kept, limits, self._hand_back)
        self._hub = Hub(self._writer.state.revision)
        self._leases = Leases(self._writer.leases, self._revoke)

    async def commit(
        self, conditions: Sequence[Condition], operations: Sequence[Operation]
    ) -> Committed:
        """Apply all operations if all conditions hold. Raises StoreError."""
        _check(conditions, operations)
        future = self._future()
        self._writer.submit(writer.Commit(conditions, operations, future))
        committed: Committed = await future
        return committed

    async def read(self, prefix: str = "") -> Snapshot:
        """All records under ``prefix``, linearizable."""
        return await self._query(lambda connection: tables.snapshot(connection, prefix))

    async def get(self, key: str) -> Record | None:
        """One record, linearizable."""
        return await self._query(lambda connection: tables.record(connection, key))

    async def revision(self) -> int:
        """The revision of the last commit, linearizable."""
        self._check_open()
        # A commit has not been answered before it was published here.
        return self._hub.revision

    async def watch(self, prefix: str, after: int, deliver: Deliver) -> Watch:
        """Call ``deliver`` with every batch of a revision greater than ``after``."""
        self._check_open()

        async def replay(prefix: str, after: int, until: int) -> tuple[int, list[Batch]]:
            return await self._query(
                lambda connection: tables.replay(connection, prefix, after, until)
            )

        return await self._hub.watch(prefix, after, deliver, replay)

    async def versions(self, key: str, limit: int = 64) -> list[Version]:
        """The kept versions of a key, newest first; 1 for keys of which none are kept."""
        most = min(limit, self._kept(key) or 1)
        return await self._query(lambda connection: tables.versions(connection, key, most))

    async def grant(self, ttl: float) -> int:
        """Make a lease of ``ttl`` seconds and return its number (never 0)."""
        if not 0 < ttl <= _MAX_TTL:
            raise StoreError(f"a lease of {ttl} seconds: must be more than 0, at most {_MAX_TTL:g}")
        lease = secrets.randbits(62) | 1 << 62
        future = self._future()
        self._writer.submit(writer.Grant(lease, ttl, future))
        await future
        self._leases.start(lease, ttl)
        return lease

    async def keep_alive(self, lease: int) -> bool:
        """Renew a lease for its full time; false when it has expired."""
        self._check_open()
        return self._leases.renew(lease)

    async def revoke(self, lease: int) -> None:
        """End a lease and delete the keys on it, as its expiry does (one commit)."""
        await self._revoke(lease)
        self._leases.end(lease)

    async def compact(self, revision: int) -> None:
        """Forget how things were before ``revision``, except kept versions."""
        if revision > self._hub.revision:
            raise StoreError(
                f"cannot compact to revision {revision}: the last one is {self._hub.revision}"
            )
        while True:
            future = self._future()
            self._writer.submit(writer.Compact(revision, future))
            if await future:
                return

    async def backup(self, path: str) -> int:
        """Write a complete copy to a new file (0600) while serving; returns its revision."""
        return await self._query(lambda connection: write_backup(connection, Path(path)))

    async def status(self) -> Status:
        """Sizes and revisions."""
        return await self._query(self._status)

    async def close(self) -> None:
        """Finish what is under way and release everything."""
        if self._closed is None:
            self._closed = self._loop.create_task(self._close())
        await asyncio.shield(self._closed)

    async def _close(self) -> None:
        await self._leases.close()
        if self._readers is not None:
            await asyncio.to_thread(self._readers.close)
        future = self._loop.create_future()
        self._writer.submit(writer.Stop(future))
        try:
            await future
        finally:
            self._writer.join()
            self._release()

    def _hand_back(self, batches: Sequence[Batch], results: Sequence[writer.Result]) -> None:
        if batches:
            self._hub.publish(batches)
        for future, result in results:
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _revoke(self, lease: int) -> None:
        future = self._future()
        self._writer.submit(writer.Revoke(lease, future))
        await future

    async def _query(self, function: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        if self._readers is not None:
            return await self._readers.run(function)
        future = self._future()
        self._writer.submit(writer.Call(function, future))
        result: T = await future
        return result

    def _status(self, connection: sqlite3.Connection) -> Status:
        state = schema.read_state(connection)
        if self._readers is None:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            size = pages * schema.PAGE_SIZE
        else:
            files = (self._path, Path(f"{self._path}-wal"))
            size = sum(file.stat().st_size for file in files if file.exists())
        return Status(state.revision, state.compacted, state.keys, size)

    def _kept(self, key: str) -> int:
        for prefix, number in self._keep:
            if key.startswith(prefix):
                return number
        return 0

    def _check_open(self) -> None:
        if self._closed is not None:
            raise StoreClosedError(f"{self._path}: the store is closed")

    def _future(self) -> asyncio.Future[Any]:
        self._check_open()
        return self._loop.create_future()


def _check(conditions: Sequence[Condition], operations: Sequence[Operation]) -> None:
    if len(operations) > schema.MAX_OPERATIONS:
        raise StoreError(
            f"{len(operations)} operations: at most {schema.MAX_OPERATIONS} go at once"
        )
    for operation in operations:
        _check_key(operation.key)
        if isinstance(operation, Put) and len(operation.value) > MAX_VALUE:
            raise StoreError(
                f"key {operation.key!r}: a value of {len(operation.value)} bytes;"
                f" at most {MAX_VALUE} can be stored"
            )
    for condition in conditions:
        _check_key(condition.prefix if isinstance(condition, Unchanged) else condition.key)


def _check_key(key: str) -> None:
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise StoreError(f"key {key!r}: is not valid Unicode") from error
