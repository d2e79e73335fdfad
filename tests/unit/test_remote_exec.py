"""The agent's side of ``consul exec``, over a store of a few lines."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from portway.agent.remote_exec import CHUNK, remote_exec, serve_remote_exec
from portway.discovery.operations.events import Event, EventLog

EVENT = json.dumps({"Prefix": "_rexec", "Session": "s"}).encode()


class Keys:
    """Keys that one session may lock, until it ends."""

    def __init__(self, job: Any) -> None:
        self.kept: dict[str, bytes] = {}
        self.alive = True
        if job is not None:
            self.kept["_rexec/s/job"] = job if isinstance(job, bytes) else json.dumps(job).encode()

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def lock(self, key: str, value: bytes, session: str) -> bool:
        if not self.alive or session != "s":
            return False
        self.kept[key] = value
        return True

    def wrote(self, name: str) -> bytes | None:
        return self.kept.get(f"_rexec/s/node/{name}")

    def output(self) -> list[bytes]:
        names = sorted(name for name in self.kept if "/out/" in name)
        assert names == [f"_rexec/s/node/out/{number:05x}" for number in range(len(names))]
        return [self.kept[name] for name in names]


WAIT = 10_000_000_000  # ns
SCRIPT = base64.b64encode(b"#!/bin/sh\necho script $0 >&2; exit 4\n").decode()


@pytest.mark.parametrize(
    ("job", "output", "code"),
    [
        ({"Command": "echo a; echo b >&2; exit 3", "Wait": WAIT}, b"a\nb\n", b"3"),
        ({"Args": ["echo", "$HOME"], "Wait": WAIT}, b"$HOME\n", b"0"),
        ({"Script": SCRIPT, "Wait": WAIT}, b"script ", b"4"),
        ({"Command": "kill -9 $$", "Wait": WAIT}, b"", b"137"),
        ({"Args": ["/nowhere"], "Wait": WAIT}, b"failed to start: ", b"255"),
    ],
)
async def test_what_is_asked_for_is_run(job: dict[str, Any], output: bytes, code: bytes) -> None:
    keys = Keys(job)
    await remote_exec(EVENT, "node", keys)
    assert (keys.wrote("ack"), keys.wrote("exit")) == (b"", code)
    assert b"".join(keys.output()).startswith(output)


async def test_much_output_is_in_chunks() -> None:
    keys = Keys({"Command": "head -c 10000 /dev/zero", "Wait": WAIT})
    await remote_exec(EVENT, "node", keys)
    assert sum(map(len, keys.output())) == 10_000
    assert max(map(len, keys.output())) <= CHUNK


async def test_silence_is_a_sign_of_life_now_and_then(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    keys = Keys({"Command": f"while [ ! -e {gate} ]; do sleep 0.02; done; echo x", "Wait": 1})
    task = asyncio.ensure_future(remote_exec(EVENT, "node", keys))
    while len(keys.output()) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    gate.touch()
    await task
    assert set(keys.output()) == {b"", b"x\n"}
    assert keys.wrote("exit") == b"0"


async def test_a_command_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    started = tmp_path / "started"
    command = f"echo $$ > {started}.new; mv {started}.new {started}; sleep 1000"
    keys = Keys({"Command": command, "Wait": 1})
    task = asyncio.ensure_future(remote_exec(EVENT, "node", keys))
    while not started.exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    keys.alive = False
    await task
    assert keys.wrote("exit") is None
    assert not Path(f"/proc/{started.read_text().strip()}").exists()


@pytest.mark.parametrize(
    ("event", "job", "acknowledged"),
    [
        (None, {}, False),
        (b"{", {}, False),
        (b"[]", {}, False),
        (b'{"Prefix": "_rexec"}', {}, False),
        (b'{"Prefix": "_rexec", "Session": "other"}', {}, False),
        (EVENT, None, True),
        (EVENT, b"{", True),
        (EVENT, {}, True),
        (EVENT, {"Command": 5}, True),
        (EVENT, {"Args": [5]}, True),
        (EVENT, {"Script": "%"}, True),
        (EVENT, {"Command": "true", "Wait": "soon"}, True),
    ],
)
async def test_what_is_wrong_is_not_run(event: bytes | None, job: Any, acknowledged: bool) -> None:
    keys = Keys(job)
    await remote_exec(event, "node", keys)
    assert (keys.wrote("ack") is not None) == acknowledged
    assert (keys.output(), keys.wrote("exit")) == ([], None)


async def test_only_its_own_events_are_served() -> None:
    events = EventLog("node", list)
    keys = Keys({"Command": "true"})
    tasks: list[asyncio.Future[None]] = []
    serve_remote_exec(events, "node", keys, lambda work: tasks.append(asyncio.ensure_future(work)))
    events.fire(Event(name="deploy", payload=EVENT))
    assert tasks == []
    events.fire(Event(name="_rexec", payload=EVENT))
    (task,) = tasks
    await task
    assert keys.wrote("exit") == b"0"
