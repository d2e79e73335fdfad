"""Services: what routers send requests to, and its Envoy form."""

from __future__ import annotations

from collections.abc import Mapping

from portway.edge.dynamic import ServersTransport, Service
from portway.edge.runtime import ServiceInfo, TransportInfo
from portway.edge.services import load_balancer, transport
from portway.edge.services.load_balancer import Compiled, RouteNeeds
from portway.edge.services.transport import from_static as default_transport
from portway.edge.services.transport import problems as transport_problems
from portway.edge.services.transport import warnings as transport_warnings
from portway.edge.services.upgrade import choose_cluster, of_cluster

__all__ = [
    "DEFAULT_TRANSPORT",
    "KINDS",
    "Compiled",
    "RouteNeeds",
    "choose_cluster",
    "compile_service",
    "default_transport",
    "kind",
    "of_cluster",
    "problems",
    "route_needs",
    "transport_of",
    "transport_problems",
    "transport_warnings",
    "warnings",
]

DEFAULT_TRANSPORT = "default@internal"
"""The transport of services that name none: the static configuration's ``serversTransport``."""

KINDS = {
    "load_balancer": "loadBalancer",
    "weighted": "weighted",
    "mirroring": "mirroring",
    "failover": "failover",
    "highest_random_weight": "highestRandomWeight",
}
"""The types of services: field of :class:`Service` and the name users write."""


def kind(service: Service) -> str:
    """The type of a service as written (``loadBalancer``), empty when it has none."""
    return next((KINDS[field] for field in KINDS if getattr(service, field) is not None), "")


def problems(service: Service) -> list[str]:
    """What is wrong with a service, one sentence each; any disables it."""
    kinds = [KINDS[field] for field in KINDS if getattr(service, field) is not None]
    if not kinds:
        return ["the service has no type: give it a loadBalancer with servers"]
    if len(kinds) > 1:
        return [f"a service has one type, this one has {' and '.join(kinds)}: split it"]
    if service.load_balancer is None:
        return [f"{kinds[0]} services are not supported yet"]
    return load_balancer.problems(service.load_balancer)


def warnings(service: Service) -> list[str]:
    """What a service asks for and gets differently or not yet, one sentence each."""
    if service.load_balancer is None:
        return []
    return load_balancer.warnings(service.load_balancer)


def transport_of(
    name: str, service: Service, transports: Mapping[str, TransportInfo]
) -> ServersTransport:
    """The servers transport a service known as ``name`` (``service@provider``) uses."""
    balancer = service.load_balancer
    wanted = (balancer.servers_transport if balancer else "") or DEFAULT_TRANSPORT
    if "@" not in wanted:
        wanted = f"{wanted}@{name.rpartition('@')[2]}"
    info = transports.get(wanted)
    return info.config if info else transport.DEFAULT


def route_needs(service: Service, options: ServersTransport = transport.DEFAULT) -> RouteNeeds:
    """What routes to this service must do for it."""
    if service.load_balancer is None:
        return RouteNeeds()
    return load_balancer.route_needs(service.load_balancer, options)


def compile_service(info: ServiceInfo, transports: Mapping[str, TransportInfo]) -> Compiled | None:
    """The Envoy form of an enabled service; None for kinds that are no cluster of their own."""
    balancer = info.config.load_balancer
    if balancer is None:
        return None
    options = transport_of(info.name, info.config, transports)
    return load_balancer.compile(info.name, balancer, options)
