"""Whole bodies of answers, kept until what they show changes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

_OVERHEAD = 512  # bytes an entry takes beside its text


class Bodies:
    """Bodies by what they show; readers that are woken together share one.

    The least recently used go when all of them, with their keys, exceed ``limit`` bytes.
    """

    def __init__(self, limit: int = 32 << 20) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[Hashable, bytes]] = OrderedDict()
        self._making: dict[tuple[Hashable, Hashable], asyncio.Task[bytes]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, version: Hashable, render: Callable[[], bytes]) -> bytes:
        """The body of ``key`` at ``version``: the view's epoch and the indexes it depends on."""
        body = self._find(key, version)
        return self._keep(key, version, render()) if body is None else body

    async def made(
        self, key: Hashable, version: Hashable, make: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> bytes:
        """The same for bodies that take time: of those who want one at once, it is made once."""
        body = self._find(key, version)
        if body is not None:
            return body
        making = self._making.get((key, version))
        if making is None:
            # A task of its own: the others must not fail because the first of them gave up.
            making = asyncio.get_running_loop().create_task(self._make(key, version, make))
            self._making[key, version] = making
            making.add_done_callback(lambda _: self._making.pop((key, version)))
        return await asyncio.shield(making)

    async def _make(
        self, key: Hashable, version: Hashable, make: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> bytes:
        return self._keep(key, version, await make())

    def _find(self, key: Hashable, version: Hashable) -> bytes | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[0] == version:
            self._kept.move_to_end(key)
            return kept[1]
        self._drop(key)
        return None

    def _keep(self, key: Hashable, version: Hashable, body: bytes) -> bytes:
        if key in self._kept:
            self._drop(key)
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
