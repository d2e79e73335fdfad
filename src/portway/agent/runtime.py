"""A running agent: its parts, made from the configuration, started and stopped in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from portway.agent.agent import Agent
from portway.agent.aliases import Aliases
from portway.agent.config.config import AgentConfig
from portway.agent.files import Files
from portway.agent.gauges import process_gauges, state_gauges
from portway.agent.identity import health_of, member_of, node_of, server_service
from portway.agent.local import Local
from portway.agent.logs import LEVELS, Log
from portway.agent.server_link import ServerLink
from portway.agent.statsd import Statsd
from portway.agent.sync import Sync
from portway.agent.telemetry import Telemetry
from portway.discovery.acl import AclSettings, Resolver, tokens
from portway.discovery.acl.expiry import collect_expired
from portway.discovery.acl.resolve import utc_now
from portway.discovery.api import Settings
from portway.discovery.checks import Checks, TLSFiles
from portway.discovery.checks import Settings as CheckSettings
from portway.discovery.model import Node, NodeCoordinate
from portway.discovery.model.operator import Autopilot
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
        self.tokens = _tokens(config)
        """The agent's own tokens by kind; the API may change them."""
        self.settings = api_settings(config)
        self.files = Files("" if config.dev_mode else config.data_dir)
        if config.acl.enable_token_persistence:
            self._take_tokens(self.files.tokens())
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the store, load the state, and take up the services of the configuration.

        Raises StoreError, RegistrationError, EntryError or OSError.
        """
        config = self.config
        self.store: Store = await open_sqlite(_database(config), keep_versions=KEPT_VERSIONS)
        self.server = Server(self.store)
        await self.server.start()
        if config.acl.enabled:
            await self._seed_acl()
        await self._seed_config_entries()
        self.resolver = Resolver(self.server.state.acl, acl_settings(config))
        self.resolver.set_recovery(self.tokens["agent_recovery"], config.node_name)
        await self._register_self()
        self._locate()
        self.local = Local()
        link = ServerLink(self.server, self.resolver, self.node)
        self.sync = Sync(
            self.local,
            link,
            token=lambda: self.tokens["agent"] or self.tokens["default"],
            check_update_interval=config.check_update_interval,
            nodes=lambda: len(self.server.state.catalog.hosts),
        )
        aliases = Aliases(config.node_name, self.local, self.server.state)
        settings = check_settings(config)
        self.checks = Checks(
            settings,
            self.sync.result,
            aliases.watch,
            on_overdue=self._overdue,
            ttl_store=self.files,
        )
        ports = (config.ports.sidecar_min_port, config.ports.sidecar_max_port)
        self.agent = Agent(
            config.node_name, self.local, self.checks, self.sync, self.files, settings, ports
        )
        await self.agent.load(config.services, config.checks)
        await self.agent.restore()
        self._send_metrics()
        self.telemetry.gauges(lambda: state_gauges(self.server.state, config.datacenter))
        self.telemetry.gauges(lambda: process_gauges(self.started))
        self.background(self.sync.run())
        self.background(self._collect())
        if config.acl.enabled:
            self.background(collect_expired(self.server))
        self.background(self._after_replacement())

    async def stop(self) -> None:
        """Stop everything and close the store."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.checks.close()
        self.server.stop()
        await self.store.close()

    def _send_metrics(self) -> None:
        wanted = self.config.telemetry
        if wanted.statsd_address:
            self.telemetry.sinks.append(Statsd(wanted.statsd_address).send)
        if wanted.dogstatsd_addr:
            dog = Statsd(wanted.dogstatsd_addr, dog=True, tags=wanted.dogstatsd_tags)
            self.telemetry.sinks.append(dog.send)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` for as long as the agent runs; how it fails is logged."""
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def observe_request(self, method: str, route: str, seconds: float) -> None:
        """Count an answer of the HTTP API."""
        path = route.strip("/").replace("/", "_")
        self.telemetry.timing("consul.api.http", seconds, (("method", method), ("path", path)))

    def node(self) -> Node:
        """This agent's node."""
        return node_of(self.config)

    def members(self, wan: bool = False) -> list[dict[str, Any]]:
        """The members of the cluster, or the servers of all of them: this agent alone."""
        return [] if wan and self.config.ports.serf_wan <= 0 else [member_of(self.config, wan)]

    def _take_tokens(self, tokens: dict[str, str]) -> None:
        self.tokens.update({name: secret for name, secret in tokens.items() if secret})
        self.settings.default_token = self.tokens["default"]

    def set_token(self, name: str, secret: str) -> None:
        """Replace one of the agent's own tokens; it lasts as ``enable_token_persistence`` says."""
        self.tokens[name] = secret
        self.settings.default_token = self.tokens["default"]
        if name == "agent_recovery":
            self.resolver.set_recovery(secret, self.config.node_name)
        if self.config.acl.enable_token_persistence:
            self.files.save_tokens(self.tokens)

    async def reconfigure(self, config: AgentConfig) -> None:
        """Take over a configuration whose values may change while the agent runs.

        Raises RegistrationError for a service or check; those before it have been taken over.
        """
        self.config = config
        self.log.level = LEVELS[config.log_level]
        renewed = api_settings(config)
        for name in vars(renewed):  # shared with the API, which reads it at each request
            setattr(self.settings, name, getattr(renewed, name))
        self._take_tokens(_tokens(config))
        self.checks.reconfigure(check_settings(config))
        await self._register_self()
        await self.agent.load(config.services, config.checks)

    async def _register_self(self) -> None:
        registration = catalog.Registration(
            node=self.node(),
            service=server_service(self.config),
            checks=[health_of(self.config)],
        )
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
                await self._register_self()
                self.sync.repair()

    def _overdue(self, check_id: str) -> None:
        self.background(self.agent.reap(check_id))

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(_TOMBSTONES)
            self.server.state.kv.collect()


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("A background task of the agent ended")


def _database(config: AgentConfig) -> str | None:
    if config.dev_mode:
        return None
    folder = Path(config.data_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(folder / "store")


def _tokens(config: AgentConfig) -> dict[str, str]:
    tokens = config.acl.tokens
    return {name: getattr(tokens, name) for name in tokens.__struct_fields__}


def acl_settings(config: AgentConfig) -> AclSettings:
    """What of the configuration decides about requests."""
    return AclSettings(
        enabled=config.acl.enabled,
        datacenter=config.datacenter,
        default_allow=not config.acl.enabled or config.acl.default_policy == "allow",
        key_list_policy=config.acl.enable_key_list_policy,
    )


def api_settings(config: AgentConfig) -> Settings:
    """What of the configuration concerns every request to the HTTP API."""
    http, limits = config.http_config, config.limits
    return Settings(
        datacenter=config.datacenter,
        node_name=config.node_name,
        data_dir="" if config.dev_mode else config.data_dir,
        node_id=config.node_id,
        autopilot=Autopilot(
            cleanup_dead_servers=config.autopilot.cleanup_dead_servers,
            last_contact_threshold=str(config.autopilot.last_contact_threshold),
            max_trailing_logs=config.autopilot.max_trailing_logs,
            min_quorum=config.autopilot.min_quorum,
            server_stabilization_time=str(config.autopilot.server_stabilization_time),
        ),
        session_ttl_min=config.session_ttl_min,
        disable_coordinates=config.disable_coordinates,
        server_address=f"{config.advertise_lan}:{config.ports.server}",
        default_policy=config.acl.default_policy,
        down_policy=config.acl.down_policy,
        default_intention_allow=config.default_intention_policy == "allow",
        default_token=config.acl.tokens.default,
        dev_mode=config.dev_mode,
        default_query_time=config.default_query_time,
        max_query_time=config.max_query_time,
        kv_max_value_size=limits.kv_max_value_size,
        txn_max_req_len=max(limits.txn_max_req_len, limits.kv_max_value_size),
        disable_kv_key_validation=config.disable_kv_key_validation,
        disable_unprintable_filter=config.disable_http_unprintable_char_filter,
        use_cache=http.use_cache,
        discovery_max_stale=config.discovery_max_stale,
        ui_enabled=config.ui_config.enabled,
        ui_path=config.ui_config.content_path,
        block_endpoints=tuple(http.block_endpoints),
        allow_write_http_from=tuple(http.allow_write_http_from),
        response_headers=dict(http.response_headers),
    )


def check_settings(config: AgentConfig) -> CheckSettings:
    """What of the configuration concerns checks."""
    tls = config.tls_internal_rpc
    files = TLSFiles(tls.ca_file, tls.ca_path, tls.cert_file, tls.key_file)
    return CheckSettings(
        output_max_size=config.check_output_max_size,
        discard_output=config.discard_check_output,
        enable_script_checks=config.enable_script_checks,
        enable_local_script_checks=config.enable_local_script_checks,
        agent_tls=files if config.enable_agent_tls_for_checks else None,
        node_name=config.node_name,
    )
