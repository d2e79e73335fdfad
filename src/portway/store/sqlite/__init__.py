"""The store's engine for a single server: one SQLite database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from portway.store import Store
from portway.store.sqlite import files, schema
from portway.store.sqlite.compaction import Limits
from portway.store.sqlite.engine import SqliteStore
from portway.store.sqlite.readers import Readers

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
    if path is None:
        memory = schema.connect(":memory:")
        schema.create(memory)
        name = Path("memory")
        return SqliteStore(memory, name, None, lambda: None, keep_versions or {}, limits)
    directory = Path(path).absolute()
    database = directory / files.DATABASE
    lock = await asyncio.to_thread(files.lock, directory)
    try:
        connection = await asyncio.to_thread(files.open_database, database)
        return SqliteStore(
            connection,
            database,
            Readers(database),
            lambda: os.close(lock),
            keep_versions or {},
            limits,
        )
    except BaseException:
        os.close(lock)
        raise
