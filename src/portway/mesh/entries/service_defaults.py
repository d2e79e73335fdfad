"""``service-defaults``: how proxies treat one service, whoever runs its instances."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Literal

from msgspec import field
from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.discovery.model.catalog import EnvoyExtension, Expose, MeshGateway, TransparentProxy
from portway.mesh.entries.entry import (
    WILDCARD,
    Entry,
    EntryError,
    listed,
    meta_problems,
    require_name,
)
from portway.mesh.entries.extensions import extension_problems
from portway.mesh.entries.hostname import is_hostname
from portway.mesh.entries.http import HTTP_LIKE
from portway.mesh.entries.upstreams import UpstreamConfiguration, balance_problems

Mode = Literal["", "transparent", "direct"]
MutualTLSMode = Literal["", "strict", "permissive"]


class Destination(Wire):
    """Where a service outside the mesh is, by host name or IP address."""

    addresses: list[str] = []
    port: int = 0

    def problems(self) -> list[str]:
        """What cannot be of the addresses and the port."""
        problems = []
        if not self.addresses:
            problems.append("Destination must contain at least one valid address")
        seen = set()
        for address in self.addresses:
            if address in seen:
                problems.append(f"Duplicate address '{address}' is not allowed")
                continue
            seen.add(address)
            if not _is_address(address):
                problems.append(
                    f"Destination address '{address}' is invalid Could not validate address "
                    f"{address} as an IP or Hostname"
                )
        if not 1 <= self.port <= 65535:
            problems.append(f"Invalid Port number {self.port}")
        return problems


class ServiceDefaults(Entry, tag="service-defaults"):
    """Defaults of one service.

    ``protocol`` (tcp, http, http2 or grpc; tcp when neither this entry nor proxy-defaults says
    so) decides whether requests can be routed, split and matched by intentions. Timeouts are in
    milliseconds, ``max_request_headers_kb`` in KiB.
    """

    name: str
    protocol: str
    transparent_proxy: TransparentProxy
    mesh_gateway: MeshGateway
    expose: Expose
    mode: Mode = ""
    mutual_tls_mode: MutualTLSMode = ""
    external_sni: str = ""
    upstream_config: UpstreamConfiguration | None = None
    destination: Destination | None = None
    max_inbound_connections: int = 0
    local_connect_timeout_ms: int = 0
    local_request_timeout_ms: int = 0
    balance_inbound_connections: str = ""
    rate_limits: dict[str, Any] | None = None
    envoy_extensions: list[EnvoyExtension] = []
    max_request_headers_kb: int | None = field(name="MaxRequestHeadersKB", default=None)

    def normalized(self) -> ServiceDefaults:
        upstreams = self.upstream_config and self.upstream_config.normalized()
        return replace(self, protocol=self.protocol.lower(), upstream_config=upstreams)

    def check(self) -> None:
        require_name(self.name)
        if self.name == WILDCARD:
            raise EntryError(
                "service-defaults name must be the name of a service, and not a wildcard"
            )
        problems = [
            *meta_problems(self.meta),
            *balance_problems("balance_inbound_connections", self.balance_inbound_connections),
        ]
        if self.protocol not in ("", "tcp", *sorted(HTTP_LIKE)):
            problems.append(f"invalid value for protocol: {self.protocol}")
        if self.upstream_config is not None and self.destination is not None:
            problems.append(
                "UpstreamConfig and Destination are mutually exclusive for service defaults"
            )
            raise EntryError(listed(problems))
        if self.upstream_config is not None:
            problems += self.upstream_config.problems()
        if self.destination is not None:
            problems += self.destination.problems()
        if self.rate_limits is not None:
            problems.append(
                "invalid rate_limits config. Rate limiting is a consul enterprise feature"
            )
        headers = self.max_request_headers_kb
        if headers is not None and not 0 < headers <= 8192:  # Envoy's own bound
            problems.append("MaxRequestHeadersKB must be greater than 0 and at most 8192")
        for name in ("max_inbound_connections", "local_connect_timeout_ms"):
            if getattr(self, name) < 0:
                problems.append(f"{name} must not be negative")
        problems += extension_problems(self.envoy_extensions)
        if problems:
            raise EntryError(listed(problems))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return "*" not in text and is_hostname(text)
    return True
