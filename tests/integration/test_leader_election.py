"""Two real processes elect a leader through sessions: never two at a time, whatever happens."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.cli_consul_rig import eventually
from tests.integration.kv_candidate import LOCK
from tests.integration.kv_process import ServerProcess, server_process

CHANGES = 100
NAMES = ("red", "blue")


class Candidates:
    """The two processes and what they have written down."""

    def __init__(self, server: ServerProcess, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in NAMES:
            self.start(name)

    def start(self, name: str) -> None:
        self._processes[name] = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.integration.kv_candidate"),
                *(self._server.address, name, str(self._directory / name)),
            ]
        )

    def signal(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        self._processes[name].kill()
        self._processes[name].wait()

    def stop(self) -> None:
        for name in NAMES:
            self.kill(name)

    def records(self) -> list[dict[str, Any]]:
        """What happened, in the order of the machine's clock."""
        lines = []
        for name in NAMES:
            file = self._directory / name
            # A process that was killed may have left half a line.
            lines += file.read_text().split("\n")[:-1] if file.exists() else []
        return sorted((json.loads(line) for line in lines), key=lambda one: one["at"])


@contextmanager
def candidates(server: ServerProcess, directory: Path) -> Iterator[Candidates]:
    started = Candidates(server, directory)
    try:
        yield started
    finally:
        started.stop()


def leader_after(server: ServerProcess, token: int) -> dict[str, Any]:
    """The lock, held by a leader of a later election."""

    def found() -> dict[str, Any] | None:
        rows = server.ask("GET", f"/v1/kv/{LOCK}?recurse") if server.has(LOCK) else []
        held = [row for row in rows if row["LockIndex"] > token and row.get("Session")]
        return held[0] if held else None

    leader: dict[str, Any] = eventually(found, f"an election after {token}")
    return leader


def name_of(leader: dict[str, Any], everybody: Candidates) -> str:
    """Who it is, once it knows so itself."""

    def elected() -> str | None:
        for one in everybody.records():
            if one["what"] == "worked" and one["token"] == leader["LockIndex"]:
                return str(one["name"])
        return None

    name: str = eventually(elected, f"work under {leader['LockIndex']}")
    return name


def force_change(
    server: ServerProcess, everybody: Candidates, leader: dict[str, Any], how: str
) -> None:
    """Make the leader lose its place."""
    destroy = f"/v1/session/destroy/{leader['Session']}"
    if how == "destroyed":
        server.ask("PUT", destroy)
        return
    name = name_of(leader, everybody)
    if how == "resigned":
        everybody.signal(name, signal.SIGUSR1)
    elif how == "killed":
        everybody.kill(name)
        server.ask("PUT", destroy)
        everybody.start(name)
    else:  # it stands still until its session is over, and then believes that it still leads
        everybody.signal(name, signal.SIGSTOP)
        leader_after(server, leader["LockIndex"])
        everybody.signal(name, signal.SIGCONT)


def test_one_leader_at_a_time_through_100_forced_changes(tmp_path: Path) -> None:
    rng = random.Random(7)
    ways = ["destroyed"] * (CHANGES // 2) + ["resigned"] * (CHANGES // 2 - 8)
    ways += ["killed"] * 5 + ["paused"] * 3
    rng.shuffle(ways)
    token = 0
    with server_process(tmp_path, session_ttl_min="1s") as server:
        with candidates(server, tmp_path) as everybody:
            for how in ways:
                leader = leader_after(server, token)
                token = leader["LockIndex"]
                force_change(server, everybody, leader, how)
            last = leader_after(server, token)
            name_of(last, everybody)
        records = everybody.records()
        # The file of a process that was killed may lack its last lines; the others do not.
    elected = {one["token"]: one for one in records if one["what"] == "elected"}
    worked = [one for one in records if one["what"] == "worked"]
    assert len(worked) == len({one["index"] for one in worked})
    assert last["LockIndex"] > CHANGES
    assert len(elected) == sum(one["what"] == "elected" for one in records)  # no token twice
    assert {one["name"] for one in elected.values()} == set(NAMES)

    # In the order of the store no work of one leader is among that of another.
    worked.sort(key=lambda one: one["index"])
    tokens = [one["token"] for one in worked]
    assert tokens == sorted(tokens)
    for one in worked:
        assert one["name"] == elected[one["token"]]["name"]
        assert one["index"] > elected[one["token"]]["index"]
        following = elected.get(one["token"] + 1)
        assert following is None or one["index"] < following["index"]
    indexes = [elected[number]["index"] for number in sorted(elected)]
    assert indexes == sorted(indexes)

    # By the clock nobody begins before the one who resigned has stopped.
    resigned = [one for one in records if one["what"] == "resigned"]
    assert len(resigned) > CHANGES // 4
    for one in resigned:
        later = elected.get(one["token"] + 1)
        assert later is None or later["at"] >= one["at"]

    # Leaders of the past did try, and were refused.
    fenced = [one for one in records if one["what"] == "fenced"]
    assert len(fenced) > CHANGES // 4
    assert all(
        one["why"].startswith(("failed session check", "failed index check")) for one in fenced
    )
