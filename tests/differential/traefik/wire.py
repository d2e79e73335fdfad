"""HTTP/1.1 by hand: requests go out exactly as written, answers are read leniently."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import BinaryIO, NamedTuple

TIMEOUT = 30.0
"""Seconds one exchange may take on a slow machine before it counts as unanswered."""


class Answer(NamedTuple):
    """What came back; ``status`` 0 means the connection was closed without an answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def compose(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> bytes:
    """Write a request in HTTP/1.1 form with nothing added."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{key}: {value}" for key, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def exchange(port: int, request: bytes, source: str = "127.0.0.1") -> Answer:
    """Send ``request`` to a loopback port from ``source`` and read one answer."""
    address = ("127.0.0.1", port)
    with socket.create_connection(address, TIMEOUT, source_address=(source, 0)) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            try:
                return read_answer(stream, request.startswith(b"HEAD "))
            except ConnectionResetError:
                return Answer(0, [], b"")


def read_answer(stream: BinaryIO, bodiless: bool) -> Answer:
    """Read one answer, skipping informational ones."""
    readline, read = stream.readline, stream.read
    while True:
        start = readline().decode("latin-1").split(" ", 2)
        if len(start) < 2:
            return Answer(0, [], b"")
        status = int(start[1])
        headers = _headers(iter(readline, b""))
        if status >= 200 or status == 101:
            break
    fields = {key.lower(): value for key, value in headers}
    if bodiless or status in {101, 204, 304}:
        return Answer(status, headers, b"")
    if "chunked" in fields.get("transfer-encoding", ""):
        body = b""
        while size := int(readline().split(b";")[0] or b"0", 16):
            body += read(size)
            readline()
        return Answer(status, headers, body)
    length = fields.get("content-length")
    return Answer(status, headers, read(int(length)) if length is not None else read())


def _headers(lines: Iterable[bytes]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for line in lines:
        if not line.strip():
            break
        key, _, value = line.decode("latin-1").partition(":")
        headers.append((key, value.strip()))
    return headers


def values(headers: Sequence[tuple[str, str]], name: str) -> list[str]:
    """Return every value of one header, in order."""
    return [value for key, value in headers if key.lower() == name.lower()]
