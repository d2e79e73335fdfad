"""The services that gateways are configured for, as ``/v1/catalog/gateway-services`` has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.discovery.state import Reading, State
from portway.mesh.entries import (
    WILDCARD,
    IngressGateway,
    ServiceDefaults,
    TerminatingGateway,
    protocol_of,
)


class ServiceName(Wire):
    """A service by its name."""

    name: str


class GatewayService(Wire, kw_only=True):
    """A service behind a gateway: at a port of an ingress, or reached by a terminating one."""

    gateway: ServiceName
    service: ServiceName
    gateway_kind: str
    port: int = 0
    protocol: str = ""
    hosts: list[str] = []
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    sni: str = ""
    from_wildcard: bool = False
    service_kind: str = ""
    create_index: int = 0
    modify_index: int = 0


def read_gateway_services(state: State, gateway: str) -> Reading[list[GatewayService]]:
    """The services of the gateways of a name, by service; ``*`` stands for those there are."""
    ingress = state.config.read(IngressGateway, gateway)
    terminating = state.config.read(TerminatingGateway, gateway)
    found: list[GatewayService] = []
    topics: list[Any] = [*ingress.topics, *terminating.topics]
    index = max(ingress.index, terminating.index)
    if ingress.value is not None:
        found += _behind_ingress(state, ingress.value)
    if terminating.value is not None:
        found += _behind_terminating(state, terminating.value)
    if any(one.from_wildcard for one in found) or _has_wildcard(ingress.value, terminating.value):
        names = state.catalog.read_names()
        index = max(index, names.index, state.config.table.topic.index)
        # Which services an ingress's wildcard takes depends on their protocols.
        topics += [*names.topics, state.config.table.topic]
    found.sort(key=lambda one: (one.service.name, one.port))
    shown = [replace(one, service_kind=_kind(state, one.service.name)) for one in found]
    return Reading(shown, index, tuple(topics))


def _kind(state: State, name: str) -> str:
    """Whether a name is that of a registered service or of a destination outside."""
    if name.lower() in state.catalog.by_name:
        return "service"
    defaults = state.config.read(ServiceDefaults, name).value
    return "destination" if defaults is not None and defaults.destination is not None else ""


def _behind_ingress(state: State, entry: IngressGateway) -> Iterable[GatewayService]:
    for listener in entry.listeners or ():
        listed = {service.name for service in listener.services or ()}
        for service in listener.services or ():
            wild = service.name == WILDCARD
            names = [service.name]
            if wild:
                names = [
                    name
                    for name in _ordinary(state)
                    if name not in listed and protocol_of(state.config, name) == listener.protocol
                ]
            for name in names:
                yield GatewayService(
                    gateway=ServiceName(entry.name),
                    service=ServiceName(name),
                    gateway_kind="ingress-gateway",
                    port=listener.port,
                    protocol=listener.protocol,
                    hosts=service.hosts or [],
                    from_wildcard=wild,
                    create_index=entry.create_index,
                    modify_index=entry.modify_index,
                )


def _behind_terminating(state: State, entry: TerminatingGateway) -> Iterable[GatewayService]:
    listed = {service.name for service in entry.services or ()}
    for service in entry.services or ():
        wild = service.name == WILDCARD
        names = [service.name]
        if wild:
            names = [name for name in _ordinary(state) if name not in listed]
        for name in names:
            yield GatewayService(
                gateway=ServiceName(entry.name),
                service=ServiceName(name),
                gateway_kind="terminating-gateway",
                ca_file=service.ca_file,
                cert_file=service.cert_file,
                key_file=service.key_file,
                sni=service.sni,
                from_wildcard=wild,
                create_index=entry.create_index,
                modify_index=entry.modify_index,
            )


def _ordinary(state: State) -> list[str]:
    """The services a wildcard stands for: no proxies, no gateways, not the servers."""
    by_name = state.catalog.by_name
    return sorted(
        instances[0].service.service
        for instances in (named.ordered() for named in by_name.values())
        if instances and not instances[0].service.kind and instances[0].service.service != "consul"
    )


def _has_wildcard(ingress: IngressGateway | None, terminating: TerminatingGateway | None) -> bool:
    listeners = (ingress.listeners if ingress else None) or ()
    behind = [one.name for listener in listeners for one in listener.services or ()]
    behind += [one.name for one in (terminating.services if terminating else None) or ()]
    return WILDCARD in behind
