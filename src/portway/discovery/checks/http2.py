"""One HTTP/2 connection for one question: what the gRPC and H2PING checks have in common.

``h2`` (with hpack and hyperframe) speaks the protocol. grpcio would be the other way for gRPC:
it brings threads and channels of its own, cannot skip the verification of a certificate
(``tls_skip_verify``), and has no PING to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from h2.exceptions import ProtocolError

from portway.discovery.checks.dial import reason_of

_MOST_FRAME = 16384  # bytes of a frame, unless we allowed more (RFC 9113, 4.2)
MAX_BYTES = 64 * 1024
"""Bytes a server may send before it has answered."""


class Http2Error(Exception):
    """The connection ended without an answer."""


class Http2(asyncio.Protocol):
    """Sends a question when connected and hands every event to ``received``.

    ``received`` returns true for the event that is the answer; ``answered`` then completes,
    with Http2Error if the connection ends before.
    """

    def __init__(
        self, ask: Callable[[H2Connection], None], received: Callable[[Event], bool]
    ) -> None:
        self._ask = ask
        self._received = received
        self._bytes = 0
        self.greeted = False
        """The server speaks HTTP/2."""
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._h2.initiate_connection()
        self._ask(self._h2)
        self._transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        if self.answered.done():
            return
        if not self.greeted and int.from_bytes(data[:3], "big") > _MOST_FRAME:
            self._fail("http2: frame too large")  # HTTP/1, say
            return
        self.greeted = True
        self._bytes += len(data)
        try:
            for event in self._h2.receive_data(data):
                if self._received(event):
                    self.answered.set_result(None)
                    break
                if isinstance(event, ConnectionTerminated):
                    self._fail(f"server sent GOAWAY, error code {event.error_code!s}")
                    break
        except (ProtocolError, ValueError) as error:  # ValueError: headers that are not UTF-8
            self._fail(str(error) or type(error).__name__)
        if self._bytes > MAX_BYTES:
            self._fail(f"no answer within {MAX_BYTES} bytes")
        if self._transport is not None:
            self._transport.write(self._h2.data_to_send())

    def connection_lost(self, error: Exception | None) -> None:
        end = "unexpected EOF" if self.greeted else "EOF"
        self._fail(reason_of(error) if error else end)

    def close(self) -> None:
        """Say goodbye and close the connection."""
        self.answered.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._h2.close_connection()
            self._transport.write(self._h2.data_to_send())
            self._transport.close()

    def _fail(self, text: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(Http2Error(text))
            self.answered.exception()  # known: nobody awaits it when the handshake failed
