"""Sidecar services: what ``connect.sidecar_service`` in a registration stands for.

The rules are those of Consul's sidecar service registration.
"""

from __future__ import annotations

from collections.abc import Callable, Container

import msgspec

from portway.agent.registration import RegistrationError
from portway.config import Duration
from portway.discovery.model import CheckDefinition, ProxyDefinition, ServiceDefinition

SUFFIX = "-sidecar-proxy"
_LISTENING_INTERVAL = Duration(10)


def sidecar_id(parent_id: str) -> str:
    """The ID of the sidecar of a service."""
    return parent_id + SUFFIX


def sidecar_of(
    parent: ServiceDefinition, port_of: Callable[[ServiceDefinition], int]
) -> ServiceDefinition | None:
    """The sidecar's own definition, or ``None`` if the service asks for none.

    ``port_of`` tells what it listens on unless it says so itself; what that raises is raised.
    """
    given = None if parent.connect is None else parent.connect.sidecar_service
    if given is None:
        return None
    parent_id = parent.id or parent.name
    sidecar = msgspec.structs.replace(
        given,
        id=sidecar_id(parent_id),
        name=sidecar_name(parent),
        kind=given.kind or "connect-proxy",
        port=given.port or port_of(parent),
        address=given.address or parent.address,
        tags=given.tags or parent.tags,
        meta=given.meta or parent.meta,
        locality=given.locality or parent.locality,
        token=given.token or parent.token,
        proxy=_proxy(parent, given.proxy or ProxyDefinition()),
    )
    if given.check in (None, CheckDefinition()) and not given.checks:
        sidecar = msgspec.structs.replace(sidecar, checks=_default_checks(sidecar, parent_id))
    return sidecar


def sidecar_name(parent: ServiceDefinition) -> str:
    """The name of the sidecar of a service, "" if it asks for none."""
    given = None if parent.connect is None else parent.connect.sidecar_service
    return "" if given is None else given.name or parent.name + SUFFIX


def free_port(used: Container[int], lowest: int, highest: int) -> int:
    """The lowest free port for sidecars. Raises RegistrationError when there is none."""
    if lowest <= 0 or highest <= 0:
        raise RegistrationError(
            "no port provided for sidecar_service and auto-assignment disabled in config"
        )
    for port in range(lowest, highest + 1):
        if port not in used:
            return port
    raise RegistrationError(
        "no port provided for sidecar_service and none left in the configured range "
        f"[{lowest}, {highest}]"
    )


def _proxy(parent: ServiceDefinition, given: ProxyDefinition) -> ProxyDefinition:
    proxy = msgspec.structs.replace(
        given,
        destination_service_name=given.destination_service_name or parent.name,
        destination_service_id=given.destination_service_id or parent.id or parent.name,
    )
    if proxy.local_service_socket_path:
        return proxy
    if not (proxy.local_service_address and proxy.local_service_port) and parent.socket_path:
        return msgspec.structs.replace(proxy, local_service_socket_path=parent.socket_path)
    return msgspec.structs.replace(
        proxy,
        local_service_address=proxy.local_service_address or "127.0.0.1",
        local_service_port=proxy.local_service_port or parent.port,
    )


def _default_checks(sidecar: ServiceDefinition, parent_id: str) -> list[CheckDefinition]:
    return [
        CheckDefinition(
            name="Connect Sidecar Listening",
            tcp=f"{_host(sidecar)}:{sidecar.port}",
            interval=_LISTENING_INTERVAL,
        ),
        CheckDefinition(name=f"Connect Sidecar Aliasing {parent_id}", alias_service=parent_id),
    ]


def _host(sidecar: ServiceDefinition) -> str:
    """Where the sidecar listens: unless it says so, beside the service."""
    host = sidecar.address or (sidecar.proxy.local_service_address if sidecar.proxy else "")
    return f"[{host}]" if ":" in host else host
