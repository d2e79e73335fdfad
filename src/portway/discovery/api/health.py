"""``/v1/health/``: checks, and services with the checks that decide their health."""

from __future__ import annotations

from collections.abc import Callable

from portway.discovery.api import selection
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import note_filtered, read
from portway.discovery.api.error import bad_request
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.instances import HEALTH, instances
from portway.discovery.api.near import sort_near
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model import Check
from portway.discovery.state import Reading


async def node(request: Request) -> Answer:
    """The checks of a node, those of its services included."""
    name = request.rest
    if not name:
        raise bad_request("Missing node name")
    catalog = request.context.server.state.catalog

    def query() -> Reading[list[Check]]:
        reading = catalog.read_host(name)
        host = reading.value
        checks = [] if host is None else [host.checks[key] for key in sorted(host.checks)]
        return Reading(checks, reading.index, reading.topics, reading.found)

    return await _checks(request, query)


async def checks(request: Request) -> Answer:
    """The checks of a service's instances, without those of their nodes."""
    name = request.rest
    if not name:
        raise bad_request("Missing service name")
    catalog = request.context.server.state.catalog

    def query() -> Reading[list[Check]]:
        reading = catalog.read_service(name)
        found = [
            instance.checks[key] for instance in reading.value for key in sorted(instance.checks)
        ]
        return Reading(found, reading.index, reading.topics)

    return await _checks(request, query)


async def state(request: Request) -> Answer:
    """The checks in a status, or all with ``any``."""
    status = request.rest
    if not status:
        raise bad_request("Missing check state")
    catalog = request.context.server.state.catalog
    return await _checks(request, lambda: catalog.read_checks("" if status == "any" else status))


async def _checks(request: Request, query: Callable[[], Reading[list[Check]]]) -> Answer:
    request.datacenter()
    accepts = row_filter(request, Check)
    meta = selection.node_meta(request)
    selection.set_cache_headers(request)
    catalog = request.context.server.state.catalog

    def of_nodes() -> Reading[list[Check]]:
        if selection.of_peer(request):
            return Reading([], catalog.extinction.index, ())
        reading = query()
        if not meta:
            return reading
        nodes = catalog.nodes.topic
        chosen = [
            check
            for check in reading.value
            if selection.has_meta(catalog.hosts[check.node.lower()].node, meta)
        ]
        topics = (*reading.topics, nodes)
        return Reading(chosen, max(reading.index, nodes.index), topics, reading.found)

    reading = await read(request, of_nodes)
    found = reading.value
    visible = found if selection.sees_all(request) else selection.visible_checks(request, found)
    note_filtered(request, len(visible) < len(found))
    rows = [row for row in visible if accepts(row)]
    return json_answer(sort_near(request, rows, lambda row: row.node))


async def service(request: Request) -> Answer:
    """The instances of a service with their health."""
    return await instances(request, "service", HEALTH)


async def connect(request: Request) -> Answer:
    """The instances that speak for a service in the mesh, with their health."""
    return await instances(request, "connect", HEALTH)


async def ingress(request: Request) -> Answer:
    """The ingress gateways in front of a service. None is configured to be."""
    request.datacenter()
    if not request.rest:
        raise bad_request("Missing service name")
    row_filter(request, HEALTH.kind)
    selection.passing(request)
    catalog = request.context.server.state.catalog
    nothing: list[Check] = []
    await read(request, lambda: Reading(nothing, catalog.extinction.index, ()))
    return json_answer(nothing)


_LISTED = "node:read and service:read, else left out"
ROUTES = (
    Route("/v1/health/node/", {"GET": node}, access=_LISTED),
    Route("/v1/health/checks/", {"GET": checks}, access=_LISTED),
    Route("/v1/health/state/", {"GET": state}, access=_LISTED),
    Route("/v1/health/service/", {"GET": service}, access=_LISTED),
    Route("/v1/health/connect/", {"GET": connect}, access=_LISTED),
    Route("/v1/health/ingress/", {"GET": ingress}, access=_LISTED),
)
