"""What the HTTP API stands on: the parts of the agent it shows and steers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from portway.discovery.acl.authorizer import Authorizer
from portway.discovery.api.bodies import Bodies
from portway.discovery.model.operator import Autopilot
from portway.discovery.operations.events import EventLog
from portway.discovery.server import Server


class Tokens(Protocol):
    """Where tokens become authorizers."""

    enabled: bool

    def resolve(self, secret: str) -> Authorizer:
        """The authorizer of a token's secret; an empty one is the anonymous token's.

        Raises AclNotFoundError for a secret that is nobody's.
        """


@dataclass
class Settings:
    """What of the agent's configuration concerns every request."""

    datacenter: str = "dc1"
    node_name: str = "localhost"
    node_id: str = ""
    autopilot: Autopilot = field(default_factory=Autopilot)
    """What the configuration says until an operator says something else."""
    data_dir: str = ""
    """Where the operator's ``acl-bootstrap-reset`` is looked for; empty without one."""
    server_address: str = "127.0.0.1:8300"
    default_policy: str = "allow"
    down_policy: str = "extend-cache"
    default_intention_allow: bool = True
    """Whether a service may call another of which no intention says anything."""
    dns_domains: tuple[str, ...] = ("consul.",)
    """The domains that the DNS answers for, with a final dot."""
    default_token: str = ""
    """``acl.tokens.default``: what requests without a token use."""
    dev_mode: bool = False
    """Indents all JSON."""
    default_query_time: float = 300.0  # seconds
    max_query_time: float = 600.0  # seconds
    session_ttl_min: float = 10.0  # seconds
    kv_max_value_size: int = 512 * 1024  # bytes
    txn_max_req_len: int = 512 * 1024  # bytes
    disable_kv_key_validation: bool = False
    disable_unprintable_filter: bool = False
    disable_coordinates: bool = False
    use_cache: bool = True
    discovery_max_stale: float = 0.0  # seconds
    ui_enabled: bool = False
    ui_path: str = "/ui/"
    block_endpoints: tuple[str, ...] = ()
    allow_write_http_from: tuple[str, ...] = ()
    """CIDR networks that may write; empty allows all."""
    response_headers: dict[str, str] = field(default_factory=dict)
    translate_addresses: bool = False
    """Says to clients that nodes of other datacenters have their WAN addresses."""


@dataclass
class Context:
    """The parts behind the API."""

    server: Server
    tokens: Tokens
    settings: Settings
    observe: Callable[[str, str, float], None] | None = None
    """Told of each answer: method, route, seconds."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    events: EventLog = field(init=False)
    """What users fired, as far as it concerns this agent."""

    def __post_init__(self) -> None:
        self.events = EventLog(self.settings.node_name, self._services)

    def _services(self) -> Iterator[tuple[str, list[str]]]:
        """Name and tags of the services of this agent's node, but for the server's own."""
        host = self.server.state.catalog.host(self.settings.node_name)
        for instance in () if host is None else host.instances.values():
            if instance.service.service != "consul":
                yield instance.service.service, instance.service.tags

    bodies: Bodies = field(default_factory=Bodies)
    """Bodies of answers that many readers share."""
    snapshots: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time is made or restored: each takes the memory of the state several times."""
