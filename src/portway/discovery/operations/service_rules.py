"""What a service may look like, whoever registers it. Texts are the documented ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from portway.discovery.model import Service
from portway.discovery.model.catalog import Proxy, Upstream

_GATEWAYS = ("mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway")
_PORTLESS = ("ingress-gateway", "api-gateway")
_EXPOSE_PROTOCOLS = ("", "http", "http2")
_META_KEY = re.compile(r"[a-zA-Z0-9_-]+")
_META_PAIRS, _META_KEY_LENGTH, _META_VALUE_LENGTH = 64, 128, 512
ANY_ADDRESS = ("0.0.0.0", "::", "[::]")  # noqa: S104  refused, not bound


def problem_of(service: Service) -> str:
    """What is wrong with a service, or nothing."""
    problems = list(problems_of(service))
    return multierror(problems) if problems else ""


def multierror(problems: Sequence[str]) -> str:
    """Several problems in the layout of Go's multierror."""
    count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    return f"{count} occurred:\n" + "".join(f"\t* {problem}\n" for problem in problems) + "\n"


def problems_of(service: Service) -> Iterator[str]:
    """Everything wrong with a service."""
    if service.locality is not None and service.locality.zone and not service.locality.region:
        yield "zone cannot be set without region"
    if service.kind == "connect-proxy":
        yield from _proxy_problems(service)
    elif service.kind in _GATEWAYS:
        yield from _gateway_problems(service)
    if service.connect.native and not (service.port or service.ports or service.socket_path):
        yield "Port or SocketPath must be set for a Connect native service."
    yield from _port_problems(service)


def _proxy_problems(service: Service) -> Iterator[str]:
    if not service.port and not service.socket_path:
        yield "Port or SocketPath must be set for a connect-proxy"
    proxy = service.proxy
    destination = proxy.destination_service_name.strip()
    if not destination:
        yield "Proxy.DestinationServiceName must be non-empty for Connect proxy services"
    if destination == "*":
        yield "Proxy.DestinationServiceName must not be a wildcard for Connect proxy services"
    if service.connect.native:
        yield "A Proxy cannot also be Connect Native, only typical services"
    yield from _upstream_problems(proxy)
    yield from _expose_problems(proxy)


def _upstream_problems(proxy: Proxy) -> Iterator[str]:
    seen: set[tuple[str, ...]] = set()
    bound: set[str] = set()
    for upstream in proxy.upstreams:
        if not upstream.destination_name:
            yield "upstream destination name cannot be empty"
            continue
        if upstream.destination_name == "*" and not upstream.centrally_configured:
            yield "upstream destination name cannot be a wildcard"
            continue
        where = _bound(upstream)
        if not where and not upstream.centrally_configured and proxy.mode != "transparent":
            yield "upstream local bind port or local socket path must be defined and nonzero"
            continue
        if upstream.local_bind_port and upstream.local_bind_socket_path:
            yield (
                "only one of upstream local bind port or local socket path can be defined and "
                "nonzero"
            )
            continue
        identity = (upstream.destination_type, upstream.destination_name, upstream.datacenter)
        if identity in seen:
            yield (
                f'upstreams cannot contain duplicates of [type="{identity[0]}", '
                f'name="{identity[1]}", partition="", namespace="", peer="", '
                f'datacenter="{identity[2]}"]'
            )
            continue
        seen.add(identity)
        if where and where in bound:
            yield (
                "upstreams cannot contain duplicates by local bind address and port or unix path; "
                f'"{where}" is specified twice'
            )
            continue
        bound.add(where)


def _bound(upstream: Upstream) -> str:
    if upstream.local_bind_socket_path:
        return upstream.local_bind_socket_path
    if upstream.local_bind_port:
        return f"{upstream.local_bind_address or '127.0.0.1'}:{upstream.local_bind_port}"
    return ""


def _expose_problems(proxy: Proxy) -> Iterator[str]:
    listeners: set[int] = set()
    for exposed in proxy.expose.paths:
        if not exposed.path:
            yield "expose.paths: empty path exposed"
        if exposed.listener_port in listeners:
            yield "expose.paths: duplicate listener ports exposed"
        listeners.add(exposed.listener_port)
        if not 0 < exposed.listener_port <= 65535:
            yield f"expose.paths: invalid listener port: {exposed.listener_port}"
        if exposed.protocol.lower() not in _EXPOSE_PROTOCOLS:
            yield (
                f"protocol '{exposed.protocol}' not supported for path: {exposed.path}, "
                "must be in: [http http2]"
            )


def _gateway_problems(service: Service) -> Iterator[str]:
    kind, proxy = service.kind, service.proxy
    if not service.port and kind not in _PORTLESS:
        yield f"Port must be non-zero for a {kind}"
    for name, given in (
        ("DestinationServiceName", proxy.destination_service_name),
        ("DestinationServiceID", proxy.destination_service_id),
        ("LocalServiceAddress", proxy.local_service_address),
        ("LocalServicePort", proxy.local_service_port),
        ("LocalServiceSocketPath", proxy.local_service_socket_path),
        ("Upstreams", proxy.upstreams),
    ):
        if given:
            yield f"The Proxy.{name} configuration is invalid for a {kind}"


def _port_problems(service: Service) -> Iterator[str]:
    if not 0 <= service.port <= 65535:
        yield f"Port {service.port} is not between 0 and 65535"
    if not service.ports:
        return
    if service.kind == "connect-proxy" or service.kind in _GATEWAYS:
        yield f"Ports cannot be set for a {service.kind}"
    if service.port:
        yield "Cannot set both Port and Ports"
    seen: set[str] = set()
    for port in service.ports:
        if not port.name.strip():
            yield "Ports.Name cannot be empty"
        elif port.port <= 0:
            yield "Ports.Port must be greater than zero"
        elif port.port > 65535:
            yield f"Ports.Port {port.port} is not between 1 and 65535"
        elif port.name in seen:
            yield f'Ports.Name "{port.name}" has to be unique'
        seen.add(port.name)
    defaults = sum(port.default for port in service.ports)
    if defaults > 1:
        yield "Only one port can be marked as default"
    elif not defaults:
        yield "One of the Ports must be marked as Default"


def meta_problem(meta: dict[str, str], *, gateway: bool = False) -> str:
    """What is wrong with metadata of a service or node, or nothing."""
    if len(meta) > _META_PAIRS:
        return f"Node metadata cannot contain more than {_META_PAIRS} key/value pairs"
    for key, value in meta.items():
        problem = ""
        if not key:
            problem = "Key cannot be blank"
        elif not _META_KEY.fullmatch(key):
            problem = "Key contains invalid characters"
        elif len(key) > _META_KEY_LENGTH:
            problem = f"Key is too long (limit: {_META_KEY_LENGTH} characters)"
        elif key.startswith("consul-") and not (gateway and key == "consul-wan-federation"):
            problem = "Key prefix 'consul-' is reserved for internal use"
        elif len(value) > _META_VALUE_LENGTH:
            problem = f"Value is too long (limit: {_META_VALUE_LENGTH} characters)"
        if problem:
            return f"Couldn't load metadata pair ('{key}', '{value}'): {problem}"
    return ""
