"""Maintenance of the node and of services: a check that is critical until it is taken away."""

from __future__ import annotations

from portway.discovery.model import (
    CRITICAL,
    NODE_MAINTENANCE,
    SERVICE_MAINTENANCE,
    Check,
    CheckDefinition,
    CheckRun,
    Service,
)

_REASON = (
    "Maintenance mode is enabled for this {}, but no reason was provided. "
    "This is a default message."
)


def maintenance_id(service_id: str) -> str:
    """The ID of the check of a service, or of the node for an empty ID."""
    return SERVICE_MAINTENANCE + service_id if service_id else NODE_MAINTENANCE


def is_maintenance(check_id: str) -> bool:
    """Whether a check is one of maintenance, by its ID."""
    return check_id == NODE_MAINTENANCE or check_id.startswith(SERVICE_MAINTENANCE)


def maintenance_definition(service_id: str, reason: str) -> CheckDefinition:
    """The check as it is kept on disk."""
    return CheckDefinition(
        check_id=maintenance_id(service_id),
        name="Service Maintenance Mode" if service_id else "Node Maintenance Mode",
        notes=reason or _REASON.format("service" if service_id else "node"),
        service_id=service_id,
    )


def maintenance_check(definition: CheckDefinition, node: str, service: Service | None) -> Check:
    """The check as the catalog shows it."""
    return Check(
        node=node,
        check_id=definition.check_id,
        name=definition.name,
        status=CRITICAL,
        notes=definition.notes,
        output="",
        service_id=service.id if service else "",
        service_name=service.service if service else "",
        service_tags=list(service.tags) if service else [],
        type="maintenance",
        interval="",
        timeout="",
        exposed_port=0,
        definition=CheckRun(),
    )
