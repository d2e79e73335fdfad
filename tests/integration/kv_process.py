"""A server as people run one: a process with a data directory, which can be killed and started."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.cli_consul_rig import eventually
from tests.patience import PATIENCE
from tests.ports import free_ports


class ServerProcess:
    """One server; its address stays the same over restarts."""

    def __init__(self, directory: Path, **config: Any) -> None:
        self._directory = directory
        dns, self.port, server, serf, wan = free_ports(5)
        self.address = f"127.0.0.1:{self.port}"
        ports = {
            "http": self.port,
            "dns": dns,
            "server": server,
            "serf_lan": serf,
            "serf_wan": wan,
            "grpc": -1,
            "grpc_tls": -1,
        }
        text = json.dumps({"ports": ports, "log_level": "warn", **config})
        (directory / "agent.json").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return once it answers."""
        program = str(Path(sys.executable).parent / "portway")
        command = [
            *(program, "agent", "-server", "-bootstrap-expect=1", "-bind=127.0.0.1"),
            *("-node=alpha", "-data-dir=data", "-config-file=agent.json"),
        ]
        log = (self._directory / "agent.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                command, cwd=self._directory, stdout=log, stderr=subprocess.STDOUT
            )
        eventually(self._leads, "a server that leads")
        eventually(lambda: self.ask("GET", "/v1/catalog/nodes"), "a node in the catalog")

    def _leads(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError((self._directory / "agent.log").read_text())
        try:
            return bool(self.ask("GET", "/v1/status/leader"))
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a power failure would, as far as its memory is concerned."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def index(self) -> int:
        """The index of the key-value store."""
        with urllib.request.urlopen(
            f"http://{self.address}/v1/kv/?keys", timeout=PATIENCE
        ) as answer:
            return int(answer.headers["X-Consul-Index"])

    def has(self, key: str) -> bool:
        """Whether a key exists."""
        return key in self.ask("GET", "/v1/kv/?keys")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that is a success."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            content = response.read()
            assert response.status == 200, content
            return json.loads(content) if content else None
        finally:
            connection.close()


@contextmanager
def server_process(directory: Path, **config: Any) -> Iterator[ServerProcess]:
    """A running server; ``config`` is further configuration."""
    server = ServerProcess(directory, **config)
    try:
        server.start()
        yield server
    finally:
        server.kill()
