"""The API's listeners: uvicorn inside the agent's event loop.

uvicorn's protocol is extended by two things the API needs: a request whose client has gone is
cancelled, so that abandoned blocking queries cost nothing, and the number of connections of one
client is limited (``limits.http_max_conns_per_client``).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"Your IP is issuing too many concurrent connections, please rate limit your calls\n"
)


class Limit:
    """How many connections each client address has; ``most`` 0 does not limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open: Counter[str] = Counter()


def _protocol(limit: Limit) -> type[HttpToolsProtocol]:
    class Protocol(HttpToolsProtocol):
        """One client connection."""

        _client_address = ""

        def connection_made(self, transport: Any) -> None:
            peer = transport.get_extra_info("peername")
            self._client_address = peer[0] if isinstance(peer, tuple) else ""
            if self._client_address:
                limit.open[self._client_address] += 1
                if limit.most and limit.open[self._client_address] > limit.most:
                    transport.write(_TOO_MANY)
                    transport.close()
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._client_address:
                limit.open[self._client_address] -= 1
                if limit.open[self._client_address] <= 0:
                    del limit.open[self._client_address]
            super().connection_lost(exc)
            if self.cycle is not None and not self.cycle.response_complete:
                scope: Any = self.cycle.scope
                scope["portway.gone"] = True
                if (task := scope.get("portway.task")) is not None:
                    task.cancel()

    return Protocol


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the agent has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listener:
    """A running listener."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
        self._server = server
        self._task = task

    async def stop(self) -> None:
        """Close the socket; requests in flight have a second to finish."""
        self._server.should_exit = True
        await self._task


def serve(
    app: Any, listening: socket.socket, limit: Limit, tls: ssl.SSLContext | None = None
) -> Listener:
    """Serve the API on a listening socket, over TLS with ``tls``."""
    config = uvicorn.Config(
        app,
        http=_protocol(limit),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=120,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )
    server = _Server(config)
    return Listener(server, asyncio.create_task(server.serve(sockets=[listening])))
