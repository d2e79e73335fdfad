"""Service and check definitions as people write them: API bodies and configuration files.

Unlike what the catalog shows, every field is optional here. Wire names are Go's; decoders also
accept them in other letter case and in snake_case, as Consul does for these bodies.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from portway.config import Duration
from portway.discovery.model.catalog import (
    AccessLogs,
    EnvoyExtension,
    Expose,
    Locality,
    MeshGateway,
    ServiceAddress,
    ServicePort,
    TransparentProxy,
    Upstream,
    Weights,
    Wire,
)

_ZERO = Duration(0)


class CheckDefinition(Wire):
    """One check. Exactly one way of running must be given; durations are in seconds."""

    id: str = ""
    check_id: str = ""
    name: str = ""
    notes: str = ""
    service_id: str = ""
    token: str = ""
    status: str = ""
    script_args: list[str] = []
    http: str = ""
    method: str = ""
    header: dict[str, list[str]] = {}
    body: str = ""
    disable_redirects: bool = False
    expect_status: list[int] = []
    """Statuses of an HTTP answer that are passing, instead of 2xx (not in Consul)."""
    expect_body: str = ""
    """RE2 expression that an HTTP body has to match (not in Consul)."""
    tcp: str = ""
    tcp_use_tls: bool = field(name="TCPUseTLS", default=False)
    udp: str = ""
    grpc: str = ""
    grpc_use_tls: bool = field(name="GRPCUseTLS", default=False)
    h2ping: str = field(name="H2PING", default="")
    h2ping_use_tls: bool | None = field(name="H2PingUseTLS", default=None)
    docker_container_id: str = ""
    shell: str = ""
    os_service: str = ""
    alias_node: str = ""
    alias_service: str = ""
    ttl: Duration = _ZERO
    interval: Duration = _ZERO
    timeout: Duration = _ZERO
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    success_before_passing: int = 0
    failures_before_warning: int = 0
    failures_before_critical: int = 0
    deregister_critical_service_after: Duration = _ZERO
    output_max_size: int = 0


class ProxyDefinition(Wire):
    """The proxy block of a registration."""

    destination_service_name: str = ""
    destination_service_id: str = ""
    local_service_address: str = ""
    local_service_port: int = 0
    local_service_socket_path: str = ""
    mode: str = ""
    config: dict[str, Any] = {}
    upstreams: list[Upstream] = []
    mesh_gateway: MeshGateway | None = None
    expose: Expose | None = None
    transparent_proxy: TransparentProxy | None = None
    envoy_extensions: list[EnvoyExtension] = []
    access_logs: AccessLogs | None = None
    mutual_tls_mode: str = field(name="MutualTLSMode", default="")


class ConnectDefinition(Wire):
    """The connect block of a registration."""

    native: bool = False
    sidecar_service: ServiceDefinition | None = None


class ServiceDefinition(Wire):
    """One service to register."""

    kind: str = ""
    id: str = ""
    name: str = ""
    tags: list[str] = []
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] = {}
    meta: dict[str, str] = {}
    port: int = 0
    ports: list[ServicePort] = []
    socket_path: str = ""
    check: CheckDefinition | None = None
    checks: list[CheckDefinition] = []
    weights: Weights | None = None
    token: str = ""
    enable_tag_override: bool = False
    locality: Locality | None = None
    proxy: ProxyDefinition | None = None
    connect: ConnectDefinition | None = None
