"""What a definition comes to: its service with the checks, and the sidecar it asks for."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from portway.agent.local import Source
from portway.agent.registration import RegisteredCheck, register_service
from portway.agent.sidecar import sidecar_of
from portway.discovery.model import Service, ServiceDefinition


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A service ready for the local state. The rules of a registration are kept."""

    definition: ServiceDefinition
    """Of the service alone, as it is kept on disk: without checks and sidecar."""
    service: Service
    checks: list[RegisteredCheck]
    token: str
    source: Source
    parent: str = ""
    """The service whose sidecar it is, by ID."""

    @property
    def id(self) -> str:
        """The service's ID."""
        return self.service.id


def planned(
    definition: ServiceDefinition,
    node: str,
    token: str,
    source: Source,
    port_of: Callable[[ServiceDefinition], int],
) -> list[Planned]:
    """The service and, after it, its sidecar. Raises RegistrationError.

    ``token`` is for what has none of its own; ``port_of`` finds a sidecar's port, and is called
    for one that names none.
    """
    token = definition.token or token
    service = _planned(definition, node, token, source)
    sidecar = sidecar_of(definition, port_of)
    if sidecar is None:
        return [service]
    return [service, _planned(sidecar, node, sidecar.token or token, source, service.id)]


def _planned(
    definition: ServiceDefinition, node: str, token: str, source: Source, parent: str = ""
) -> Planned:
    service, checks = register_service(definition, node, sidecar=bool(parent))
    connect = definition.connect
    if connect is not None and connect.sidecar_service is not None:
        connect = msgspec.structs.replace(connect, sidecar_service=None)
    alone = msgspec.structs.replace(
        definition, id=service.id, check=None, checks=[], connect=connect
    )
    return Planned(
        definition=alone,
        service=service,
        checks=checks,
        token=token,
        source=source,
        parent=parent,
    )
