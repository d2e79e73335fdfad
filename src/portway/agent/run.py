"""``portway agent``: the process from its start to its end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

import structlog
import uvloop

from portway.agent.api import agent_routes
from portway.agent.autoreload import watch_files
from portway.agent.config import AgentConfig, ConfigError, Loaded, banner, load_again
from portway.agent.definitions import DefinitionError
from portway.agent.dns import dns_settings, listen_dns
from portway.agent.listeners import Listeners
from portway.agent.log_sinks import LogFile, to_file, to_syslog
from portway.agent.logs import Log
from portway.agent.notify import READY, STOPPING, notify
from portway.agent.own_api import OwnApi
from portway.agent.remote_exec import ApiKeys, serve_remote_exec
from portway.agent.runtime import Runtime
from portway.agent.starting import Front
from portway.agent.watches import Watches
from portway.discovery.api import App, Context, all_routes
from portway.discovery.dns import Listener as DnsListener
from portway.discovery.version import BUILD_DATE, CONSUL
from portway.store import StoreError

log = structlog.get_logger("agent")

_LEAVE_TIMEOUT = 15.0  # seconds a graceful end may take
_SIGNALS = {signal.SIGHUP: "hangup", signal.SIGINT: "interrupt", signal.SIGTERM: "terminated"}
# What a configuration, new or from the disk, may be refused for.
_WRONG = (ConfigError, DefinitionError, StoreError, OSError, ValueError)


def main(loaded: Loaded) -> int:
    """Run an agent until it is told to end; returns the exit code."""
    _raise_file_limit()
    code: int = uvloop.run(_Process(loaded).run())
    return code


def _raise_file_limit() -> None:
    """Let the process open what the system lets it: each blocked query holds a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Process:
    def __init__(self, loaded: Loaded) -> None:
        config = loaded.config
        self._loaded = loaded
        self._log = Log(config.log_level, config.log_json, config.log_sublevels)
        self._signals = 0
        self._graceful = True
        self._running = False
        self._hung_up = False
        """A reload was asked for while the agent was starting."""
        self._runtime = Runtime(config, self._log)
        self._front = Front()
        self._listeners: Listeners | None = None
        self._dns: DnsListener | None = None
        self._watches: Watches | None = None
        self._pid_file: Path | None = None
        self._reloading = asyncio.Lock()

    async def run(self) -> int:
        config = self._loaded.config
        self._watch_signals()
        self._log.install()
        sys.stdout.write(banner(config, CONSUL, BUILD_DATE) + "\n")
        sys.stdout.flush()
        self._log.to_stdout()
        for warning in self._loaded.warnings:
            log.warning(warning)
        leaving = asyncio.create_task(self._runtime.left.wait())
        starting = asyncio.create_task(self._start(config))
        await asyncio.wait((starting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
        elif (failure := starting.exception()) is not None:
            self._refuse(failure)
        else:
            self._running = True
            notify(READY)
            log.info("Consul agent running!")
            if self._hung_up:
                self._runtime.background(self._reload_logged())
            await leaving
        await self._end(starting)
        code = 0 if self._graceful else 1
        if self._runtime.left.is_set():
            log.info("Exit code", code=code)
        return code

    def _refuse(self, failure: BaseException) -> None:
        if not isinstance(failure, _WRONG):
            log.error("The agent could not be started", exc_info=failure)
        sys.stderr.write(f"==> Error starting agent: {failure}\n")
        self._graceful = False

    async def _start(self, config: AgentConfig) -> None:
        self._add_sinks(config)
        self._listeners = Listeners(config)
        self._listeners.serve(self._front)  # it answers before anything has been read
        await self._runtime.start()
        await self._serve()
        if config.pid_file:
            self._pid_file = Path(config.pid_file)
            self._pid_file.write_text(str(os.getpid()))

    def _add_sinks(self, config: AgentConfig) -> None:
        if config.log_file:
            file = LogFile(
                config.log_file,
                most_bytes=config.log_rotate_bytes,
                seconds=config.log_rotate_duration,
                keep=config.log_rotate_max_files,
            )
            file.begin()
            self._log.sinks.append(to_file(file, self._log))
        if config.enable_syslog:
            self._log.sinks.append(to_syslog(config.syslog_facility, self._log))

    async def _serve(self) -> None:
        runtime = self._runtime
        context = Context(
            runtime.server, runtime.resolver, runtime.settings, runtime.observe_request
        )
        app = App((*all_routes(), *agent_routes(runtime, self.reload)), context, runtime.rates)
        self._dns = await listen_dns(runtime)
        if not runtime.config.disable_remote_exec:
            keys = ApiKeys(OwnApi(app, runtime.tokens.of_agent))
            serve_remote_exec(context.events, runtime.config.node_name, keys, runtime.background)
        self._watches = Watches(app, lambda: runtime.tokens["default"])
        self._watches.run(runtime.config.plans)
        if runtime.config.auto_reload_config:
            runtime.background(watch_files(lambda: self._loaded, self._reload_logged))
        self._front.app = app

    async def _end(self, starting: asyncio.Task[None]) -> None:
        notify(STOPPING)
        log.info("Shutting down")
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT):
                await asyncio.wait((starting,))
                await self._stop()
        except TimeoutError:
            log.error("Timeout on graceful leave. Exiting")
            self._graceful = False
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)

    async def _stop(self) -> None:
        if self._watches is not None:
            self._watches.stop()
        if self._dns is not None:
            await self._dns.stop()
        if self._running:
            self._runtime.release()
        if self._listeners is not None:
            await self._listeners.stop()
        await self._runtime.stop()

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hangup)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ending, number)

    def _hangup(self) -> None:
        log.info("Caught", signal=_SIGNALS[signal.SIGHUP])
        if self._running:
            self._runtime.background(self._reload_logged())
        else:
            self._hung_up = True

    def _ending(self, number: signal.Signals) -> None:
        self._signals += 1
        log.info("Caught", signal=_SIGNALS[number])
        if self._signals > 1:
            log.info("Caught second signal, Exiting")
            os._exit(1)  # nothing is waited for
        config = self._loaded.config
        if number == signal.SIGTERM:
            self._graceful = config.leave_on_terminate
        else:
            self._graceful = not config.skip_leave_on_interrupt
        if self._graceful:
            log.info("Gracefully shutting down agent...")
        else:
            log.info("Graceful shutdown disabled. Exiting")
        self._runtime.left.set()

    async def _reload_logged(self) -> None:
        try:
            await self.reload()
        except _WRONG as error:
            log.error("Failed to reload", error=str(error))

    async def reload(self) -> None:
        """Read the configuration again and take over what may change.

        Raises ConfigError, DefinitionError, OSError or ValueError, and then nothing has changed.
        """
        assert self._listeners is not None
        assert self._dns is not None
        assert self._watches is not None
        async with self._reloading:
            log.info("Reloading configuration...")
            loaded = await asyncio.to_thread(load_again, self._loaded)
            config = loaded.config
            context = self._listeners.context_of(config)
            dns = dns_settings(config)
            definitions = self._runtime.prepared(config)
            # Everything is found to be right; from here nothing is refused.
            for warning in loaded.warnings:
                log.warning(warning)
            self._loaded = loaded
            self._listeners.reconfigure(config, context)
            self._dns.reload(dns)
            self._watches.run(config.plans)
            await self._runtime.reconfigure(config, definitions)
            log.info("Configuration reloaded")
