"""A store on disk: a process that writes, and threads that read."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast

from portway.store import StoreError
from portway.store.sqlite import files, messages
from portway.store.sqlite.backend import Client
from portway.store.sqlite.compaction import Limits
from portway.store.sqlite.messages import Opened, Reply, Request, Stopped
from portway.store.sqlite.readers import Readers

T = TypeVar("T")


class OnDisk(asyncio.Protocol):
    """The connection to a writer process. Make one with ``open_on_disk``."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.revision = 0
        self.leases: Mapping[int, float] = {}
        self._path = directory / files.DATABASE
        self._process = process
        self._readers: Readers | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._frames = messages.replies()
        self._client: Client | None = None
        self._requests: list[Request] = []
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._reason: StoreError | None = None
        self._closing = False

    async def opened(self) -> None:
        """Wait until the database is open. Raises StoreError when it cannot be."""
        await asyncio.wait([self._opened, self._ended], return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            raise self._reason or StoreError("")
        self._readers = Readers(self._path)

    def start(self, client: Client) -> None:
        """Name the client; before the first request."""
        self._client = client

    def submit(self, request: Request) -> None:
        """Queue a request.

        All that is runnable now gets its requests in before they are sent: the commits that one
        group has answered meet again in the next.
        """
        if not self._requests:
            self._loop.call_soon(self._send)
        self._requests.append(request)

    async def query(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Read with a function. Raises StoreError."""
        assert self._readers is not None
        return await self._readers.run(function)

    def size(self) -> int:
        """Bytes on disk."""
        paths = (self._path, Path(f"{self._path}-wal"))
        return sum(path.stat().st_size for path in paths if path.exists())

    async def close(self) -> None:
        """Carry out what is queued and close."""
        self._closing = True
        if self._readers is not None:
            # First, so that the writer is the last one, and leaves no journal.
            await asyncio.to_thread(self._readers.close)
        self._send()
        if self._transport is not None and not self._ended.done():
            self._transport.write_eof()
        await self._ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        for frame in self._frames.feed(data):
            first = frame[0]
            if isinstance(first, Opened):
                self.revision, self.leases = first.revision, first.leases
                self._opened.set_result(None)
            elif isinstance(first, Stopped):
                self._reason = messages.failure(first)
            elif self._client is not None:
                self._client.receive(cast("list[Reply]", frame))

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._transport = None
        self._loop.create_task(self._end())

    async def _end(self) -> None:
        code = await asyncio.to_thread(self._process.wait)
        if code and self._reason is None:
            how = f"signal {-code}" if code < 0 else f"status {code}"
            self._reason = StoreError(f"{self._path}: the store's writer has ended with {how}")
        self._ended.set_result(None)
        if self._client is not None and not self._closing:
            self._client.lost(self._reason or StoreError(f"{self._path}: the writer has ended"))

    def _send(self) -> None:
        requests, self._requests = self._requests, []
        if requests and self._transport is not None:
            self._transport.write(messages.encode(requests))


async def open_on_disk(directory: Path, keep_versions: Mapping[str, int], limits: Limits) -> OnDisk:
    """Start a writer for a directory. Raises StoreError."""
    ours, theirs = socket.socketpair()
    starting = asyncio.create_task(
        asyncio.to_thread(_run_writer, theirs, directory, keep_versions, limits)
    )
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        ours.close()
        process = await starting
        await asyncio.to_thread(process.wait)  # it ends with the connection
        raise
    except OSError:
        ours.close()
        raise
    loop = asyncio.get_running_loop()

    def protocol() -> OnDisk:
        return OnDisk(directory, process)

    made: tuple[asyncio.Transport, OnDisk]
    made = await loop.create_unix_connection(protocol, sock=ours)
    transport, on_disk = made
    try:
        await on_disk.opened()
    except BaseException:
        transport.abort()
        raise
    return on_disk


def _run_writer(
    connection: socket.socket,
    directory: Path,
    keep_versions: Mapping[str, int],
    limits: Limits,
) -> subprocess.Popen[bytes]:
    options = {"keep_versions": dict(keep_versions), "limits": limits._asdict()}
    with connection:
        return subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "portway.store.sqlite.child"),
                *(str(connection.fileno()), str(directory), json.dumps(options)),
            ],
            pass_fds=[connection.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
