"""Every route of the API."""

from __future__ import annotations

from portway.discovery.api import (
    acl,
    authorize,
    catalog,
    config,
    connect_intentions,
    coordinate,
    event,
    health,
    internal_gateways,
    internal_ui,
    kv,
    operator,
    peering,
    query,
    session,
    snapshot,
    status,
    txn,
)
from portway.discovery.api.route import Route

_FAMILIES = (
    acl,
    authorize,
    catalog,
    config,
    connect_intentions,
    coordinate,
    event,
    health,
    internal_gateways,
    internal_ui,
    kv,
    operator,
    peering,
    query,
    session,
    snapshot,
    status,
    txn,
)


def all_routes() -> tuple[Route, ...]:
    """The routes of all families."""
    return tuple(route for family in _FAMILIES for route in family.ROUTES)
