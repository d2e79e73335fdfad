"""The store: a flat, ordered key space with one revision, shaped like etcd's.

Everything Portway must remember is a key here. Two engines have this interface: SQLite for a
single server, etcd for a cluster. Nothing above this package knows which one it talks to.

Rules every engine keeps:

* ``commit`` is atomic: all compares hold and all operations apply under one new revision, or
  nothing changes. It returns when the result is durable.
* Revisions grow by one per successful commit that changes something, beginning at 1; they never
  go back while the store lives. (Deletes of keys that are not there change nothing.)
* A watch sees every committed revision in order, each exactly once and whole, without gaps.
* A local commit is delivered to the watches of this process before ``commit`` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol


class StoreError(Exception):
    """The store could not do it; the message says why. Nothing was changed."""


class StoreFullError(StoreError):
    """There is no room to write. Reads go on; writes work again once there is room."""


class LeaseNotFoundError(StoreError):
    """A key was to be attached to a lease that has expired, or never was."""


class StoreClosedError(StoreError):
    """The store has been closed."""


class OutcomeUnknownError(StoreError):
    """The store was lost while it worked on this: it may have been done, or not."""


class CompactedError(StoreError):
    """The revision asked for is no longer kept."""


class Record(NamedTuple):
    """One key as it is."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    """Writes since the key was created, 1 for a new key."""
    lease: int = 0
    """The lease the key hangs on, or 0."""


class Put(NamedTuple):
    """Write ``value`` under ``key``, attached to ``lease`` unless that is 0."""

    key: str
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    """Delete one key; a key that is not there is left so, without an event."""

    key: str


class Compare(NamedTuple):
    """Holds while the key's last change is of ``mod_revision``; 0 means that it does not exist."""

    key: str
    mod_revision: int


class Unchanged(NamedTuple):
    """Holds while no existing key under ``prefix`` was written after ``revision``."""

    prefix: str
    revision: int


Condition = Compare | Unchanged
Operation = Put | Delete


class Committed(NamedTuple):
    """The outcome of a commit.

    ``revision`` is the new revision, or the current one when a compare failed (or there was
    nothing to do): what a reader must have seen to understand the outcome.
    """

    succeeded: bool
    revision: int


class Event(NamedTuple):
    """One key changed. ``record`` is what it is now, ``None`` when it was deleted."""

    key: str
    record: Record | None


class Batch(NamedTuple):
    """All changes of one revision, in the order they were committed."""

    revision: int
    events: tuple[Event, ...]


class Snapshot(NamedTuple):
    """All records under a prefix at one revision, sorted by key."""

    revision: int
    records: list[Record]


class Version(NamedTuple):
    """A kept version of a key; ``value`` is ``None`` for a deletion."""

    value: bytes | None
    create_revision: int
    mod_revision: int
    version: int


class Status(NamedTuple):
    """What an operator asks of a store."""

    revision: int
    compacted: int
    """The highest revision that can no longer be replayed."""
    keys: int
    bytes: int
    """The size on disk, or in memory for a store without a file."""


class Watch(Protocol):
    """A running watch."""

    def cancel(self) -> None:
        """Deliver nothing more."""


class Store(Protocol):
    """The interface of the engines; all of it is called from one event loop."""

    async def commit(
        self, conditions: Sequence[Condition], operations: Sequence[Operation]
    ) -> Committed:
        """Apply all operations if all conditions hold. Raises StoreError.

        Of several operations on one key the last one counts.
        """

    async def read(self, prefix: str = "") -> Snapshot:
        """All records under ``prefix``, linearizable."""

    async def get(self, key: str) -> Record | None:
        """One record, linearizable."""

    async def revision(self) -> int:
        """The revision of the last commit, linearizable."""

    async def watch(
        self, prefix: str, after: int, deliver: Callable[[Sequence[Batch]], None]
    ) -> Watch:
        """Call ``deliver`` with every batch of a revision greater than ``after``.

        Only events under ``prefix`` are in the batches; batches without any are left out.
        ``deliver`` is called on the event loop, must not block, and is first called with what
        has happened already. Raises CompactedError.
        """

    async def versions(self, key: str, limit: int = 64) -> list[Version]:
        """The kept versions of a key, newest first, deletions included."""

    async def grant(self, ttl: float) -> int:
        """Make a lease of ``ttl`` seconds and return its number (never 0)."""

    async def keep_alive(self, lease: int) -> bool:
        """Renew a lease for its full time; false when it has expired."""

    async def revoke(self, lease: int) -> None:
        """End a lease and delete the keys on it, as its expiry does (one commit)."""

    async def compact(self, revision: int) -> None:
        """Forget how things were before ``revision``, except kept versions."""

    async def backup(self, path: str) -> int:
        """Write a complete copy to a new file (0600) while serving; returns its revision."""

    async def status(self) -> Status:
        """Sizes and revisions."""

    async def close(self) -> None:
        """Finish what is under way and release everything."""
