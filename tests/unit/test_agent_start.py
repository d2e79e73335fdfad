"""What an agent has in memory before it answers: little, and what it says of itself meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from portway.agent.lean import without
from portway.agent.logs import Log, module_of

# What is needed later, or by some agents only, or not at all.
HEAVY = {"aiodocker", "aiohttp", "cryptography", "grpc", "google", "h2", "jwt"}
HEAVY |= {"psutil", "rich", "starlette", "uvicorn", "watchfiles", "xds"}


def test_nothing_heavy_is_imported_for_the_first_answer() -> None:
    program = """
import json, sys
from portway.cli import main
import portway.agent.run
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) & HEAVY == set()


def test_a_package_is_left_out_only_where_it_was_not_imported() -> None:
    sys.modules.pop("this", None)
    with without("this"), pytest.raises(ModuleNotFoundError):
        import this  # noqa: F401
    assert "this" not in sys.modules
    with without("json"):
        import json as again
    assert again is json


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("agent", "agent"),
        ("agent.anti_entropy", "agent.anti_entropy"),
        ("http", "agent.http"),
        ("portway.discovery.dns.answers", "agent.dns"),
        ("portway.discovery.checks.running", "agent.checks"),
        ("portway.store.sqlite.engine", "agent.store"),
    ],
)
def test_modules_of_the_log_are_below_agent(name: str, module: str) -> None:
    assert module_of(name) == module


@pytest.mark.parametrize(
    ("module", "severity", "shown"),
    [
        ("agent", 1, False),
        ("agent", 2, True),
        ("agent.dns", 1, True),
        ("agent.dns.recursors", 1, True),
        ("agent.dns.recursors", 0, False),
        ("agent.dnsmasq", 1, False),
        ("agent.http", 3, False),
        ("agent.http", 4, True),
    ],
)
def test_modules_have_levels_of_their_own(module: str, severity: int, shown: bool) -> None:
    log = Log("INFO", sublevels={"agent.dns": "debug", "agent.http": "ERROR"})
    assert log.shows(severity, module) is shown


@pytest.fixture
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_as_before")
def test_lines_reach_every_sink(capsys: Any) -> None:
    log = Log("WARN")
    log.install()
    log.to_stdout()
    seen: list[dict[str, Any]] = []
    log.sinks.append(lambda severity, fields: seen.append(fields))
    logger = structlog.get_logger("agent.http")
    logger.info("quiet", a=1)
    logger.warning("loud", b="two words")
    assert [(line["@level"], line["@message"]) for line in seen] == [
        ("INFO", "quiet"),
        ("WARN", "loud"),
    ]
    assert capsys.readouterr().out.endswith('[WARN]  agent.http: loud: b="two words"\n')
