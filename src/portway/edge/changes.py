"""Coalescing: reports that arrive close together are applied as one change."""

from __future__ import annotations

import asyncio

from portway.edge.providers.provider import Report

QUIET = 0.010  # seconds without a report that end a batch
LONGEST = 0.100  # seconds after which a batch ends in any case


class Changes:
    """The queue between the providers and the control loop."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Report] = asyncio.Queue()

    def emit(self, report: Report) -> None:
        """Take a report; providers call this from the event loop."""
        self._queue.put_nowait(report)

    async def batch(self) -> list[Report]:
        """The next reports, once the sources have been quiet for a moment."""
        reports = [await self._queue.get()]
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST
        while (left := min(QUIET, end - loop.time())) > 0:
            try:
                async with asyncio.timeout(left):
                    reports.append(await self._queue.get())
            except TimeoutError:
                break
        return reports
