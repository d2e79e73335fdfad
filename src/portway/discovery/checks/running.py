"""The running checks of an agent."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from portway.discovery.checks import (
    alias,
    docker,
    grpc,
    h2ping,
    http,
    reaper,
    script,
    tcp,
    ttl,
    udp,
)
from portway.discovery.checks.context import Context
from portway.discovery.checks.output import limit_of, shortened
from portway.discovery.checks.result import CheckError, Result, critical
from portway.discovery.checks.schedule import Lane, Schedule
from portway.discovery.checks.settings import Settings
from portway.discovery.checks.thresholds import satisfied, step, thresholds_of
from portway.discovery.checks.validation import CheckType, adjust, check_type, validate
from portway.discovery.model import CRITICAL, CheckDefinition, CheckStatus

log = structlog.get_logger(__name__)

OnResult = Callable[[str, CheckStatus, str], None]
"""``on_result(check_id, status, output)``, in the event loop."""


_SCRIPTS = frozenset(("script", "docker"))
_RUNNERS: Mapping[CheckType, Callable[[CheckDefinition, Context], Awaitable[Result]]] = {
    "docker": docker.run_once,
    "grpc": grpc.run_once,
    "h2ping": h2ping.run_once,
    "script": script.run_once,
    "tcp": tcp.run_once,
    "udp": udp.run_once,
}


class _Running:
    """One check that runs. ``stop`` ends it."""

    __slots__ = (
        "counters",
        "critical_since",
        "definition",
        "expiry",
        "output",
        "said",
        "status",
        "stop",
        "thresholds",
    )

    def __init__(self, definition: CheckDefinition, status: CheckStatus, output: str) -> None:
        self.definition = definition
        self.status = status
        self.output = output
        self.thresholds = thresholds_of(definition)
        self.counters = satisfied(self.thresholds)
        self.critical_since: float | None = None
        self.expiry: ttl.Expiry | None = None
        self.said = ""
        """The last output a TTL check was given."""
        self.stop: Callable[[], None] = _nothing


class Checks:
    """Runs checks and reports each change of a status or an output, once.

    Belongs to one event loop; made inside it. ``close`` it in the end.
    """

    def __init__(
        self,
        settings: Settings,
        on_result: OnResult,
        watch_alias: alias.WatchAlias,
        *,
        on_overdue: Callable[[str], None],
        ttl_store: ttl.TTLStore | None = None,
        started: Callable[[float], None] | None = None,
    ) -> None:
        """``watch_alias`` follows the targets of alias checks.

        ``on_overdue(check_id)`` is called every 30 s for a check that has been critical for
        longer than its ``deregister_critical_service_after``: its service is to be removed.
        ``ttl_store`` keeps the states of TTL checks over a restart. ``started`` is told of
        each start of a periodic check, by how many seconds it is late.
        """
        self._loop = asyncio.get_running_loop()
        self._on_result = on_result
        self._watch_alias = watch_alias
        self._on_overdue = on_overdue
        self._ttl_store = ttl_store
        self._context = Context(settings)
        self._network = Lane(settings.concurrent_connections)
        self._scripts = Lane(settings.concurrent_scripts)
        self._schedule = Schedule(self._loop, started)
        self._running: dict[str, _Running] = {}
        self._sweep = self._loop.call_later(reaper.SWEEP_INTERVAL, self._reap)

    def __len__(self) -> int:
        """How many checks run."""
        return len(self._running)

    def __contains__(self, check_id: str) -> bool:
        """Whether a check runs."""
        return check_id in self._running

    def add(
        self,
        check_id: str,
        definition: CheckDefinition,
        status: CheckStatus | None = None,
        output: str = "",
    ) -> list[str]:
        """Run a check; returns warnings. Raises CheckError for an invalid definition.

        ``status`` and ``output`` are what is shown of it already: only what differs from them
        is reported. Without a status that is critical for a new check, and what it was for one
        that is replaced. Adding the same definition again does not disturb its rhythm, but
        renews a TTL. A TTL check that is new here takes up its last state unless it has
        expired, and reports it before this returns.
        """
        validate(definition)
        adjusted, warnings = adjust(check_id, definition)
        before = self._running.get(check_id)
        if status is None:
            status, output = (before.status, before.output) if before else (CRITICAL, "")
        if before is not None:
            if before.definition == adjusted and check_type(adjusted) != "alias":
                before.status, before.output = status, output
                if before.expiry is not None:
                    before.expiry.renew()
                return warnings
            before.stop()
        running = _Running(adjusted, status, output)
        if before is not None:
            running.critical_since = before.critical_since
            running.said = before.said
        self._running[check_id] = running
        self._start(check_id, running, known=before is not None)
        return warnings

    def remove(self, check_id: str) -> None:
        """Stop a check and forget it; nothing more is reported of it."""
        running = self._running.pop(check_id, None)
        if running is not None:
            running.stop()
            if running.expiry is not None and self._ttl_store is not None:
                self._ttl_store.remove(check_id)

    def update_ttl(self, check_id: str, status: CheckStatus, output: str) -> None:
        """Set the status of a TTL check and renew its time.

        Raises CheckError for a check that has no TTL.
        """
        running = self._running.get(check_id)
        if running is None or running.expiry is None:
            raise CheckError(f'CheckID "{check_id}" does not have associated TTL')
        output = ttl.cut(output, self._limit(running.definition))
        running.expiry.renew()
        running.said = output
        if self._ttl_store is not None:
            expires = time.time() + running.definition.ttl
            self._ttl_store.save(check_id, ttl.TTLState(status, output, expires))
        self._report(check_id, running, Result(status, output))

    def reconfigure(self, settings: Settings) -> None:
        """Take what a reload may change: ``discard_output``, and the agent's TLS files anew."""
        self._context.reconfigure(settings)

    async def close(self) -> None:
        """Stop all checks; returns when no run is left."""
        self._sweep.cancel()
        for running in self._running.values():
            running.stop()
        self._running.clear()
        await self._schedule.close()
        await self._context.close()

    def _start(self, check_id: str, running: _Running, *, known: bool) -> None:
        definition = running.definition
        kind = check_type(definition)
        if kind == "ttl":
            self._start_ttl(check_id, running, known=known)
        elif kind == "alias":
            self._start_alias(check_id, running)
        else:
            run = (
                http.prepare(definition, self._context)
                if kind == "http"
                else partial(_RUNNERS[kind], definition, self._context)
            )
            job = self._schedule.add(
                definition.interval,
                partial(self._run, check_id, running, run),
                self._scripts if kind in _SCRIPTS else self._network,
                random.uniform(0, definition.interval),  # noqa: S311
            )
            running.stop = partial(self._schedule.remove, job)

    def _start_ttl(self, check_id: str, running: _Running, *, known: bool) -> None:
        def expired() -> None:
            log.warning("check missed its TTL", check=check_id)
            self._report(check_id, running, critical(ttl.expired(running.said)))

        running.expiry = ttl.Expiry(running.definition.ttl, self._loop, expired)
        running.stop = running.expiry.stop
        state = self._ttl_store.load(check_id) if self._ttl_store and not known else None
        if state is None or self._ttl_store is None:
            return
        if state.expires > time.time():
            running.said = state.output
            self._report(check_id, running, Result(state.status, state.output))
        else:
            self._ttl_store.remove(check_id)

    def _start_alias(self, check_id: str, running: _Running) -> None:
        definition = running.definition
        latest: list[alias.AliasTarget] = []

        def judge() -> None:
            result = alias.judged(check_id, definition.alias_service, latest[-1])
            latest.clear()
            output = shortened(result.output, self._limit(definition))
            self._report(check_id, running, Result(result.status, output))

        def changed(target: alias.AliasTarget) -> None:
            # Later, and once for several changes: aliases may be aliases of each other.
            if not latest:
                self._loop.call_soon(judge)
            latest.append(target)

        running.stop = self._watch_alias(
            check_id, definition.alias_node, definition.alias_service, changed
        )

    async def _run(
        self, check_id: str, running: _Running, run: Callable[[], Awaitable[Result]]
    ) -> None:
        try:
            result = await run()
        except Exception as error:
            log.exception("check could not be run", check=check_id)
            result = critical(f"check could not be run: {error!r}")
        running.counters, status = step(running.thresholds, running.counters, result.status)
        if status is not None:
            self._report(check_id, running, Result(status, result.output))

    def _report(self, check_id: str, running: _Running, result: Result) -> None:
        if self._running.get(check_id) is not running:
            return
        status, output = result
        if self._context.settings.discard_output:
            output = ""
        if status != CRITICAL:
            running.critical_since = None
        elif running.critical_since is None:
            running.critical_since = self._loop.time()
        if (status, output) == (running.status, running.output):
            return
        if status != running.status:
            log.info("check status changed", check=check_id, status=status, before=running.status)
        running.status, running.output = status, output
        try:
            self._on_result(check_id, status, output)
        except Exception:
            log.exception("the result of a check was not taken", check=check_id)

    def _reap(self) -> None:
        self._sweep = self._loop.call_later(reaper.SWEEP_INTERVAL, self._reap)
        critical_checks = (
            reaper.Critical(
                check_id,
                running.critical_since,
                running.definition.deregister_critical_service_after,
            )
            for check_id, running in self._running.items()
        )
        for check_id in reaper.overdue(critical_checks, self._loop.time()):
            if check_id in self._running:  # its service may be gone through another check
                self._on_overdue(check_id)

    def _limit(self, definition: CheckDefinition) -> int:
        return limit_of(definition, self._context.settings.output_max_size)


def _nothing() -> None:
    pass
