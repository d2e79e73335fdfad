"""Whole bodies of answers, kept until what they show changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable


class Bodies:
    """Bodies by what they show; readers that are woken together share one.

    The least recently used go when all of them exceed ``limit`` bytes.
    """

    def __init__(self, limit: int = 32 << 20) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[tuple[int, int], bytes]] = OrderedDict()

    def get(self, key: Hashable, version: tuple[int, int], render: Callable[[], bytes]) -> bytes:
        """The body of ``key`` at ``version``, the view's epoch and the index."""
        kept = self._kept.get(key)
        if kept is not None:
            if kept[0] == version:
                self._kept.move_to_end(key)
                return kept[1]
            self._size -= len(kept[1])
            del self._kept[key]
        body = render()
        self._kept[key] = (version, body)
        self._size += len(body)
        while self._size > self._limit:
            _, (_, old) = self._kept.popitem(last=False)
            self._size -= len(old)
        return body
