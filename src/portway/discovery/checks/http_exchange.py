"""One HTTP/1.1 request on a connection of its own, answered as far as a check wants to read.

Made of an asyncio protocol and llhttp (httptools): a check needs no pool, no cookies and no
streams, and thousands of them run in one process. This costs half the CPU of the same request
through aiohttp (``bench/checks.py`` compares them). The body is read up to a limit and the
connection closed, so that a target cannot make the agent read gigabytes.
"""

from __future__ import annotations

import asyncio
from typing import cast

from httptools import HttpParserError, HttpResponseParser

from portway.discovery.checks.dial import reason_of
from portway.discovery.checks.http_request import Request, Response

MAX_HEAD = 256 * 1024
"""Bytes an answer may have before its body starts."""


class ExchangeError(Exception):
    """No answer; the message is the output of the check."""


class Exchange(asyncio.Protocol):
    """Sends a request when connected; ``answer`` becomes the response or an ExchangeError."""

    __slots__ = (
        "_body",
        "_bytes",
        "_limit",
        "_location",
        "_parser",
        "_reason",
        "_request",
        "_transport",
        "answer",
        "in_body",
    )

    def __init__(self, request: Request, limit: int) -> None:
        """``limit`` in bytes of body."""
        self._request = request
        self._limit = limit
        self._transport: asyncio.Transport | None = None
        self._bytes = 0
        self._reason = b""
        self._location = b""
        self._body = bytearray()
        # Lines that end without a CR are what scripts around netcat send, and Go takes them.
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_data_after_close=True
        )
        self.in_body = False
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.write(self._request.wire)

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            if not self.in_body:
                self._fail(f"net/http: HTTP/1.x transport connection broken: {_malformed(data)}")
            else:
                self._finish()
            return
        if not self.in_body and self._bytes > MAX_HEAD:
            self._fail(f"server response headers exceeded {MAX_HEAD} bytes; aborted")

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer.done():
            return
        if self.in_body:  # a body that ends with the connection, or too early: it was an answer
            self._finish()
        elif error is not None:
            self._fail(f"read tcp {self._request.address}: read: {reason_of(error)}")
        else:
            self._fail("EOF")

    # What the parser calls:

    def on_message_begin(self) -> None:
        self._reason = self._location = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._location and name.lower() == b"location":
            self._location = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self.in_body = True
            if self._request.method == "HEAD":
                self._finish()

    def on_body(self, data: bytes) -> None:
        self._body += data[: self._limit - len(self._body)]
        if len(self._body) >= self._limit:
            self._finish()

    def on_message_complete(self) -> None:
        if self.in_body:
            self._finish()

    def _finish(self) -> None:
        if not self.answer.done():
            self.answer.set_result(
                Response(
                    self._parser.get_status_code(),
                    self._reason.decode(errors="replace"),
                    self._location.decode(errors="replace"),
                    bytes(self._body),
                )
            )
        self.close()

    def _fail(self, text: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ExchangeError(text))
            self.answer.exception()  # known: nobody awaits it when the handshake failed
        self.close()

    def close(self) -> None:
        """Close the connection; what is not read yet is never read."""
        self.answer.cancel()
        if self._transport is not None:
            self._transport.abort()


def _malformed(data: bytes) -> str:
    """What is wrong with the first line of an answer, in Go's words."""
    line = data.split(b"\n", 1)[0][:100].decode(errors="replace").rstrip("\r")
    version, space, rest = line.partition(" ")
    code = rest.lstrip(" ").partition(" ")[0]
    if not space:
        seen = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in line)
        return f'malformed HTTP response "{seen}"'
    if len(code) != 3 or not code.isdecimal():
        return f'malformed HTTP status code "{code}"'
    return f'malformed HTTP version "{version}"'
