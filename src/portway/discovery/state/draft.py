"""Drafts: a write in the making, checked by the store when it is committed.

A draft reads through to the view and remembers the revision of everything it read; the commit
holds only if nothing of that has changed since. What was written in the draft is visible in it,
so that several steps can be one transaction.
"""

from __future__ import annotations

from typing import Any, TypeVar

from portway.discovery.state.table import Row, Table
from portway.store import Compare, Condition, Delete, Operation, Put, Unchanged

R = TypeVar("R", bound=Row)
_UNCOMMITTED = -1
"""The ModifyIndex of what a draft has written: no index compares equal to it."""


class Draft:
    """One transaction being written. Rows handed in belong to the draft from then on."""

    def __init__(self, revision: int) -> None:
        self._revision = revision
        self._seen: dict[str, int] = {}
        self._written: dict[str, tuple[Table[Any], Any]] = {}
        self._guards: dict[str, Unchanged] = {}
        self._rows: list[tuple[str, Row]] = []
        """Every row that was put, those written over since included."""

    def get(self, table: Table[R], key: str) -> R | None:
        """The row as this draft sees it; the commit fails if it changes meanwhile."""
        path = table.prefix + key
        written = self._written.get(path)
        if written is not None:
            row: R | None = written[1]
            return row
        row = table.get(key)
        self._seen.setdefault(path, 0 if row is None else row.modify_index)
        return row

    def put(self, table: Table[R], key: str, row: R) -> None:
        """Write a row. Rows are written in the order of these calls, and deleted likewise."""
        self.get(table, key)
        path = table.prefix + key
        if self._written.get(path, (table, row))[1] is None:
            del self._written[path]  # deleted before: it comes after what was deleted with it
        self._written[path] = (table, row)
        self._rows.append((path, row))
        stored = table.get(key)
        row.create_index = 0 if stored is None else stored.create_index
        row.modify_index = _UNCOMMITTED

    def delete(self, table: Table[R], key: str) -> R | None:
        """Delete a row; returns what it was."""
        old = self.get(table, key)
        if old is not None:
            path = table.prefix + key
            self._written.pop(path, None)  # after what was written, or deleted, before
            self._written[path] = (table, None)
        return old

    def guard(self, table: Table[R], prefix: str = "") -> None:
        """The commit fails if any key under ``prefix`` of the table is written meanwhile."""
        path = table.prefix + prefix
        self._guards[path] = Unchanged(path, self._revision)

    def written(self, table: Table[R]) -> dict[str, R | None]:
        """What this draft wrote to a table, by key; ``None`` is a deletion."""
        cut = len(table.prefix)
        return {path[cut:]: row for path, (owner, row) in self._written.items() if owner is table}

    @property
    def conditions(self) -> list[Condition]:
        """What must hold for the commit."""
        compares: list[Condition] = [Compare(*seen) for seen in self._seen.items()]
        return [*compares, *self._guards.values()]

    @property
    def operations(self) -> list[Operation]:
        """What the commit does; a row created and deleted in the draft leaves nothing."""
        operations: list[Operation] = []
        for path, (table, row) in self._written.items():
            if row is not None:
                operations.append(Put(path, table.encode(row)))
            elif self._seen[path]:
                operations.append(Delete(path))
        return operations

    def settle(self, revision: int) -> None:
        """Fill in the indexes of what was written, now that they are known."""
        for path, row in self._rows:
            row.modify_index = revision
            if not self._seen[path]:
                row.create_index = revision
