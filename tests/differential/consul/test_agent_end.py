"""How an agent ends: by signals, by ``consul leave``, and what it says."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Programs, same
from .world import Step, World, agent

_SAID = re.compile(r"(Caught.*|Gracefully.*|Graceful shutdown.*|.*leave complete|Exit code.*)$")
QUICK = {"performance": {"leave_drain_time": "10ms", "raft_multiplier": 1}}
Ending = Callable[[World, int], None]


def by(number: signal.Signals) -> Ending:
    return lambda ask, pid: os.kill(pid, number)


def leave(ask: World, pid: int) -> None:
    ask.cli("leave")


def leave_by_the_api(ask: World, pid: int) -> None:
    ask.put("agent/leave")


@pytest.mark.parametrize("flags", [("-dev",), ("-server", "-bootstrap-expect=1")], ids=str)
@pytest.mark.parametrize(
    ("end", "config"),
    [
        (by(signal.SIGTERM), {}),
        (by(signal.SIGINT), {}),
        (by(signal.SIGTERM), {"leave_on_terminate": True}),
        (by(signal.SIGINT), {"skip_leave_on_interrupt": False}),
        (by(signal.SIGINT), {"skip_leave_on_interrupt": True}),
        (leave, {}),
        (leave_by_the_api, {}),
    ],
    ids=["TERM", "INT", "TERM-leaves", "INT-leaves", "INT-stays", "leave", "api"],
)
def test_ends(
    programs: Programs, tmp_path: Path, end: Ending, config: dict[str, Any], flags: tuple[str, ...]
) -> None:
    worlds: list[list[Step]] = []
    for program in (programs.consul, programs.portway):
        directory = tmp_path / str(len(worlds))
        directory.mkdir()
        code, pid = directory / "exit", directory / "pid"
        noted = ["/bin/sh", "-c", f'"$0" "$@"; echo $? > {code}', *program]
        with agent(noted, directory, {**QUICK, **config, "pid_file": str(pid)}, flags) as ports:
            world = World(program, ports)
            end(world, int(pid.read_text()))
            world.until(lambda: code.exists() and code.read_text(), "the end")  # noqa: B023
        lines = (directory / "agent.log").read_text().splitlines()
        said = [found[1] for line in lines if (found := _SAID.search(line))]
        facts = {"exit": code.read_text(), "said": said, "pid file": pid.exists()}
        world.note("the end", facts)
        worlds.append(world.steps)
    same(*worlds)
