"""The servers behind both proxies: they record what arrives, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

REPLY = "X-Reply"
"""Request header that tells the server how to answer (JSON, see :func:`_answer`)."""


class Seen(NamedTuple):
    """One request as it arrived."""

    server: str  # name of the listening server
    address: str  # local address it arrived at
    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes


class Upstreams:
    """Named servers on random ports of every loopback address, in a thread of their own."""

    def __init__(self, names: Sequence[str], tls: str, certificate: Path):
        """Listen for ``names`` in plain HTTP and for ``tls`` with the given certificate."""
        self._loop = asyncio.new_event_loop()
        self._seen: list[Seen] = []
        self._released = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        # Bound sockets that never listen: connections to "dead" are refused, and "grpc" stays
        # free for the server of the gRPC tests, which shares the port.
        self._bound = {name: _bound() for name in ("dead", "grpc")}
        self.ports = {name: bound.getsockname()[1] for name, bound in self._bound.items()}
        # Sorted, so that a rule such as "the lowest port" can be written down in a case.
        listeners = sorted((_listener() for _ in [*names, tls]), key=lambda s: s.getsockname()[1])
        for name, listener in zip([*names, tls], listeners, strict=True):
            self.ports[name] = listener.getsockname()[1]
            self.call(self._listen(name, listener, context if name == tls else None))

    def call(self, work: Awaitable[None]) -> None:
        """Run ``work`` on the loop of the servers."""

        async def run() -> None:
            await work

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    async def _listen(
        self, name: str, listener: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                await self._serve(name, reader, writer)
            writer.close()

        self._servers.append(await asyncio.start_server(serve, sock=listener, ssl=context))

    async def _serve(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, version, headers = _parse(head)
            lower = {key.lower(): value for key, value in headers}
            body = await _body(reader, lower)
            address = writer.get_extra_info("sockname")[0]
            seen = Seen(name, address, method, target, version, headers, body)
            if not lower.get("user-agent", "").startswith("health"):
                self._seen.append(seen)
            wish: Mapping[str, Any] = json.loads(lower.get(REPLY.lower(), "{}"))
            if wish.get("close"):
                return
            if wish.get("silent"):
                await reader.read()
                return
            if wish.get("hints"):
                writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            if "websocket" in lower.get("upgrade", ""):
                await _tunnel(lower.get("sec-websocket-key", ""), reader, writer)
                return
            if wish.get("events"):
                await self._events(writer)
                return
            writer.write(_answer(seen, wish))
            await writer.drain()

    async def _events(self, writer: asyncio.StreamWriter) -> None:
        """Send one server-sent event, and the second only when :meth:`release` is called."""
        self._released.clear()
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + b"data: one\n\n")
        await writer.drain()
        await self._released.wait()
        writer.write(b"data: two\n\n")
        await writer.drain()

    def release(self) -> None:
        """Let a waiting stream of server-sent events go on."""
        self._loop.call_soon_threadsafe(self._released.set)

    def take(self) -> list[Seen]:
        """Return what arrived since the last call."""
        seen, self._seen = self._seen, []
        return seen

    def close(self) -> None:
        """Stop listening and forget all connections."""

        async def stop() -> None:
            for server in self._servers:
                server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.call(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
        for bound in self._bound.values():
            bound.close()


def _bound() -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", 0))
    return bound


def _listener() -> socket.socket:
    listener = socket.create_server(("", 0), backlog=128)
    listener.setblocking(False)
    return listener


def _parse(head: bytes) -> tuple[str, str, str, list[tuple[str, str]]]:
    start, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = start.split(" ", 2)
    headers = []
    for line in lines:
        if line:
            key, _, value = line.partition(":")
            headers.append((key, value.strip()))
    return method, target, version, headers


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", ""):
        return await _chunks(reader.readline, reader.readexactly)
    return await reader.readexactly(int(headers.get("content-length", "0")))


async def _chunks(
    readline: Callable[[], Awaitable[bytes]], readexactly: Callable[[int], Awaitable[bytes]]
) -> bytes:
    body = b""
    while size := int((await readline()).split(b";")[0], 16):
        body += await readexactly(size)
        await readline()
    while (await readline()).strip():
        pass
    return body


async def _tunnel(key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept a WebSocket and send every byte back."""
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {b64encode(digest).decode()}",
        "X-Tunnel: yes",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def long(text: str) -> str:
    """Write out ``<60k>`` as 60,000 characters."""
    return re.sub(r"^<(\d+)k>$", lambda size: "x" * (int(size[1]) * 1000), text)


def _answer(seen: Seen, wish: Mapping[str, Any]) -> bytes:
    """Build the answer a case asks for: ``status``, ``headers`` (pairs), ``body``."""
    body = long(str(wish.get("body", f"hello from {seen.server}\n"))).encode()
    status = int(wish.get("status", 200))
    headers = [("Content-Type", "text/plain"), *(tuple(pair) for pair in wish.get("headers", []))]
    if status != 204 and status >= 200:
        headers.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {status} Answer", *(f"{key}: {value}" for key, value in headers), "", ""]
    head = "\r\n".join(lines).encode("latin-1")
    return head if seen.method == "HEAD" or status in {204, 304} else head + body
