"""What the tests of the store share: each engine, opened the same way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from portway.store import Batch, Committed, Put, Store
from portway.store.sqlite import Limits, open_sqlite

ENGINES = ["memory", "file"]


@asynccontextmanager
async def opened(
    engine: str,
    directory: Path,
    keep_versions: dict[str, int] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> AsyncIterator[Store]:
    """A store of an engine; ``directory`` is where it keeps files, if it does."""
    path = str(directory / "store") if engine == "file" else None
    store = await open_sqlite(path, keep_versions=keep_versions, limits=limits)
    try:
        yield store
    finally:
        await store.close()


class Recorder:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def __call__(self, batches: Sequence[Batch]) -> None:
        assert batches, "a watch is not called for nothing"
        self.batches += batches

    @property
    def revisions(self) -> list[int]:
        """The revisions seen, in order."""
        return [batch.revision for batch in self.batches]

    @property
    def changes(self) -> list[tuple[int, str, bytes | None]]:
        """Revision, key and new value of every event seen, in order."""
        return [
            (batch.revision, event.key, event.record.value if event.record else None)
            for batch in self.batches
            for event in batch.events
        ]


async def put(store: Store, key: str, value: bytes = b"", lease: int = 0) -> Committed:
    """Write one key."""
    return await store.commit([], [Put(key, value, lease)])
