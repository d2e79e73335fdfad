"""What SQLite's errors mean to the store's callers."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from portway.store import StoreError, StoreFullError


def _primary_code(error: BaseException) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def is_full(error: BaseException) -> bool:
    """Whether the disk took no more: no space, a quota, a limit, or a device that fails."""
    return _primary_code(error) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def explain(path: Path, error: BaseException) -> StoreError:
    """The store's error for one of SQLite or of the system."""
    if is_full(error):
        return StoreFullError(
            f"{path}: cannot be written ({error}); reads go on, and writes as soon as there is room"
        )
    if _primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return damaged(path, str(error))
    return StoreError(f"{path}: {error or type(error).__name__}")


def damaged(path: Path, detail: str) -> StoreError:
    """The error for a database that cannot be trusted."""
    return StoreError(
        f"{path}: the store is damaged ({detail}). Nothing was changed. Put a backup in its place"
        f" (without {path.name}-wal and {path.name}-shm), or move all three away to begin anew"
    )
