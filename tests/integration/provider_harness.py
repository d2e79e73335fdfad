"""Runs a provider in a test and keeps what it reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from portway.edge.dynamic import Router, Service
from portway.edge.providers.provider import Change, Kind, Provider, Report
from tests.patience import PATIENCE


class Reported:
    """The objects in force after all reports so far."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.objects: dict[tuple[Kind, str], Change] = {}
        self.problems: list[str] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def emit(self, report: Report) -> None:
        self.reports.append(report)
        for change in report.changes:
            if change.value is None:
                # A removal of something never reported would be a mistake of the provider.
                del self.objects[change.kind, change.name]
            else:
                assert self.objects.get((change.kind, change.name)) != change, "nothing changed"
                self.objects[change.kind, change.name] = change
        if report.problems is not None:
            self.problems = list(report.problems)
        task = asyncio.ensure_future(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a report makes ``condition`` true."""
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: bool(condition()))
        except TimeoutError:
            shown = f"{list(self.objects.values())} {self.problems}"
            raise AssertionError(f"still not so: {shown[:4000]}") from None

    def names(self, kind: Kind) -> list[str]:
        """The names of all objects of a kind, sorted."""
        return sorted(name for found, name in self.objects if found == kind)

    def router(self, name: str) -> Router:
        value = self.objects["router", name].value
        assert isinstance(value, Router)
        return value

    def service(self, name: str) -> Service:
        value = self.objects["service", name].value
        assert isinstance(value, Service)
        return value

    def errors(self, kind: Kind, name: str) -> str:
        """The errors of an object, in one text."""
        return "\n".join(self.objects[kind, name].errors)

    def urls(self, name: str) -> list[str]:
        """The servers of a service; none when it does not exist."""
        change = self.objects.get(("service", name))
        if change is None or not isinstance(change.value, Service):
            return []
        assert change.value.load_balancer is not None
        return [server.url for server in change.value.load_balancer.servers]


@asynccontextmanager
async def running(provider: Provider) -> AsyncGenerator[Reported, None]:
    """Run ``provider``; on entry it has reported once."""
    reported = Reported()
    task = asyncio.create_task(provider.run(reported.emit))
    try:
        await reported.until(lambda: reported.reports)
        yield reported
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled() or task.exception() is None, task.exception()
