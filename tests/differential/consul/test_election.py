"""Leader election: both command lines lock, with both agents, beside and against each other."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.patience import PATIENCE

from .conftest import Play, Programs
from .world import World

KEY = "le/.lock"


@contextmanager
def _locking(ask: World, program: Sequence[str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """A command line that holds, or waits for, the lock.

    ``exec``, because the real Consul ends only the shell, and not every shell becomes its command.
    """
    kept = {name: value for name, value in os.environ.items() if "CONSUL" not in name}
    environ = {**kept, "CONSUL_HTTP_ADDR": f"127.0.0.1:{ask.ports['http']}"}
    process = subprocess.Popen(
        [*program, "lock", "-child-exit-code", *options, "le", "exec sleep 60"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def _rows(ask: World, key: str) -> list[dict[str, Any]]:
    answer = ask.get(f"kv/{key}", record=False)
    return list(answer.json) if answer.status == 200 else []


def _holder(ask: World) -> str:
    rows = _rows(ask, KEY)
    return str(rows[0].get("Session", "")) if rows else ""


def test_locks_of_both_command_lines(play: Play, programs: Programs) -> None:
    def scenario(ask: World) -> None:
        for mine, other in (programs, programs[::-1]):
            with _locking(ask, mine, "-name=election"):
                holder = ask.until(lambda: _holder(ask), "a holder")
                ask.get(f"kv/{KEY}")
                ask.get(f"session/info/{holder}")
                with _locking(ask, other, "-timeout=1s", "-try=1s") as second:
                    said, _ = second.communicate(timeout=PATIENCE)
                    ask.note("in vain", {"exit": second.returncode, "said": said})
            ask.until(lambda: not _holder(ask), "the lock released")
            with _locking(ask, other):
                ask.until(lambda: _holder(ask), "the next holder")
                ask.get(f"kv/{KEY}")
            ask.until(lambda: not _holder(ask), "the lock released")
            ask.get(f"kv/{KEY}")
            ask.delete("kv/le?recurse", record=False)

    play(scenario)


def test_semaphores_of_both_command_lines(play: Play, programs: Programs) -> None:
    def scenario(ask: World) -> None:
        def holders() -> int:
            rows = _rows(ask, KEY)
            return len(json.loads(base64.b64decode(rows[0]["Value"]))["Holders"]) if rows else 0

        with _locking(ask, programs.consul, "-n=2"):
            ask.until(lambda: holders() == 1, "a holder")
            with _locking(ask, programs.portway, "-n=2"):
                ask.until(lambda: holders() == 2, "two holders")
                with _locking(ask, programs.consul, "-n=2", "-timeout=1s", "-try=1s") as third:
                    third.communicate(timeout=PATIENCE)
                    ask.note("in vain", {"exit": third.returncode})
                with _locking(ask, programs.portway, "-n=3", "-try=1s") as wrong:
                    said, _ = wrong.communicate(timeout=PATIENCE)
                    ask.note("another limit", {"exit": wrong.returncode, "said": said})
        ask.until(lambda: holders() == 0, "all released")
        ask.delete("kv/le?recurse", record=False)

    play(scenario)
