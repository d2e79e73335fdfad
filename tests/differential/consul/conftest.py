"""Fixtures: the real Consul, built from its published source, and pairs of running agents."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.clients.artefacts import go_tool

from .compare import differences
from .world import Config, Step, World, agent

MANAGEMENT = "11111111-2222-4333-8444-555555555555"
GUARDED = {
    "acl": {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"initial_management": MANAGEMENT, "agent": MANAGEMENT},
    }
}
"""Access control that denies everything but to MANAGEMENT."""

NEWER = "Consul 1.22"
"""In the place of a row: what 1.22 does, which Portway claims to be, and 1.21, which runs, not."""

DOCUMENT = Path(__file__).parents[3] / "docs" / "compatibility-consul.md"

Scenario = Callable[[World], None]
Play = Callable[..., None]


class Programs(NamedTuple):
    """The command lines of the real Consul and of Portway under its name."""

    consul: Sequence[str]
    portway: Sequence[str]


@cache
def rows_of_document() -> set[str]:
    """The first cells of the document's tables."""
    lines = DOCUMENT.read_text().splitlines()
    return {line.split("|")[1].strip() for line in lines if line.startswith("|")}


def same(real: Sequence[Step], ours: Sequence[Step], *mixed: Sequence[Step]) -> None:
    """Fail unless recordings are the same but for what they name, and they name rows.

    ``mixed`` are those of the real command line with our agent.
    """
    wrong = differences(real, ours)
    for steps in mixed:
        wrong += differences(real, steps, mixed=True)
    named = {row for step in real for row in step.differs} - rows_of_document() - {NEWER}
    wrong += [f"{row!r} is no row of {DOCUMENT.name}" for row in sorted(named)]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    link = tmp_path_factory.mktemp("bin") / "consul"
    link.symlink_to(Path(sys.executable).parent / "portway")
    real = go_tool(Path(__file__).parent / "program", "github.com/hashicorp/consul")
    return Programs([str(real)], [str(link)])


@pytest.fixture(scope="package")
def play(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """``play(scenario, config)``: play it with both agents of a configuration, and compare.

    Agents of one configuration are shared: a scenario uses names of its own and cleans up. With
    ``own=True`` it gets agents of its own; ``token`` is sent with every request. ``mixed=True``
    also plays the real command line with our agent, which must give the same as our own.
    """
    with ExitStack() as stack:
        running: dict[str, tuple[dict[str, int], dict[str, int]]] = {}

        def start(stack: ExitStack, config: Config) -> tuple[dict[str, int], dict[str, int]]:
            real, ours = (
                stack.enter_context(agent(program, tmp_path_factory.mktemp(name), config))
                for name, program in (("consul", programs.consul), ("portway", programs.portway))
            )
            return real, ours

        def play(
            scenario: Scenario,
            config: Config | None = None,
            *,
            token: str = "",
            own: bool = False,
            mixed: bool = False,
        ) -> None:
            key = json.dumps(config or {}, sort_keys=True)
            with ExitStack() as mine:
                if own:
                    ports = start(mine, config or {})
                else:
                    ports = running[key] = running.get(key) or start(stack, config or {})
                pairs = [(programs.consul, ports[0]), (programs.portway, ports[1])]
                if mixed:
                    pairs.append((programs.consul, ports[1]))
                worlds = [World(program, numbers, token) for program, numbers in pairs]
                for world in worlds:
                    scenario(world)
                same(*(world.steps for world in worlds))

        yield play
