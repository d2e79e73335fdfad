"""The writer process of a store on disk.

It is a process of its own because Python runs one thread at a time: in a thread beside a busy
event loop, each of the many short calls of SQLite would wait for its turn, tens of milliseconds
for one commit. It ends when its store closes the connection, in whatever way that happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from collections import deque
from pathlib import Path

from portway.store import StoreError
from portway.store.sqlite import files, messages
from portway.store.sqlite.compaction import Limits
from portway.store.sqlite.database import Database
from portway.store.sqlite.messages import Commit, Request

_RECEIVE = 1 << 20
_MAX_GROUP = 1024
_MAX_GROUP_BYTES = 8 << 20


def main(arguments: list[str]) -> int:
    """Serve a store: descriptor of the connection, directory, options as JSON."""
    descriptor, directory, options = arguments
    # Whoever stops the agent, from a terminal or a service manager, often signals every process
    # of it; the store has to outlive what writes to it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(descriptor)) as connection:
        try:
            database = _open(Path(directory), json.loads(options))
            opened = messages.Opened(database.state.revision, database.leases)
            connection.sendall(messages.encode([opened]))
            serve(connection, database)
            database.close()
        except StoreError as error:
            _stop(connection, messages.error_kind(error), str(error))
            return 1
        except (BrokenPipeError, ConnectionResetError):
            return 0  # the store's process was killed
        except BaseException as error:
            traceback.print_exc()
            _stop(connection, "", f"{directory}: the store's writer failed: {error!r}")
            return 1
    return 0


def _stop(connection: socket.socket, kind: str, text: str) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody waits for it
        connection.sendall(messages.encode([messages.Stopped(kind, text)]))


def _open(directory: Path, options: dict[str, dict[str, int]]) -> Database:
    files.lock(directory, os.getppid())
    path = directory / files.DATABASE
    return Database(
        files.open_database(path), path, options["keep_versions"], Limits(**options["limits"])
    )


def serve(connection: socket.socket, database: Database) -> None:
    """Carry out requests until the connection ends: all that have arrived are one group."""
    frames = messages.requests()
    backlog: deque[Request] = deque()
    ended = False
    while True:
        received = 0
        while not ended and len(backlog) < _MAX_GROUP and received < _MAX_GROUP_BYTES:
            try:
                data = connection.recv(_RECEIVE, socket.MSG_DONTWAIT if backlog else 0)
            except BlockingIOError:
                break
            ended = not data
            received += len(data) if backlog else 0
            for frame in frames.feed(data):
                backlog.extend(frame)
        if not backlog:
            return
        connection.sendall(messages.encode(database.apply(_next_group(backlog))))
        database.checkpoint()


def _next_group(backlog: deque[Request]) -> list[Request]:
    group: list[Request] = []
    size = 0
    while backlog and len(group) < _MAX_GROUP and size < _MAX_GROUP_BYTES:
        request = backlog.popleft()
        group.append(request)
        if isinstance(request, Commit):
            size += sum([len(value) for _, value, _ in request.writes if value is not None])
    return group


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
