"""Whole bodies of answers, kept until what they show changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

_OVERHEAD = 512  # bytes an entry takes beside its text


class Bodies:
    """Bodies by what they show; readers that are woken together share one.

    The least recently used go when all of them, with their keys, exceed ``limit`` bytes.
    """

    def __init__(self, limit: int = 32 << 20) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[Hashable, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, version: Hashable, render: Callable[[], bytes]) -> bytes:
        """The body of ``key`` at ``version``: the view's epoch and the indexes it depends on."""
        kept = self._kept.get(key)
        if kept is not None:
            if kept[0] == version:
                self._kept.move_to_end(key)
                return kept[1]
            self._drop(key)
        body = render()
        self._kept[key] = (version, body)
        self._size += _cost(key, body)
        while self._size > self._limit:
            self._drop(next(iter(self._kept)))
        return body

    def _drop(self, key: Hashable) -> None:
        _, body = self._kept.pop(key)
        self._size -= _cost(key, body)


def _cost(key: Hashable, body: bytes) -> int:
    """Bytes, roughly. Keys hold what callers ask for, which may be longer than the answer."""
    return _OVERHEAD + len(repr(key)) + len(body)
