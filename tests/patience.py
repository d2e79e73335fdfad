"""How long the tests wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 240.0
"""Seconds until what does not come about fails a test; on an idle machine it takes milliseconds."""


async def until(condition: Callable[[], bool], what: str) -> None:
    """Return when a condition holds."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - it may hold without anything to wait for
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None
