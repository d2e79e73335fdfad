"""HTTP/1.1 for the API: one connection, its requests, their answers.

The application is called as ASGI wants it. What makes this server the API's own is what thousands
of clients cost that wait in blocking queries: a parked request holds little more than its
coroutines, and one whose client goes away is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from time import monotonic, time
from typing import Any, cast
from urllib.parse import unquote

import httptools
import structlog

log = structlog.get_logger("http")
Message = dict[str, Any]

_MAX_HEAD = 64 * 1024  # bytes of a request's line and headers
_BODY_AHEAD = 64 * 1024  # bytes of a body that are read before the application asks for it
_MAX_UNREAD = 16 * 1024 * 1024  # bytes of a body nobody asked for that are read and thrown away
_JOINED = 16 * 1024  # bytes of a body that is copied to be written with the head
_MOST_QUEUED = 8  # requests that are read before the one in work is answered
_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() for status in HTTPStatus
}
_COMMON_NAMES = {
    name.encode(): name.encode()
    for name in (
        *("host", "user-agent", "accept", "accept-encoding", "connection", "content-length"),
        *("content-type", "x-consul-token", "authorization", "cache-control"),
    )
}
_NO_BODY = (204, 304)
_METHODS = {name.encode(): name for name in ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS")}


class Shared:
    """What the connections of a listener have in common."""

    __slots__ = ("_date", "_date_at", "app", "connections", "loop", "scheme", "tasks")

    def __init__(self, app: Any, scheme: str) -> None:
        self.app = app
        self.scheme = scheme
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._date = b""
        self._date_at = 0

    def date(self) -> bytes:
        """The ``Date`` header of now."""
        now = int(time())
        if now != self._date_at:
            self._date_at = now
            self._date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._date


class Connection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_current",
        "_expects",
        "_headers",
        "_in_head",
        "_left",
        "_parser",
        "_queue",
        "_read",
        "_reading",
        "_shared",
        "_unread",
        "_url",
        "_writable",
        "client",
        "closed",
        "since",
        "transport",
    )

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._parser: Any = None  # there is one only while a request is being read
        self._current: Exchange | None = None
        self._reading: Exchange | None = None
        self._queue: deque[Exchange] | None = None
        self._headers: list[tuple[bytes, bytes]] | None = None  # only while a head is being read
        self._url = b""
        self._in_head = False
        self._left = 0  # bytes the client had not taken when that was last looked at
        self._read = 0  # bytes since a head was complete, or a part of a body
        self._unread = 0
        self._expects = False
        self._writable: asyncio.Future[None] | None = None
        self.client: tuple[str, int] | None = None
        self.closed = False
        self.since = monotonic()
        """When something last happened that the client has to follow up."""

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.client = peer[:2] if isinstance(peer, tuple) else None
        self._shared.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._shared.connections.discard(self)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        for exchange in (self._current, *(self._queue or ())):
            if exchange is not None:
                exchange.disconnect()
        self._current = self._reading = self._queue = None

    def pause_writing(self) -> None:
        self._writable = self._shared.loop.create_future()
        self._left = 0
        self.since = monotonic()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        while self._writable is not None and not self.closed:
            await self._writable

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Other protocols are not offered: the request is answered as what it is, the last.
            if self._current is not None:
                (self._queue[-1] if self._queue else self._current).keep_alive = False
            self._parser = _DEAF
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._refuse(HTTPStatus.BAD_REQUEST)
        if self._reading is None:
            if self._read > _MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            elif not self._in_head and self._parser is not _DEAF:
                self._parser = None
        elif self._read > _MAX_HEAD:  # trailers, or what surrounds the chunks, without an end
            self.transport.abort()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what cannot be understood, unless an answer is under way, and close."""
        if self._parser is _DEAF:
            return
        self._parser = _DEAF
        if self._current is not None:
            self._current.keep_alive = False
            return
        body = f"{status.value} {status.phrase}".encode()
        self.transport.write(
            b"%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (_STATUS_LINES[status], len(body), body)
        )
        self.transport.close()

    # The parser

    def on_message_begin(self) -> None:
        self._in_head = True
        self._headers = []
        self._expects = False
        self.since = monotonic()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headers is None:
            return  # a trailer: nobody asks for any
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        self._headers.append((_COMMON_NAMES.get(name, name), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        method = parser.get_method()
        path, _, query = self._url.partition(b"?")
        if not self._url.startswith(b"/") and self._url != b"*":
            parsed = httptools.parse_url(self._url)
            path, query = parsed.path or b"/", parsed.query or b""
        text = path.decode("ascii")
        scope = {
            "type": "http",
            "http_version": parser.get_http_version(),
            "scheme": self._shared.scheme,
            "method": _METHODS.get(method) or method.decode("ascii"),
            "path": unquote(text) if "%" in text else text,
            "query_string": query,
            "headers": self._headers or [],
            "client": self.client,
        }
        exchange = Exchange(self, scope, parser.should_keep_alive(), self._expects)
        self._in_head = False
        self._headers = None
        self._url = b""
        self._reading = exchange
        self._read = self._unread = 0
        if self._current is None:
            self._begin(exchange)
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append(exchange)
        if len(self._queue) >= _MOST_QUEUED:
            self.transport.pause_reading()

    def on_body(self, body: bytes) -> None:
        exchange = self._reading
        self._read = 0
        self.since = monotonic()
        if exchange is None or exchange.answered:
            self._unread += len(body)
            if self._unread > _MAX_UNREAD:
                self.transport.close()
        elif exchange.feed(body) > _BODY_AHEAD:
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        if exchange is not None:
            exchange.finish()

    # Requests

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        task = self._shared.loop.create_task(exchange.run(self._shared.app))
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)

    def ended(self, exchange: Exchange) -> None:
        """The current request is answered."""
        self._current = None
        if self.closed:
            return
        if not exchange.keep_alive:
            self.transport.close()
            return
        self.since = monotonic()
        self.transport.resume_reading()
        if self._queue:
            self._begin(self._queue.popleft())

    def resume(self) -> None:
        """Read on: the application has taken what was there."""
        if not self.closed and (self._queue is None or len(self._queue) < _MOST_QUEUED):
            self.transport.resume_reading()

    def stale(self, limit: float) -> bool:
        """Whether the client has not done what is expected of it since before ``limit``.

        It is expected to send a request to its end, and to take the answers.
        """
        if self._writable is not None:
            left = self.transport.get_write_buffer_size()
            if left != self._left:
                self._left = left
                self.since = monotonic()
        elif self._current is not None and self._current.complete:
            return False
        return self.since < limit

    def shut(self) -> None:
        """Close: at once when idle, else after the answer under way."""
        if self._current is None:
            self.transport.close()
        else:
            self._current.keep_alive = False
            self._queue = None


class _Deaf:
    """A parser that reads nothing more."""

    def feed_data(self, data: bytes) -> None:
        """Ignore it."""


_DEAF = _Deaf()


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_chunked",
        "_chunks",
        "_connection",
        "_continue",
        "_head",
        "_size",
        "_started",
        "_waiting",
        "answered",
        "complete",
        "keep_alive",
        "scope",
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
        self._started = False
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
            if not self._started and not connection.closed:
                connection.transport.write(
                    _STATUS_LINES[HTTPStatus.INTERNAL_SERVER_ERROR]
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
            self._waiting = connection._shared.loop.create_future()
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
        head = b"" if self._started else self._whole_head(len(body), more)
        if self.scope["method"] == "HEAD":
            body = b""
        if self._chunked and body:
            body = b"%x\r\n%s\r\n" % (len(body), body)
        if not more:
            self.answered = True
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
        self._started = True
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
        lines = [_STATUS_LINES[HTTPStatus(status)], self._connection._shared.date()]
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
