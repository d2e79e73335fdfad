"""``ingress-gateway``: listeners for clients outside the mesh, and the services behind them."""

from __future__ import annotations

from msgspec import field
from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.mesh.entries.entry import WILDCARD, Entry, EntryError, check_meta
from portway.mesh.entries.hostname import is_hostname
from portway.mesh.entries.http import HTTP_LIKE, HeaderModifiers, check_modifiers
from portway.mesh.entries.tls import check_tls
from portway.mesh.entries.upstreams import PassiveHealthCheck

_PROTOCOLS = ("tcp", "http", "http2", "grpc")


class SDS(Wire):
    """A certificate that Envoy fetches by SDS from a cluster of its bootstrap."""

    cluster_name: str = ""
    cert_resource: str = ""


class GatewayTLS(Wire):
    """TLS of a gateway or listener: off, with a certificate of the mesh, or of SDS."""

    enabled: bool
    sds: SDS | None = field(name="SDS", default=None)
    tls_min_version: str = ""
    tls_max_version: str = ""
    cipher_suites: list[str] = []

    def check(self) -> None:
        """Raise EntryError for versions or suites that cannot be."""
        check_tls(self.tls_min_version, self.tls_max_version, self.cipher_suites)


class ServiceTLS(Wire):
    """A certificate of its own for the hosts of a service."""

    sds: SDS | None = field(name="SDS", default=None)


class IngressDefaults(Wire):
    """Limits for every service behind the gateway; 0 is Envoy's default."""

    max_connections: int
    max_pending_requests: int
    max_concurrent_requests: int
    passive_health_check: PassiveHealthCheck | None = None


class IngressService(Wire):
    """A service behind a listener; ``*`` is every service of the listener's protocol."""

    name: str
    hosts: list[str] | None
    tls: ServiceTLS | None = None
    request_headers: HeaderModifiers | None = None
    response_headers: HeaderModifiers | None = None
    max_connections: int = 0
    max_pending_requests: int = 0
    max_concurrent_requests: int = 0
    passive_health_check: PassiveHealthCheck | None = None
    meta: dict[str, str] = {}


class Listener(Wire):
    """A port. Only protocols whose requests can be told apart take several services."""

    port: int
    protocol: str
    services: list[IngressService] | None
    tls: GatewayTLS | None = None


class IngressGateway(Entry, tag="ingress-gateway"):
    """The listeners of the gateways that are registered under the entry's name."""

    write_access = "mesh"

    name: str
    tls: GatewayTLS
    listeners: list[Listener] | None
    defaults: IngressDefaults | None = None

    def normalized(self) -> IngressGateway:
        listeners = self.listeners and [
            replace(listener, protocol=(listener.protocol or "tcp").lower())
            for listener in self.listeners
        ]
        return replace(self, listeners=listeners)

    def check(self) -> None:
        check_meta(self.meta)
        self.tls.check()
        if self.defaults is not None and self.defaults.passive_health_check is not None:
            self.defaults.passive_health_check.check()
        ports = set()
        for listener in self.listeners or ():
            if listener.port in ports:
                raise EntryError(f"port {listener.port} declared on two listeners")
            ports.add(listener.port)
            self._check_listener(listener)

    def reaches(self) -> list[str]:
        names = {one.name for listener in self.listeners or () for one in listener.services or ()}
        return sorted(names - {WILDCARD})

    def _check_listener(self, listener: Listener) -> None:
        where = f"(listener on port {listener.port})"
        if listener.protocol not in _PROTOCOLS:
            raise EntryError(
                "protocol must be 'tcp', 'http', 'http2', or 'grpc'. "
                f"'{listener.protocol}' is an unsupported protocol"
            )
        if not 1 <= listener.port <= 65535:
            raise EntryError(f"listener port {listener.port} not in the range 1-65535")
        if not listener.services:
            raise EntryError(f"No service declared for listener with port {listener.port}")
        if listener.protocol not in HTTP_LIKE and len(listener.services) > 1:
            raise EntryError(
                "Multiple services per listener are only supported for L7 protocols, 'http', "
                f"'grpc' and 'http2' {where}"
            )
        if listener.tls is not None:
            listener.tls.check()
        names: set[str] = set()
        hosts: set[str] = set()
        for service in listener.services:
            self._check_service(service, listener, where)
            if service.name in names:
                raise EntryError(f"Service {service.name} cannot be added multiple times {where}")
            names.add(service.name)
            self._check_sds(listener, service)
            for host in service.hosts or ():
                if host in hosts:
                    raise EntryError(f"Hosts must be unique within a specific listener {where}")
                hosts.add(host)
                _check_host(self.tls.enabled, host)

    def _check_service(self, service: IngressService, listener: Listener, where: str) -> None:
        place = f'(service "{service.name}" on listener on port {listener.port})'
        check_modifiers(service.request_headers, listener.protocol, f"request headers {{}} {place}")
        check_modifiers(
            service.response_headers, listener.protocol, f"response headers {{}} {place}"
        )
        if listener.protocol == "tcp":
            if service.name == WILDCARD:
                raise EntryError(
                    f"Wildcard service name is only valid for protocol = 'http' {where}"
                )
            if service.hosts:
                raise EntryError(
                    f"Associating hosts to a service is not supported for the tcp protocol {where}"
                )
        if not service.name:
            raise EntryError(f"Service name cannot be blank {where}")
        if service.name == WILDCARD and service.hosts:
            raise EntryError(f"Associating hosts to a wildcard service is not supported {where}")
        if service.passive_health_check is not None:
            service.passive_health_check.check()

    def _check_sds(self, listener: Listener, service: IngressService) -> None:
        where = f"(listener on port {listener.port})"
        gateway = self.tls.sds or SDS()
        own = (listener.tls and listener.tls.sds) or SDS()
        if gateway.cert_resource and not gateway.cluster_name:
            raise EntryError("TLS.SDS.ClusterName is required if CertResource is set")
        if gateway.cluster_name and not gateway.cert_resource and not own.cert_resource:
            raise EntryError(
                f"TLS.SDS.CertResource is required if ClusterName is set for gateway {where}"
            )
        if own.cluster_name and not own.cert_resource:
            raise EntryError(
                f"TLS.SDS.CertResource is required if ClusterName is set for listener {where}"
            )
        if own.cert_resource and not (own.cluster_name or gateway.cluster_name):
            raise EntryError(f"TLS.SDS.ClusterName is required if CertResource is set {where}")
        theirs = (service.tls and service.tls.sds) or SDS()
        place = f'(service "{service.name}" on listener on port {listener.port})'
        if theirs.cert_resource and not service.hosts:
            raise EntryError(
                "A service specifying TLS.SDS.CertResource must have at least one item in Hosts "
                f"{place}"
            )
        clusters = (theirs.cluster_name, own.cluster_name, gateway.cluster_name)
        if theirs.cert_resource and not any(clusters):
            raise EntryError(f"TLS.SDS.ClusterName is required if CertResource is set {place}")


def _check_host(tls: bool, host: str) -> None:
    if host == WILDCARD:
        if tls:
            raise EntryError(
                "Host '*' is not allowed when TLS is enabled, all hosts must be valid DNS records "
                "to add as a DNSSAN"
            )
        return
    if not is_hostname(host):
        raise EntryError(f'Host "{host}" must be a valid DNS hostname')
    if WILDCARD in host.removeprefix("*."):
        raise EntryError(
            f'Host "{host}" is not valid, a wildcard specifier is only allowed as the leftmost '
            "label"
        )
