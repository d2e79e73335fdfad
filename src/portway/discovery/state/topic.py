"""What readers can wait for.

A topic is one thing that changes: a key, a prefix, a service, a table. A change wakes exactly
the readers of its topics, so the cost of a change is the number of readers it concerns.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")
_SPARE = 64  # lengths of names that may be out of date
_TICK = 0.02  # seconds; waiting may last this much longer
_LONG, _COARSE = 10.0, 16  # waiting longer than so many seconds: so many ticks


class Topic:
    """One thing that changes. ``index`` is the revision of its last change."""

    __slots__ = ("__weakref__", "index", "waiting")

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.waiting: dict[asyncio.Future[bool], None] = {}

    def touch(self, index: int) -> None:
        """It changed at ``index``: wake everybody who waits for it."""
        self.index = index
        if self.waiting:
            waiting, self.waiting = self.waiting, {}
            for future in waiting:
                if not future.done():
                    future.set_result(True)


class Topics:
    """Topics by name that exist only while somebody waits for them."""

    def __init__(self) -> None:
        self._topics: MutableMapping[str, Topic] = WeakValueDictionary()
        self._lengths: set[int] = set()
        """Of all names, and for a while of some that nobody holds any more."""

    def __len__(self) -> int:
        return len(self._topics)

    def of(self, name: str) -> Topic:
        """The topic of ``name``; it lives as long as the caller holds it."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic()
            self._lengths.add(len(name))
            if len(self._lengths) > 2 * len(self._topics) + _SPARE:
                self._lengths = {len(held) for held in self._topics}
        return topic

    def get(self, name: str) -> Topic | None:
        """The topic of ``name`` if somebody holds it."""
        return self._topics.get(name)

    def prefixes_of(self, key: str) -> Iterable[Topic]:
        """The held topics whose name is a prefix of ``key``."""
        topics = self._topics
        if topics:
            # Not every prefix of the key: one of half a megabyte would take minutes.
            for length in tuple(self._lengths):
                topic = topics.get(key[:length]) if length <= len(key) else None
                if topic is not None:
                    yield topic

    def all(self) -> list[Topic]:
        """Every held topic."""
        return list(self._topics.values())


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What a reader saw: the value, its index, and what would change it.

    ``found`` is false for a single object that does not exist: such a reader is not woken by
    the creation of others (blocking query rule 4).
    """

    value: T
    index: int
    topics: tuple[Topic, ...]
    found: bool = True


class _Deadlines:
    """When waiting ends, for any number of waiters: they share a timer for each tick."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._due: dict[int, set[asyncio.Future[bool]]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, future: asyncio.Future[bool], seconds: float) -> int:
        """End ``future`` after so long, or a little later; returns what ``discard`` needs."""
        tick = math.ceil((self.loop.time() + seconds) / _TICK)
        if seconds > _LONG:
            tick = -(-tick // _COARSE) * _COARSE
        due = self._due.get(tick)
        if due is None:
            due = self._due[tick] = set()
            heappush(self._order, tick)
            if self._order[0] == tick:
                self._arm()
        due.add(future)
        return tick

    def discard(self, future: asyncio.Future[bool], tick: int) -> None:
        """Forget a future that has ended otherwise."""
        due = self._due.get(tick)
        if due is not None:
            due.discard(future)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(self._order[0] * _TICK, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        while self._order and self._order[0] * _TICK <= now:
            for future in self._due.pop(heappop(self._order)):
                if not future.done():
                    future.set_result(False)
        if self._order:
            self._arm()


_deadlines: _Deadlines | None = None


async def any_change(topics: Iterable[Topic], seconds: float) -> bool:
    """Wait until one of the topics changes; false when ``seconds`` pass before."""
    global _deadlines  # noqa: PLW0603 - one for each event loop, of which there is one
    loop = asyncio.get_running_loop()
    if _deadlines is None or _deadlines.loop is not loop:
        _deadlines = _Deadlines(loop)
    deadlines = _deadlines
    future: asyncio.Future[bool] = loop.create_future()
    for topic in topics:
        topic.waiting[future] = None
    tick = deadlines.add(future, seconds)
    try:
        return await future
    finally:
        deadlines.discard(future, tick)
        for topic in topics:
            topic.waiting.pop(future, None)
