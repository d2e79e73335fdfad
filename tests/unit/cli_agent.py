"""An agent for tests of commands: it gives the answers it was told to, and keeps the questions."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from portway.cli import main


class Outcome(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Consul = Callable[..., Outcome]


def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAgent]:
    """A fixture: an agent, which commands find by the environment."""
    fake = FakeAgent()
    monkeypatch.setenv("CONSUL_HTTP_ADDR", fake.address)
    yield fake
    fake.close()


def calling(capfdbinary: pytest.CaptureFixture[bytes]) -> Consul:
    """A fixture: a function that runs ``consul`` with some arguments."""

    def consul(*argv: str) -> Outcome:
        code = main(argv, program="consul")
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Outcome(code, out.decode(errors="replace"), err.decode(errors="replace"))

    return consul


class Question(NamedTuple):
    """A request as it came: the path decoded, the parameters by name (the last of each)."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer: bytes as they are, anything else as JSON."""

    body: Any = b""
    status: int = 200
    index: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class FakeAgent:
    """Serves on a free port of 127.0.0.1.

    ``answer`` takes a method, a path below ``/v1`` and either a body, a ``Reply``, a ``Series``
    of these (given in turn, the last for ever), or a function of the question. What nobody
    answered is a 404 whose body says so.
    """

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self._answers: dict[tuple[str, str], Any] = {}
        agent = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

            def _serve(self) -> None:
                agent._serve(self)

            do_GET = do_PUT = do_POST = do_DELETE = _serve

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, reply: Any) -> None:
        self._answers[method, path] = reply

    def asked(self, method: str, path: str) -> list[Question]:
        """The questions of this method and path, oldest first."""
        return [q for q in self.questions if (q.method, q.path) == (method, path)]

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        question = Question(
            request.command,
            unquote(url.path).removeprefix("/v1"),
            dict(parse_qsl(url.query, keep_blank_values=True)),
            {name.lower(): value for name, value in request.headers.items()},
            _body(request),
        )
        self.questions.append(question)
        reply = self._reply(question)
        content = reply.body
        kind = "application/json"
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        elif reply.status != 200:
            kind = "text/plain; charset=utf-8"
        request.send_response(reply.status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        if reply.index is not None:
            request.send_header("X-Consul-Index", str(reply.index))
        for name, value in reply.headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def _reply(self, question: Question) -> Reply:
        key = (question.method, question.path)
        found = self._answers.get(key, Reply(f"nobody answers {key}".encode(), 404))
        if isinstance(found, Series):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, Callable):  # type: ignore[arg-type]
            found = found(question)
        return found if isinstance(found, Reply) else Reply(found)


class Series(list[Any]):
    """Replies to give in turn; the last for ever."""


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    content = b""
    while size := int(request.rfile.readline(), 16):
        content += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return content
