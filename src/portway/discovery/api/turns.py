"""Long work in between which other requests have their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")
_TURN = 0.01  # seconds


async def in_turns(rows: Iterable[T]) -> AsyncIterator[T]:
    """The rows; whenever the work on them has taken a while, others have their turn.

    What is short is done at once. ``rows`` must not change with the state meanwhile.
    """
    end = time.monotonic() + _TURN
    for row in rows:
        yield row
        if time.monotonic() > end:
            await asyncio.sleep(0)
            end = time.monotonic() + _TURN
