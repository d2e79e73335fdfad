"""A home of an agent: its directory, in which agents may be started and stopped again and again.

``Home.start`` gives a ``Running`` agent, a real process. All of an agent's ports are its own.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.integration.cli_consul_rig import eventually
from tests.patience import PATIENCE
from tests.ports import free_ports

PORTS = ("http", "dns", "server", "serf_lan", "serf_wan")


@dataclass(frozen=True)
class Reply:
    """What the API said."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request, whose connection is closed afterwards; a body is sent as JSON unless bytes."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, dict(headers or {}))
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, named, answer.read())
    finally:
        connection.close()


@dataclass
class Running:
    """A running agent."""

    process: subprocess.Popen[bytes]
    ports: Mapping[str, int]
    log: Path
    token: str = ""
    """What requests carry unless they say otherwise."""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request below ``/v1``. Header ``X_Y`` is ``X-Y``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            named.setdefault("X-Consul-Token", self.token)
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=PATIENCE)
        return ask(connection, method, f"/v1/{quote(path, safe='/?=&%:')}", body, named)

    def get(self, path: str, **headers: str) -> Reply:
        return self.call("GET", path, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.call("PUT", path, body, **headers)

    def json(self, path: str, **headers: str) -> Any:
        """The JSON of a GET that must succeed."""
        reply = self.get(path, **headers)
        assert reply.status == 200, f"{path}: {reply.status} {reply.text}"
        return reply.json

    def done(self, path: str, body: Any = None, **headers: str) -> None:
        """A PUT that must succeed."""
        reply = self.put(path, body, **headers)
        assert reply.status == 200, f"{path}: {reply.status} {reply.text}"

    def services(self) -> list[str]:
        """The IDs of the catalog's services on this node, but for the server's own."""
        node = self.json("agent/self")["Config"]["NodeName"]
        found = self.json(f"catalog/node/{node}")
        return sorted(found["Services"].keys() - {"consul"}) if found else []

    def checks(self) -> dict[str, str]:
        """ID → status of the catalog's checks on this node, but for serfHealth."""
        node = self.json("agent/self")["Config"]["NodeName"]
        found = {check["CheckID"]: check["Status"] for check in self.json(f"health/node/{node}")}
        return {check_id: found[check_id] for check_id in sorted(found.keys() - {"serfHealth"})}

    def wait_for_log(self, text: str) -> None:
        """Wait until the log has a text."""
        eventually(lambda: text in self.log.read_text(), f"{text!r} in the log")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait(timeout=PATIENCE)


@dataclass
class Home:
    """Where agents live, one after the other; ``config`` is their configuration file."""

    directory: Path
    config: dict[str, Any] = field(default_factory=dict)
    dev: bool = False

    def __post_init__(self) -> None:
        numbers = free_ports(len(PORTS))
        self.ports = dict(zip(PORTS, numbers, strict=True))
        self.folder = self.directory / "consul.d"
        self.folder.mkdir(parents=True)
        self.data = self.directory / "data"
        self._running: list[subprocess.Popen[bytes]] = []

    def write(self, name: str, content: Any) -> Path:
        """A file of the configuration directory, as JSON or as it is."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def launch(self, *argv: str, environ: Mapping[str, str] | None = None) -> Running:
        """Start an agent, and do not wait for it."""
        ports = {**self.ports, "grpc": -1, "grpc_tls": -1}
        base: dict[str, Any] = {"node_name": "n1", "log_level": "DEBUG"}
        if not self.dev:
            base |= {"server": True, "bootstrap_expect": 1, "data_dir": str(self.data)}
            base |= {"bind_addr": "127.0.0.1"}
        base |= self.config
        base["ports"] = ports | base.get("ports", {})
        self.write("00-base.json", base)
        log = self.directory / "agent.log"
        flags = [*(["-dev"] if self.dev else []), f"-config-dir={self.folder}", *argv]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "portway", "agent", *flags],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
            )
        self._running.append(process)
        return Running(process, {**self.ports, **self.config.get("ports", {})}, log)

    def start(
        self, *argv: str, token: str = "", environ: Mapping[str, str] | None = None
    ) -> Running:
        """Start an agent and wait until it leads."""
        running = self.launch(*argv, environ=environ)
        running.token = token

        def leads() -> bool:
            if running.process.poll() is not None:
                raise AssertionError(f"the agent ended:\n{running.log.read_text()}")
            try:
                return running.get("status/leader").body not in (b"", b'""')
            except OSError:
                return False

        eventually(leads, "an agent that leads")
        return running

    def close(self) -> None:
        """Stop what still runs."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def home(directory: Path, dev: bool = False, **config: Any) -> Iterator[Home]:
    """A home whose agents end with the block."""
    made = Home(directory, config, dev)
    try:
        yield made
    finally:
        made.close()


def secure(port: int, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    """A connection over TLS to an agent on this machine."""
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=PATIENCE)
