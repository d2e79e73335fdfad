"""What callers hand in, as the writer takes it, and what came of it, as watches get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from portway.store import Compare, Condition, Event, Operation, Put, Record, StoreError
from portway.store.sqlite import schema
from portway.store.sqlite.messages import Applied, Commit

MAX_VALUE: Final = 64 << 20
"""Bytes of a value; far above every limit of the layers above."""
MAX_COMMIT: Final = 1 << 30
"""Bytes of the values of a commit."""

Write = tuple[str, bytes | None, int]
"""Key, value (None deletes) and lease."""


def commit_of(conditions: Sequence[Condition], operations: Sequence[Operation]) -> Commit:
    """A request without its number. Raises StoreError when it holds what cannot be stored."""
    compares: list[tuple[str, int]] = []
    unchanged: list[tuple[str, int]] = []
    for condition in conditions:
        kind = compares if isinstance(condition, Compare) else unchanged
        kind.append((checked(condition[0]), condition[1]))
    return Commit(0, compares, unchanged, writes_of(operations))


def events_of(reply: Applied, writes: list[Write]) -> list[Event]:
    """The events of a commit, from what was asked and what came of it."""
    revision = reply.revision
    events = []
    for (key, value, lease), (created, version) in zip(writes, reply.effects, strict=True):
        if version > 0 and value is not None:
            events.append(Event(key, Record(key, value, created, revision, version, lease)))
        elif version == 0:
            events.append(Event(key, None))
    return events


def writes_of(operations: Sequence[Operation]) -> list[Write]:
    """Operations as the writer takes them: of several on one key the last.

    Raises StoreError when there is too much.
    """
    if len(operations) > schema.MAX_OPERATIONS:
        raise StoreError(
            f"{len(operations)} operations: at most {schema.MAX_OPERATIONS} go at once"
        )
    writes: dict[str, Write] = {}
    total = 0
    for operation in operations:
        key = checked(operation.key)
        if isinstance(operation, Put):
            size = len(operation.value)
            total += size
            if size > MAX_VALUE:
                raise StoreError(
                    f"key {key!r}: a value of {size} bytes; at most {MAX_VALUE} can be stored"
                )
            writes[key] = (key, operation.value, operation.lease)
        else:
            writes[key] = (key, None, 0)
    if total > MAX_COMMIT:
        raise StoreError(f"a commit of {total} bytes; at most {MAX_COMMIT} can go at once")
    return list(writes.values())


def checked(key: str) -> str:
    """The key, or prefix, if it can be one. Raises StoreError."""
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise StoreError(f"key {key!r}: is not valid Unicode") from error
    return key
