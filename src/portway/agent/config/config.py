"""The configuration an agent runs with: everything said, and what follows from it."""

from __future__ import annotations

from portway.agent.config.addresses import DISABLED, Ports
from portway.agent.config.block import Block
from portway.agent.config.settings import Settings
from portway.agent.config.tls import TlsSettings
from portway.agent.config.watches import Watch


class Bind(Block):
    """What a listener binds: an IP address and port, or the ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Listen(Block):
    """What every interface binds; empty where it is disabled."""

    http: list[Bind] = []
    https: list[Bind] = []
    dns: list[Bind] = []  # UDP and TCP
    grpc: list[Bind] = []
    grpc_tls: list[Bind] = []


class AgentConfig(Settings, kw_only=True):
    """The settings with defaults filled in, names and addresses found, and rules kept.

    Of the settings, these differ from what files say: ``service`` and ``check`` are part of
    ``services`` and ``checks``; ``node_name``, ``node_id``, ``primary_datacenter``,
    ``default_intention_policy`` and ``tagged_addresses`` are never empty; ``domain`` and
    ``alt_domain`` are in lower case with a final dot; templates in addresses are evaluated;
    disabled ports are -1; ``log_level`` is one of TRACE, DEBUG, INFO, WARN, ERROR.
    """

    dev_mode: bool = False  # nothing is kept on disk
    leave_on_terminate: bool
    skip_leave_on_interrupt: bool
    ports: Ports
    listen: Listen
    rpc_bind: Bind  # of communication with servers
    serf_lan_bind: Bind
    serf_wan_bind: Bind | None  # None where ports.serf_wan is disabled
    advertise_lan: str  # the IP address other agents are told
    advertise_wan: str
    tls_https: TlsSettings
    tls_grpc: TlsSettings
    tls_internal_rpc: TlsSettings
    plans: list[Watch]  # the watches, checked
    files: list[str]  # the configuration files that were read

    @property
    def grpc_tls_port(self) -> int:
        """The port of gRPC with TLS, -1 when disabled."""
        return DISABLED if self.ports.grpc_tls is None else self.ports.grpc_tls
