"""The parent process with the real Envoy: who may die, and what the traffic notices."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE

from .envoy_rig import Rig, load, private_dir, until

_PARENT = (
    "import sys, pathlib\n"
    "from portway.edge.supervise import run\n"
    "sys.exit(run(sys.argv[2:], pathlib.Path(sys.argv[1])))\n"
)
_ADOPTING = (
    "import ctypes\n"
    "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"  # PR_SET_CHILD_SUBREAPER: orphans come to us
)
_ROOT = Path(__file__).parents[2]


def children(pid: int) -> dict[str, int]:
    """Running children of a process: "envoy" or "control" → pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                argv = (entry / "cmdline").read_bytes().split(b"\0")
                if int(parent) == pid and state != "Z":
                    kind = "envoy" if argv[0].endswith(b"/envoy") else "control"
                    found[kind] = int(entry.name)
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Supervised:
    """A supervising parent in a process of its own; ``rig`` lends ports and backends."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.process: asyncio.subprocess.Process

    async def start(self, *control: str) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _ADOPTING + _PARENT, str(self.rig.dir)),
            *(sys.executable, "-m", "tests.integration.supervise_control", *control),
            cwd=_ROOT,
            stderr=asyncio.subprocess.PIPE,
        )

    async def serve(self, backend: int) -> None:
        await self.start(str(self.rig.port), str(backend))
        await until(self.answers)

    async def answers(self) -> bool:
        try:
            return (await self.rig.ask())[0] == 200
        except (OSError, EOFError):
            return False

    def children(self) -> dict[str, int]:
        return children(self.process.pid)

    async def replaced(self, name: str, old: int) -> None:
        await until(lambda: self.children().get(name, old) != old)

    async def reported(self, words: str) -> None:
        """Wait until a line of the parent's or Envoy's log has these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            async for line in self.process.stderr:
                if words in line.decode():
                    return

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE)

    async def connected_again(self) -> None:
        """Wait until Envoy follows the control process that runs now."""
        name = "control_plane.connected_state"

        async def is_connected() -> bool:
            return (await self.rig.admin.stats(f"^{name}$")).get(name) == 1

        await until(is_connected)


@pytest.fixture
async def supervised() -> AsyncIterator[Supervised]:
    with private_dir() as where:
        rig = Rig(where)
        supervised = Supervised(rig)
        try:
            yield supervised
        finally:
            if hasattr(supervised, "process") and supervised.process.returncode is None:
                supervised.process.kill()
                await supervised.process.wait()
            await rig.close()


async def test_a_killed_control_process_costs_no_request(supervised: Supervised) -> None:
    await supervised.serve(await supervised.rig.backend("one"))
    before = supervised.children()
    async with load(supervised.rig.port) as seen:
        for _ in range(3):
            control = supervised.children()["control"]
            os.kill(control, signal.SIGKILL)
            await supervised.replaced("control", control)
            await supervised.connected_again()
    assert set(seen) == {"200"}
    assert supervised.children()["envoy"] == before["envoy"]


async def test_a_killed_envoy_is_started_again(supervised: Supervised) -> None:
    await supervised.serve(await supervised.rig.backend("one"))
    before = supervised.children()
    os.kill(before["envoy"], signal.SIGKILL)
    await supervised.replaced("envoy", before["envoy"])
    await until(supervised.answers)
    assert supervised.children()["control"] == before["control"]


