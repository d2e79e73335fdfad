"""The tables of the SQLite engine, and how a connection to them is set up.

``records`` holds every key as it is, ``log`` what happened: one row per event, for replay and for
the history of keys. A row's id is ``revision << 20 | position``. Rows of keys with a history have
``kept``, the number of versions to keep, and stay after compaction.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

POSITION_BITS: Final = 20
MAX_OPERATIONS: Final = 1 << POSITION_BITS
APPLICATION_ID: Final = 0x50575354  # "PWST"
FORMAT: Final = 1
PAGE_SIZE: Final = 4096

_TABLES = """
CREATE TABLE records (
    key TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL
);
CREATE INDEX records_lease ON records (lease) WHERE lease <> 0;
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value BLOB,
    created INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    kept INTEGER NOT NULL
);
CREATE INDEX log_kept ON log (key, id) WHERE kept > 0;
CREATE INDEX log_deleted ON log (id) WHERE kept > 0 AND value IS NULL;
CREATE TABLE leases (id INTEGER PRIMARY KEY, ttl REAL NOT NULL);
CREATE TABLE state (
    revision INTEGER NOT NULL,
    compacted INTEGER NOT NULL,
    trimmed INTEGER NOT NULL,
    keys INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL
);
INSERT INTO state VALUES (0, 0, 0, 0, 0);
"""


class State(NamedTuple):
    """The one row of the table ``state``."""

    revision: int
    compacted: int
    """The highest revision that can no longer be replayed."""
    trimmed: int
    """Log rows up to this id have been thrown away, except kept ones."""
    keys: int
    log_bytes: int
    """About how many bytes are in the log that can be replayed."""

    @property
    def to_trim(self) -> bool:
        """Whether there is compacted log to be thrown away."""
        return self.trimmed < first_id(self.compacted + 1) - 1


def first_id(revision: int) -> int:
    """The smallest log id of a revision."""
    return revision << POSITION_BITS


def revision_of(log_id: int) -> int:
    """The revision of a log row."""
    return log_id >> POSITION_BITS


def connect(path: str) -> sqlite3.Connection:
    """A connection for one thread at a time, transactions being ours to begin."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database."""
    connection.executescript(
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
        f"BEGIN; {_TABLES} COMMIT;"
    )


def read_state(connection: sqlite3.Connection) -> State:
    """The state as the database has it."""
    row = connection.execute(
        "SELECT revision, compacted, trimmed, keys, log_bytes FROM state"
    ).fetchone()
    return State(*row)


def write_state(connection: sqlite3.Connection, state: State) -> None:
    """Store the state; part of the caller's transaction."""
    connection.execute(
        "UPDATE state SET revision = ?, compacted = ?, trimmed = ?, keys = ?, log_bytes = ?", state
    )


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """A transaction: ``DEFERRED`` for reads of one snapshot, ``IMMEDIATE`` for writes."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors have rolled back already. ROLLBACK can fail, but ends the transaction.
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
