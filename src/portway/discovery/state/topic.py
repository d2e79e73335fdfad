"""What readers can wait for.

A topic is one thing that changes: a key, a prefix, a service, a table. A change wakes exactly
the readers of its topics, so the cost of a change is the number of readers it concerns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")
_SPARE = 64  # lengths of names that may be out of date


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


async def any_change(topics: Iterable[Topic], seconds: float) -> bool:
    """Wait until one of the topics changes; false when ``seconds`` pass before."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bool] = loop.create_future()
    for topic in topics:
        topic.waiting[future] = None
    timer = loop.call_later(seconds, _expire, future)
    try:
        return await future
    finally:
        timer.cancel()
        for topic in topics:
            topic.waiting.pop(future, None)


def _expire(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)
