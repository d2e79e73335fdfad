"""One request of a connection and its answer, as ASGI has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog

from portway.discovery.api.recall import MAX_REQUEST

if TYPE_CHECKING:
    from portway.discovery.api.connection import Connection

log = structlog.get_logger("http")
Message = dict[str, Any]

STATUS_LINES = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() for status in HTTPStatus
}
OK = STATUS_LINES[HTTPStatus.OK]
_JOINED = 16 * 1024  # bytes of a body that is copied to be written with the head
_NO_BODY = (204, 304)


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_chunked",
        "_chunks",
        "_connection",
        "_continue",
        "_head",
        "_size",
        "_waiting",
        "answered",
        "complete",
        "keep_alive",
        "scope",
        "started",
    )

    def __init__(
        self, connection: Connection, scope: dict[str, Any], keep_alive: bool, expects: bool
    ) -> None:
        self._connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        self.answered = False
        self._continue = expects
        self._chunks: list[bytes] | None = None
        self._size = 0
        self.complete = False
        self._waiting: asyncio.Future[None] | None = None
        self._head = b""
        self.started = False
        """Whether a part of the answer is on its way."""
        self._chunked = False

    # The body, from the connection

    def feed(self, body: bytes) -> int:
        """Take a part of the body; returns how many bytes wait for the application."""
        if self._chunks is None:
            self._chunks = []
        self._chunks.append(body)
        self._size += len(body)
        self._wake()
        return self._size

    def finish(self) -> None:
        """The body is complete."""
        self.complete = True
        self._wake()

    def is_all_of(self, data: bytes) -> None:
        """The request is these bytes, from the first to the last."""
        scope = self.scope
        if scope["method"] == "GET" and scope["http_version"] == "1.1" and len(data) <= MAX_REQUEST:
            scope["portway.raw"] = data

    def finishes(self) -> bool:
        """Whether it goes on to its end though its client may be gone.

        All of it must be there, and it must not wait; from now on it will not begin to.
        """
        if not self.complete or "portway.task" in self.scope:
            return False
        self.scope["portway.gone"] = True
        return True

    def disconnect(self) -> None:
        """The client is gone: cancel the request if it does nothing but wait."""
        self._wake()
        if not self.answered:
            self.scope["portway.gone"] = True
            task = self.scope.get("portway.task")
            if task is not None:
                task.cancel()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # The application's side

    async def run(self, app: Callable[..., Any]) -> None:
        """Let the application answer."""
        connection = self._connection
        try:
            await app(self.scope, self.receive, self.send)
        except (asyncio.CancelledError, ConnectionResetError):
            self.keep_alive = False
        except Exception:
            log.exception("Answering failed", path=self.scope["path"])
            self.keep_alive = False
        if not self.answered:
            self.answered = True
            self.keep_alive = False
            if not (self.started or connection.closed or self.scope.get("portway.gone")):
                connection.transport.write(
                    STATUS_LINES[HTTPStatus.INTERNAL_SERVER_ERROR]
                    + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
        self._chunks = None
        connection.ended(self)

    async def receive(self) -> Message:
        """The next part of the request's body."""
        connection = self._connection
        while not self._chunks and not self.complete and not connection.closed:
            if self._continue:
                self._continue = False
                connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waiting = connection.shared.loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if connection.closed or self.answered:
            return {"type": "http.disconnect"}
        body = b"".join(self._chunks or ())
        self._chunks = None
        self._size = 0
        if not self.complete:
            connection.resume()
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def send(self, message: Message) -> None:
        """Send the head, or a part of the body, of the answer.

        Raises ConnectionResetError when there is nobody to send it to.
        """
        connection = self._connection
        if connection.closed or connection.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if self.answered:
            return
        if message["type"] == "http.response.start":
            self._start(message)
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        head = b"" if self.started else self._whole_head(len(body), more)
        if self.scope["method"] == "HEAD":
            body = b""
        if self._chunked and body:
            body = b"%x\r\n%s\r\n" % (len(body), body)
        if not more:
            self.answered = True
            keep = self.scope.get("portway.keep")
            if keep is not None and head and self.keep_alive and not self._chunked:
                keep(head[head.index(b"\r\n", len(OK)) + 2 :] + body)
            if self._chunked:
                body += b"0\r\n\r\n"
        if len(body) > _JOINED:
            connection.transport.writelines((head, body))
        else:
            connection.transport.write(head + body)
        # After the last part, too: requests that were sent ahead wait until it is taken.
        await connection.drain()

    def _whole_head(self, size: int, more: bool) -> bytes:
        """The head, now that it is known whether the body comes in one piece."""
        self.started = True
        if self._continue and not self.complete:
            self.keep_alive = False  # whether the client still sends the body, who knows
        head, self._head = self._head, b""
        if more and self._chunked:
            head += b"Transfer-Encoding: chunked\r\n"
        elif self._chunked:
            self._chunked = False
            head += b"Content-Length: %d\r\n" % size
        if not self.keep_alive:
            head += b"Connection: close\r\n"
        elif self.scope["http_version"] == "1.0":
            head += b"Connection: keep-alive\r\n"
        return head + b"\r\n"

    def _start(self, message: Message) -> None:
        status: int = message["status"]
        lines = [STATUS_LINES[HTTPStatus(status)], self._connection.shared.date()]
        # Without a length the answer is chunked, or ends with the connection.
        self._chunked = status not in _NO_BODY
        for name, value in message["headers"]:
            if b"\n" in value or b"\r" in value:
                value = b" ".join(value.split())  # noqa: PLW2901
            lines.append(b"%s: %s\r\n" % (name, value))
            if len(name) == 14 and bytes.lower(name) == b"content-length":
                self._chunked = False
        if self._chunked and self.scope["http_version"] == "1.0":
            self._chunked = self.keep_alive = False
        self._head = b"".join(lines)
