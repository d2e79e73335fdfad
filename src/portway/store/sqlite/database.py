"""The database as its writer sees it: groups of requests become transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from portway.store import StoreError
from portway.store.sqlite import compaction, schema, tables
from portway.store.sqlite.errors import explain, is_full
from portway.store.sqlite.keys import number_kept
from portway.store.sqlite.messages import (
    Commit,
    Compact,
    Done,
    Failed,
    Grant,
    Reply,
    Request,
    Revoke,
    error_kind,
)
from portway.store.sqlite.plan import Entry, Facts, Plan

_CHECKPOINT_PAGES = 4000


class Database:
    """Owns the one connection that writes. Blocks; knows nothing of threads and loops."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        keep_versions: Mapping[str, int],
        limits: compaction.Limits,
    ) -> None:
        self.connection = connection
        self.state = schema.read_state(connection)
        self.leases: dict[int, float] = dict(connection.execute("SELECT id, ttl FROM leases"))
        self._path = path
        self._kept = number_kept(keep_versions)
        self._horizon = 0
        """The revision up to which the log has grown too long."""
        self._unsaved = 0
        """About how many pages are in the journal only."""
        self._extent = compaction.Extent(limits, self.state)

    def apply(self, group: Sequence[Request]) -> list[Reply]:
        """Carry out requests as one durable transaction, each judged by itself.

        When that fails nothing is changed and each of them is answered by the reason.
        """
        try:
            try:
                return self._apply(group)
            except sqlite3.Error as error:
                # A full disk may still have room in the journal, once it is emptied.
                if not (is_full(error) and self._empty_journal()):
                    raise
                return self._apply(group)
        except (sqlite3.Error, MemoryError) as error:
            reason = explain(self._path, error)
            return [_failed(request, reason) for request in group]

    def checkpoint(self) -> None:
        """Copy the journal into the database if it has grown; to be called between groups."""
        if self._unsaved >= _CHECKPOINT_PAGES:
            self._empty_journal()

    def close(self) -> None:
        """Close the database. Raises StoreError."""
        try:
            self.connection.close()
        except sqlite3.Error as error:
            raise explain(self._path, error) from error

    def _apply(self, group: Sequence[Request]) -> list[Reply]:
        connection, before = self.connection, self.state
        with schema.transaction(connection, "IMMEDIATE"):
            facts = Facts(
                before.revision,
                before.keys,
                tables.lookup(connection, _named_keys(group)),
                self.leases,
                lambda prefix, since, limit: tables.changed(
                    connection, prefix, since, before, limit
                ),
                lambda lease: tables.attached(connection, lease),
            )
            plan = Plan(facts, schema.first_id, self._kept)
            replies = [_judge(request, plan) for request in group]
            tables.write_records(connection, plan.written)
            tables.write_log(connection, plan.entries)
            tables.write_leases(connection, plan.granted, plan.revoked)
            asked = [request.revision for request in group if isinstance(request, Compact)]
            state = before._replace(
                revision=plan.revision,
                keys=plan.keys,
                compacted=max(before.compacted, self._horizon, *asked),
                log_bytes=self._extent.bytes + sum(map(_size, plan.entries)),
            )
            if state.to_trim:
                step = compaction.STEP if asked else compaction.SMALL_STEP
                rows = max(step, 2 * len(plan.entries))
                state = state._replace(trimmed=compaction.trim(connection, state, rows))
            if state != before:
                schema.write_state(connection, state)
        self.state = state
        for lease in plan.revoked:
            self.leases.pop(lease, None)
        self.leases.update(plan.granted)
        self._measure(plan)
        for reply in replies:
            if isinstance(reply, Done) and not reply.complete:
                reply.complete = not state.to_trim
        return replies

    def _measure(self, plan: Plan) -> None:
        for entry in plan.entries:
            self._extent.add(schema.revision_of(entry.id), _size(entry))
        self._horizon = max(self._horizon, self._extent.horizon())
        size = sum(map(_size, plan.entries))
        self._unsaved += 2 * size // schema.PAGE_SIZE + 3 * len(plan.written) + 4

    def _empty_journal(self) -> bool:
        """Whether all of the journal could be copied, so that it begins anew.

        Failing is no error: the journal grows, and this is tried again.
        """
        try:
            busy, pages, copied = self.connection.execute(
                "PRAGMA wal_checkpoint(PASSIVE)"
            ).fetchone()
        except sqlite3.Error:
            return False
        self._unsaved = 0
        return not busy and 0 <= pages == copied


def _judge(request: Request, plan: Plan) -> Reply:
    try:
        if isinstance(request, Commit):
            return plan.commit(request)
        if isinstance(request, Revoke):
            return plan.revoke(request.number, request.lease)
        if isinstance(request, Grant):
            plan.grant(request.lease, request.ttl)
    except StoreError as error:
        return _failed(request, error)
    return Done(request.number, complete=not isinstance(request, Compact))


def _size(entry: Entry) -> int:
    return len(entry.key) + len(entry.value or b"")


def _failed(request: Request, error: StoreError) -> Failed:
    return Failed(request.number, error_kind(error), str(error))


def _named_keys(group: Sequence[Request]) -> set[str]:
    keys = set()
    for request in group:
        if isinstance(request, Commit):
            keys.update([key for key, _ in request.compares])
            keys.update([key for key, _, _ in request.writes])
    return keys
