"""Key-value entries in memory: sorted, with the keys each session holds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from sortedcontainers import SortedDict

from portway.discovery.model import KVEntry, Lock
from portway.discovery.state.table import Table, Touch
from portway.discovery.state.topic import Reading, Topics

TOMBSTONE_TTL = 15 * 60.0  # seconds a deletion keeps the index of its prefix up
MAX_TOMBSTONES = 50_000  # deletions told apart; readers of their prefix look at each


def lock_key(session: str, key: str) -> str:
    """The key of a lock: those of one session are under one prefix."""
    return f"{session}/{key}"


class KV:
    """The key-value table and what readers ask of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._sorted: SortedDict[str, KVEntry] = SortedDict()
        self.table: Table[KVEntry] = Table("kv/", KVEntry, self._changed, self._sorted)
        self.locks: Table[Lock] = Table("lock/", Lock)
        """A row for each locked key, by ``lock_key``."""
        self.held: dict[str, set[str]] = {}
        """Session ID → the keys it has locked."""
        self._keys = Topics()
        self._prefixes = Topics()
        self._tombstones: SortedDict[str, tuple[int, float]] = SortedDict()
        self._forgotten = (0, 0.0)
        """Until which revision deletions are not known, and since when."""
        self._clock = clock

    def keys_under(self, prefix: str) -> list[str]:
        """The keys that begin with ``prefix``, sorted."""
        rows, end = self._sorted, _after(prefix)
        begin = rows.bisect_left(prefix)
        return rows.keys()[begin : len(rows) if end is None else rows.bisect_left(end)]

    def read(self, key: str) -> Reading[KVEntry | None]:
        """One entry; a missing one has the index of the whole table."""
        entry = self._sorted.get(key)
        index = self.table.topic.index if entry is None else entry.modify_index
        return Reading(entry, index, (self._keys.of(key),), entry is not None)

    def read_under(self, prefix: str) -> Reading[list[KVEntry]]:
        """All entries under a prefix, with the last change or deletion among them as index."""
        entries = list(map(self._sorted.__getitem__, self.keys_under(prefix)))
        index = max([entry.modify_index for entry in entries], default=0)
        return Reading(entries, self._list_index(prefix, index), (self._prefixes.of(prefix),))

    def _list_index(self, prefix: str, index: int) -> int:
        table = self.table.topic.index
        if not prefix:
            return table
        for key in self._tombstones.irange(minimum=prefix):
            if not key.startswith(prefix):
                break
            index = max(index, self._tombstones[key][0])
        return max(index, self._forgotten[0]) if index else table

    def collect(self) -> int:
        """Forget tombstones that are old enough; returns how many."""
        limit = self._clock() - TOMBSTONE_TTL
        old = [key for key, (_, at) in self._tombstones.items() if at <= limit]
        for key in old:
            del self._tombstones[key]
        if self._forgotten[1] <= limit:
            self._forgotten = (0, 0.0)
        return len(old)

    def _forget_half(self) -> None:
        """Forget the older deletions: any prefix may have lost keys until the last of them."""
        ages = sorted(self._tombstones.items(), key=lambda item: item[1])
        for key, _ in ages[: len(ages) // 2]:
            del self._tombstones[key]
        self._forgotten = (ages[len(ages) // 2 - 1][1][0], self._clock())

    def clear_tombstones(self) -> None:
        """Forget every deletion: the state has been replaced."""
        self._tombstones.clear()

    def loaded(self, revision: int) -> None:
        """The table is that of ``revision``: any prefix may have lost keys until then."""
        self._forgotten = (revision, self._clock())

    def _changed(
        self, key: str, old: KVEntry | None, new: KVEntry | None, revision: int, touch: Touch
    ) -> None:
        before, after = old.session if old else "", new.session if new else ""
        if before != after:
            if before:
                keys = self.held[before]
                keys.discard(key)
                if not keys:
                    del self.held[before]
            if after:
                self.held.setdefault(after, set()).add(key)
        if new is None:
            self._tombstones[key] = (revision, self._clock())
            if len(self._tombstones) > MAX_TOMBSTONES:
                self._forget_half()
        else:
            self._tombstones.pop(key, None)
        topic = self._keys.get(key)
        if topic is not None:
            touch(topic)
        for topic in self._prefixes.prefixes_of(key):
            touch(topic)


def _after(prefix: str) -> str | None:
    """The first text after all that begin with ``prefix``; ``None`` when there is none."""
    stem = prefix.rstrip(chr(sys.maxunicode))
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else None
