"""Answers kept until something they were made of changes."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import permutations
from math import perm
from random import random
from typing import Generic, TypeVar

from portway.discovery.dns.compiled import Compiled
from portway.discovery.dns.message import Limits, choices, put_together
from portway.discovery.dns.request import Request
from portway.discovery.state import Topic

_MOST_ORDERS = 24  # that are rendered ahead: all of four blocks
_MOST_BYTES = 4096  # of all orders of one request

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Entry:
    """A compiled answer, and the topics it was read from with their indexes at that time."""

    __slots__ = ("compiled", "topics")

    def __init__(self, compiled: Compiled, topics: list[tuple[Topic, int]]) -> None:
        self.compiled = compiled
        self.topics = tuple(dict(topics).items())

    def is_fresh(self) -> bool:
        """Whether nothing it was made of has changed."""
        for topic, index in self.topics:  # noqa: SIM110 (a generator takes three times as long)
            if topic.index != index:
                return False
        return True


class Rendered:
    """The messages that answer one exact request: in every order, where these are few."""

    __slots__ = ("_asked", "_limits", "_messages", "_request", "_second", "entry")

    def __init__(self, entry: Entry, request: Request, limits: Limits) -> None:
        self.entry = entry
        self._request = request
        self._limits = limits
        self._messages: list[bytes] = []
        self._second = 0
        self._asked = False

    def draw(self, now: int) -> bytes:
        """A message behind its ID, each order as likely as any other."""
        messages = self._messages
        if messages and (self._second == now or not self.entry.compiled.serial):
            return messages[int(random() * len(messages))]  # noqa: S311 (not a secret)
        # Who asks only once, with letters or options drawn anew each time, pays for one message.
        if self._asked:
            self._render(now)
        self._asked = True
        return put_together(self.entry.compiled, self._request, self._limits, now)

    def _render(self, now: int) -> None:
        compiled = self.entry.compiled
        self._second = now
        count, chosen = choices(compiled, self._limits)
        if not compiled.shuffled:
            orders = [compiled.blocks[:chosen]]
        elif perm(count, chosen) <= _MOST_ORDERS:
            orders = [list(order) for order in permutations(compiled.blocks, chosen)]
        else:
            return
        messages: list[bytes] = []
        for order in orders:
            message = put_together(compiled, self._request, self._limits, now, order)
            if len(message) * len(orders) > _MOST_BYTES:
                return
            messages.append(message)
        self._messages = messages


class Cache(Generic[K, V]):
    """A bounded mapping; what came first goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._kept: dict[K, tuple[V, int]] = {}
        self.get = self._kept.get

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value; all weights together stay below the bound."""
        if weight > self._most:
            return
        old = self._kept.pop(key, None)
        if old is not None:
            self._weight -= old[1]
        self._kept[key] = (value, weight)
        self._weight += weight
        while self._weight > self._most:
            _, gone = self._kept.pop(next(iter(self._kept)))
            self._weight -= gone

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._kept)
