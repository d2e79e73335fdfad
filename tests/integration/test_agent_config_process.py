"""Configuration of a real agent: what its process says, does and refuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE
from tests.ports import free_port


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of Consul's, to its end."""
    return subprocess.run(
        [sys.executable, "-c", _CONSUL, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


_CONSUL = "import sys; from portway.cli import main; sys.exit(main(program='consul'))"


class Agent:
    """A process of ``consul agent``; ``output`` is what it wrote so far."""

    def __init__(self, port: int, *arguments: str) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CONSUL, "agent", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def get(self, path: str) -> Any:
        """The JSON at a path; None while there is none."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE
            ) as answer:
                return json.load(answer)
        except (OSError, urllib.error.HTTPError, ValueError):
            return None

    def eventually(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until the condition holds, and return what it gave."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{what}: not so after {PATIENCE} s; the agent wrote:\n{self.output}")


@contextlib.contextmanager
def agent(*arguments: str, port: int) -> Iterator[Agent]:
    """An agent that answers, ended with the block."""
    running = Agent(port, *arguments)
    try:
        running.eventually(lambda: running.get("/v1/agent/self"), "the agent answers")
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def quiet(port: int) -> list[str]:
    """Flags of an agent that takes no port but that of its HTTP API."""
    return ["-dev", f"-http-port={port}", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1"]


def test_validate(tmp_path: Path) -> None:
    good = tmp_path / "good.hcl"
    good.write_text('data_dir = "/nowhere"\nserver = true\nbind_addr = "127.0.0.1"\n')
    done = run("validate", str(good))
    assert (done.returncode, done.stdout, done.stderr) == (0, "Configuration is valid!\n", "")
    assert run("validate", "-quiet", str(good)).stdout == ""

    (tmp_path / "zz.json").write_text('{"datacentre": "x"}')
    done = run("validate", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Config validation failed: failed to parse {tmp_path / 'zz.json'}: 1 error occurred:\n"
        "\t* invalid config key datacentre; did you mean datacenter?\n"
    )
    assert run("validate").returncode == 1


def test_an_agent_does_not_start_with_an_unknown_key(tmp_path: Path) -> None:
    file = tmp_path / "web.hcl"
    file.write_text('service {\n  name = "web"\n  prot = 80\n}\n')
    done = run("agent", "-dev", f"-config-dir={tmp_path}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"==> failed to parse {file}: 1 error occurred:\n"
        "\t* invalid config key services[0].prot; did you mean port? (line 3)\n"
    )


@pytest.mark.parametrize("argument", ["-h", "-help", "--help"])
def test_help_names_every_flag(argument: str) -> None:
    from portway.agent.config.flags import FLAGS

    done = run("agent", argument)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: consul agent [options]\n")
    missing = [flag.name for flag in FLAGS if f"\n  -{flag.name}" not in done.stdout]
    assert missing == []


def test_banner_and_warnings_on_standard_output(tmp_path: Path) -> None:
    port = free_port()
    with agent(*quiet(port), "-node=n1", "-join=127.0.0.9", port=port) as running:
        running.eventually(lambda: "Consul agent running!" in running.output, "it runs")
        banner, log = running.output.split("==> Log data will now stream in as it occurs:")
        assert banner.startswith("==> Starting Consul agent...\n")
        assert "             Node name: 'n1'\n" in banner
        assert f"(HTTP: {port}, HTTPS: -1, gRPC: -1, gRPC-TLS: -1, DNS: -1)" in banner
        assert "The '-join' flag is deprecated. Use the '-retry-join' flag instead." in log
        assert "retry_join has no effect yet" in log


def test_configuration_of_the_go_test_server(tmp_path: Path) -> None:
    port, socket = free_port(), tmp_path / "http.sock"
    file = tmp_path / "config.json"
    file.write_text(
        json.dumps(
            {
                "node_name": "harness",
                "node_id": "8e1c0a3c-6a1d-4d8e-9b57-0b7e6d0f0c11",
                "bootstrap": True,
                "server": True,
                "data_dir": str(tmp_path / "data"),
                "segments": None,
                "disable_update_check": True,
                "log_level": "debug",
                "bind_addr": "127.0.0.1",
                "addresses": {"http": f"127.0.0.1 unix://{socket}"},
                "ports": {
                    "dns": free_port(),
                    "http": port,
                    "https": free_port(),
                    "serf_lan": free_port(),
                    "serf_wan": free_port(),
                    "server": free_port(),
                    "grpc": free_port(),
                    "grpc_tls": free_port(),
                },
                "acl": {"enabled": False, "tokens": {"master": "x"}},
                "connect": {"enabled": True, "ca_config": {"cluster_id": "x"}},
                "peering": {"enabled": True},
                "autopilot": {"server_stabilization_time": ""},
                "audit": {"enabled": False},
            }
        )
    )
    with agent("-config-file", str(file), port=port) as running:
        config = running.get("/v1/agent/self")["Config"]
        assert config["NodeName"] == "harness"
        assert config["NodeID"] == "8e1c0a3c-6a1d-4d8e-9b57-0b7e6d0f0c11"
        assert socket.is_socket()
        running.process.send_signal(signal.SIGINT)
        running.process.wait(PATIENCE)


def test_hangup_reads_the_files_again(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "web.json"
    file.write_text('{"service": {"name": "web", "port": 80}}')
    with agent(*quiet(port), f"-config-dir={tmp_path}", port=port) as running:
        assert set(running.get("/v1/agent/services")) == {"web"}
        file.write_text('{"service": {"name": "api", "port": 81}, "datacenter": "other"}')
        os.kill(running.process.pid, signal.SIGHUP)
        running.eventually(
            lambda: set(running.get("/v1/agent/services") or {}) == {"api"}, "the file counts"
        )
        said = "datacenter has changed and takes effect after a restart"
        running.eventually(lambda: said in running.output, "the restart is asked for")
        assert running.get("/v1/agent/self")["Config"]["Datacenter"] == "dc1"

        file.write_text('{"services": 1}')
        os.kill(running.process.pid, signal.SIGHUP)
        running.eventually(lambda: "failed to parse" in running.output, "the error is told")
        assert set(running.get("/v1/agent/services")) == {"api"}


def test_a_node_keeps_its_id_from_start_to_start(tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        port = free_port()
        flags = [*quiet(port)[1:], "-server", "-bootstrap-expect=1", "-bind=127.0.0.1"]
        ports = f"-server-port={free_port()}"
        with agent(*flags, ports, f"-data-dir={tmp_path / 'data'}", port=port) as running:
            ids.add(running.get("/v1/agent/self")["Config"]["NodeID"])
    assert ids == {(tmp_path / "data" / "node-id").read_text()}
