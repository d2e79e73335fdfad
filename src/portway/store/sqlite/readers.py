"""Readers: connections of their own, so that reading and writing do not wait for each other."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from portway.store.sqlite import schema
from portway.store.sqlite.errors import explain

T = TypeVar("T")
_READERS = 2


class Readers:
    """A few threads and connections for reads of a database file. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        try:
            for _ in range(_READERS):
                connection = schema.connect(str(path))
                connection.execute("PRAGMA query_only = ON")
                self._idle.put(connection)
        except sqlite3.Error as error:
            raise explain(path, error) from error

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with a connection. Raises StoreError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, function)

    def _run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            return function(connection)
        except (sqlite3.Error, OSError) as error:
            raise explain(self._path, error) from error
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Wait for the reads under way and close the connections; blocks."""
        self._threads.shutdown()
        for _ in range(_READERS):
            self._idle.get().close()
