"""The files of a store: who may read them, and that only one process has them open."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from pathlib import Path

from portway.store import StoreError
from portway.store.sqlite import schema
from portway.store.sqlite.errors import damaged, explain

DATABASE = "store.db"
_LOCK = "lock"
_PATIENCE = 10.0
_CHECK_SECONDS = 0.15
_CHECK_STEPS = 1000


def lock(directory: Path, owner: int) -> int:
    """Make the directory if needed and claim it for the process ``owner``.

    Closing the descriptor that is returned, or ending, gives it up. The directory is for its
    owner only (0700). Raises StoreError when it cannot be used, or another process has it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_mode & 0o077:
            directory.chmod(0o700)
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{directory}: cannot be used for the store: {error.strerror}") from error
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            # The writer of an owner that was killed ends as soon as it notices.
            if _runs(holder) or time.monotonic() > give_up:
                os.close(descriptor)
                raise StoreError(
                    f"{directory}: is in use by another process (pid {holder or 'unknown'});"
                    " stop that one first, or use another data directory"
                ) from error
            time.sleep(0.01)
    with contextlib.suppress(OSError):  # a full disk: the number only helps to find the owner
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % owner, 0)
    return descriptor


def _runs(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database, or make one where there is none.

    A new one appears under its name only when it is complete: a file that is there and is not a
    store was damaged, and is never taken for a new one. Raises StoreError.
    """
    journal = Path(f"{path}-wal")
    if not path.exists():
        if journal.exists() and journal.stat().st_size:
            raise StoreError(
                f"{path}: is missing, but its journal {journal.name} is there: bring the file"
                " back, restore a backup in its place, or remove the journal to begin anew"
            )
        try:
            _create(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path}: cannot be made: {error}") from error
    for file in (path, journal, Path(f"{path}-shm")):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)
    try:
        connection = schema.connect(str(path))
        try:
            _verify(path, connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(path, error) from error
    return connection


def _create(path: Path) -> None:
    draft = path.with_name(f"{path.name}.new")
    for leftover in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm"), Path(f"{draft}-journal")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = schema.connect(str(draft))
    try:
        schema.create(connection)
    finally:
        connection.close()
    draft.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _verify(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != schema.APPLICATION_ID:
        raise damaged(path, "it is not a store of Portway")
    if version != schema.FORMAT:
        raise StoreError(
            f"{path}: has format {version}; this version of Portway reads format {schema.FORMAT}"
        )
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if connection.execute("SELECT count(*) FROM state").fetchone() != (1,):
        raise damaged(path, "its table state is empty")
    _check(path, connection)


def _check(path: Path, connection: sqlite3.Connection) -> None:
    """Look for damage, as far as that goes in a fraction of a second: all of a usual store."""
    give_up = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > give_up, _CHECK_STEPS)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise damaged(path, str(found).replace("\n", " "))
