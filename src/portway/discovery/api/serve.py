"""The API's listeners."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from time import monotonic
from typing import Any

import structlog

from portway.discovery.api.connection import MAX_HEAD, Connection, Shared

_TOO_MANY_TEXT = (
    b"Your IP is issuing too many concurrent connections, please rate limit your calls\n"
)
_TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_TOO_MANY_TEXT), _TOO_MANY_TEXT)
)
_LINGER = 1.0  # seconds a refused client has to read why; closing at once could take that away
_IDLE = 120.0  # seconds a connection may be open without a request in work
_LOOK = 10.0  # seconds between looks for those
_GRACE = 1.0  # seconds that requests in work have at the end
_BACKLOG = 4096

log = structlog.get_logger("http")


class Limit:
    """What one client may take: how many connections, of which heads, at what speed.

    ``most`` connections of an address, 0 for any number; ``max_head`` bytes of a request's line
    and headers; ``handshake`` seconds until TLS is agreed upon.
    """

    def __init__(self, most: int, max_head: int = MAX_HEAD, handshake: float = 5.0) -> None:
        self.most = most
        self.max_head = max_head
        self.handshake = handshake
        self.open: Counter[str] = Counter()


class _Counted(Connection):
    """A connection that counts towards its client's limit (``http_max_conns_per_client``)."""

    __slots__ = ("_limit", "_refused")

    def __init__(self, shared: Shared, limit: Limit) -> None:
        super().__init__(shared)
        self._limit = limit
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if reason := getattr(transport.get_extra_info("ssl_object"), "refused", ""):
            address = ":".join(map(str, self.client or ("unix",)))
            log.info("TLS handshake error", address=address, error=reason)
            self._refused = True
            self.transport.close()
            return
        limit = self._limit
        if self.client is None:
            return
        if limit.most and limit.open[self.client[0]] >= limit.most:
            self._refused = True
            self.transport.write(_TOO_MANY)
            self.shared.loop.call_later(_LINGER, self.transport.close)
        else:
            limit.open[self.client[0]] += 1

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.client is not None and not self._refused:
            address = self.client[0]
            self._limit.open[address] -= 1
            if self._limit.open[address] <= 0:
                del self._limit.open[address]


class Listener:
    """A running listener."""

    def __init__(
        self, shared: Shared, listening: socket.socket, limit: Limit, tls: ssl.SSLContext | None
    ) -> None:
        self._shared = shared
        self._task = asyncio.create_task(self._serve(listening, limit, tls))

    async def _serve(
        self, listening: socket.socket, limit: Limit, tls: ssl.SSLContext | None
    ) -> None:
        loop = self._shared.loop
        is_unix = listening.family == socket.AF_UNIX
        create = loop.create_unix_server if is_unix else loop.create_server
        server = await create(
            lambda: _Counted(self._shared, limit),
            sock=listening,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else limit.handshake,
            backlog=_BACKLOG,
        )
        try:
            while True:
                await asyncio.sleep(_LOOK)
                self._close_idle()
        finally:
            server.close()

    def _close_idle(self) -> None:
        """Close connections without a request in work for too long, half a request included.

        So are those whose client takes nothing of its answer for as long.
        """
        limit = monotonic() - _IDLE
        for connection in [one for one in self._shared.connections if one.stale(limit)]:
            connection.transport.abort()

    async def stop(self) -> None:
        """Close the socket; requests in work have a second to finish."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        shared = self._shared
        for connection in list(shared.connections):
            connection.shut()
        if shared.tasks:
            _, left = await asyncio.wait(shared.tasks, timeout=_GRACE)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
        for connection in list(shared.connections):
            connection.transport.abort()


def serve(
    app: Any, listening: socket.socket, limit: Limit, tls: ssl.SSLContext | None = None
) -> Listener:
    """Serve the API on a listening socket, over TLS with ``tls``.

    The objects that ``tls`` makes may have an attribute ``refused``: why a handshake failed. Such
    a connection is closed when what they wrote is sent.
    """
    shared = Shared(app, "http" if tls is None else "https", limit.max_head)
    return Listener(shared, listening, limit, tls)
