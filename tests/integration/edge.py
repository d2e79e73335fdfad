"""A running Portway: the product as users start it, on free ports, with files and containers.

::

    with serving(tmp_path) as edge, backend("one") as one:
        edge.write("dynamic.yml", routes_to(one))
        eventually(lambda: edge.get("a.test").status == 200, "the route is live")

It has the entry points ``web`` and ``alt``, the API and ``/ping`` on the entry point
``traefik``, a directory of dynamic files, and with ``docker=True`` a fake Docker daemon.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.patience import PATIENCE
from tests.ports import free_port

from .fake_docker import FakeContainer, FakeDocker
from .services_harness import Server, eventually

_ROOT = Path(__file__).parents[2]
T = TypeVar("T")
Headers = Mapping[str, str] | Sequence[tuple[str, str]]


class Reply(NamedTuple):
    """An answer as a client saw it; header names in lower case."""

    status: int
    body: str
    headers: dict[str, str]


class Processes(NamedTuple):
    """The three processes of a running edge."""

    parent: int
    control: int
    envoy: int


@contextlib.contextmanager
def backend(name: str, *, port: int = 0) -> Iterator[Server]:
    """A server that answers with its name and remembers what it was asked."""
    server = Server(name, port=port)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def serving(
    directory: Path, *flags: str, docker: bool = False, module: str = "portway"
) -> Iterator[Edge]:
    """A Portway that is ready, stopped at the end."""
    edge = Edge(directory, *flags, docker=docker, module=module)
    try:
        edge.start()
        edge.wait_ready()
        yield edge
    finally:
        edge.close()


class Edge:
    """One Portway process tree, started by ``python -m`` and a module."""

    def __init__(
        self, directory: Path, *flags: str, docker: bool = False, module: str = "portway"
    ) -> None:
        self.directory = directory
        self.dynamic = directory / "dynamic"
        self.dynamic.mkdir(exist_ok=True)
        self.web, self.alt, self.admin = free_port(), free_port(), free_port()
        self.docker = Containers() if docker else None
        self._runtime = tempfile.TemporaryDirectory(prefix="pw-edge-")
        self._log = directory / "portway.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._module = module
        self._flags = [
            f"--entrypoints.web.address=127.0.0.1:{self.web}",
            f"--entrypoints.alt.address=127.0.0.1:{self.alt}",
            f"--entrypoints.traefik.address=127.0.0.1:{self.admin}",
            "--entrypoints.web.asdefault=true",
            "--api.insecure=true",
            "--ping=true",
            f"--providers.file.directory={self.dynamic}",
            *flags,
        ]
        if self.docker is not None:
            self._flags += [
                f"--providers.docker.endpoint={self.docker.endpoint}",
                "--providers.docker.exposedbydefault=false",
            ]

    # The process

    def start(self) -> None:
        """Start it, without waiting; the log goes on in the same file."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, *self._flags],
                stdout=log,
                stderr=log,
                cwd=_ROOT,
                env={**os.environ, "XDG_RUNTIME_DIR": self._runtime.name},
            )

    def wait_ready(self) -> None:
        """Wait until /ping says that it is ready."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.ask("/ping", port=self.admin).status == 200
            return False

        eventually(ready, "/ping answers 200")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The parent process."""
        assert self._process is not None
        return self._process

    @property
    def runtime_dir(self) -> Path:
        """Where the processes meet."""
        (found,) = Path(self._runtime.name).glob("portway-*")
        return found

    def processes(self) -> Processes:
        """The processes that run now; AssertionError while one is missing."""
        found = self._children()
        assert found.keys() == {"envoy", "control"}, f"{found}\n{self.log()}"
        return Processes(self.process.pid, **found)

    def control(self) -> int | None:
        """The control process that runs now, if any."""
        return self._children().get("control")

    def envoy(self) -> int | None:
        """The Envoy that runs now, if any."""
        return self._children().get("envoy")

    def _children(self) -> dict[str, int]:
        found = {}
        for pid in _children(self.process.pid):
            with contextlib.suppress(OSError):
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if argv[0].endswith(b"/envoy"):
                    found["envoy"] = pid
                elif argv[0].endswith(b"python"):
                    found["control"] = pid
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the parent."""
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for the end."""
        return self.process.wait(PATIENCE)

    def log(self) -> str:
        """Everything the processes wrote."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """Stop whatever still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self.docker is not None:
            self.docker.close()
        self._runtime.cleanup()

    # What it serves

    def ask(
        self,
        target: str = "/",
        *,
        host: str = "a.test",
        headers: Headers = (),
        method: str = "GET",
        body: bytes = b"",
        port: int | None = None,
    ) -> Reply:
        """One request on a connection of its own, to ``web`` unless a port is given."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.web, timeout=PATIENCE)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host)
            pairs = headers.items() if isinstance(headers, Mapping) else headers
            for name, value in pairs:
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            return Reply(answer.status, text, {k.lower(): v for k, v in answer.getheaders()})
        finally:
            connection.close()

    def status(self, host: str, target: str = "/", **options: Any) -> int:
        """The status of a request."""
        return self.ask(target, host=host, **options).status

    def api(self, path: str) -> Any:
        """What the API says."""
        reply = self.ask(path, port=self.admin)
        assert reply.status == 200, f"{path}: {reply}"
        return json.loads(reply.body)

    def shown(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object (``routers``, ``r@file``) as the API shows it; None when there is none."""
        reply = self.ask(f"/api/http/{kind}/{name}", port=self.admin)
        found: dict[str, Any] | None = json.loads(reply.body) if reply.status == 200 else None
        return found

    def state(self, kind: str, name: str) -> str:
        """The status of an object; "absent" when there is none."""
        found = self.shown(kind, name)
        return "absent" if found is None else str(found["status"])

    def errors(self, kind: str, name: str) -> list[str]:
        """The errors and warnings the API shows on an object."""
        found = self.shown(kind, name) or {}
        errors = found.get("error", [])
        return [errors] if isinstance(errors, str) else list(errors)

    def problems(self) -> list[str]:
        """The standing problems of all providers."""
        tree = self.api("/api/problems")
        return [text for texts in tree.values() for text in texts]

    # What it reads

    def write(self, name: str, content: str | Mapping[str, Any]) -> None:
        """Put a dynamic file into the directory, whole at once."""
        text = content if isinstance(content, str) else json.dumps(content) + "\n"
        partial = self.dynamic / (name + ".part")
        partial.write_text(text)
        partial.replace(self.dynamic / name)

    def remove(self, name: str) -> None:
        """Remove a dynamic file."""
        (self.dynamic / name).unlink()


