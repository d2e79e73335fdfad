"""One schedule for all periodic checks of an agent: a heap and a single timer.

A task per check would sleep thousands of times; here a check that is not running is an entry
in the heap. Each has a fixed rhythm: its first run comes after a random part of the interval,
the others a whole number of intervals later, however long a run takes. A run that is still
going on when the next is due replaces it. How many run at the same time is bounded per
``Lane``; those beyond wait in order.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import structlog

RESOLUTION = 0.001
"""Seconds by which a timer may call too early: loops count milliseconds (uvloop), and a job
started so much before its time is better than calls in a row until it has come."""

log = structlog.get_logger(__name__)

Run = Callable[[], Coroutine[Any, Any, None]]


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """Time in seconds, and calls at a time; an event loop is one."""

    def time(self) -> float:
        """Now."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call once at a moment."""


class Lane:
    """Jobs that share a limit of how many run at the same time."""

    __slots__ = ("limit", "running", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.waiting: deque[tuple[Job, float]] = deque()


class Job:
    """One entry of the schedule."""

    __slots__ = ("busy", "interval", "lane", "removed", "run", "task")

    def __init__(self, interval: float, run: Run, lane: Lane) -> None:
        self.interval = interval
        self.run = run
        self.lane = lane
        self.busy = False
        """Running, or waiting for its lane."""
        self.removed = False
        self.task: asyncio.Task[None] | None = None


class Schedule:
    """Starts jobs when they are due. All of it happens in one event loop."""

    def __init__(self, clock: Clock, started: Callable[[float], None] | None = None) -> None:
        """``started`` is told of each start, by how many seconds it is late."""
        self._clock = clock
        self._started = started
        self._heap: list[tuple[float, int, Job]] = []
        self._removed = 0
        self._number = 0
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many jobs are scheduled."""
        return len(self._heap) - self._removed

    def add(self, interval: float, run: Run, lane: Lane, delay: float) -> Job:
        """Run something every ``interval`` seconds, first after ``delay``. O(log n)."""
        job = Job(interval, run, lane)
        self._push(self._clock.time() + delay, job)
        self._arm()
        return job

    def remove(self, job: Job) -> None:
        """Take a job out and cancel its run. O(log n) on average."""
        if job.removed:
            return
        job.removed = True
        self._removed += 1
        if job.task is not None:
            job.task.cancel()
        if self._removed > 16 and self._removed > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if not entry[2].removed]
            heapq.heapify(self._heap)
            self._removed = 0

    async def close(self) -> None:
        """Remove everything and wait until no run is left."""
        for _, _, job in list(self._heap):
            self.remove(job)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _push(self, when: float, job: Job) -> None:
        self._number += 1  # of two at the same moment the older comes first
        heapq.heappush(self._heap, (when, self._number, job))

    def _arm(self) -> None:
        if not self._heap:
            return
        when = self._heap[0][0]
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._clock.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock.time()
        while self._heap and self._heap[0][0] <= now + RESOLUTION:
            due, _, job = heapq.heappop(self._heap)
            if job.removed:
                self._removed -= 1
                continue
            # Whole intervals that have passed, after a stop of the machine.
            behind = max(0.0, (now - due) // job.interval)
            self._push(due + (behind + 1) * job.interval, job)
            if not job.busy:
                job.busy = True
                if job.lane.running < job.lane.limit:
                    self._start(job, due)
                else:
                    job.lane.waiting.append((job, due))
        self._arm()

    def _start(self, job: Job, due: float) -> None:
        job.lane.running += 1
        if self._started is not None:
            self._started(max(0.0, self._clock.time() - due))
        job.task = task = asyncio.create_task(job.run())
        self._tasks.add(task)
        task.add_done_callback(partial(self._finished, job))

    def _finished(self, job: Job, task: asyncio.Task[None]) -> None:
        # Not in the task itself: one that is cancelled before its first step runs nothing.
        self._tasks.discard(task)
        job.task = None
        job.busy = False
        job.lane.running -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a scheduled job failed", exc_info=error)
        self._next(job.lane)

    def _next(self, lane: Lane) -> None:
        while lane.waiting and lane.running < lane.limit:
            job, due = lane.waiting.popleft()
            if not job.removed:
                self._start(job, due)
