"""The API's HTTP/1.1 against clients that mean harm, or are merely slow."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portway.discovery.api import Limit, serve
from tests.integration.discovery_rig import Discovery
from tests.patience import PATIENCE, until


@asynccontextmanager
async def raw(discovery: Discovery) -> AsyncIterator[tuple[Any, Any]]:
    """A connection without a client's manners."""
    port = int(discovery.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_trailers_of_a_body_are_nobodys_headers(discovery: Discovery) -> None:
    async with raw(discovery) as (reader, writer):
        writer.write(
            b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nv\r\n0\r\nX-Consul-Namespace: intruder\r\n\r\n"
            b"GET /v1/kv/k?raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200 OK") == 2, answers
    held = [one for one in gc.get_objects() if type(one) is list and len(one) < 99]
    assert not any((b"x-consul-namespace", b"intruder") in one for one in held)


async def test_trailers_are_bounded(discovery: Discovery) -> None:
    async with raw(discovery) as (reader, writer):
        writer.write(
            b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nv\r\n0\r\n"
        )
        for _ in range(200):
            writer.write(b"X-Trailer: " + b"y" * 1000 + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            try:
                answer = await reader.read()
            except ConnectionResetError:
                answer = b""
    assert b" 200 " not in answer


async def test_answers_that_are_not_read_are_not_made(discovery: Discovery) -> None:
    """Requests may be sent ahead, but one answer waits until the client has taken the last."""
    await discovery.put("/v1/kv/large", b"x" * 500_000)
    answered = 0

    def count(method: str, route: str, seconds: float) -> None:
        nonlocal answered
        answered += 1

    discovery.context.observe = count
    requests = 200
    async with raw(discovery) as (reader, writer):
        reader._transport.pause_reading()
        writer.write(b"GET /v1/kv/large?raw HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
        before = -1
        while answered != before or not answered:
            before = answered
            await asyncio.sleep(0.3)
        assert answered < requests / 2
        reader._transport.resume_reading()
        for _ in range(requests):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert len(await reader.readexactly(500_000)) == 500_000


async def test_a_client_that_takes_nothing_of_its_answer_is_closed_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = sys.modules[serve.__module__]
    monkeypatch.setattr(module, "_IDLE", 3.0)
    monkeypatch.setattr(module, "_LOOK", 0.05)

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * (32 << 20)})

    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    listener = serve(large, bound, Limit(0))
    clients = []
    try:
        for _ in range(2):
            clients.append(await asyncio.open_connection(*bound.getsockname(), limit=1 << 16))
            clients[-1][1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        slow, stuck = clients
        connections = listener._shared.connections
        await until(lambda: len(connections) == 2, "two connections")
        for _ in range(60):  # far longer than what a connection may be idle
            await slow[0].readexactly(1 << 18)
            await asyncio.sleep(0.1)
        await until(lambda: len(connections) == 1, "one connection")
        assert len(await slow[0].readexactly(1 << 20)) == 1 << 20
        assert not stuck[1].is_closing()
    finally:
        for _, writer in clients:
            writer.transport.abort()
        await listener.stop()
