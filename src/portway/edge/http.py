"""The control process' HTTP servers: ASGI applications on private Unix sockets.

uvicorn runs inside the process' own event loop, where the state it serves lives.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from portway.edge.passwords import PATH, Checker, handle_basic


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the control process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Served:
    """A running server."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
        self._server = server
        self._task = task

    async def stop(self) -> None:
        """Finish the requests in flight and close the socket."""
        self._server.should_exit = True
        await self._task


def serve(app: ASGIApp, listening: socket.socket) -> Served:
    """Serve on a listening socket."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    return Served(server, asyncio.create_task(server.serve(sockets=[listening])))


def password_app(checker: Checker) -> Starlette:
    """What Envoy's basicAuth script asks: is this ``Authorization`` header good?"""

    async def basic(request: Request) -> Response:
        status, headers = await handle_basic(checker, request.url.path, request.headers.raw)
        response = Response(status_code=status)
        response.raw_headers.extend(headers)
        return response

    return Starlette(routes=[Route(f"{PATH}{{list}}", basic, methods=["GET"])])
