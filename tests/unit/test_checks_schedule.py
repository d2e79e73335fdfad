"""The schedule, by a clock that stands still until it is told."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import pytest

from portway.discovery.checks.schedule import Job, Lane, Run, Schedule


class Call:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time that only ``pass_time`` moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._calls: list[tuple[float, int, Call]] = []
        self._number = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> Call:
        call = Call(callback)
        self._number += 1
        heapq.heappush(self._calls, (when, self._number, call))
        return call

    @property
    def pending(self) -> int:
        return sum(call.callback is not None for *_, call in self._calls)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass; what is due happens, and tasks run as far as they can."""
        await settle()
        end = self.now + seconds
        while self._calls and self._calls[0][0] <= end:
            when, _, call = heapq.heappop(self._calls)
            self.now = max(self.now, when)
            if call.callback:
                call.callback()
            await settle()
        self.now = end
        await settle()

    async def stall(self, seconds: float) -> None:
        """As ``pass_time``, but nothing happens before the end: the process was stopped."""
        self.now += seconds
        await self.pass_time(0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Rig:
    """A schedule whose jobs note when they start."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.late: list[float] = []
        self.schedule = Schedule(self.clock, self.late.append)
        self.lane = Lane(100)
        self.starts: dict[str, list[float]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.cancelled: list[str] = []

    def job(self, name: str) -> Run:
        async def run() -> None:
            self.starts.setdefault(name, []).append(self.clock.now - 1000)
            if name in self.gates:
                try:
                    await self.gates[name].wait()
                except asyncio.CancelledError:
                    self.cancelled.append(name)
                    raise

        return run

    def add(self, name: str, interval: float, delay: float, lane: Lane | None = None) -> Job:
        return self.schedule.add(interval, self.job(name), lane or self.lane, delay)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_first_after_the_delay_then_every_interval(rig: Rig) -> None:
    rig.add("a", 10, 3)
    await rig.clock.pass_time(35)
    assert rig.starts == {"a": [3, 13, 23, 33]}


async def test_the_rhythm_does_not_drift_with_the_length_of_a_run(rig: Rig) -> None:
    rig.gates["a"] = asyncio.Event()
    rig.add("a", 10, 0)
    for _ in range(3):
        await rig.clock.pass_time(7)
        rig.gates["a"].set()
        await settle()
        rig.gates["a"].clear()
        await rig.clock.pass_time(3)
    assert rig.starts["a"] == [0, 10, 20, 30]


async def test_a_job_never_overlaps_itself(rig: Rig) -> None:
    rig.gates["a"] = asyncio.Event()
    rig.add("a", 10, 0)
    await rig.clock.pass_time(25)
    assert rig.starts["a"] == [0]
    rig.gates["a"].set()
    await rig.clock.pass_time(20)
    assert rig.starts["a"] == [0, 30, 40]


async def test_after_a_stop_each_runs_once_and_keeps_its_rhythm(rig: Rig) -> None:
    rig.add("a", 10, 2)
    rig.add("b", 10, 5)
    await rig.clock.pass_time(10)
    await rig.clock.stall(1000)
    assert rig.starts["a"] == [2, 1010]
    await rig.clock.pass_time(10)
    assert rig.starts["a"] == [2, 1010, 1012]
    assert rig.starts["b"] == [5, 1010, 1015]


async def test_the_rest_of_a_lane_waits_in_order(rig: Rig) -> None:
    lane = Lane(2)
    for name in "abcd":
        rig.gates[name] = asyncio.Event()
        rig.add(name, 100, 1, lane)
    rig.add("other", 100, 1)
    await rig.clock.pass_time(1)
    assert sorted(rig.starts) == ["a", "b", "other"]
    await rig.clock.pass_time(5)
    rig.gates["b"].set()
    await settle()
    assert rig.starts["c"] == [6]
    assert "d" not in rig.starts
    rig.gates["a"].set()
    rig.gates["c"].set()
    await settle()
    assert rig.starts["d"] == [6]
    assert rig.late == [0, 0, 0, 5, 5]


async def test_a_removed_job_runs_no_more(rig: Rig) -> None:
    job = rig.add("a", 10, 3)
    rig.add("b", 10, 3)
    await rig.clock.pass_time(5)
    rig.schedule.remove(job)
    rig.schedule.remove(job)
    assert len(rig.schedule) == 1
    await rig.clock.pass_time(20)
    assert rig.starts == {"a": [3], "b": [3, 13, 23]}


async def test_removal_cancels_a_run_and_frees_its_place(rig: Rig) -> None:
    lane = Lane(1)
    rig.gates["a"] = asyncio.Event()
    a = rig.add("a", 100, 1, lane)
    rig.add("b", 100, 1, lane)
    await rig.clock.pass_time(2)
    assert "b" not in rig.starts
    rig.schedule.remove(a)
    await settle()
    assert rig.cancelled == ["a"]
    assert rig.starts["b"] == [2]
    assert lane.running == 0


async def test_removal_in_the_moment_of_the_start_frees_its_place(rig: Rig) -> None:
    lane = Lane(1)
    job = rig.add("a", 100, 0, lane)
    rig.clock.now += 1
    rig.schedule._tick()
    rig.schedule.remove(job)
    await settle()
    assert rig.starts == {}
    assert lane.running == 0


async def test_a_job_removed_while_it_waits_is_passed_over(rig: Rig) -> None:
    lane = Lane(1)
    rig.gates["a"] = asyncio.Event()
    rig.add("a", 100, 1, lane)
    b = rig.add("b", 100, 1, lane)
    rig.add("c", 100, 1, lane)
    await rig.clock.pass_time(2)
    rig.schedule.remove(b)
    rig.gates["a"].set()
    await settle()
    assert sorted(rig.starts) == ["a", "c"]


async def test_an_earlier_job_moves_the_timer(rig: Rig) -> None:
    rig.add("late", 100, 50)
    rig.add("soon", 100, 1)
    await rig.clock.pass_time(2)
    assert rig.starts == {"soon": [1]}
    assert rig.clock.pending == 1


class CoarseClock(FakeClock):
    """A clock that counts whole milliseconds, and so calls too early, as uvloop's does."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def time(self) -> float:
        return int(self.now * 1000) / 1000

    def call_at(self, when: float, callback: Callable[[], None], /) -> Call:
        self.calls += 1
        assert self.calls < 100, "asked again and again"
        return super().call_at(max(self.now, int(when * 1000) / 1000), callback)


async def test_a_coarse_clock_is_not_asked_again_and_again(rig: Rig) -> None:
    rig.clock = clock = CoarseClock()
    rig.schedule = Schedule(clock, rig.late.append)
    rig.add("a", 10, 0.0016)
    await clock.pass_time(95)
    assert rig.starts["a"] == pytest.approx([10 * n for n in range(10)], abs=0.002)
    assert clock.calls <= 11
    assert min(rig.late) >= 0


async def test_an_error_ends_only_its_own_run(rig: Rig) -> None:
    runs = 0

    async def broken() -> None:
        nonlocal runs
        runs += 1
        raise RuntimeError("on purpose")

    rig.schedule.add(10, broken, rig.lane, 0)
    rig.add("a", 10, 0)
    await rig.clock.pass_time(15)
    assert runs == 2
    assert rig.starts["a"] == [0, 10]


async def test_many_jobs_come_and_go(rig: Rig) -> None:
    jobs = [rig.add(f"j{i}", 10, i / 100) for i in range(1000)]
    await rig.clock.pass_time(10)
    for job in jobs[:-1]:
        rig.schedule.remove(job)
    assert len(rig.schedule) == 1
    assert len(rig.schedule._heap) < 100, "removed jobs are not kept"
    await rig.clock.pass_time(10)
    assert [len(rig.starts[f"j{i}"]) for i in (0, 998, 999)] == [2, 1, 2]


async def test_close_waits_for_the_last_run(rig: Rig) -> None:
    rig.gates["a"] = asyncio.Event()
    rig.add("a", 10, 0)
    rig.add("b", 10, 5)
    await rig.clock.pass_time(1)
    await rig.schedule.close()
    assert rig.cancelled == ["a"]
    assert rig.clock.pending == 0
    await rig.clock.pass_time(20)
    assert rig.starts == {"a": [0]}
