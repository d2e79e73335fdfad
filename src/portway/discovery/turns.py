"""Turns: work of the same name goes one after the other, and what can goes together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")
Group = list[tuple[Callable[[Any], Any], asyncio.Future[Any]]]
Together = Callable[[list[Callable[[Any], Any]]], Awaitable[list[Any]]]


class Turns:
    """Who writes what when. Names that nobody waits for cost nothing."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._leading: set[asyncio.Task[None]] = set()
        self._groups: dict[str, Group] = {}

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """A turn of its own."""
        lock, users = self._locks.get(name) or (asyncio.Lock(), 0)
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[name]
            if users == 1:
                del self._locks[name]
            else:
                self._locks[name] = (lock, users - 1)

    async def together(self, name: str, work: Callable[[Any], T], run: Together) -> T:
        """Share a turn with all work of the name that came to wait for it meanwhile.

        ``run`` gets the work in the order it came and returns the results in the same order; what
        it raises, all of it raises.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        group = self._groups.get(name)
        if group is not None:
            group.append((work, future))
            return await asyncio.shield(future)
        self._groups[name] = group = [(work, future)]
        # A task of its own: the others must not fail because the first of them gave up.
        task = asyncio.get_running_loop().create_task(self._lead(name, group, run))
        self._leading.add(task)
        task.add_done_callback(self._leading.discard)
        return await asyncio.shield(future)

    async def _lead(
        self,
        name: str,
        group: Group,
        run: Together,
    ) -> None:
        async with self.of(name):
            del self._groups[name]  # who comes from now on waits for the next turn
            try:
                results = await run([work for work, _ in group])
            except Exception as error:  # handed on to all who wait
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                return
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():
                future.set_result(result)
