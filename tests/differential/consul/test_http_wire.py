"""HTTP itself, as bytes: what a client other than a library may send."""

from __future__ import annotations

import gzip
import http.client
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest

from tests.patience import PATIENCE

from .conftest import Play
from .facts import COMPARED_HEADERS
from .world import World

ASKED = b"Host: a\r\nConnection: close\r\n\r\n"
PUT = b"PUT /v1/kv/wire HTTP/1.1\r\nHost: a\r\n"


def say(port: int, data: bytes) -> list[dict[str, Any]]:
    """The answers to some bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            answers = []
            with suppress(ConnectionResetError):
                while stream.peek(1):
                    answers.append(_answer(stream, head=data.startswith(b"HEAD")))
    return answers


def _answer(stream: Any, *, head: bool) -> dict[str, Any]:
    version, status, _ = (stream.readline().decode() + "  ").split(" ", 2)
    headers = http.client.parse_headers(stream)
    kept = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in COMPARED_HEADERS | {"connection"} and name.lower() != "x-consul-index"
    }
    if head or status.startswith("1"):
        body = b""
    elif headers.get("Transfer-Encoding") == "chunked":
        body = b"".join(_chunks(stream))
    elif (length := headers.get("Content-Length")) is not None:
        body = stream.read(int(length))
    else:
        body = stream.read()
    if kept.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    for name in set(kept) & {"content-type"}:
        if kept[name] == "text/plain":
            kept[name] += "; charset=utf-8"  # as 1.22 says
    text = body.decode(errors="replace")
    if "Index" in text:
        text = "(a row)"
    return {"version": version, "status": int(status), "headers": kept, "body": text}


def _chunks(stream: Any) -> list[bytes]:
    found: list[bytes] = []
    while size := int(stream.readline(), 16):
        found.append(stream.read(size))
        stream.readline()
    stream.readline()
    return found


DIFFERS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "HTTP/1.0": {"Answers to HTTP/1.0": ["0.version", "?0.headers"]},
    "a body that is asked for": {"`Expect: 100-continue` with a body that is there already": ["*"]},
    "hosts": {"Errors of Go's libraries": ["0.body"]},
    "broken": {"Requests that are not HTTP/1.0 or 1.1": ["*"]},
}

REQUESTS: Mapping[str, Sequence[bytes]] = {
    "plain": [b"GET /v1/kv/wire HTTP/1.1\r\n" + ASKED, b"GET /v1/kv/wire?raw HTTP/1.1\r\n" + ASKED],
    "HEAD": [
        b"HEAD /v1/kv/wire HTTP/1.1\r\n" + ASKED,
        b"HEAD /v1/agent/checks HTTP/1.1\r\n" + ASKED,
        b"HEAD /v1/kv/none HTTP/1.1\r\n" + ASKED,
    ],
    "OPTIONS": [
        b"OPTIONS /v1/kv/wire HTTP/1.1\r\n" + ASKED,
        b"OPTIONS /v1/agent/checks HTTP/1.1\r\n" + ASKED,
        b"OPTIONS /v1/none HTTP/1.1\r\n" + ASKED,
        b"OPTIONS * HTTP/1.1\r\n" + ASKED,
    ],
    "HTTP/1.0": [
        b"GET /v1/kv/wire?raw HTTP/1.0\r\n\r\n",
        b"GET /v1/kv/wire?raw HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
    "two at once": [
        b"GET /v1/kv/wire?raw HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/kv/wire HTTP/1.1\r\n" + ASKED
    ],
    "a host": [
        b"GET /v1/kv/wire?raw HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /v1/kv/wire?raw HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        b"GET http://a/v1/kv/wire?raw HTTP/1.1\r\n" + ASKED,
    ],
    "hosts": [b"GET /v1/kv/wire?raw HTTP/1.1\r\nHost: a\r\n" + ASKED],
    "a body": [
        PUT + b"Content-Length: 1\r\nConnection: close\r\n\r\nx",
        PUT + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        PUT
        + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1;a=b\r\nx\r\n0\r\nT: v\r\n\r\n",
        PUT + b"Connection: close\r\n\r\n",
        b"GET /v1/kv/wire?raw HTTP/1.1\r\nContent-Length: 1\r\n" + ASKED + b"x",
    ],
    "a body that is asked for": [
        PUT + b"Expect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
    ],
    "a wrong body": [
        PUT + b"Content-Length: -1\r\n\r\n",
        PUT + b"Content-Length: x\r\n\r\n",
        PUT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    ],
    "wrong": [
        b"GET\r\n\r\n",
        b"GET /v1/kv/wire\r\n\r\n",
        b"GET /v1/kv/wire HTTX/1.1\r\n" + ASKED,
        b"GET /v1/kv/w ire HTTP/1.1\r\n" + ASKED,
        b"GET v1/kv/wire HTTP/1.1\r\n" + ASKED,
        b"GET /v1/kv/wire HTTP/1.1\r\nNo colon\r\n" + ASKED,
        b"GET /v1/kv/wire HTTP/1.1\r\nA: \x01\r\n" + ASKED,
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00\r\n\r\n",
    ],
    "broken": [
        PUT + b"Transfer-Encoding: nope\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/kv/wire HTTP/3.0\r\n" + ASKED,
        b"get /v1/kv/wire HTTP/1.1\r\n" + ASKED,
        b"GET /v1/kv/wire HTTP/1.1\r\nA b: c\r\n" + ASKED,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    "gzip": [
        b"GET /v1/kv/wire?raw HTTP/1.1\r\nAccept-Encoding: gzip\r\n" + ASKED,
        b"GET /v1/kv/wire-long?raw HTTP/1.1\r\nAccept-Encoding: gzip\r\n" + ASKED,
        b"GET /v1/kv/wire-long?raw HTTP/1.1\r\nAccept-Encoding: deflate, gzip;q=0.5\r\n" + ASKED,
        b"GET /v1/kv/wire-long?raw HTTP/1.1\r\nAccept-Encoding: gzip;q=0\r\n" + ASKED,
        b"GET /v1/kv/wire-long?raw HTTP/1.1\r\nAccept-Encoding: *\r\n" + ASKED,
        b"GET /v1/kv/?keys HTTP/1.1\r\nAccept-Encoding: gzip\r\n" + ASKED,
        b"HEAD /v1/kv/wire-long?raw HTTP/1.1\r\nAccept-Encoding: gzip\r\n" + ASKED,
    ],
    "upgrades": [
        b"GET /v1/kv/wire?raw HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\n"
        b"Upgrade: %s\r\n\r\n" % protocol
        for protocol in (b"h2c", b"websocket")
    ],
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_bytes(play: Play, kind: str) -> None:
    def scenario(ask: World) -> None:
        ask.put("kv/wire", "value", record=False)
        ask.put("kv/wire-long", "value" * 1000, record=False)
        for data in REQUESTS[kind]:
            answers = say(ask.ports["http"], data)
            facts = {f"{n}.{k}": v for n, one in enumerate(answers) for k, v in one.items()}
            ask.note(repr(data), facts, differs=DIFFERS.get(kind))
        ask.delete("kv/wire?recurse", record=False)

    play(scenario)
