"""Backups: a complete copy of the database at one revision, while it is in use."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from portway.store import StoreError
from portway.store.sqlite import schema
from portway.store.sqlite.files import sync_directory


def write_backup(connection: sqlite3.Connection, path: Path) -> int:
    """Copy the database into a new file (0600), which appears complete or not at all.

    Returns the revision of the copy. Raises StoreError when it cannot be written.
    """
    if path.exists():
        raise StoreError(f"{path}: exists already; a backup goes into a new file")
    try:
        return _copy(connection, path)
    except FileExistsError as error:
        raise StoreError(f"{path}: exists already; a backup goes into a new file") from error
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: the backup cannot be written: {error}") from error


def _copy(connection: sqlite3.Connection, path: Path) -> int:
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        copy = schema.connect(str(draft))
        try:
            connection.backup(copy)
            # One file, with no journal beside it.
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
            revision = schema.read_state(copy).revision
        finally:
            copy.close()
        os.link(draft, path)
        sync_directory(path.parent)
    finally:
        for leftover in (draft, *(Path(f"{draft}{end}") for end in ("-wal", "-shm", "-journal"))):
            leftover.unlink(missing_ok=True)
    return revision
