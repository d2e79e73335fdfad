"""Reads and writes of the tables. Many rows go into few statements.

Rows are written, and keys looked up, by statements of many rows: calling SQLite costs more than
what it does for one.
"""
# ruff: noqa: S608 - what is put together are question marks and fixed conditions

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from portway.store import Batch, Event, Record, Snapshot, Version
from portway.store.sqlite.keys import in_range
from portway.store.sqlite.plan import Entry, Known
from portway.store.sqlite.schema import State, first_id, read_state, revision_of, transaction

_SIZES = (256, 64, 16, 4, 1)
_FEW_REVISIONS = 1000


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Pieces of a few fixed sizes, so that few statements are ever compiled."""
    position = 0
    for size in _SIZES:
        while len(rows) - position >= size:
            yield rows[position : position + size]
            position += size


@functools.cache
def _values(columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"VALUES {','.join([row] * rows)}"


@functools.cache
def _marks(count: int) -> str:
    return ",".join("?" * count)


def lookup(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Known]:
    """What there is under some keys; keys that do not exist are left out."""
    found = {}
    for chunk in _chunks(list(keys)):
        # One row with everything: one step. Keys go in only; they may hold any character.
        (text,) = connection.execute(
            f"WITH wanted (i, key) AS ({_numbered(len(chunk))})"
            " SELECT json_group_array(json_array(i, created, modified, version))"
            " FROM wanted CROSS JOIN records USING (key)",
            chunk,
        ).fetchone()
        for i, created, modified, version in json.loads(text):
            found[chunk[i]] = Known(created, modified, version)
    return found


@functools.cache
def _numbered(rows: int) -> str:
    return f"VALUES {','.join(f'({i},?)' for i in range(rows))}"


def changed(
    connection: sqlite3.Connection, prefix: str, since: int, state: State, limit: int
) -> list[str]:
    """Existing keys under ``prefix`` that were written after revision ``since``."""
    if state.compacted <= since and state.revision - since <= _FEW_REVISIONS:
        # The log tells all that happened since, which is less than there may be under a prefix.
        condition, bounds = in_range(prefix, "log.key")
        rows = connection.execute(
            "SELECT DISTINCT log.key FROM log CROSS JOIN records ON records.key = log.key"
            f" WHERE log.id >= ? AND {condition} LIMIT ?",
            (first_id(since + 1), *bounds, limit),
        )
        return [key for (key,) in rows]
    condition, bounds = in_range(prefix)
    rows = connection.execute(
        f"SELECT key FROM records WHERE {condition} AND modified > ? LIMIT ?",
        (*bounds, since, limit),
    )
    return [key for (key,) in rows]


def attached(connection: sqlite3.Connection, lease: int) -> dict[str, Known]:
    """The keys on a lease."""
    rows = connection.execute(
        "SELECT key, created, modified, version, lease FROM records WHERE lease = ? AND lease <> 0",
        (lease,),
    )
    return {key: Known(*known) for key, *known in rows}


def write_records(
    connection: sqlite3.Connection, written: dict[str, tuple[Known, bytes] | None]
) -> None:
    """Put or delete every key as ``written`` has it."""
    puts = [(key, now[1], *now[0]) for key, now in written.items() if now is not None]
    for chunk in _chunks(puts):
        connection.execute(
            "INSERT INTO records (key, value, created, modified, version, lease)"
            f" {_values(6, len(chunk))} ON CONFLICT (key) DO UPDATE SET value = excluded.value,"
            " created = excluded.created, modified = excluded.modified,"
            " version = excluded.version, lease = excluded.lease",
            list(chain.from_iterable(chunk)),
        )
    for chunk in _chunks([key for key, now in written.items() if now is None]):
        connection.execute(f"DELETE FROM records WHERE key IN ({_marks(len(chunk))})", chunk)


def write_log(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Append events to the log."""
    for chunk in _chunks(entries):
        connection.execute(
            "INSERT INTO log (id, key, value, created, version, lease, kept)"
            f" {_values(7, len(chunk))}",
            list(chain.from_iterable(chunk)),
        )


def write_leases(
    connection: sqlite3.Connection, granted: dict[int, float], revoked: Iterable[int]
) -> None:
    """Make leases, and forget others."""
    for lease, ttl in granted.items():
        connection.execute("INSERT INTO leases (id, ttl) VALUES (?, ?)", (lease, ttl))
    for lease in revoked:
        connection.execute("DELETE FROM leases WHERE id = ?", (lease,))


def snapshot(connection: sqlite3.Connection, prefix: str) -> Snapshot:
    """Everything under a prefix at one revision."""
    columns = "SELECT key, value, created, modified, version, lease FROM records"
    with transaction(connection, "DEFERRED"):
        revision = read_state(connection).revision
        if prefix:
            condition, bounds = in_range(prefix)
            rows = connection.execute(f"{columns} WHERE {condition} ORDER BY key", bounds)
            return Snapshot(revision, list(map(Record._make, rows)))
        # All of it is read faster as it lies, and sorted then.
        rows = connection.execute(f"{columns} NOT INDEXED")
        return Snapshot(revision, sorted(map(Record._make, rows)))


def record(connection: sqlite3.Connection, key: str) -> Record | None:
    """One key."""
    row = connection.execute(
        "SELECT key, value, created, modified, version, lease FROM records WHERE key = ?", (key,)
    ).fetchone()
    return None if row is None else Record._make(row)


def replay(
    connection: sqlite3.Connection, prefix: str, after: int, until: int
) -> tuple[int, list[Batch]]:
    """The last revision that is no longer there, and the batches of (``after``, ``until``]."""
    condition, bounds = in_range(prefix)
    batches: list[Batch] = []
    with transaction(connection, "DEFERRED"):
        compacted = read_state(connection).compacted
        rows = connection.execute(
            "SELECT id, key, value, created, version, lease FROM log"
            f" WHERE id >= ? AND id < ? AND {condition} ORDER BY id",
            (first_id(after + 1), first_id(until + 1), *bounds),
        )
        latest = 0
        events: list[Event] = []
        for log_id, key, value, created, version, lease in rows:
            revision = revision_of(log_id)
            if revision != latest:
                if events:
                    batches.append(Batch(latest, tuple(events)))
                latest, events = revision, []
            kept = value is not None
            events.append(
                Event(key, Record(key, value, created, revision, version, lease) if kept else None)
            )
        if events:
            batches.append(Batch(latest, tuple(events)))
    return compacted, batches


def versions(connection: sqlite3.Connection, key: str, limit: int) -> list[Version]:
    """The newest versions of a key, from the log and from what it is now."""
    with transaction(connection, "DEFERRED"):
        rows = connection.execute(
            "SELECT value, created, id, version FROM log WHERE kept > 0 AND key = ?"
            " ORDER BY id DESC LIMIT ?",
            (key, limit),
        )
        found = [
            Version(value, created, revision_of(log_id), version)
            for value, created, log_id, version in rows
        ]
        current = record(connection, key)
    if current is not None and (not found or found[0].mod_revision < current.mod_revision):
        # Written while the key had no history to be kept.
        _, value, created, modified, version, _ = current
        found.insert(0, Version(value, created, modified, version))
    return found[:limit]
