"""consulate, library and command, with an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.artefacts import python_with
from tests.clients.conftest import Run
from tests.integration.cli_consul_rig import Agent

_PROGRAM = Path(__file__).parent / "programs" / "consulate_calls.py"


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with consulate."""
    return python_with("consulate", "consulate==0.6.0")


@pytest.mark.parametrize(
    "scenario",
    ["kv", "locks", "services", "catalog", "others", "command", "refused_by_consul_too"],
)
def test_consulate(agent: Agent, python: Path, run: Run, scenario: str) -> None:
    run(agent, [python, _PROGRAM, scenario])


def test_consulate_with_a_token(guarded: Agent, python: Path, run: Run) -> None:
    run(guarded, [python, _PROGRAM, "tokens"])
