"""Agents for the clients, and running a client's program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.cli_consul_rig import Agent, agent_running
from tests.patience import PATIENCE

MANAGEMENT = "11111111-2222-4333-8444-555555555555"
"""The management token of agents with access control."""


Run = Callable[[Agent, Sequence[str | Path]], None]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent without access control."""
    directory = tmp_path_factory.mktemp("agent")
    config = directory / "agent.json"
    config.write_text(json.dumps({"enable_script_checks": True}))
    with agent_running(directory, f"-config-file={config}") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent that denies everything but to MANAGEMENT."""
    directory = tmp_path_factory.mktemp("guarded")
    acl = {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"initial_management": MANAGEMENT},
    }
    config = directory / "agent.json"
    config.write_text(json.dumps({"acl": acl}))
    with agent_running(directory, f"-config-file={config}") as running:
        yield running


@pytest.fixture(scope="module")
def network() -> list[str]:
    """A command's beginning that gives it a network and mounts of its own."""
    own = ["unshare", "--map-root-user", "--net", "--mount"]
    if subprocess.run([*own, "ip", "link"], capture_output=True, check=False).returncode:
        pytest.skip("needs network namespaces (unshare and ip)")
    return [*own, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program that must succeed; it is told the agent and MANAGEMENT."""

    def run_to_end(agent: Agent, command: Sequence[str | Path]) -> None:
        done = subprocess.run(
            command,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(tmp_path),
                "CONSUL_HTTP_ADDR": agent.address,
                "MANAGEMENT": MANAGEMENT,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{agent.log.read_text()[-2000:]}"

    return run_to_end
