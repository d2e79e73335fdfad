"""Forgetting: which revisions the log keeps, and throwing the others away in small steps."""

from __future__ import annotations

import sqlite3
from collections import deque
from typing import Final, NamedTuple

from portway.store.sqlite.schema import State, first_id

STEP: Final = 1000
"""Log rows looked at by one step of a compaction that was asked for: some milliseconds."""
SMALL_STEP: Final = 64
"""The same for a step that a group takes along; groups of many events take longer ones."""
_SPANS = 32
_MAX_DELETED_KEYS = 10_000
_DELETED_PER_STEP = 50
# The offset cannot be a column, so there is a statement for each number.
_SURPLUS = """
DELETE FROM log WHERE id IN (
    SELECT old.id
    FROM (SELECT DISTINCT key FROM log WHERE id > ? AND id <= ? AND kept = ?) AS new
    CROSS JOIN log AS old ON old.key = new.key AND old.kept > 0 AND old.id <= ?
    AND old.id <= (
        SELECT id FROM log WHERE kept > 0 AND key = new.key ORDER BY id DESC LIMIT 1 OFFSET {kept}
    )
)
"""


class Limits(NamedTuple):
    """How much of the past a log keeps for watches."""

    revisions: int = 10_000
    bytes: int = 64 << 20


class Extent:
    """How far back the log may reach, by the sizes of what was written."""

    def __init__(self, limits: Limits, state: State) -> None:
        self._limits = limits
        self._spans: deque[tuple[int, int, int]] = deque()
        """(first revision, last revision, bytes) of runs of revisions."""
        self.bytes = 0
        # Of a log that exists only the size is known: what it holds is taken to be even.
        revisions = state.revision - state.compacted
        for number in range(_SPANS):
            last = state.compacted + revisions * (number + 1) // _SPANS
            self.add(last, state.log_bytes // _SPANS)

    def add(self, revision: int, size: int) -> None:
        """Note that the log grew by ``size`` bytes with ``revision``."""
        self.bytes += size
        if self._spans:
            first, _, held = self._spans[-1]
            if (
                revision - first < self._limits.revisions / _SPANS
                and held < self._limits.bytes / _SPANS
            ):
                self._spans[-1] = (first, revision, held + size)
                return
        self._spans.append((revision, revision, size))

    def horizon(self) -> int:
        """The revision up to which the log should be compacted, 0 for none."""
        spans = self._spans
        horizon = 0
        while len(spans) > 1 and (
            self.bytes > self._limits.bytes or spans[-1][0] - spans[0][0] >= self._limits.revisions
        ):
            _, horizon, size = spans.popleft()
            self.bytes -= size
        return horizon


def trim(connection: sqlite3.Connection, state: State, rows: int) -> int:
    """Throw away log rows that are compacted, from where the last step ended.

    Looks at no more than ``rows`` rows and returns the id it has reached. Kept versions stay: of
    each key the newest ``kept``, and those of deleted keys until too many others were deleted
    later. Part of the caller's transaction.
    """
    limit = first_id(state.compacted + 1) - 1
    (end,) = connection.execute(
        "SELECT max(id) FROM (SELECT id FROM log WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)",
        (state.trimmed, limit, rows),
    ).fetchone()
    if end is None:
        return limit
    window = (state.trimmed, end)
    connection.execute("DELETE FROM log WHERE id > ? AND id <= ? AND kept = 0", window)
    # Only a newer version takes an older one's place, and it is in the window now or will be.
    numbers = connection.execute(
        "SELECT DISTINCT kept FROM log WHERE id > ? AND id <= ? AND kept > 0", window
    ).fetchall()
    for (kept,) in numbers:
        connection.execute(_SURPLUS.format(kept=int(kept)), (*window, kept, end))
    deleted = connection.execute(
        "SELECT key, id FROM log WHERE kept > 0 AND value IS NULL AND id <= ?"
        " ORDER BY id DESC LIMIT ? OFFSET ?",
        (end, _DELETED_PER_STEP, _MAX_DELETED_KEYS),
    ).fetchall()
    for chosen in deleted:
        connection.execute("DELETE FROM log WHERE kept > 0 AND key = ? AND id <= ?", chosen)
    return int(end)
