"""When sessions with a TTL are over: a heap of deadlines and one timer for all of them.

A session is over at twice its TTL after it was last renewed, never before the TTL, by the
server's clock. The deadlines live in memory: after a restart everybody has the full time again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable


class SessionTimers:
    """Deadlines by session ID. ``over`` is called once for each that passes.

    ``clock`` is monotonic seconds. A renewal costs a dictionary entry: the heap is looked at
    again when the old deadline comes.
    """

    def __init__(self, clock: Callable[[], float], over: Callable[[str], None]) -> None:
        self._clock = clock
        self._over = over
        self._ttls: dict[str, float] = {}
        self._deadlines: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def begin(self, session_id: str, ttl: float) -> None:
        """Start the time of a session, in seconds."""
        deadline = self._clock() + 2 * ttl
        self._ttls[session_id] = ttl
        self._deadlines[session_id] = deadline
        if len(self._heap) > 2 * len(self._deadlines) + 64:  # mostly sessions that have ended
            self._heap = [(at, key) for key, at in self._deadlines.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (deadline, session_id))
        if self._heap[0][1] == session_id:
            self._arm()

    def renew(self, session_id: str) -> None:
        """Start the time of a session anew; nothing happens for one without a TTL."""
        ttl = self._ttls.get(session_id)
        if ttl is not None:
            self._deadlines[session_id] = self._clock() + 2 * ttl

    def end(self, session_id: str) -> None:
        """Forget a session."""
        self._ttls.pop(session_id, None)
        self._deadlines.pop(session_id, None)

    def look(self) -> None:
        """Report the sessions whose time is over and wait for the next one."""
        now = self._clock()
        heap = self._heap
        while heap and heap[0][0] <= now:
            _, session_id = heapq.heappop(heap)
            deadline = self._deadlines.get(session_id)
            if deadline is None:
                continue
            if deadline > now:
                heapq.heappush(heap, (deadline, session_id))
                continue
            self.end(session_id)
            self._over(session_id)
        self._arm()

    def stop(self) -> None:
        """Report nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()
        self._deadlines.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            delay = max(self._heap[0][0] - self._clock(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self.look)
