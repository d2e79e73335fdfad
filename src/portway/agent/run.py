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
from portway.agent.dns import dns_settings, listen_dns
from portway.agent.listeners import Listeners
from portway.agent.log_sinks import LogFile, to_file, to_syslog
from portway.agent.logs import Log, to_stdout
from portway.agent.own_api import OwnApi
from portway.agent.registration import RegistrationError
from portway.agent.remote_exec import ApiKeys, serve_remote_exec
from portway.agent.runtime import Runtime
from portway.agent.watches import Watches
from portway.discovery.api import App, Context, all_routes
from portway.discovery.version import BUILD_DATE, CONSUL
from portway.mesh.entries import EntryError
from portway.store import StoreError

log = structlog.get_logger("agent")

_LEAVE_TIMEOUT = 15.0  # seconds a graceful end may take


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
        self._loaded = loaded
        self._log = Log(loaded.config.log_level, loaded.config.log_json)
        self._signals = 0
        self._graceful = True

    async def run(self) -> int:
        config = self._loaded.config
        self._log.install()
        sys.stdout.write(banner(config, CONSUL, BUILD_DATE) + "\n")
        sys.stdout.flush()
        to_stdout(self._log)
        for warning in self._loaded.warnings:
            log.warning(warning)
        try:
            self._add_sinks(config)
            self._listeners = Listeners(config)
            self._runtime = Runtime(config, self._log)
            await self._runtime.start()
            await self._serve()
        except (OSError, StoreError, RegistrationError, EntryError, ValueError) as error:
            sys.stderr.write(f"==> Error starting agent: {error}\n")
            return 1
        pid_file = _write_pid(config.pid_file)
        self._watch_signals()
        log.info("Consul agent running!")
        await self._runtime.left.wait()
        log.info("Shutting down")
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT):
                await self._stop()
        except TimeoutError:
            self._graceful = False
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)
        return 0 if self._graceful else 1

    def _add_sinks(self, config: AgentConfig) -> None:
        log_ = self._log

        def level() -> int:
            return log_.level

        if config.log_file:
            file = LogFile(
                config.log_file,
                most_bytes=config.log_rotate_bytes,
                seconds=config.log_rotate_duration,
                keep=config.log_rotate_max_files,
            )
            log_.sinks.append(to_file(file, level, config.log_json))
        if config.enable_syslog:
            log_.sinks.append(to_syslog(config.syslog_facility, level))

    async def _serve(self) -> None:
        runtime = self._runtime
        context = Context(
            runtime.server, runtime.resolver, runtime.settings, runtime.observe_request
        )
        app = App((*all_routes(), *agent_routes(runtime, self.reload)), context)
        self._listeners.serve(app)
        self._dns = await listen_dns(runtime)
        if not runtime.config.disable_remote_exec:
            keys = ApiKeys(
                OwnApi(app, lambda: runtime.tokens["agent"] or runtime.tokens["default"])
            )
            serve_remote_exec(context.events, runtime.config.node_name, keys, runtime.background)
        self._watches = Watches(app, lambda: runtime.tokens["default"])
        self._watches.run(runtime.config.plans)
        if runtime.config.auto_reload_config:
            runtime.background(watch_files(lambda: self._loaded.config, self._reload_logged))

    async def _stop(self) -> None:
        self._watches.stop()
        await self._dns.stop()
        await self._listeners.stop()
        await self._runtime.stop()

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hangup)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ending, number)

    def _hangup(self) -> None:
        log.info("Caught", signal="hangup")
        self._runtime.background(self._reload_logged())

    def _ending(self, number: signal.Signals) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(1)  # a second signal does not wait for anything
        config = self._loaded.config
        leaves = (
            config.leave_on_terminate
            if number == signal.SIGTERM
            else not config.skip_leave_on_interrupt
        )
        log.info("Caught", signal=signal.strsignal(number))
        log.info("Gracefully shutting down agent..." if leaves else "Exiting")
        self._graceful = leaves
        self._runtime.left.set()

    async def _reload_logged(self) -> None:
        try:
            await self.reload()
        except (ConfigError, RegistrationError, OSError) as error:
            log.error("Failed to reload", error=str(error))

    async def reload(self) -> None:
        """Read the configuration again and take over what may change.

        Raises ConfigError, RegistrationError or OSError; what cannot be read changes nothing.
        """
        log.info("Reloading configuration...")
        loaded = await asyncio.to_thread(load_again, self._loaded)
        for warning in loaded.warnings:
            log.warning(warning)
        self._listeners.reconfigure(loaded.config)
        await self._runtime.reconfigure(loaded.config)
        self._dns.reload(dns_settings(loaded.config))
        self._watches.run(loaded.config.plans)
        self._loaded = loaded
        log.info("Configuration reloaded")


def _write_pid(path: str) -> Path | None:
    if not path:
        return None
    file = Path(path)
    file.write_text(str(os.getpid()))
    return file
