"""Everything a configuration file may say, with the defaults: the top level of the keys."""

from __future__ import annotations

from typing import Any

from portway.agent.config.acl import Acl
from portway.agent.config.addresses import Addresses, Ports, UnixSockets
from portway.agent.config.block import Block, seconds
from portway.agent.config.cluster import Autopilot, GossipLan, GossipWan, RaftLogstore
from portway.agent.config.dns import DnsConfig
from portway.agent.config.http import HttpConfig, UiConfig
from portway.agent.config.limits import Cache, Limits, Performance
from portway.agent.config.mesh import (
    AutoConfig,
    AutoEncrypt,
    Cloud,
    ConfigEntries,
    Connect,
    Peering,
    Reporting,
    Rpc,
    Xds,
)
from portway.agent.config.telemetry import Telemetry
from portway.agent.config.tls import Tls
from portway.config import Duration
from portway.discovery.model import CheckDefinition, Locality, ServiceDefinition


class Settings(Block):
    """The keys of the agent's configuration, by subject."""

    # Who the agent is
    datacenter: str = "dc1"
    primary_datacenter: str = ""  # "" is ``datacenter``
    node_name: str = ""  # "" is the host's name
    node_id: str = ""  # "" is the one kept in the data directory
    disable_host_node_id: bool = True  # a new ID is random, not made from the host's
    node_meta: dict[str, str] = {}
    server: bool = False
    server_name: str = ""  # of certificates; "" is the node's name
    bootstrap: bool = False
    bootstrap_expect: int = 0  # servers to wait for
    data_dir: str = ""
    domain: str = "consul."
    alt_domain: str = ""
    locality: Locality | None = None
    segment: str = ""  # of Consul Enterprise, as are
    segments: list[dict[str, Any]] = []
    experiments: list[str] = []

    # Where it listens, and what it tells others of that
    bind_addr: str = "0.0.0.0"  # noqa: S104  cluster traffic; clients have client_addr
    client_addr: str = "127.0.0.1"
    addresses: Addresses = Addresses()
    ports: Ports = Ports()
    unix_sockets: UnixSockets = UnixSockets()
    advertise_addr: str = ""
    advertise_addr_ipv4: str = ""
    advertise_addr_ipv6: str = ""
    advertise_addr_wan: str = ""
    advertise_addr_wan_ipv4: str = ""
    advertise_addr_wan_ipv6: str = ""
    tagged_addresses: dict[str, str] = {}
    translate_wan_addrs: bool = False
    serf_lan: str = ""
    serf_wan: str = ""
    serf_lan_allowed_cidrs: list[str] = []
    serf_wan_allowed_cidrs: list[str] = []

    # Other agents
    retry_join: list[str] = []
    retry_interval: Duration = seconds(30)
    retry_max: int = 0  # attempts; 0 is for ever
    retry_join_wan: list[str] = []
    retry_interval_wan: Duration = seconds(30)
    retry_max_wan: int = 0
    rejoin_after_leave: bool = False
    leave_on_terminate: bool | None = None  # clients do, servers do not
    skip_leave_on_interrupt: bool | None = None  # servers do, clients do not
    reconnect_timeout: Duration = seconds(0)  # 0 is 72h
    reconnect_timeout_wan: Duration = seconds(0)
    advertise_reconnect_timeout: Duration = seconds(0)
    primary_gateways: list[str] = []
    primary_gateways_interval: Duration = seconds(30)
    encrypt: str = ""  # base64 of 16, 24 or 32 bytes
    encrypt_verify_incoming: bool = True
    encrypt_verify_outgoing: bool = True
    disable_keyring_file: bool = False
    gossip_lan: GossipLan = GossipLan()
    gossip_wan: GossipWan = GossipWan()
    disable_coordinates: bool = False

    # Servers
    autopilot: Autopilot = Autopilot()
    performance: Performance = Performance()
    raft_protocol: int = 3
    raft_prevote_disabled: bool = False
    raft_snapshot_threshold: int = 16384
    raft_snapshot_interval: Duration = seconds(30)
    raft_trailing_logs: int = 10240
    raft_logstore: RaftLogstore = RaftLogstore()
    server_rejoin_age_max: Duration = seconds(168 * 3600)
    session_ttl_min: Duration = seconds(10)
    protocol: int = 2
    rpc: Rpc = Rpc()
    use_streaming_backend: bool = True
    reporting: Reporting = Reporting()
    cloud: Cloud = Cloud()

    # Security
    acl: Acl = Acl()
    default_intention_policy: str = ""  # allow or deny; "" is ``acl.default_policy``
    tls: Tls = Tls()
    auto_encrypt: AutoEncrypt = AutoEncrypt()
    auto_config: AutoConfig = AutoConfig()

    # The interfaces of clients
    dns_config: DnsConfig = DnsConfig()
    recursors: list[str] = []
    http_config: HttpConfig = HttpConfig()
    ui_config: UiConfig = UiConfig()
    limits: Limits = Limits()
    cache: Cache = Cache()
    default_query_time: Duration = seconds(300)
    max_query_time: Duration = seconds(600)
    discovery_max_stale: Duration = seconds(0)
    disable_http_unprintable_char_filter: bool = False
    disable_kv_key_validation: bool = False

    # Services and checks
    service: ServiceDefinition | None = None
    services: list[ServiceDefinition] = []
    check: CheckDefinition | None = None
    checks: list[CheckDefinition] = []
    watches: list[dict[str, Any]] = []
    enable_script_checks: bool = False
    enable_local_script_checks: bool = False  # only those in files
    enable_agent_tls_for_checks: bool = False
    check_update_interval: Duration = seconds(300)  # of checks whose output alone changed
    check_output_max_size: int = 4096  # bytes
    discard_check_output: bool = False
    disable_remote_exec: bool = True

    # The mesh
    connect: Connect = Connect()
    peering: Peering = Peering()
    config_entries: ConfigEntries = ConfigEntries()
    enable_central_service_config: bool = True
    xds: Xds = Xds()

    # The process
    log_level: str = "INFO"
    log_sublevels: dict[str, str] = {}
    log_json: bool = False
    log_file: str = ""
    log_rotate_duration: Duration = seconds(0)  # 0 is 24h
    log_rotate_bytes: int = 0  # 0 is no bound
    log_rotate_max_files: int = 0  # 0 keeps all, -1 none
    enable_syslog: bool = False
    syslog_facility: str = "LOCAL0"
    pid_file: str = ""
    auto_reload_config: bool = False
    enable_debug: bool = False
    telemetry: Telemetry = Telemetry()
    disable_update_check: bool = False
    disable_anonymous_signature: bool = False
