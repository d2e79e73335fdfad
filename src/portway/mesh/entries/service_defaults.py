"""``service-defaults``: how proxies treat one service, whoever runs its instances."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

from msgspec import field
from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.discovery.model.catalog import EnvoyExtension, Expose, MeshGateway, TransparentProxy
from portway.mesh.entries.entry import WILDCARD, Entry, EntryError, check_meta, require_name
from portway.mesh.entries.extensions import check_extensions
from portway.mesh.entries.hostname import is_hostname
from portway.mesh.entries.http import check_path
from portway.mesh.entries.upstreams import UpstreamConfiguration, check_balance

Mode = Literal["", "transparent", "direct"]
MutualTLSMode = Literal["", "strict", "permissive"]


class Destination(Wire):
    """Where a service outside the mesh is, by host name or IP address."""

    addresses: list[str] = []
    port: int = 0

    def check(self) -> None:
        """Raise EntryError for addresses or a port that cannot be."""
        if not self.addresses:
            raise EntryError("Destination must contain at least one valid address")
        seen = set()
        for address in self.addresses:
            if address in seen:
                raise EntryError(f"Duplicate address '{address}' is not allowed")
            seen.add(address)
            if not _is_address(address):
                raise EntryError(
                    f"Destination address '{address}' is invalid Could not validate address "
                    f"{address} as an IP or Hostname"
                )
        if not 1 <= self.port <= 65535:
            raise EntryError(f"Invalid Port number {self.port}")


class RouteRateLimit(Wire, omit_defaults=False):
    """A limit for requests to some paths, in the place of the general one."""

    path_exact: str = ""
    path_prefix: str = ""
    path_regex: str = ""
    requests_per_second: int = 0
    requests_max_burst: int = 0


class InstanceRateLimits(Wire, omit_defaults=False):
    """How many requests each instance takes."""

    requests_per_second: int = 0
    requests_max_burst: int = 0
    routes: list[RouteRateLimit] | None = None


class RateLimits(Wire):
    """Limits of inbound requests."""

    instance_level: InstanceRateLimits

    def check(self) -> None:
        """Raise EntryError for limits that cannot be."""
        level = self.instance_level
        _check_limit(level.requests_per_second, level.requests_max_burst, "rate_limits")
        for index, route in enumerate(level.routes or ()):
            where = f"rate_limits route[{index}]"
            if not check_path(route, where):
                raise EntryError(f"{where} needs one of PathExact, PathPrefix, or PathRegex")
            _check_limit(route.requests_per_second, route.requests_max_burst, where)


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
    rate_limits: RateLimits | None = None
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
        check_meta(self.meta)
        check_balance("balance_inbound_connections", self.balance_inbound_connections)
        if self.upstream_config is not None and self.destination is not None:
            raise EntryError(
                "UpstreamConfig and Destination are mutually exclusive for service defaults"
            )
        if self.upstream_config is not None:
            self.upstream_config.check()
        if self.destination is not None:
            self.destination.check()
        if self.rate_limits is not None:
            self.rate_limits.check()
        headers = self.max_request_headers_kb
        if headers is not None and not 0 < headers <= 8192:  # Envoy's own bound
            raise EntryError("MaxRequestHeadersKB must be greater than 0 and at most 8192")
        for name in ("max_inbound_connections", "local_connect_timeout_ms"):
            if getattr(self, name) < 0:
                raise EntryError(f"{name} must not be negative")
        check_extensions(self.envoy_extensions)


def _check_limit(rate: int, burst: int, where: str) -> None:
    if rate < 0:
        raise EntryError(f"{where}: requests_per_second must be positive")
    if burst < 0:
        raise EntryError(f"{where}: requests_max_burst must be positive")
    if burst and not rate:
        raise EntryError(f"{where}: requests_max_burst needs requests_per_second")
    if burst and burst < rate:
        raise EntryError(f"{where}: requests_max_burst must be at least requests_per_second")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return "*" not in text and is_hostname(text)
    return True
