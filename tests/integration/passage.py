"""A Unix socket that leads to the Docker daemon's and can go away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path


class Passage:
    """A Unix socket that leads to the daemon's, until it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Begin, or begin again, to lead to the daemon."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    def close(self) -> None:
        """Take the socket away and cut off whoever uses it."""
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection("/var/run/docker.sock")
        self._writers |= {writer, ours}
        await asyncio.gather(_copy(reader, ours), _copy(theirs, writer))
        self._writers -= {writer, ours}


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
