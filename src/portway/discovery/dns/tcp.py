"""DNS by TCP (RFC 7766): messages led by their length, answered as they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from portway.discovery.dns.answers import Answers

_MOST_CONNECTIONS = 1024
_MOST_PENDING = 64  # questions of one connection that wait for recursors
_IDLE = 10.0  # seconds without a question until a connection is closed


class TcpListener:
    """A listening socket and its connections."""

    def __init__(self, server: asyncio.Server, connections: set[Connection]) -> None:
        self._server = server
        self._connections = connections
        self.port: int = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the socket and every connection."""
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()


async def listen_tcp(
    address: tuple[str, int], answers: Answers, idle: float = _IDLE
) -> TcpListener:
    """Listen on an address. Raises OSError."""
    connections: set[Connection] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(answers, connections, idle), *address
    )
    return TcpListener(server, connections)


class Connection(asyncio.Protocol):
    """One client. Reading pauses while it does not take its answers, or waits for too many."""

    def __init__(self, answers: Answers, connections: set[Connection], idle: float) -> None:
        self._answers = answers
        self._connections = connections
        self._idle = idle
        self._buffer = bytearray()
        self._pending: set[asyncio.Task[None]] = set()
        self._full = False
        self._finished = False
        self._source = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(self._idle, self._check)
        if len(self._connections) >= _MOST_CONNECTIONS:
            self._transport.abort()
            return
        peer = transport.get_extra_info("peername")
        self._source = peer[0] if peer else ""
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._timer.cancel()
        for task in list(self._pending):
            task.cancel()

    def eof_received(self) -> bool:
        """Answers under way are still sent."""
        self._finished = True
        return bool(self._pending)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._work()

    def pause_writing(self) -> None:
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        self._work()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _work(self) -> None:
        """Answer what has arrived in full, as long as there is room for answers."""
        buffer = self._buffer
        self._answers.refresh()
        while not self._is_busy() and len(buffer) >= 2:
            end = 2 + int.from_bytes(buffer[:2], "big")
            if len(buffer) < end:
                break
            packet = bytes(buffer[2:end])
            del buffer[:end]
            self._heard = self._loop.time()
            reply = self._answers.by_tcp(packet, self._source)
            if isinstance(reply, bytes):
                self._send(reply)
            elif reply is not None:
                self._await(reply)
            else:  # nothing that could be answered: no DNS client
                self._transport.close()
                return
        if self._is_busy():
            self._transport.pause_reading()
        elif not self._finished:
            self._transport.resume_reading()

    def _is_busy(self) -> bool:
        return self._full or len(self._pending) >= _MOST_PENDING

    def _send(self, message: bytes) -> None:
        self._transport.write(len(message).to_bytes(2, "big") + message)

    def _await(self, reply: Coroutine[Any, Any, bytes]) -> None:
        task = self._loop.create_task(self._send_later(reply))
        self._pending.add(task)
        task.add_done_callback(self._sent)

    async def _send_later(self, reply: Coroutine[Any, Any, bytes]) -> None:
        self._send(await reply)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        if self._transport.is_closing():
            return
        if self._finished and not self._pending:
            self._transport.close()
        else:
            self._work()

    def _check(self) -> None:
        """Close when idle, or when the client takes no answers; look again otherwise."""
        left = self._heard + self._idle - self._loop.time()
        if left > 0 or (self._pending and not self._full):
            self._timer = self._loop.call_later(max(left, self._idle / 4), self._check)
        elif self._full:
            self._transport.abort()
        else:
            self._transport.close()
