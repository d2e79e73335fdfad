"""WebSocket, server-sent events, HTTP/2, gRPC and balancing through both proxies."""

from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Callable

import grpc
import pytest

from tests.patience import PATIENCE

from . import wire
from .case import Setup, load
from .conftest import Pair
from .grpc_upstream import Echo
from .proxy import Proxy
from .upstream import Seen

SETUPS, _ = load()
PROXIES = ("traefik", "portway")


@pytest.fixture
def pair(pair_of: Callable[[Setup], Pair]) -> Pair:
    return pair_of(SETUPS["protocols"])


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest, pair: Pair) -> Proxy:
    found: Proxy = getattr(pair, request.param)
    return found


def _upgrade(host: str) -> bytes:
    return wire.compose(
        "GET",
        "/chat?room=1",
        [
            ("Host", host),
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", "chat"),
            ("Origin", "http://proto.test"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", "differential"),
        ],
    )


def _relevant(seen: Seen) -> tuple[str, str, dict[str, str]]:
    headers = {key.lower(): value for key, value in seen.headers}
    if "connection" in headers:
        # A list of tokens; that the connection is kept open is each hop's own affair.
        tokens = {token.strip() for token in headers["connection"].lower().split(",")}
        headers["connection"] = ", ".join(sorted(tokens - {"keep-alive"}))
    return seen.method, seen.target, headers


@pytest.mark.parametrize("host", ["proto.test", "protoadd.test"])
def test_websocket(pair: Pair, host: str) -> None:
    """The upgrade passes with the same headers, and bytes flow both ways."""
    seen = []
    for proxy in (pair.traefik, pair.portway):
        pair.upstreams.take()
        with socket.create_connection(("127.0.0.1", proxy.ports["web"]), 30) as connection:
            connection.sendall(_upgrade(host))
            with connection.makefile("rb") as stream:
                answer = wire.read_answer(stream, bodiless=False)
                assert answer.status == 101
                assert wire.values(answer.headers, "Upgrade") == ["websocket"]
                assert wire.values(answer.headers, "Sec-WebSocket-Accept") == [
                    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
                ]
                for frame in (b"\x81\x85\x00\x00\x00\x00hello", b"\x82\x81\x00\x00\x00\x00\xff"):
                    connection.sendall(frame)
                    assert stream.read(len(frame)) == frame
        seen.append(_relevant(pair.upstreams.take()[0]))
    assert seen[0] == seen[1]
    assert seen[0][2]["x-forwarded-proto"] == "ws"


def test_websocket_closed_by_server_ends_at_client(pair: Pair, proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.ports["web"]), 30) as connection:
        connection.sendall(_upgrade("proto.test"))
        with connection.makefile("rb") as stream:
            assert wire.read_answer(stream, bodiless=False).status == 101
            connection.shutdown(socket.SHUT_WR)
            assert stream.read() == b""


def test_events_arrive_one_by_one(pair: Pair, proxy: Proxy) -> None:
    """The first event is with the client before the server sends the second."""
    headers = [("Host", "proto.test"), ("Accept", "text/event-stream")]
    headers.append(("X-Reply", json.dumps({"events": True})))
    with socket.create_connection(("127.0.0.1", proxy.ports["web"]), 30) as connection:
        connection.sendall(wire.compose("GET", "/events", headers))
        received = b""
        while b"data: one" not in received:
            received += connection.recv(4096)
        assert b"data: two" not in received
        pair.upstreams.release()
        while b"data: two" not in received:
            chunk = connection.recv(4096)
            assert chunk, received
            received += chunk
    assert b"text/event-stream" in received


def test_http2_in_http1_out(pair: Pair) -> None:
    """A client that speaks HTTP/2 without TLS reaches an HTTP/1.1 server."""
    headers = ("Host: proto.test", "Accept-Encoding: identity", "Cookie: a=1", "Cookie: b=2")
    curl = ["curl", "-sS", "--http2-prior-knowledge", "-D", "-", "-d", "body"]
    for header in headers:
        curl += ["-H", header]
    seen = []
    for proxy in (pair.traefik, pair.portway):
        pair.upstreams.take()
        done = subprocess.run(
            [*curl, f"http://127.0.0.1:{proxy.ports['web']}/x%2Fy?z=1"],
            capture_output=True,
            check=True,
            text=True,
        )
        assert done.stdout.startswith("HTTP/2 200")
        assert done.stdout.endswith("hello from a\n")
        seen.append(_relevant(pair.upstreams.take()[0]))
    for one in seen:
        one[2].pop("transfer-encoding", None)
        one[2].pop("content-length", None)
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("host", "shares"),
    [
        ("weighted.test", {"a": 0.75, "b": 0.25}),
        ("even.test", {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
    ],
)
def test_shares_of_servers(pair: Pair, proxy: Proxy, host: str, shares: dict[str, float]) -> None:
    """Over 120 requests each server gets its share, give or take a tenth of all."""
    pair.upstreams.take()
    request = wire.compose("GET", "/", [("Host", host)])
    for _ in range(120):
        assert wire.exchange(proxy.ports["web"], request).status == 200
    counts = Counter(seen.server for seen in pair.upstreams.take())
    assert counts.keys() == shares.keys()
    for server, share in shares.items():
        assert abs(counts[server] / 120 - share) < 0.1, counts


def test_grpc(echo: Echo, pair: Pair, proxy: Proxy) -> None:
    """Unary, failing, streaming and two-way calls, with metadata and trailers."""
    with grpc.insecure_channel(
        f"127.0.0.1:{proxy.ports['web']}", options=[("grpc.enable_retries", 0)]
    ) as channel:
        unary = channel.unary_unary("/test.Echo/Unary")
        answer, call = unary.with_call(b"abc", metadata=(("x-mine", "1"),), timeout=PATIENCE)
        assert answer == b"cba"
        assert ("x-trailer", "end") in call.trailing_metadata()
        assert echo.metadata["x-mine"] == "1"
        assert echo.metadata["x-in"] == "1"
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/test.Echo/Refuse")(b"", timeout=PATIENCE)
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert refused.value.details() == "not today: é"
        assert list(channel.unary_stream("/test.Echo/Count")(b"5", timeout=PATIENCE)) == [
            b"0", b"1", b"2", b"3", b"4"
        ]  # fmt: skip
        chat = channel.stream_stream("/test.Echo/Chat")
        assert list(chat(iter([b"a", b"b"]), timeout=PATIENCE)) == [b"A", b"B"]
        with pytest.raises(grpc.RpcError) as unknown:
            channel.unary_unary("/test.Echo/Missing")(b"", timeout=PATIENCE)
        assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.RpcError) as unrouted:
            channel.unary_unary("/other.Service/Method")(b"", timeout=PATIENCE)
        assert unrouted.value.code() == grpc.StatusCode.UNIMPLEMENTED
