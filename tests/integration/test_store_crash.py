"""``kill -9`` amid concurrent writes: nothing acknowledged is lost, no transaction is halved."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from portway.store import Store
from tests.integration import store_load
from tests.unit.store_rig import opened

ROUNDS = 180
"""The other 20 of the 200 are in test_store_http, through an agent."""


def write_and_kill(directory: Path, number: int, chance: random.Random) -> list[tuple[int, ...]]:
    """Let a process write, kill it, and return what it said was acknowledged."""
    with subprocess.Popen(
        [sys.executable, store_load.__file__, str(directory), str(number)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.12))
        if number % 2:
            os.killpg(process.pid, signal.SIGKILL)  # all at once, the writer among them
        else:
            process.kill()
        lines = [first, *process.stdout.read().split(b"\n")[:-1]]
    return [tuple(map(int, line.split())) for line in lines]


async def check(store: Store, number: int, acknowledged: list[tuple[int, ...]]) -> None:
    """Compare what is there with what was acknowledged."""
    revision, records = await store.read(f"{number}/")
    _, pairs = await store.read(f"kv/{number}/")
    found: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for record in records:
        _, writer, step = map(int, record.key.split("/"))
        found[writer][step] = record.mod_revision
    for writer, step, committed in acknowledged:
        assert found[writer].get(step) == committed, "an acknowledged write is lost"
        assert committed <= revision
    latest = {}
    for record in pairs:
        *_, name, who = record.key.split("/")
        latest[name, int(who)] = record
    assert len(latest) == 2 * len(found)
    for writer, steps in found.items():
        assert sorted(steps) == list(range(1, len(steps) + 1)), "a write in the middle is missing"
        a, b = latest["a", writer], latest["b", writer]
        assert a.value == b.value
        assert a.value.startswith(b"%d " % len(steps)), "half a transaction"
        assert a.mod_revision == b.mod_revision == steps[len(steps)]
        assert a.version == len(steps)


@pytest.mark.slow
async def test_kill_9_loses_nothing_acknowledged_and_halves_nothing(tmp_path: Path) -> None:
    chance = random.Random(9)
    total = 0
    last = 0
    for number in range(ROUNDS):
        acknowledged = await asyncio.to_thread(write_and_kill, tmp_path / "store", number, chance)
        total += len(acknowledged)
        async with opened("file", tmp_path) as store:
            await check(store, number, acknowledged)
            revision = await store.revision()
            # Each revision is one of the commits: nothing else was counted, or counted twice.
            assert revision - last == len((await store.read(f"{number}/")).records)
            last = revision
    print(f"{total} writes acknowledged in {ROUNDS} rounds, {last} found")
    assert total > 20 * ROUNDS
