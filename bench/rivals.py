"""Servers under measurement as processes: ours, and the rivals that can be installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.clients.artefacts import go_tool
from tests.ports import free_port

from bench.process import running, wait_for_status

_CONSUL = Path(__file__).parents[1] / "tests" / "differential" / "consul" / "program"


class Server(NamedTuple):
    """A running server: its port and its PID."""

    port: int
    pid: int


Start = Callable[[Path], AbstractContextManager[Server]]
"""Runs a server that keeps its data in a directory."""


def agent_programs() -> dict[str, list[str]]:
    """The command lines of Portway, and of the real Consul where it can be built."""
    found = {"portway": [sys.executable, "-m", "portway"]}
    if consul := _consul():
        found["consul"] = consul
    return found


def agents() -> dict[str, Start]:
    """Servers that keep their data on disk, with the same flags; the port is that of HTTP."""
    return {name: partial(_agent, program) for name, program in agent_programs().items()}


@contextmanager
def etcd(folder: Path) -> Iterator[Server]:
    """An etcd server; its port is that of clients."""
    port, peer = free_port(), free_port()
    command = ["etcd", f"--data-dir={folder}", f"--listen-client-urls=http://127.0.0.1:{port}"]
    command += [f"--advertise-client-urls=http://127.0.0.1:{port}", "--log-level=error"]
    command += [f"--listen-peer-urls=http://127.0.0.1:{peer}"]
    command += [f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}"]
    command += [f"--initial-cluster=default=http://127.0.0.1:{peer}"]
    with running(command) as pid:
        wait_for_status(port, "127.0.0.1", path="/health")
        yield Server(port, pid)


@contextmanager
def _agent(program: Sequence[str], folder: Path) -> Iterator[Server]:
    port = free_port()
    command = [*program, "agent", "-server", "-bootstrap-expect=1", "-node=bench"]
    command += ["-bind=127.0.0.1", f"-http-port={port}", "-dns-port=-1", "-grpc-tls-port=-1"]
    command += [f"-serf-lan-port={free_port()}", f"-serf-wan-port={free_port()}"]
    command += [f"-server-port={free_port()}", f"-data-dir={folder}", "-log-level=warn"]
    command += ["-hcl", "limits { http_max_conns_per_client = 0 }"]
    with running(command) as pid:
        # It leads when it is in its own catalog.
        wait_for_status(port, "127.0.0.1", path="/v1/catalog/node-services/bench?consistent")
        yield Server(port, pid)


@cache
def _consul() -> list[str]:
    try:
        return [str(go_tool(_CONSUL, "github.com/hashicorp/consul"))]
    except pytest.skip.Exception as reason:
        print(f"without Consul: {reason}", file=sys.stderr)
        return []
