"""Waiting for what other programs show, and a web server that they are told of."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.cli_consul_rig import eventually

_TIMEOUT = 10.0  # seconds of one request


@contextmanager
def running(command: Sequence[str], log: Path, ready: str, status: int = 200) -> Iterator[None]:
    """A program beside the test, from when it answers ``ready``, a URL, with this status.

    What it wrote is shown when the test fails.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def answers() -> bool:
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        return request(ready)[0] == status

    try:
        eventually(answers, f"an answer of {command[0]}")
        yield
    except AssertionError as error:
        error.add_note(f"{command[0]}:\n{log.read_text()[-3000:]}")
        raise
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def request(url: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body; 0 while nobody answers. Header ``X_Y`` is ``X-Y``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=named, method=method), timeout=_TIMEOUT
        ) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def put(url: str, body: Any, token: str = "") -> None:
    """A PUT to an agent, of text or of JSON, that must succeed."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"X-Consul-Token": token}, method="PUT")
    with urllib.request.urlopen(asked, timeout=_TIMEOUT) as response:
        response.read()


def until(question: Any, wanted: Any) -> None:
    """Ask until the answer is as wanted; the failure tells the last one."""
    last: list[Any] = []

    def asked() -> bool:
        last[:] = [question()]
        return bool(last[0] == wanted)

    try:
        eventually(asked, "the answer")
    except AssertionError as error:
        raise AssertionError(f"{last[0]!r} and not {wanted!r}") from error


@contextmanager
def web_server(text: str) -> Iterator[int]:
    """A web server that always answers ``text``, on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
