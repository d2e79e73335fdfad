"""Nodes, services and checks as the catalog holds and shows them.

Field names on the wire are Go's (``names.go_name``). Fields without a default are always
written; the others only when they say something, as in the documented JSON. The datacenter is
the agent's own, so it is filled in where an answer needs it and not stored.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import field

from portway.discovery.model.names import go_name

ServiceKind = Literal[
    "",
    "connect-proxy",
    "mesh-gateway",
    "terminating-gateway",
    "ingress-gateway",
    "api-gateway",
]
CheckStatus = Literal["passing", "warning", "critical"]
PASSING: CheckStatus = "passing"
WARNING: CheckStatus = "warning"
CRITICAL: CheckStatus = "critical"

# The agent's own health, kept by the servers.
SERF_HEALTH = "serfHealth"
NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"  # + service ID


class Wire(msgspec.Struct, omit_defaults=True, rename=go_name):
    """The base of what goes over the wire and into the store; treated as immutable."""


class ServiceAddress(Wire, omit_defaults=False):
    """One tagged address of a service."""

    address: str = ""
    port: int = 0


class ServicePort(Wire):
    """One named port of a service (1.22)."""

    name: str = ""
    port: int = 0
    default: bool = False


class Weights(Wire, omit_defaults=False):
    """DNS SRV weights, by the health of the instance."""

    passing: int = 1
    warning: int = 1


class Locality(Wire):
    """Where something runs."""

    region: str = ""
    zone: str = ""


class MeshGateway(Wire):
    """How a proxy reaches other datacenters."""

    mode: Literal["", "none", "local", "remote"] = ""


class ExposePath(Wire):
    """One path served without mutual TLS."""

    listener_port: int = 0
    path: str = ""
    local_path_port: int = 0
    protocol: str = ""
    parsed_from_check: bool = False


class Expose(Wire):
    """What a proxy serves without mutual TLS."""

    checks: bool = False
    paths: list[ExposePath] = []


class TransparentProxy(Wire):
    """Options of transparent mode."""

    outbound_listener_port: int = 0
    dialed_directly: bool = False


class AccessLogs(Wire):
    """Access logs of a proxy."""

    enabled: bool = False
    disable_listener_logs: bool = False
    type: str = ""
    path: str = ""
    json_format: str = ""
    text_format: str = ""


class EnvoyExtension(Wire, omit_defaults=False):
    """One Envoy extension of a proxy."""

    name: str = ""
    required: bool = False
    arguments: dict[str, Any] | None = None
    consul_version: str = ""
    envoy_version: str = ""


def _nothing() -> Literal[""]:
    return ""


class Upstream(Wire):
    """One service a proxy lets its application reach.

    What has a factory is written whatever it is.
    """

    destination_type: Literal["", "service", "prepared_query"] = field(default_factory=_nothing)
    destination_namespace: str = ""
    destination_partition: str = ""
    destination_peer: str = ""
    destination_name: str = ""
    datacenter: str = field(default_factory=str)
    local_bind_address: str = ""
    local_bind_port: int = 0
    local_bind_socket_path: str = ""
    local_bind_socket_mode: str = ""
    config: dict[str, Any] = {}
    mesh_gateway: MeshGateway = field(default_factory=MeshGateway)
    centrally_configured: bool = False


class Proxy(Wire):
    """What makes a service a proxy. Mode, MeshGateway and Expose are always written."""

    mode: Literal["", "transparent", "direct"]
    mesh_gateway: MeshGateway
    expose: Expose
    destination_service_name: str = ""
    destination_service_id: str = field(name="DestinationServiceID", default="")
    local_service_address: str = ""
    local_service_port: int = 0
    local_service_socket_path: str = ""
    config: dict[str, Any] = {}
    upstreams: list[Upstream] = []
    transparent_proxy: TransparentProxy | None = None
    envoy_extensions: list[EnvoyExtension] = []
    access_logs: AccessLogs | None = None
    mutual_tls_mode: Literal["", "strict", "permissive"] = field(name="MutualTLSMode", default="")


class Connect(Wire):
    """Whether a service is in the mesh without a proxy of its own."""

    native: bool = False


class Node(Wire):
    """A node. ``node`` is its name; names are compared without case."""

    id: str
    node: str
    address: str
    tagged_addresses: dict[str, str] | None
    meta: dict[str, str] | None
    locality: Locality | None = None
    create_index: int = 0
    modify_index: int = 0


class Service(Wire, kw_only=True):
    """An instance of a service on a node (``NodeService``). IDs are unique per node."""

    kind: ServiceKind = ""
    id: str
    service: str
    tags: list[str]
    address: str
    tagged_addresses: dict[str, ServiceAddress] | None = None
    meta: dict[str, str] | None
    port: int = 0
    ports: list[ServicePort] | None = None
    socket_path: str = ""
    weights: Weights
    enable_tag_override: bool
    locality: Locality | None = None
    proxy: Proxy
    connect: Connect
    peer_name: str
    create_index: int = 0
    modify_index: int = 0


class CheckRun(Wire):
    """How a check runs, as ``Definition`` of a catalog check shows it. Durations are Go's."""

    interval: str = ""
    timeout: str = ""
    deregister_critical_service_after: str = ""
    http: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    header: dict[str, list[str]] = {}
    method: str = ""
    body: str = ""
    disable_redirects: bool = False
    tcp: str = ""
    tcp_use_tls: bool = field(name="TCPUseTLS", default=False)
    udp: str = ""
    os_service: str = ""
    h2ping: str = field(name="H2PING", default="")
    h2ping_use_tls: bool = field(name="H2PingUseTLS", default=False)
    grpc: str = ""
    grpc_use_tls: bool = field(name="GRPCUseTLS", default=False)
    script_args: list[str] = []
    docker_container_id: str = ""
    shell: str = ""
    alias_node: str = ""
    alias_service: str = ""
    ttl: int = 0
    """Nanoseconds; the others are texts."""
    output_max_size: int = 0


class Check(Wire, kw_only=True):
    """A health check of a node, or of a service on it when ``service_id`` is set."""

    node: str
    check_id: str
    name: str
    status: CheckStatus
    notes: str
    output: str
    service_id: str
    service_name: str
    service_tags: list[str]
    type: str
    interval: str
    timeout: str
    exposed_port: int
    peer_name: str = ""
    definition: CheckRun
    create_index: int = 0
    modify_index: int = 0


def plain_proxy() -> Proxy:
    """The proxy block of a service that is none."""
    return Proxy(mode="", mesh_gateway=MeshGateway(), expose=Expose())
