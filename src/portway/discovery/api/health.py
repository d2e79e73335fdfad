"""``/v1/health/``: checks, and services with the checks that decide their health."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

from portway.discovery.acl import PermissionDeniedError
from portway.discovery.api import selection
from portway.discovery.api.answer import Answer, json_answer, raw_json
from portway.discovery.api.blocking import note_filtered, read
from portway.discovery.api.error import bad_request
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.instances import HEALTH, instances
from portway.discovery.api.near import sort_near
from portway.discovery.api.render import json_list, render_checks
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.api.turns import in_turns
from portway.discovery.model import Check
from portway.discovery.state import Host, Reading, by_id


class _Checks(NamedTuple):
    """What was found. Neither is made before it is clear that it is needed."""

    rows: Callable[[], list[Check]]
    body: Callable[[], Coroutine[Any, Any, bytes]] | None = None
    """All of them rendered, for who may see and wants them all."""


async def node(request: Request) -> Answer:
    """The checks of a node, those of its services included."""
    name = request.rest
    if not name:
        raise bad_request("Missing node name")
    catalog = request.context.server.state.catalog

    def query() -> Reading[_Checks]:
        reading = catalog.read_checks_of_node(name)
        host = reading.value
        found = _Checks(list) if host is None else _on(host)
        return Reading(found, reading.index, reading.topics, reading.found)

    return await _answer(request, query, ())


def _on(host: Host) -> _Checks:
    async def body() -> bytes:
        return json_list([render_checks(host)])

    return _Checks(host.all_checks, body)


async def checks(request: Request) -> Answer:
    """The checks of a service's instances, without those of their nodes."""
    name = request.rest
    if not name:
        raise bad_request("Missing service name")
    catalog = request.context.server.state.catalog

    def query() -> Reading[_Checks]:
        reading = catalog.read_checks_of_service(name)
        return Reading(_Checks(lambda: reading.value), reading.index, reading.topics)

    return await _answer(request, query)


async def state(request: Request) -> Answer:
    """The checks in a status, or all with ``any``."""
    status = request.rest.lower()
    if not status:
        raise bad_request("Missing check state")
    catalog = request.context.server.state.catalog

    def query() -> Reading[_Checks]:
        reading = catalog.read_checks("" if status == "any" else status)
        found = reading.value

        def rows() -> list[Check]:
            return [found[key] for key in sorted(found, key=by_id)]

        async def body() -> bytes:
            hosts = [catalog.hosts[key] for key in sorted(catalog.hosts)]
            return json_list([render_checks(host) async for host in in_turns(hosts)])

        if status != "any":
            return Reading(_Checks(rows), reading.index, reading.topics)
        version = (request.context.server.state.view.epoch, reading.index)
        kept = partial(request.context.bodies.made, "checks", version, body)
        return Reading(_Checks(rows, kept), reading.index, reading.topics)

    return await _answer(request, query)


async def _answer(
    request: Request, query: Callable[[], Reading[_Checks]], meta: selection.Meta | None = None
) -> Answer:
    request.datacenter()
    accepts = row_filter(request, Check)
    meta = selection.node_meta(request) if meta is None else meta
    catalog = request.context.server.state.catalog

    def with_nodes() -> Reading[_Checks]:
        reading = query()
        if not meta:
            return reading
        nodes = catalog.nodes.topic
        index = max(reading.index, nodes.index)
        return Reading(reading.value, index, (*reading.topics, nodes), reading.found)

    found = (await read(request, with_nodes)).value
    sees_all = selection.sees_all(request)
    chosen = meta or request.param("filter") or request.param("near")
    if sees_all and not chosen and found.body is not None:
        return raw_json(await found.body())
    rows = found.rows()
    visible = rows if sees_all else selection.visible_checks(request, rows)
    note_filtered(request, len(visible) < len(rows))
    if meta:
        hosts = catalog.hosts
        visible = [row for row in visible if selection.has_meta(hosts[row.node.lower()].node, meta)]
    rows = [row async for row in in_turns(visible) if accepts(row)]
    return json_answer(sort_near(request, rows, lambda row: row.node))


async def service(request: Request) -> Answer:
    """The instances of a service with their health."""
    return await instances(request, "service", HEALTH)


async def connect(request: Request) -> Answer:
    """The instances that speak for a service in the mesh, with their health."""
    if request.rest and not request.allows("service", "read", request.rest):
        raise PermissionDeniedError
    return await instances(request, "connect", HEALTH)


async def ingress(request: Request) -> Answer:
    """The ingress gateways in front of a service. None is configured to be."""
    request.datacenter()
    if not request.rest:
        raise bad_request("Missing service name")
    row_filter(request, HEALTH.kind)
    selection.passing(request)
    selection.refuse_sameness_group(request)
    if not request.allows("service", "read", request.rest):
        raise PermissionDeniedError
    catalog = request.context.server.state.catalog
    nothing: list[Check] = []
    await read(request, lambda: Reading(nothing, catalog.extinction.index, ()))
    return json_answer(nothing)


_LISTED = "node:read and service:read, else left out"
_MESH = "service:read on the name; for each instance node:read and service:read, else left out"
ROUTES = (
    Route("/v1/health/node/", {"GET": node}, access=_LISTED),
    Route("/v1/health/checks/", {"GET": checks}, access=_LISTED),
    Route("/v1/health/state/", {"GET": state}, access=_LISTED),
    Route("/v1/health/service/", {"GET": service}, access=_LISTED),
    Route("/v1/health/connect/", {"GET": connect}, access=_MESH),
    Route("/v1/health/ingress/", {"GET": ingress}, access=_MESH),
)
