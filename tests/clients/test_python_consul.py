"""python-consul, the ancestor of py-consul, with an environment of its own: both are ``consul``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.artefacts import python_with
from tests.clients.conftest import Run
from tests.integration.cli_consul_rig import Agent

_PROGRAM = Path(__file__).parent / "programs" / "python_consul_calls.py"


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with python-consul; aiohttp is for its module ``aio``."""
    return python_with("python-consul", "python-consul==1.1.0", "aiohttp")


@pytest.mark.parametrize(
    "scenario",
    [
        "kv",
        "blocking",
        "transactions",
        "locks",
        "services",
        "watching_health",
        "checks",
        "catalog",
        "agent",
        "events",
        "queries",
        "refused_by_consul_too",
        "asynchronous",
    ],
)
def test_python_consul(agent: Agent, python: Path, run: Run, scenario: str) -> None:
    run(agent, [python, _PROGRAM, scenario])


def test_python_consul_with_a_token(guarded: Agent, python: Path, run: Run) -> None:
    run(guarded, [python, _PROGRAM, "tokens"])
