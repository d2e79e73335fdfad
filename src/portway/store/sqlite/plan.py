"""What a group of requests does to the store: decided in memory, before anything is written.

The requests of a group are judged one after the other, each on the result of those before it,
although all of them are written by one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from portway.store import (
    Batch,
    Committed,
    Compare,
    Condition,
    Delete,
    Event,
    LeaseNotFoundError,
    Operation,
    Put,
    Record,
    StoreError,
)


class Known(NamedTuple):
    """What must be known of an existing key to judge a request."""

    modified: int
    created: int
    version: int


class Facts(NamedTuple):
    """The store before the group, as far as the group concerns it."""

    revision: int
    keys: int
    known: dict[str, Known]
    """The keys that compares and operations name, those of them that exist."""
    leases: Collection[int]
    changed: Callable[[str, int, int], Iterable[str]]
    """Prefix, revision, limit → existing keys under the prefix that were written later."""
    attached: Callable[[int], Iterable[tuple[str, Known]]]
    """Lease → its keys."""


class Plan:
    """The effect of the requests judged so far."""

    def __init__(self, facts: Facts) -> None:
        self.revision = facts.revision
        self.keys = facts.keys
        self.batches: list[Batch] = []
        self.written: dict[str, Record | None] = {}
        """Every key the group changes, with what it is in the end; ``None`` is deleted."""
        self.granted: dict[int, float] = {}
        self.revoked: set[int] = set()
        self._facts = facts

    def commit(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Committed:
        """Judge one commit. Raises StoreError, and then has changed nothing."""
        for condition in conditions:
            if not self._holds(condition):
                return Committed(False, self.revision)
        for operation in operations:
            if isinstance(operation, Put) and operation.lease and not self._alive(operation.lease):
                raise LeaseNotFoundError(
                    f"key {operation.key!r}: lease {operation.lease} does not exist"
                )
        if len(operations) > 1:
            operations = list({operation.key: operation for operation in operations}.values())
        self._apply(operations)
        return Committed(True, self.revision)

    def grant(self, lease: int, ttl: float) -> None:
        """Make a lease."""
        if self._alive(lease):
            raise StoreError(f"lease {lease} exists already")
        self.granted[lease] = ttl

    def revoke(self, lease: int) -> None:
        """End a lease and delete its keys; nothing happens when it does not exist."""
        if not self._alive(lease):
            return
        # What the group has written already decides over what the store still says.
        keys = [key for key, record in self.written.items() if record and record.lease == lease]
        for key, known in self._facts.attached(lease):
            if key not in self.written:
                self._facts.known[key] = known
                keys.append(key)
        self._apply([Delete(key) for key in sorted(keys)])
        self.granted.pop(lease, None)
        self.revoked.add(lease)

    def _alive(self, lease: int) -> bool:
        if lease in self.revoked:
            return False
        return lease in self.granted or lease in self._facts.leases

    def _current(self, key: str) -> Known | Record | None:
        if key in self.written:
            return self.written[key]
        return self._facts.known.get(key)

    def _holds(self, condition: Condition) -> bool:
        if isinstance(condition, Compare):
            current = self._current(condition.key)
            modified = 0 if current is None else _modified(current)
            return modified == condition.mod_revision
        prefix, revision = condition
        if revision >= self.revision:
            return True
        gone = 0
        for key, record in self.written.items():
            if key.startswith(prefix):
                if record is not None and record.mod_revision > revision:
                    return False
                gone += 1
        # Keys the group has deleted are still in the store: one more than those decides.
        changed = self._facts.changed(prefix, revision, gone + 1)
        return all(key in self.written for key in changed)

    def _apply(self, operations: Sequence[Operation]) -> None:
        revision = self.revision + 1
        events = []
        for operation in operations:
            key = operation.key
            current = self._current(key)
            if isinstance(operation, Put):
                if current is None:
                    self.keys += 1
                    record = Record(key, operation.value, revision, revision, 1, operation.lease)
                else:
                    created = _created(current)
                    version = current.version + 1
                    record = Record(
                        key, operation.value, created, revision, version, operation.lease
                    )
                self.written[key] = record
                events.append(Event(key, record))
            elif current is not None:
                self.keys -= 1
                self.written[key] = None
                events.append(Event(key, None))
        if events:
            self.revision = revision
            self.batches.append(Batch(revision, tuple(events)))


def _modified(current: Known | Record) -> int:
    return current.modified if isinstance(current, Known) else current.mod_revision


def _created(current: Known | Record) -> int:
    return current.created if isinstance(current, Known) else current.create_revision
