"""The writer: one thread that turns everything waiting into one durable transaction."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from portway.store import (
    Batch,
    Compare,
    Condition,
    Event,
    Operation,
    Put,
    StoreClosedError,
    StoreError,
)
from portway.store.sqlite import compaction, schema, tables
from portway.store.sqlite.errors import explain, is_full
from portway.store.sqlite.plan import Facts, Plan

_MAX_GROUP = 1024
_MAX_GROUP_BYTES = 8 << 20
_CHECKPOINT_PAGES = 4000


class Commit(NamedTuple):
    """Judge and apply; the result is a Committed."""

    conditions: Sequence[Condition]
    operations: Sequence[Operation]
    future: asyncio.Future[Any]


class Grant(NamedTuple):
    """Make a lease."""

    lease: int
    ttl: float
    future: asyncio.Future[Any]


class Revoke(NamedTuple):
    """End a lease and delete its keys."""

    lease: int
    future: asyncio.Future[Any]


class Compact(NamedTuple):
    """Compact up to a revision that exists, one step; the result is whether that was the last."""

    revision: int
    future: asyncio.Future[Any]


class Call(NamedTuple):
    """Call a function with the writer's connection, between transactions."""

    function: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


class Stop(NamedTuple):
    """End the thread."""

    future: asyncio.Future[Any]


Request = Commit | Grant | Revoke | Compact | Call | Stop
Result = tuple[asyncio.Future[Any], Any]
HandBack = Callable[[Sequence[Batch], Sequence[Result]], None]


