"""The API's HTTP/1.1: what clients may send, in which pieces, and what they get."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portway.discovery.api import Limit, serve
from portway.discovery.api.connection import Connection, Shared
from tests.integration.discovery_rig import Discovery
from tests.patience import PATIENCE, until

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, text: str | bytes) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)

    async def head(self) -> tuple[int, dict[str, str]]:
        """The next status and headers, by lower-case name."""
        async with asyncio.timeout(PATIENCE):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value for name, value in headers.items()}

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer with a length."""
        status, headers = await self.head()
        async with asyncio.timeout(PATIENCE):
            body = await self.reader.readexactly(int(headers["content-length"]))
        return status, headers, body

    async def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def ends(self) -> bool:
        """Whether the server closes, having said nothing more."""
        try:
            return await self.rest() == b""
        except ConnectionResetError:
            return True


@asynccontextmanager
async def connected(discovery: Discovery) -> AsyncIterator[Client]:
    port = int(discovery.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def get(path: str, *headers: str, version: str = "1.1") -> str:
    lines = [f"GET {path} HTTP/{version}", "Host: x", *headers]
    return "\r\n".join(lines) + "\r\n\r\n"


def put(path: str, body: str, *headers: str) -> str:
    lines = [f"PUT {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines) + "\r\n\r\n" + body


async def test_many_requests_on_one_connection(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        for number in range(3):
            client.send(put("/v1/kv/k", str(number)))
            status, headers, body = await client.answer()
            assert (status, body) == (200, b"true")
            assert "connection" not in headers
            assert headers["date"].endswith(" GMT")
            client.send(get("/v1/kv/k?raw"))
            assert (await client.answer())[2] == str(number).encode()


async def test_pipelined_requests_are_answered_in_order(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        requests = [put(f"/v1/kv/{n}", "x" * n) + get(f"/v1/kv/{n}?raw") for n in range(40)]
        client.send("".join(requests))
        for number in range(40):
            assert (await client.answer())[2] == b"true"
            assert (await client.answer())[2] == b"x" * number


async def test_a_request_in_single_bytes(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        for byte in (put("/v1/kv/a%20b", "value") + get("/v1/kv/a%20b?raw")).encode():
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.answer())[2] == b"true"
        assert (await client.answer())[2] == b"value"


async def test_a_chunked_body(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        client.send("PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for chunk in ("5\r\nhello\r\n", "1;ext=1\r\n \r\n", "5\r\nworld\r\n", "0\r\n\r\n"):
            client.send(chunk)
            await asyncio.sleep(0.01)
        assert (await client.answer())[2] == b"true"
        client.send(get("/v1/kv/k?raw"))
        assert (await client.answer())[2] == b"hello world"


@pytest.mark.parametrize(
    ("version", "header", "closes"),
    [
        ("1.1", "X: y", False),
        ("1.1", "Connection: close", True),
        ("1.0", "X: y", True),
        ("1.0", "Connection: keep-alive", False),
    ],
)
async def test_when_a_connection_stays(
    discovery: Discovery, version: str, header: str, closes: bool
) -> None:
    async with connected(discovery) as client:
        client.send(get("/v1/status/leader", header, version=version))
        status, headers, _ = await client.answer()
        assert status == 200
        wanted = "close" if closes else ("keep-alive" if version == "1.0" else None)
        assert headers.get("connection") == wanted
        if closes:
            assert await client.ends()
        else:
            client.send(get("/v1/status/leader"))
            assert (await client.answer())[0] == 200


async def test_a_body_that_is_asked_for(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        head, _, body = put("/v1/kv/k", "value", "Expect: 100-continue").rpartition("\r\n\r\n")
        client.send(head + "\r\n\r\n")
        assert await client.head() == (100, {})
        client.send(body)
        assert (await client.answer())[2] == b"true"


async def test_a_body_that_is_not_wanted(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        size = 600 * 1024
        head = f"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
        client.send(head + "Expect: 100-continue\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (413, "close")
        assert await client.ends()
    async with connected(discovery) as client:
        client.send(head + "\r\n" + "x" * size + get("/v1/status/leader"))
        assert (await client.answer())[0] == 413
        assert (await client.answer())[0] == 200  # the body is read and thrown away


async def test_head_has_no_body(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        client.send(get("/v1/status/leader").replace("GET", "HEAD") + get("/v1/status/leader"))
        status, headers = await client.head()
        assert status == 405
        assert int(headers["content-length"]) > 0
        assert (await client.answer())[0] == 200


async def test_other_protocols_are_not_spoken(discovery: Discovery) -> None:
    offer = get("/v1/status/leader", "Connection: Upgrade", "Upgrade: h2c")
    async with connected(discovery) as client:
        for requests in (1, 2000):
            client.send(offer * requests)
            for _ in range(requests):
                status, headers, body = await client.answer()
                assert (status, body) == (200, b'"127.0.0.1:8300"')
                assert "connection" not in headers


async def test_who_sends_no_more_is_answered(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        client.send(put("/v1/kv/k", "value") + get("/v1/kv/k?raw"))
        client.writer.write_eof()
        assert (await client.answer())[2] == b"true"
        assert (await client.answer())[2] == b"value"
        assert await client.ends()


@pytest.mark.parametrize("pause", [0.0, 0.1])
async def test_who_sends_no_more_is_not_waited_for(discovery: Discovery, pause: float) -> None:
    async with connected(discovery) as client:
        client.send(put("/v1/kv/k", "value"))
        assert (await client.answer())[2] == b"true"
        client.send(get("/v1/kv/k?index=1000000&wait=5m"))
        await asyncio.sleep(pause)
        client.writer.write_eof()
        assert await client.ends()
    await until(lambda: not discovery.waits.now, "nobody to wait")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("", "missing required Host header"),
        ("Host: a\r\nHost: a\r\n", "too many Host headers"),
        ("Host: a b\r\n", "malformed Host header"),
        ("Host: a/b\r\n", "malformed Host header"),
    ],
)
async def test_a_request_names_one_host(discovery: Discovery, host: str, why: str) -> None:
    async with connected(discovery) as client:
        client.send(f"GET /v1/status/leader HTTP/1.1\r\n{host}\r\n")
        assert (await client.rest()).endswith(f"\r\n\r\n400 Bad Request: {why}".encode())


@pytest.mark.parametrize("host", ["", "a", "[::1]:8500", "consul.example:8500"])
async def test_hosts(discovery: Discovery, host: str) -> None:
    async with connected(discovery) as client:
        client.send(f"GET /v1/status/leader HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert (await client.answer())[0] == 200
        client.send("GET /v1/status/leader HTTP/1.0\r\n\r\n")
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        ("HELLO\r\n\r\n", 400),
        ("GET /v1/status/leader HTTP/3.7\r\n\r\n", 400),
        ("GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost x\r\n\r\n", 400),
        ("PUT /v1/kv/k HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        ("PUT /v1/kv/k HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (
            "PUT /v1/kv/k HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("GET /" + "a" * 70_000, 431),
        ("GET / HTTP/1.1\r\n" + "X: y\r\n" * 20_000, 431),
        ("GET / HTTP/1.1\r\nX: " + "y" * 70_000, 431),
    ],
)
async def test_what_is_no_request(discovery: Discovery, data: str, status: int) -> None:
    async with connected(discovery) as client:
        client.send(data.encode("latin-1"))
        answer = await client.rest()
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert answer.count(b"HTTP/1.1") == 1
    assert (await discovery.get("/v1/status/leader")).status == 200


async def test_a_broken_body(discovery: Discovery) -> None:
    head = "PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with connected(discovery) as client:
        client.send(head)
        await asyncio.sleep(0.02)
        client.send("zz\r\n")
        assert (await client.answer())[0] == 400
        assert await client.ends()
    assert (await discovery.get("/v1/kv/k")).status == 404
    async with connected(discovery) as client:
        client.send(put("/v1/kv/k", "v") * 2 + head + "zz\r\n")
        for _ in range(2):
            assert (await client.answer())[2] == b"true"
        assert await client.ends()


async def test_junk_after_a_request_does_not_hurt_its_answer(discovery: Discovery) -> None:
    async with connected(discovery) as client:
        client.send(put("/v1/kv/k", "v") + "\x00\x01junk\r\n\r\n")
        assert (await client.answer())[2] == b"true"
        assert await client.ends()


async def test_random_bytes_disturb_nobody(discovery: Discovery) -> None:
    rng = random.Random(5)
    pieces = [get("/v1/kv/k"), put("/v1/kv/k", "v"), "HTTP/1.1", "\r\n", "Content-Length: 9", "\0"]
    for _ in range(150):
        async with connected(discovery) as client:
            data = "".join(rng.choices(pieces, k=rng.randint(1, 6))).encode()
            for _ in range(rng.randint(0, 4)):
                at = rng.randrange(len(data) + 1)
                data = data[:at] + rng.randbytes(rng.randint(0, 3)) + data[at + 1 :]
            client.send(data)
            await client.writer.drain()
    assert (await discovery.get("/v1/status/leader")).status == 200
    await until(lambda: not discovery.waits.now, "nobody to wait")


# The server with other applications


@asynccontextmanager
async def serving(app: Any, limit: int = 0) -> AsyncIterator[tuple[int, Any]]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listener = serve(app, listening, Limit(limit))
    try:
        yield listening.getsockname()[1], listener
    finally:
        await listener.stop()


async def opened(port: int) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port))


async def stream(scope: Any, receive: Any, send: Send) -> None:
    headers = [(b"X-Odd", b"a\r\nInjected: b")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(3):
        body = f"line {number}\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def test_a_stream_is_chunked() -> None:
    async with serving(stream) as (port, _):
        client = await opened(port)
        client.send(get("/"))
        status, headers = await client.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        assert headers["x-odd"] == "a Injected: b"
        assert "injected" not in headers
        expected = b"7\r\nline 0\n\r\n7\r\nline 1\n\r\n7\r\nline 2\n\r\n0\r\n\r\n"
        assert await client.reader.readexactly(len(expected)) == expected
        old = await opened(port)
        old.send(get("/", version="1.0"))
        assert (await old.rest()).endswith(b"\r\n\r\nline 0\nline 1\nline 2\n")


async def test_a_stream_waits_for_its_reader() -> None:
    sent = 0

    async def endless(scope: Any, receive: Any, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 1

    async with serving(endless) as (port, _):
        client = await opened(port)
        client.send(get("/"))
        await client.head()
        await until(lambda: sent > 2, "the first parts")
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 2000
        client.writer.close()


async def test_a_large_body_waits_for_the_application() -> None:
    go = asyncio.Event()
    seen = 0

    async def slow(scope: Any, receive: Any, send: Send) -> None:
        nonlocal seen
        await go.wait()
        while True:
            message = await receive()
            seen += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    size = 32 << 20
    async with serving(slow) as (port, _):
        client = await opened(port)
        client.send(f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n")
        client.send(b"x" * size)
        await asyncio.sleep(0.1)
        assert client.writer.transport.get_write_buffer_size() > 0
        go.set()
        assert (await client.head())[0] == 204
        assert seen == size


async def test_an_application_that_fails() -> None:
    async def failing(scope: Any, receive: Any, send: Send) -> None:
        raise RuntimeError("no")

    async def silent(scope: Any, receive: Any, send: Send) -> None:
        return None

    for app in (failing, silent):
        async with serving(app) as (port, _):
            client = await opened(port)
            client.send(get("/"))
            assert (await client.answer())[0] == 500
            assert await client.ends()


async def test_too_many_connections_of_one_client() -> None:
    async with serving(stream, limit=2) as (port, _):
        first = [await opened(port) for _ in range(2)]
        for client in first:
            client.send(get("/"))
            assert (await client.head())[0] == 200
        third = await opened(port)
        assert (await third.rest()).startswith(b"HTTP/1.1 429 Too Many Requests")
        first[0].writer.close()
        await first[0].writer.wait_closed()

        async def accepted() -> bool:
            client = await opened(port)
            client.send(get("/"))
            head = await client.reader.read(12)
            client.writer.close()
            return head == b"HTTP/1.1 200"

        async with asyncio.timeout(PATIENCE):
            while not await accepted():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "api.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    scopes = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        scopes.append(scope)
        await stream(scope, receive, send)

    listener = serve(app, listening, Limit(1))
    client = Client(*await asyncio.open_unix_connection(path))
    client.send(get("/v1/x?y"))
    assert (await client.head())[0] == 200
    assert scopes[0]["client"] is None
    assert (scopes[0]["path"], scopes[0]["query_string"]) == ("/v1/x", b"y")
    await listener.stop()


async def test_the_end_lets_requests_finish_for_a_moment() -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Send) -> None:
        started.set()
        if scope["path"] == "/long":
            await asyncio.Event().wait()
        await go.wait()
        await stream(scope, receive, send)

    async with serving(waits) as (port, listener):
        short, long, idle = [await opened(port) for _ in range(3)]
        short.send(get("/short"))
        long.send(get("/long"))
        await started.wait()
        await asyncio.sleep(0.05)
        stopping = asyncio.create_task(listener.stop())
        assert await idle.ends()
        go.set()
        status, headers = await short.head()
        assert (status, headers["connection"]) == (200, "close")
        await stopping
        assert b"200" not in await long.rest()


async def test_who_is_stale() -> None:
    """Idle connections and those stuck within a request; not those whose request is in work."""

    class Transport:
        def get_extra_info(self, name: str) -> Any:
            return ("127.0.0.1", 1)

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    async def parked(scope: Any, receive: Any, send: Send) -> None:
        await asyncio.Event().wait()

    shared = Shared(parked, "http")
    cases: dict[str, bool] = {
        "": True,
        "GET / HT": True,
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab": True,
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n": False,
    }
    for data, stale in cases.items():
        connection = Connection(shared)
        connection.connection_made(Transport())  # type: ignore[arg-type]
        if data:
            connection.data_received(data.encode())
        assert connection.stale(float("inf")) is stale, data
        assert not connection.stale(0.0)
    for task in list(shared.tasks):
        task.cancel()