def http_config(**kinds: Mapping[str, Any]) -> dict[str, Any]:
    """A dynamic file: ``http_config(routers=…, services=…)``."""
    return {"http": {kind: dict(objects) for kind, objects in kinds.items() if objects}}


def balanced(*servers: Server | str, **options: Any) -> dict[str, Any]:
    """A load balancer service of these servers (or URLs)."""
    urls = [{"url": s if isinstance(s, str) else s.url()} for s in servers]
    return {"loadBalancer": {"servers": urls, **options}}


def basic(user: str, password: str) -> dict[str, str]:
    """The header of a client that logs in."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


class Containers:
    """A fake Docker daemon in a thread of its own."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="pw-docker-")
        self._daemon = FakeDocker(Path(self._directory.name) / "docker.sock")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.come_back()

    @property
    def endpoint(self) -> str:
        """The URL for ``providers.docker.endpoint``."""
        return self._daemon.endpoint

    def run(self, name: str, server: Server, labels: Mapping[str, str]) -> FakeContainer:
        """Start a container whose one port is that of a server; its labels enable it."""
        return self.do(
            lambda daemon: daemon.run(
                name,
                {"traefik.enable": "true", **labels},
                ip="127.0.0.1",
                ports=[f"{server.port}/tcp"],
            )
        )

    def remove(self, container: FakeContainer) -> None:
        """Stop and remove a container."""

        def remove(daemon: FakeDocker) -> None:
            daemon.stop(container)
            daemon.remove(container)

        self.do(remove)

    def vanish(self) -> None:
        """The daemon's socket is gone and its connections are cut."""
        asyncio.run_coroutine_threadsafe(self._daemon.shut_down(), self._loop).result(30)

    def come_back(self) -> None:
        """The daemon listens again, with its containers."""
        asyncio.run_coroutine_threadsafe(self._daemon.start(), self._loop).result(30)

    def do(self, action: Callable[[FakeDocker], T]) -> T:
        """Do something with the daemon, in its thread."""

        async def run() -> T:
            return action(self._daemon)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def close(self) -> None:
        """End the daemon."""
        self.vanish()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._directory.cleanup()


class Load:
    """A few clients that ask for one thing again and again, until told to stop."""

    def __init__(self, ask: Callable[[int], Reply], clients: int = 4, pause: float = 0.002) -> None:
        self._ask = ask
        self._pause = pause
        self._stop = threading.Event()
        self.statuses: list[int | str] = []
        self.sent = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def more(self, count: int = 50) -> None:
        """Wait until this many more requests were answered."""
        wanted = len(self.statuses) + count
        eventually(lambda: len(self.statuses) >= wanted, "the load goes on")

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self.sent += 1
                number = self.sent
            try:
                self.statuses.append(self._ask(number).status)
            except (OSError, http.client.HTTPException) as error:
                self.statuses.append(repr(error))
            time.sleep(self._pause)
