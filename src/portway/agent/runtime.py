"""A running agent: its parts, made from the configuration, started and stopped in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog

from portway.agent.agent import Agent
from portway.agent.aliases import Aliases
from portway.agent.config.config import AgentConfig
from portway.agent.definitions import (
    Configured,
    configure,
    configured,
    restore_checks,
    restore_services,
)
from portway.agent.files import Files, TTLStates
from portway.agent.gauges import process_gauges, server_gauges, state_gauges
from portway.agent.identity import health_of, member_of, node_of, server_service
from portway.agent.local import Local
from portway.agent.logs import LEVELS, Log
from portway.agent.operations import OPERATIONS
from portway.agent.options import (
    acl_settings,
    api_settings,
    check_settings,
    configured_tokens,
    metric_names,
    rate_settings,
)
from portway.agent.registry import Registry
from portway.agent.server_link import ServerLink
from portway.agent.statsd import Statsd
from portway.agent.sync import Sync
from portway.agent.telemetry import INTERVAL, Telemetry
from portway.agent.tokens import AgentTokens
from portway.discovery.acl import Authorizer, Resolver, tokens
from portway.discovery.acl.expiry import collect_expired
from portway.discovery.acl.resolve import utc_now
from portway.discovery.api import RequestRates
from portway.discovery.checks import Checks
from portway.discovery.model import Node, NodeCoordinate
from portway.discovery.operations import catalog, config_entries, coordinates
from portway.discovery.server import Server
from portway.discovery.state import any_change
from portway.mesh.entries import decode_entry
from portway.store import Store
from portway.store.sqlite import open_sqlite

log = structlog.get_logger("agent")

KEPT_VERSIONS = {"kv/": 64}
"""How many versions of a key stay readable."""
_REPLACEMENT_WAIT = 3600.0  # seconds; only so long does one wait last
_TOMBSTONES = 30.0  # seconds between collections of tombstones


class Runtime:
    """The parts of a server agent. ``start`` them, and ``stop`` them in the end."""

    def __init__(self, config: AgentConfig, log_: Log) -> None:
        self.config = config
        self.log = log_
        self.started = time.time()
        self.telemetry = Telemetry()
        self.left = asyncio.Event()
        """Set when the agent is to leave and end."""
        data_dir = "" if config.dev_mode else config.data_dir
        self.files = Files(data_dir)
        kept = self.files.tokens() if config.acl.enable_token_persistence else {}
        self.tokens = AgentTokens(configured_tokens(config), kept)
        self.settings = api_settings(config)
        self.settings.default_token = self.tokens["default"]
        self.telemetry.names = metric_names(config)
        self.rates = RequestRates(rate_settings(config), self._observe_excess)
        self._ttl_states = TTLStates(data_dir)
        self._tasks: set[asyncio.Task[None]] = set()
        self._saving_tokens = asyncio.Lock()
        self._cleanup = AsyncExitStack()

    async def start(self) -> None:
        """Open the store, load the state, and take up the services of the configuration.

        Raises StoreError, DefinitionError, EntryError or OSError; ``stop`` is to be called then
        too.
        """
        config = self.config
        self.store: Store = await open_sqlite(_database(config), keep_versions=KEPT_VERSIONS)
        self._cleanup.push_async_callback(self.store.close)
        self.server = Server(self.store)
        self._cleanup.callback(self.server.stop)
        await self.server.start()
        if config.acl.enabled:
            await self._seed_acl()
        await self._seed_config_entries()
        self.resolver = Resolver(self.server.state.acl, acl_settings(config))
        self.resolver.set_recovery(self.tokens["agent_recovery"], config.node_name)
        await self._register_self()
        self._locate()
        self._assemble()
        await self._take_up()
        self.server.committed = self._observe_commit
        self.telemetry.gauges(lambda: state_gauges(self.server.state, config.datacenter))
        self.telemetry.gauges(lambda: server_gauges(config.datacenter))
        self.telemetry.gauges(lambda: process_gauges(self.started))
        self._send_metrics()
        self.background(self.sync.run())
        self.background(self._collect())
        if config.acl.enabled:
            self.background(collect_expired(self.server))
        self.background(self._after_replacement())

    def _assemble(self) -> None:
        """Make the parts of the local agent."""
        config = self.config
        self.local = Local()
        self.sync = Sync(
            self.local,
            ServerLink(self.server, self.resolver, self._myself),
            self.tokens,
            check_update_interval=config.check_update_interval,
            nodes=lambda: len(self.server.state.catalog.hosts),
        )
        settings = check_settings(config)
        self.checks = Checks(
            settings,
            self.sync.result,
            Aliases(
                config.node_name, self.local, self.server.state, self._authorizer_of_check
            ).watch,
            on_overdue=self._overdue,
            ttl_store=self._ttl_states,
        )
        self._cleanup.push_async_callback(self.checks.close)
        ports = (config.ports.sidecar_min_port, config.ports.sidecar_max_port)
        self.registry = Registry(
            config.node_name, self.local, self.checks, self.files, settings, ports
        )
        self.agent = Agent(self.registry, self.sync)

    def _authorizer_of_check(self, check_id: str) -> Authorizer:
        """What a local check may see. Raises AclError."""
        entry = self.local.checks[check_id]
        return self.resolver.resolve(entry.token or self.tokens.of_registration(entry.source))

    async def _take_up(self) -> None:
        """The services and checks of the configuration, and those kept on disk."""
        config = self.config
        # Kept sidecars have their ports already, so they come first.
        await restore_services(self.registry, {one.id or one.name for one in config.services})
        configure(self.registry, self.prepared(config))
        await restore_checks(self.registry)

    async def stop(self) -> None:
        """Stop everything and close the store; also what was only begun."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._cleanup.aclose()

    def release(self) -> None:
        """Let every blocked query answer: nothing more will change."""
        self.server.state.view.end()

    def _send_metrics(self) -> None:
        """Begin to send metrics to where the configuration says. Raises OSError."""
        wanted = self.config.telemetry
        if wanted.statsd_address:
            self.telemetry.sinks.append(Statsd(wanted.statsd_address).send)
        if wanted.dogstatsd_addr:
            dog = Statsd(wanted.dogstatsd_addr, dog=True, tags=wanted.dogstatsd_tags)
            self.telemetry.sinks.append(dog.send)
        if self.telemetry.sinks:
            self.background(self._send_gauges())

    async def _send_gauges(self) -> None:
        while True:
            self.telemetry.send_gauges()
            await asyncio.sleep(INTERVAL)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` for as long as the agent runs; how it fails is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("A background task of the agent ended", exc_info=failure)

    def observe_request(self, method: str, route: str, seconds: float) -> None:
        """Count an answer of the HTTP API."""
        path = route.strip("/").replace("/", "_")
        self.telemetry.timing("consul.api.http", seconds, (("method", method), ("path", path)))
        operation = OPERATIONS.get((method, route))
        if operation is not None:
            self.telemetry.timing(operation, seconds)

    def _observe_commit(self, seconds: float) -> None:
        """Count a commit of the store."""
        self.telemetry.count("consul.raft.apply")
        self.telemetry.timing("consul.raft.commitTime", seconds)

    def _observe_excess(self, kind: str, refused: bool) -> None:
        mode = "enforcing" if refused else "permissive"
        labels = (("limit_type", f"global/{kind}"), ("mode", mode))
        self.telemetry.count("consul.rpc.rate_limit.exceeded", labels=labels)

    def node(self) -> Node:
        """This agent's node."""
        return node_of(self.config)

    def members(self, wan: bool = False) -> list[dict[str, Any]]:
        """The members of the cluster, or the servers of all of them: this agent alone."""
        return [] if wan and self.config.ports.serf_wan <= 0 else [member_of(self.config, wan)]

    async def set_token(self, kind: str, secret: str) -> None:
        """Replace one of the agent's own tokens; it lasts as ``enable_token_persistence`` says.

        Raises OSError when it cannot be kept; it holds until the end of the process then.
        """
        keep = self.config.acl.enable_token_persistence
        self.tokens.set(kind, secret, keep=keep)
        self._use_tokens()
        self.sync.repair()  # what was denied may be allowed now
        if keep:
            async with self._saving_tokens:
                await self.files.save_tokens(self.tokens.kept())

    def _use_tokens(self) -> None:
        self.settings.default_token = self.tokens["default"]
        self.resolver.set_recovery(self.tokens["agent_recovery"], self.config.node_name)

    def prepared(self, config: AgentConfig) -> Configured:
        """The services and checks of a configuration. Raises DefinitionError."""
        return configured(self.registry, config.services, config.checks)

    async def reconfigure(self, config: AgentConfig, definitions: Configured) -> None:
        """Take over a configuration whose values may change while the agent runs.

        Nothing of it can be refused any more: ``definitions`` are its ``prepared`` ones.
        """
        self.config = config
        self.log.level = LEVELS[config.log_level]
        renewed = api_settings(config)
        for name in vars(renewed):  # shared with the API, which reads it at each request
            setattr(self.settings, name, getattr(renewed, name))
        self.tokens.reconfigure(configured_tokens(config))
        self._use_tokens()
        self.telemetry.names = metric_names(config)
        self.rates.reconfigure(rate_settings(config))
        self.checks.reconfigure(check_settings(config))
        configure(self.registry, definitions)
        await self.sync.full()

    def _myself(self) -> catalog.Registration:
        return catalog.Registration(
            node_of(self.config), server_service(self.config), [health_of(self.config)]
        )

    async def _register_self(self) -> None:
        registration = self._myself()
        await self.server.transact(lambda draft: catalog.register(self.server, draft, registration))

    def _locate(self) -> None:
        """The coordinate of a node that has measured no other yet."""
        if not self.config.disable_coordinates:
            coordinates.submit(
                self.server, NodeCoordinate(self.config.node_name, "", coordinates.ORIGIN)
            )

    async def _seed_acl(self) -> None:
        acl, management = self.server.state.acl, self.config.acl.tokens.initial_management
        await self.server.transact(lambda draft: tokens.seed(acl, draft, utc_now(), management))

    async def _seed_config_entries(self) -> None:
        entries = [decode_entry(tree) for tree in self.config.config_entries.bootstrap]
        if entries:
            server = self.server
            await server.transact(lambda draft: config_entries.bootstrap(server, draft, entries))

    async def _after_replacement(self) -> None:
        """A restored snapshot may not know of this agent: tell it anew."""
        topic = self.server.state.view.replacement
        while True:
            if await any_change((topic,), _REPLACEMENT_WAIT):
                self.sync.repair()

    def _overdue(self, check_id: str) -> None:
        self.background(self.agent.reap(check_id))

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(_TOMBSTONES)
            self.server.state.kv.collect()


def _database(config: AgentConfig) -> str | None:
    if config.dev_mode:
        return None
    folder = Path(config.data_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(folder / "store")
