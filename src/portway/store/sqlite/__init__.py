"""The store's engine for a single server: one SQLite database."""

from __future__ import annotations

from collections.abc import Mapping

from portway.store import Store
from portway.store.sqlite.compaction import Limits

__all__ = ["Limits", "open_sqlite"]


async def open_sqlite(
    path: str | None,
    *,
    keep_versions: Mapping[str, int] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> Store:
    """Open the store in the directory ``path``, or make one there; ``None`` is one in memory.

    ``keep_versions`` maps prefixes of keys to the number of versions that are kept of each key,
    whatever is compacted. ``limits`` says how much of the past can be replayed; more is compacted
    as writing goes on. Raises StoreError when the directory is in use, or the store in it is
    damaged or of another format.
    """
    # Not above: the writer process imports this package, and has no use for asyncio.
    from portway.store.sqlite.engine import open_store

    return await open_store(path, keep_versions or {}, limits)