@pytest.mark.parametrize("path", [os.environ["PATH"], "/nonexistent"])
async def test_nothing_outlives_a_killed_parent(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """With setpriv and, for systems that have none, without."""
    monkeypatch.setenv("PATH", path)
    await supervised.serve(await supervised.rig.backend("one"))
    pids = supervised.children().values()
    assert len(pids) == 2
    supervised.process.kill()
    await until(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_signal_lets_requests_finish(
    supervised: Supervised, number: signal.Signals
) -> None:
    await supervised.serve(await supervised.rig.backend("slow", delay=3.0))
    pids = supervised.children().values()
    request = asyncio.create_task(supervised.rig.ask())
    await in_flight(supervised)
    supervised.process.send_signal(number)
    with pytest.raises(EOFError) as closing:  # answered, and asked to leave
        await request
    assert closing.value.args[0] == (200, "slow")
    assert await supervised.exit_code() == 0
    assert not any(map(is_running, pids))


async def test_a_stop_under_load_cuts_no_request_off(supervised: Supervised) -> None:
    await supervised.serve(await supervised.rig.backend("one", delay=0.02))
    with contextlib.suppress(TimeoutError):  # the load finds nobody at its end
        async with load(supervised.rig.port, connections=8) as seen:
            supervised.process.send_signal(signal.SIGTERM)
            assert await supervised.exit_code() == 0
    assert set(seen) <= {"200", "ConnectionRefusedError"}


async def test_requests_finish_when_the_control_process_is_dead(supervised: Supervised) -> None:
    await supervised.serve(await supervised.rig.backend("slow", delay=3.0))
    request = asyncio.create_task(supervised.rig.ask())
    await in_flight(supervised)
    # One that hangs must be killed by the parent: stopped, it cannot answer SIGTERM.
    control = supervised.children()["control"]
    os.kill(control, signal.SIGSTOP)
    supervised.process.send_signal(signal.SIGTERM)
    os.kill(control, signal.SIGKILL)
    with pytest.raises(EOFError) as closing:
        await request
    assert closing.value.args[0] == (200, "slow")
    assert await supervised.exit_code() == 0


async def test_a_second_stop_signal_stops_at_once(supervised: Supervised) -> None:
    rig = supervised.rig
    await supervised.start(str(rig.port), str(await rig.backend("never", delay=3600)))
    await until(rig.is_open)
    pids = supervised.children().values()
    request = asyncio.create_task(rig.ask())
    await in_flight(supervised)
    supervised.process.send_signal(signal.SIGTERM)

    async def is_closed() -> bool:
        return not await rig.is_open()

    await until(is_closed)
    supervised.process.send_signal(signal.SIGTERM)
    assert await supervised.exit_code() == 0
    assert not any(map(is_running, pids))
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await request


async def test_a_configuration_that_turns_wrong_while_serving_stops_nothing(
    supervised: Supervised,
) -> None:
    await supervised.serve(await supervised.rig.backend("one"))
    envoy = supervised.children()["envoy"]
    broken = supervised.rig.dir / "broken"
    async with load(supervised.rig.port) as seen:
        broken.touch()
        os.kill(supervised.children()["control"], signal.SIGKILL)
        await supervised.reported("exited with code 78")
        broken.unlink()
        await supervised.connected_again()
    assert set(seen) == {"200"}
    assert supervised.children()["envoy"] == envoy


async def test_orphans_are_reaped(supervised: Supervised) -> None:
    """As PID 1 of a container the parent inherits them."""
    await supervised.start("--orphan")
    file = supervised.rig.dir / "orphan"
    await until(lambda: file.exists() and file.read_text() != "")
    await until(lambda: not Path("/proc", file.read_text()).exists())


@pytest.mark.parametrize("code", [1, 2, 78])
async def test_a_wrong_configuration_ends_everything(supervised: Supervised, code: int) -> None:
    await supervised.start("--exit", str(code))
    assert await supervised.exit_code() == 1
    assert not (supervised.rig.dir / "envoy.json").exists()


async def test_other_signals_reach_the_control_process(supervised: Supervised) -> None:
    await supervised.serve(await supervised.rig.backend("one"))
    supervised.process.send_signal(signal.SIGUSR1)
    await until((supervised.rig.dir / "usr1").exists)
    assert await supervised.answers()


async def in_flight(supervised: Supervised) -> None:
    """Wait until Envoy works on a request."""

    async def is_busy() -> bool:
        return (await supervised.rig.admin.active()).requests > 0

    await until(is_busy)
