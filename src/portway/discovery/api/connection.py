"""HTTP/1.1 for the API: one connection, its requests, their answers.

The application is called as ASGI wants it. What makes this server the API's own is what thousands
of clients cost that wait in blocking queries: a parked request holds little more than its
coroutines, and one whose client goes away is cancelled.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from time import monotonic, time
from typing import Any, cast
from urllib.parse import unquote

import httptools

from portway.discovery.api.exchange import OK, STATUS_LINES, Exchange

_HOST = re.compile(rb"[!$%&'()*+,\-.:;=\[\]_~0-9A-Za-z]*")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
MAX_HEAD = 64 * 1024  # bytes of a request's line and headers, unless configured otherwise
_BODY_AHEAD = 64 * 1024  # bytes of a body that are read before the application asks for it
_MAX_UNREAD = 16 * 1024 * 1024  # bytes of a body nobody asked for that are read and thrown away
_MOST_QUEUED = 8  # requests that are read before the one in work is answered
_COMMON_NAMES = {
    name.encode(): name.encode()
    for name in (
        *("host", "user-agent", "accept", "accept-encoding", "connection", "content-length"),
        *("content-type", "x-consul-token", "authorization", "cache-control"),
    )
}
_METHODS = {name.encode(): name for name in ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS")}


class Shared:
    """What the connections of a listener have in common."""

    __slots__ = (
        "_date",
        "_date_at",
        "app",
        "connections",
        "loop",
        "max_head",
        "recalled",
        "scheme",
        "tasks",
    )

    def __init__(self, app: Any, scheme: str, max_head: int = MAX_HEAD) -> None:
        self.app = app
        self.recalled: Callable[[bytes], bytes | None] = getattr(app, "recalled", _nothing)
        """The answer to a request's bytes that needs no thought, after status line and date."""
        self.scheme = scheme
        self.max_head = max_head
        """Bytes of a request's line and headers."""
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


def _host_problem(hosts: list[bytes], version: str) -> str:
    """What is wrong with the ``Host`` headers of a request (RFC 9112, section 3.2), or nothing."""
    if not hosts:
        return "" if version == "1.0" else "missing required Host header"
    if len(hosts) > 1:
        return "too many Host headers"
    return "" if _HOST.fullmatch(hosts[0]) else "malformed Host header"


def _nothing(_: bytes) -> None:
    """What an application remembers that has no memory."""


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
        "_unread",
        "_url",
        "_writable",
        "client",
        "closed",
        "shared",
        "since",
        "transport",
    )

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
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
        self.shared.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.shared.connections.discard(self)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        for exchange in self._exchanges():
            exchange.disconnect()
        self._current = self._reading = self._queue = None

    def pause_writing(self) -> None:
        self._writable = self.shared.loop.create_future()
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
        begins = self._parser is None
        if begins:
            if self._current is None and self._writable is None:
                recalled = self.shared.recalled(data)
                if recalled is not None:
                    self.since = monotonic()
                    self.transport.write(b"%s%s%s" % (OK, self.shared.date(), recalled))
                    return
            self._parser = httptools.HttpRequestParser(self)
        self._read += len(data)
        rest = data
        try:
            while rest:
                rest = self._feed(rest)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._refuse(HTTPStatus.BAD_REQUEST)
        if self._reading is None:
            if self._read > self.shared.max_head:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            elif not self._in_head and self._parser is not _DEAF:
                self._parser = None
                if begins and not self._queue and self._current is not None:
                    self._current.is_all_of(data)
        elif self._read > self.shared.max_head:
            self.transport.abort()  # trailers, or what surrounds the chunks, without an end

    def _feed(self, data: bytes) -> bytes:
        """Let the parser read; returns what it leaves.

        That is what follows an offer to speak another protocol. None is spoken, so it is the next
        request.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            return data[offer.args[0] :]
        return b""

    def eof_received(self) -> bool:
        """The client sends nothing more: whether the connection stays, for the answers.

        One that is gone looks like one that only has no more to say. Both get the answers of
        requests that are complete, but none that would have to be waited for.
        """
        exchanges = self._exchanges()
        if self.shared.scheme == "https" or not exchanges:  # TLS has no half of a connection
            return False
        if not all(one.finishes() for one in exchanges):
            return False
        exchanges[-1].keep_alive = False
        return True

    def _refuse(self, status: HTTPStatus, why: str = "") -> None:
        """Answer what cannot be understood, after what came before it, and close.

        That is the request which is being read, if one is. Where there are other answers to come
        it gets none.
        """
        if self._parser is _DEAF:
            return
        self._parser = _DEAF
        broken, self._reading = self._reading, None
        if broken is not None and broken.answered:
            self.transport.close()
            return
        if broken is not None and broken.started:
            self.transport.abort()  # half an answer must not look like a whole one
            return
        if broken is not None and self._queue:
            self._queue.pop()
        before = self._exchanges()
        if before and before[-1] is not broken:
            before[-1].keep_alive = False
            return
        body = f"{status.value} {status.phrase}{why and ': '}{why}".encode()
        self.transport.write(
            b"%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (STATUS_LINES[status], len(body), body)
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
        if self._read > self.shared.max_head and self._head_size() > self.shared.max_head:
            self._refuse_head(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        parser = self._parser
        version = parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            self._refuse_head(HTTPStatus.BAD_REQUEST)
            return
        headers = self._headers or []
        if why := _host_problem([value for name, value in headers if name == b"host"], version):
            self._refuse_head(HTTPStatus.BAD_REQUEST, why)
            return
        method = parser.get_method()
        path, _, query = self._url.partition(b"?")
        if not self._url.startswith(b"/") and self._url != b"*":
            parsed = httptools.parse_url(self._url)
            path, query = parsed.path or b"/", parsed.query or b""
        if b"%" in path and _BROKEN_ESCAPE.search(path):
            self._refuse_head(HTTPStatus.BAD_REQUEST)
            return
        text = path.decode("ascii")
        scope = {
            "type": "http",
            "http_version": version,
            "scheme": self.shared.scheme,
            "method": _METHODS.get(method) or method.decode("ascii"),
            "path": unquote(text, errors="surrogateescape") if "%" in text else text,
            "query_string": query,
            "headers": headers,
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

    def _refuse_head(self, status: HTTPStatus, why: str = "") -> None:
        self._in_head, self._headers, self._url = False, None, b""
        self._refuse(status, why)

    def _head_size(self) -> int:
        fields = sum(len(name) + len(value) + len(": \r\n") for name, value in self._headers or ())
        return len(self._url) + fields

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

    def _exchanges(self) -> list[Exchange]:
        """The request in work, if there is one, and those that wait for it to end."""
        return [one for one in (self._current, *(self._queue or ())) if one is not None]

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        task = self.shared.loop.create_task(exchange.run(self.shared.app))
        self.shared.tasks.add(task)
        task.add_done_callback(self.shared.tasks.discard)

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
