"""The npm package consul."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clients.artefacts import node_modules
from tests.clients.conftest import Run
from tests.integration.cli_consul_rig import Agent

_PROGRAM = Path(__file__).parent / "programs" / "npm_consul_calls.js"


@pytest.fixture(scope="module")
def node() -> list[str]:
    """A node that finds the package."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    modules = node_modules("npm-consul", "consul@2.0.1") / "node_modules"
    return ["env", f"NODE_PATH={modules}", program]


@pytest.mark.parametrize(
    "scenario",
    [
        "kv",
        "transactions",
        "locks",
        "services",
        "checks",
        "catalog",
        "agent",
        "queries",
        "watch",
        "watchHealth",
        "refusedByConsulToo",
    ],
)
def test_npm_consul(agent: Agent, node: list[str], run: Run, scenario: str) -> None:
    run(agent, [*node, str(_PROGRAM), scenario])


def test_npm_consul_with_a_token(guarded: Agent, node: list[str], run: Run) -> None:
    run(guarded, [*node, str(_PROGRAM), "tokens"])
