"""Patroni's use of Consul: leadership of a database cluster by sessions, locks and watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.artefacts import python_with
from tests.clients.conftest import Run
from tests.integration.cli_consul_rig import Agent

_PROGRAM = Path(__file__).parent / "programs" / "patroni_calls.py"


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with Patroni, without PostgreSQL."""
    return python_with("patroni", "patroni[consul]==4.1.5", "psycopg[binary]==3.2.13")


def test_patroni(agent: Agent, python: Path, run: Run) -> None:
    run(agent, [python, _PROGRAM, "cluster"])


def test_patroni_with_a_token(guarded: Agent, python: Path, run: Run) -> None:
    run(guarded, [python, _PROGRAM, "tokens"])
