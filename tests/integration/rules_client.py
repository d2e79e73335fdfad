"""Many requests over kept-alive connections, every byte as given."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Sequence

from portway.rules import Request

_BATCH = 50


def ask_all(port: int, requests: Iterable[Request], show: str) -> list[str]:
    """The value of the response header ``show`` for each request, or the status line."""
    asked = list(requests)
    answers = [""] * len(asked)
    for client in {request.client_ip for request in asked}:
        numbers = [n for n, request in enumerate(asked) if request.client_ip == client]
        for start in range(0, len(numbers), _BATCH):
            batch = numbers[start : start + _BATCH]
            found = _ask(port, client, [asked[n] for n in batch], show)
            for number, answer in zip(batch, found, strict=True):
                answers[number] = answer
    return answers


def _ask(port: int, client: str, requests: Sequence[Request], show: str) -> list[str]:
    answers: list[str] = []
    while len(answers) < len(requests):  # the server may close the connection in between
        connection = socket.create_connection(("127.0.0.1", port), 60, (client, 0))
        with contextlib.closing(connection), connection.makefile("rb") as stream:
            for request in requests[len(answers) :]:
                connection.sendall(_head(request))
                status = stream.readline().decode().strip()
                headers: dict[str, str] = {}
                while line := stream.readline().strip().decode("latin-1"):
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                if request.method != "HEAD":
                    stream.read(int(headers.get("content-length", "0")))
                answers.append(headers.get(show.lower(), status))
                if headers.get("connection") == "close":
                    break
    return answers


def _head(request: Request) -> bytes:
    target = request.path + (f"?{request.query}" if request.query else "")
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {request.host}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()
