"""What health checks are pointed at: servers of every kind, well and ill."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.checks_rig import Authority, refused_port, silent_port
from tests.patience import PATIENCE


class _Http(BaseHTTPRequestHandler):
    """Answers by the path: ``/status/418``, ``/to/<path>``, ``/echo``, ``/body/<bytes>``, …"""

    server: _Server

    def handle_one_request(self) -> None:
        super().handle_one_request()
        self.close_connection = True

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, what, *rest = self.path.split("/", 2)
        argument = rest[0] if rest else ""
        status, text, headers = 200, "fine\n", {}
        if what == "status":
            status, text = int(argument), f"this is {argument}"
        elif what == "to":
            status, headers = 302, {"Location": f"/{argument}"}
        elif what == "loop":
            status, headers = 302, {"Location": "/loop"}
        elif what == "away":
            status, headers = 301, {"Location": f"http://127.0.0.1:{self.server.refused}/x"}
        elif what == "echo":
            names = ("Host", "User-Agent", "Accept", "X-One", "Authorization", "Content-Type")
            shown = [f"{name}: {self.headers.get_all(name)}" for name in names]
            text = "\n".join([self.requestline, *shown, body.decode()])
        elif what == "body":
            text = "".join(f"{number:07}\n" for number in range(int(argument) // 8))
        elif what == "slow":
            time.sleep(1.5)
        elif what == "gone":
            return
        elif what == "reset":
            linger = b"\1\0\0\0\0\0\0\0"
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return
        elif what == "garbage":
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            return
        elif what == "odd":
            self.wfile.write(b"HTTP/1.1 299 Odd Reason\r\nContent-Length: 2\r\n\r\nhi")
            return
        elif what == "bare":
            self.wfile.write(b"HTTP/1.1 204\r\n\r\n")
            return
        elif what == "short":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes.")
            return
        elif what == "switch":
            status, text = self.server.switches[argument].answer()
        data = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_PURGE = answer

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Switch:
    """Statuses to come, each held back until its turn, and then the last of them at once.

    A check that asks once more has dealt with the answer it had: what the agent shows while a
    request is held is the state after all those before it, however long anybody took.
    """

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        self._asked = 0
        self._turns = threading.Semaphore(0)

    def answer(self) -> tuple[int, str]:
        """Wait for a turn; gives a status and which run it is."""
        self._asked += 1
        number = self._asked
        if number <= len(self.statuses) + 1:
            self._turns.acquire()
        return self.statuses[min(number, len(self.statuses)) - 1], f"run {number}"

    def ended(self, runs: int) -> bool:
        """Whether the check has dealt with so many answers."""
        return self._asked > runs

    def turn(self) -> None:
        """Let one request have its answer."""
        self._turns.release()


class _Server(ThreadingHTTPServer):
    """With statuses that are switched."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Clients may go."""

    refused = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Http)
        self.switches: dict[str, Switch] = {}


class Targets:
    """Ports of running targets."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.ports: dict[str, int] = {}
        self.http = self._serve(stack, _Server(), "http")
        authority = Authority(directory)
        for name, hosts in (
            ("https", ("localhost", "127.0.0.1")),
            ("https_other", ("other.example",)),
        ):
            server = _Server()
            server.socket = authority.server(*hosts).wrap_socket(server.socket, server_side=True)
            self._serve(stack, server, name)
        echo = socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Echo)
        self._serve(stack, echo, "udp")
        self._serve(stack, socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Closing), "closing")
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind(("127.0.0.1", 0))
        self.ports["udp_silent"] = silent.getsockname()[1]
        self.ports["refused"] = stack.enter_context(refused_port())
        self.ports["udp_refused"] = stack.enter_context(refused_port(socket.SOCK_DGRAM))
        self.ports["silent"] = stack.enter_context(silent_port())
        self.ports["grpc"] = stack.enter_context(_grpc())
        self.http.refused = self.ports["refused"]

    def _serve(self, stack: ExitStack, server: Any, name: str) -> Any:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        self.ports[name] = server.server_address[1]
        return server


class _Closing(socketserver.BaseRequestHandler):
    """Takes what comes first, says nothing, and closes."""

    def handle(self) -> None:
        self.request.settimeout(PATIENCE)
        self.request.recv(65536)


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, one = self.request
        one.sendto(data or b"x", self.client_address)


@contextmanager
def _grpc() -> Iterator[int]:
    """A gRPC server with the health service, made of the messages' bytes."""
    from concurrent import futures

    import grpc

    statuses = {b"": 1, b"well": 1, b"ill": 2, b"unknown": 0, b"odd": 7}

    def check(request: bytes, context: Any) -> bytes:
        name = request[2:]
        if name not in statuses:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08" + bytes((statuses[name],))

    handler = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


@contextmanager
def targets(directory: Path) -> Iterator[Targets]:
    """All of them, while the block runs."""
    with ExitStack() as stack:
        yield Targets(stack, directory)