class Writer:
    """Owns the connection that writes. ``submit`` belongs to the event loop.

    ``hand_back(batches, results)`` is called on the loop once per group; a result that is an
    exception is to be raised.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        kept: Callable[[str], int],
        limits: compaction.Limits,
        hand_back: HandBack,
    ) -> None:
        self.state = schema.read_state(connection)
        self.leases: dict[int, float] = dict(connection.execute("SELECT id, ttl FROM leases"))
        self._connection = connection
        self._path = path
        self._kept = kept
        self._horizon = 0
        """The revision up to which the log has grown too long."""
        self._unsaved = 0
        """About how many pages are in the journal only."""
        self._extent = compaction.Extent.of(connection, limits, self.state.compacted)
        self._hand_back = hand_back
        self._loop = asyncio.get_running_loop()
        self._requests: deque[Request] = deque()
        self._awake = threading.Event()
        self._waking = False
        self._failure: StoreError | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request; its future gets the result."""
        self._requests.append(request)
        if self._failure is not None:
            request.future.set_exception(self._failure)
        elif not self._waking:
            # All that is runnable now gets its requests in before the thread takes them: the
            # writers released by one group meet again in the next.
            self._waking = True
            self._loop.call_soon(self._wake)

    def join(self) -> None:
        """Wait for the thread to end, after Stop."""
        self._thread.join()

    def _wake(self) -> None:
        self._waking = False
        self._awake.set()

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        except BaseException as error:
            self._failure = StoreError(f"{self._path}: the store has stopped: {error!r}")
            self._failure.__cause__ = error
            self._answer([], [(r.future, self._failure) for r in self._drain()])

    def _drain(self) -> list[Request]:
        requests = []
        while self._requests:
            requests.append(self._requests.popleft())
        return requests

    def _serve(self) -> bool:
        self._awake.wait()
        self._awake.clear()
        requests = self._requests
        while requests:
            group = self._next_group()
            if group:
                try:
                    self._write(group)
                except BaseException as error:
                    failure = StoreError(f"{self._path}: the store has stopped: {error!r}")
                    self._answer([], [(r.future, failure) for r in group])
                    raise
                self._checkpoint()
                continue
            request = requests.popleft()
            if isinstance(request, Stop):
                self._stop(request)
                return False
            if isinstance(request, Call):
                self._answer([], [(request.future, self._call(request.function))])
        return True

    def _next_group(self) -> list[Request]:
        group: list[Request] = []
        size = 0
        requests = self._requests
        while requests and len(group) < _MAX_GROUP and size < _MAX_GROUP_BYTES:
            if isinstance(requests[0], Call | Stop):
                break
            request = requests.popleft()
            group.append(request)
            if isinstance(request, Commit):
                size += _size(request.operations)
        return group

    def _write(self, group: Sequence[Request]) -> None:
        """Write a group as one transaction, and answer it."""
        try:
            try:
                plan, results = self._commit(group)
            except sqlite3.Error as error:
                # A full disk may still have room in the journal, once it is emptied.
                if not (is_full(error) and self._empty_journal()):
                    raise
                plan, results = self._commit(group)
        except (sqlite3.Error, MemoryError) as error:
            self._answer([], [(request.future, explain(self._path, error)) for request in group])
            return
        for lease in plan.revoked:
            self.leases.pop(lease, None)
        self.leases.update(plan.granted)
        self._answer(plan.batches, results)

    def _commit(self, group: Sequence[Request]) -> tuple[Plan, list[Result]]:
        connection = self._connection
        before = self.state
        with schema.transaction(connection, "IMMEDIATE"):
            plan = Plan(
                Facts(
                    before.revision,
                    before.keys,
                    tables.lookup(connection, _named_keys(group)),
                    self.leases,
                    lambda prefix, since, limit: tables.changed(
                        connection, prefix, since, before, limit
                    ),
                    lambda lease: tables.attached(connection, lease),
                )
            )
            outcomes = [_judge(request, plan) for request in group]
            if plan.batches:
                tables.write_records(connection, plan.written)
                tables.write_log(connection, plan.batches, self._kept)
            if plan.granted or plan.revoked:
                tables.write_leases(connection, plan.granted, plan.revoked)
            wanted = [r.revision for r in group if isinstance(r, Compact)]
            state = before._replace(
                revision=plan.revision,
                keys=plan.keys,
                compacted=max(before.compacted, self._horizon, *wanted),
            )
            if state.to_trim:
                rows = max(compaction.STEP, 2 * len(plan.written))
                state = state._replace(trimmed=compaction.trim(connection, state, rows))
            if state != before:
                schema.write_state(connection, state)
        self.state = state
        results = [
            (request.future, not state.to_trim if isinstance(request, Compact) else outcome)
            for request, outcome in zip(group, outcomes, strict=True)
        ]
        size = 0
        for revision, events in plan.batches:
            written = _size_of(events)
            size += written
            self._extent.add(revision, written)
        self._horizon = max(self._horizon, self._extent.horizon())
        self._unsaved += size // schema.PAGE_SIZE + 4 * len(plan.written) + 4
        return plan, results

    def _checkpoint(self) -> None:
        """Copy the journal into the database when it has grown."""
        if self._unsaved >= _CHECKPOINT_PAGES:
            self._empty_journal()

    def _empty_journal(self) -> bool:
        """Whether all of the journal could be copied, so that it begins anew.

        Failing is no error: the journal grows, and this is tried again.
        """
        try:
            busy, pages, copied = self._connection.execute(
                "PRAGMA wal_checkpoint(PASSIVE)"
            ).fetchone()
        except sqlite3.Error:
            return False
        self._unsaved = 0
        return not busy and 0 <= pages == copied

    def _call(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            return function(self._connection)
        except (sqlite3.Error, OSError, MemoryError, StoreError) as error:
            return error if isinstance(error, StoreError) else explain(self._path, error)

    def _stop(self, request: Stop) -> None:
        result: Any = None
        try:
            self._connection.close()
        except sqlite3.Error as error:
            result = explain(self._path, error)
        self._failure = StoreClosedError(f"{self._path}: the store is closed")
        answers: list[Result] = [(request.future, result)]
        answers += [(late.future, self._failure) for late in self._drain()]
        self._answer([], answers)

    def _answer(self, batches: Sequence[Batch], results: Sequence[Result]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._hand_back, batches, results)


def _judge(request: Request, plan: Plan) -> Any:
    try:
        if isinstance(request, Commit):
            return plan.commit(request.conditions, request.operations)
        if isinstance(request, Grant):
            plan.grant(request.lease, request.ttl)
        elif isinstance(request, Revoke):
            plan.revoke(request.lease)
    except StoreError as error:
        return error
    return None


def _named_keys(group: Sequence[Request]) -> set[str]:
    keys = set()
    for request in group:
        if isinstance(request, Commit):
            keys.update([c.key for c in request.conditions if isinstance(c, Compare)])
            keys.update([operation.key for operation in request.operations])
    return keys


def _size(operations: Sequence[Operation]) -> int:
    return sum([len(o.value) for o in operations if isinstance(o, Put)])


def _size_of(events: Sequence[Event]) -> int:
    return sum([len(key) + (len(record.value) if record else 0) for key, record in events])
