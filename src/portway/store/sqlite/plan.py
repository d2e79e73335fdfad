"""What a group of requests does to the store: decided in memory, before anything is written.

The requests of a group are judged one after the other, each on the result of those before it,
although all of them are written by one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from portway.store import LeaseNotFoundError, StoreError
from portway.store.sqlite.messages import Applied, Commit, Revoked


class Known(NamedTuple):
    """What must be known of an existing key to judge a request."""

    created: int
    modified: int
    version: int
    lease: int = 0


class Facts(NamedTuple):
    """The store before the group, as far as the group concerns it."""

    revision: int
    keys: int
    known: dict[str, Known]
    """The keys that compares and writes name, those of them that exist."""
    leases: Collection[int]
    changed: Callable[[str, int, int], Iterable[str]]
    """Prefix, revision, limit → existing keys under the prefix that were written later."""
    attached: Callable[[int], dict[str, Known]]
    """Lease → its keys."""


class Entry(NamedTuple):
    """One event for the log, in the order of its table's columns."""

    id: int
    key: str
    value: bytes | None
    created: int
    version: int
    lease: int
    kept: int


class Plan:
    """The effect of the requests judged so far.

    ``first_id`` gives the log id of a revision's first event, ``kept`` how many versions of a key
    are to be kept.
    """

    def __init__(
        self, facts: Facts, first_id: Callable[[int], int], kept: Callable[[str], int]
    ) -> None:
        self.revision = facts.revision
        self.keys = facts.keys
        self.entries: list[Entry] = []
        self.written: dict[str, tuple[Known, bytes] | None] = {}
        """Every key the group changes, with what it is in the end; ``None`` is deleted."""
        self.granted: dict[int, float] = {}
        self.revoked: set[int] = set()
        self._facts = facts
        self._known: dict[str, Known | None] = dict(facts.known)
        self._first_id = first_id
        self._kept = kept

    def commit(self, request: Commit) -> Applied:
        """Judge one commit. Raises StoreError, and then has changed nothing."""
        number, writes = request.number, request.writes
        known = self._known
        for key, modified in request.compares:
            current = known.get(key)
            if modified != (0 if current is None else current.modified):
                return Applied(number, False, self.revision, [])
        for prefix, revision in request.unchanged:
            if not self._unchanged(prefix, revision):
                return Applied(number, False, self.revision, [])
        for key, _, lease in writes:
            if lease and not self._alive(lease):
                raise LeaseNotFoundError(f"key {key!r}: lease {lease} does not exist")
        effects = self._apply(writes)
        return Applied(number, True, self.revision, effects)

    def grant(self, lease: int, ttl: float) -> None:
        """Make a lease."""
        if self._alive(lease):
            raise StoreError(f"lease {lease} exists already")
        self.granted[lease] = ttl

    def revoke(self, number: int, lease: int) -> Revoked:
        """End a lease and delete its keys; nothing happens when it does not exist."""
        if not self._alive(lease):
            return Revoked(number, self.revision, [])
        # What the group has written already decides over what the store still says.
        keys = [key for key, now in self.written.items() if now and now[0].lease == lease]
        for key, known in self._facts.attached(lease).items():
            if key not in self.written:
                self._known[key] = known
                keys.append(key)
        keys.sort()
        self._apply([(key, None, 0) for key in keys])
        self.granted.pop(lease, None)
        self.revoked.add(lease)
        return Revoked(number, self.revision, keys)

    def _alive(self, lease: int) -> bool:
        if lease in self.revoked:
            return False
        return lease in self.granted or lease in self._facts.leases

    def _unchanged(self, prefix: str, revision: int) -> bool:
        if revision >= self.revision:
            return True
        overtaken = 0
        for key, now in self.written.items():
            if key.startswith(prefix):
                if now is not None and now[0].modified > revision:
                    return False
                overtaken += 1
        # The store does not know yet what the group has done to these: one key more decides.
        changed = self._facts.changed(prefix, revision, overtaken + 1)
        return all(key in self.written for key in changed)

    def _apply(self, writes: list[tuple[str, bytes | None, int]]) -> list[tuple[int, int]]:
        revision = self.revision + 1
        entry_id = self._first_id(revision)
        effects = []
        for key, value, lease in writes:
            current = self._known.get(key)
            if value is not None:
                if current is None:
                    self.keys += 1
                    known = Known(revision, revision, 1, lease)
                else:
                    known = Known(current.created, revision, current.version + 1, lease)
                self._known[key] = known
                self.written[key] = (known, value)
            elif current is not None:
                self.keys -= 1
                known = _DELETED
                self._known[key] = self.written[key] = None
            else:
                effects.append((0, -1))
                continue
            effects.append((known.created, known.version))
            self.entries.append(
                Entry(
                    entry_id, key, value, known.created, known.version, known.lease, self._kept(key)
                )
            )
            entry_id += 1
            self.revision = revision
        return effects


_DELETED = Known(0, 0, 0)
