"""The SQLite engine: requests and reads go to the backend, what they change to the watches."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from portway.store import (
    Batch,
    Committed,
    Condition,
    Event,
    Operation,
    OutcomeUnknownError,
    Record,
    Snapshot,
    Status,
    Store,
    StoreClosedError,
    StoreError,
    Version,
    Watch,
)
from portway.store.sqlite import messages, schema, tables
from portway.store.sqlite.backend import Backend, InMemory
from portway.store.sqlite.backup import write_backup
from portway.store.sqlite.compaction import Limits
from portway.store.sqlite.keys import number_kept
from portway.store.sqlite.leases import Leases
from portway.store.sqlite.messages import Applied, Compact, Failed, Grant, Reply, Revoke
from portway.store.sqlite.process import open_on_disk
from portway.store.sqlite.transactions import Write, checked, commit_of, events_of
from portway.store.sqlite.watches import Deliver, Hub

T = TypeVar("T")
_RETRY = 1.0
_MAX_TTL: Final = 10.0 * 365 * 24 * 3600


class _Pending(NamedTuple):
    future: asyncio.Future[Any]
    writes: list[Write]


class SqliteStore:
    """A store in a SQLite database. Make one with ``open_store``."""

    def __init__(
        self,
        backend: Backend,
        reopen: Callable[[], Awaitable[Backend]],
        keep_versions: Mapping[str, int],
    ) -> None:
        self._backend = backend
        self._reopen = reopen
        self._kept = number_kept(keep_versions)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._closing: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._unusable: StoreError | None = None
        self._hub = Hub(backend.revision)
        self._leases = Leases(backend.leases, self._revoke)
        backend.start(self)

    async def commit(
        self, conditions: Sequence[Condition], operations: Sequence[Operation]
    ) -> Committed:
        """Apply all operations if all conditions hold. Raises StoreError."""
        request = commit_of(conditions, operations)
        request.number, future = self._ask(request.writes)
        self._backend.submit(request)
        committed: Committed = await future
        return committed

    async def read(self, prefix: str = "") -> Snapshot:
        """All records under ``prefix``, linearizable."""
        checked(prefix)
        return await self._query(lambda connection: tables.snapshot(connection, prefix))

    async def get(self, key: str) -> Record | None:
        """One record, linearizable."""
        checked(key)
        return await self._query(lambda connection: tables.record(connection, key))

    async def revision(self) -> int:
        """The revision of the last commit, linearizable."""
        self._check_open()
        # No commit is answered before it was published here.
        return self._hub.revision

    async def watch(self, prefix: str, after: int, deliver: Deliver) -> Watch:
        """Call ``deliver`` with every batch of a revision greater than ``after``."""
        self._check_open()
        checked(prefix)

        async def replay(until: int) -> tuple[int, list[Batch]]:
            return await self._query(
                lambda connection: tables.replay(connection, prefix, after, until)
            )

        return await self._hub.watch(prefix, after, deliver, replay)

    async def versions(self, key: str, limit: int = 64) -> list[Version]:
        """The kept versions of a key, newest first; of keys without, what they are now."""
        checked(key)
        most = min(limit, self._kept(key) or 1)
        return await self._query(lambda connection: tables.versions(connection, key, most))

    async def grant(self, ttl: float) -> int:
        """Make a lease of ``ttl`` seconds and return its number (never 0)."""
        if not 0 < ttl <= _MAX_TTL:
            raise StoreError(f"a lease of {ttl} seconds: must be more than 0, at most {_MAX_TTL:g}")
        lease = secrets.randbits(62) | 1 << 62
        number, future = self._ask()
        self._backend.submit(Grant(number, lease, ttl))
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
        complete = False
        while not complete:
            number, future = self._ask()
            self._backend.submit(Compact(number, revision))
            complete = await future

    async def backup(self, path: str) -> int:
        """Write a complete copy to a new file (0600) while serving; returns its revision."""
        return await self._query(lambda connection: write_backup(connection, Path(path)))

    async def status(self) -> Status:
        """Sizes and revisions."""
        state = await self._query(schema.read_state)
        return Status(state.revision, state.compacted, state.keys, self._backend.size())

    async def close(self) -> None:
        """Finish what is under way and release everything."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])
        await self._leases.close()
        await self._backend.close()
        self._fail_pending(StoreClosedError("the store was closed"))

    def receive(self, replies: Sequence[Reply]) -> None:
        """Take a group's replies: first the watches hear of it, then those who asked."""
        batches: list[Batch] = []
        answers: list[tuple[asyncio.Future[Any], Any]] = []
        for reply in replies:
            future, writes = self._pending.pop(reply.number)
            answer: Any = None
            events: list[Event] = []
            if isinstance(reply, Applied):
                answer = Committed(reply.succeeded, reply.revision)
                events = events_of(reply, writes) if reply.succeeded else events
            elif isinstance(reply, messages.Revoked):
                events = [Event(key, None) for key in reply.keys]
            elif isinstance(reply, Failed):
                answer = messages.failure(reply)
            else:
                answer = reply.complete
            if events and not isinstance(reply, messages.Done | Failed):
                batches.append(Batch(reply.revision, tuple(events)))
            answers.append((future, answer))
        if batches:
            self._hub.publish(batches)
        for future, answer in answers:
            if future.done():  # whoever asked has gone
                continue
            if isinstance(answer, StoreError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def lost(self, reason: StoreError) -> None:
        """No reply will come any more: say so to all who wait, and open the database again."""
        self._fail_pending(reason)
        if self._closing is None:
            self._unusable = reason
            self._recovery = self._loop.create_task(self._recover())

    def _fail_pending(self, reason: StoreError) -> None:
        pending, self._pending = self._pending, {}
        for future, _ in pending.values():
            if not future.done():
                future.set_exception(
                    OutcomeUnknownError(f"{reason}; whether this was done is not known")
                )

    async def _recover(self) -> None:
        while True:
            try:
                backend = await self._reopen()
                break
            except StoreError as error:
                self._unusable = error
                await asyncio.sleep(_RETRY)
        # What was written, and not answered any more.
        _, batches = await backend.query(
            lambda connection: tables.replay(connection, "", self._hub.revision, backend.revision)
        )
        lost, self._backend = self._backend, backend
        backend.start(self)
        if batches:
            self._hub.publish(batches)
        self._leases.follow(backend.leases)
        self._unusable = None
        await lost.close()

    async def _revoke(self, lease: int) -> None:
        number, future = self._ask()
        self._backend.submit(Revoke(number, lease))
        await future

    async def _query(self, function: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        return await self._backend.query(function)

    def _ask(self, writes: list[Write] | None = None) -> tuple[int, asyncio.Future[Any]]:
        self._check_open()
        if self._unusable is not None:
            raise self._unusable
        number = next(self._numbers)
        future = self._loop.create_future()
        self._pending[number] = _Pending(future, writes or [])
        return number, future

    def _check_open(self) -> None:
        if self._closing is not None:
            raise StoreClosedError("the store is closed")


async def open_store(path: str | None, keep_versions: Mapping[str, int], limits: Limits) -> Store:
    """Open a store; see ``open_sqlite``."""

    async def open_backend() -> Backend:
        if path is None:
            return InMemory(keep_versions, limits)
        return await open_on_disk(Path(path).absolute(), keep_versions, limits)

    return SqliteStore(await open_backend(), open_backend, keep_versions)
