"""Leases: which ones run, and until when by a monotonic clock.

Only existence and duration are stored. After a restart every lease has its full time again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping

from portway.store import StoreClosedError, StoreError

_RETRY = 1.0


class Leases:
    """The clocks of leases. ``revoke`` ends a lease in the store."""

    def __init__(self, ttls: Mapping[int, float], revoke: Callable[[int], Awaitable[None]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._revoke = revoke
        self._ttls: dict[int, float] = {}
        self._deadlines: dict[int, float] = {}
        self._queue: list[tuple[float, int]] = []
        """A time at which to look at each lease; its deadline may have moved on since."""
        self._expiring: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.follow(ttls)

    def start(self, lease: int, ttl: float) -> None:
        """Begin a lease's time."""
        deadline = self._loop.time() + ttl
        self._ttls[lease] = ttl
        self._deadlines[lease] = deadline
        heapq.heappush(self._queue, (deadline, lease))
        if self._queue[0] == (deadline, lease):
            self._arm()

    def renew(self, lease: int) -> bool:
        """Begin a lease's time anew; false when it is over, whether noticed or not."""
        now = self._loop.time()
        deadline = self._deadlines.get(lease)
        if deadline is None or deadline <= now:
            return False
        # An earlier look at it is in the queue already.
        self._deadlines[lease] = now + self._ttls[lease]
        return True

    def end(self, lease: int) -> None:
        """Forget a lease."""
        self._ttls.pop(lease, None)
        self._deadlines.pop(lease, None)

    def follow(self, ttls: Mapping[int, float]) -> None:
        """Forget leases the store does not have, and start those it has besides."""
        for lease in self._ttls.keys() - ttls.keys():
            self.end(lease)
        for lease, ttl in ttls.items():
            if lease not in self._ttls and lease not in self._expiring:
                self.start(lease, ttl)

    async def close(self) -> None:
        """Stop all clocks."""
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._queue[0][0], self._look) if self._queue else None

    def _look(self) -> None:
        now = self._loop.time()
        queue = self._queue
        while queue and queue[0][0] <= now:
            _, lease = heapq.heappop(queue)
            deadline = self._deadlines.get(lease)
            if deadline is None:
                continue
            if deadline > now:
                heapq.heappush(queue, (deadline, lease))
                continue
            self.end(lease)
            self._expiring.add(lease)
            task = self._loop.create_task(self._expire(lease))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._arm()

    async def _expire(self, lease: int) -> None:
        """End a lease in the store, however long that takes to succeed."""
        try:
            while True:
                try:
                    return await self._revoke(lease)
                except StoreClosedError:
                    return None
                except StoreError:
                    await asyncio.sleep(_RETRY)
        finally:
            self._expiring.discard(lease)
