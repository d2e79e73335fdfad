"""``/v1/catalog/``: nodes and the services on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from portway.discovery.api import selection
from portway.discovery.api.answer import JSON, Answer, encode, json_answer, raw_json
from portway.discovery.api.blocking import check_consistency, consistency_of, note_filtered, read
from portway.discovery.api.error import ApiError, bad_request, refused
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.gateway_services import read_gateway_services
from portway.discovery.api.instances import CATALOG, instances
from portway.discovery.api.near import sort_near
from portway.discovery.api.read_headers import know_nothing
from portway.discovery.api.registration import registration_of, removal_of
from portway.discovery.api.render import NodeRow, ServiceNode, node_row, service_node
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.api.turns import in_turns
from portway.discovery.model import Service
from portway.discovery.operations.catalog import CatalogError, deregister, register
from portway.discovery.state import Draft, Host, Instance, Reading, Topic, by_id

_MAX_BODY = 1 << 20  # bytes
_TRUE = Answer(b"true", 200, JSON)


async def put_register(request: Request) -> Answer:
    """Register a node, a service on it and checks."""
    registration, datacenter = registration_of(await request.body(_MAX_BODY))
    _check_datacenter(request, datacenter)
    server, authorizer = request.context.server, request.authorizer
    await _write(request, lambda draft: register(server, draft, registration, authorizer))
    return _TRUE


async def put_deregister(request: Request) -> Answer:
    """Remove a service, a check, or a node with everything on it."""
    removal, datacenter = removal_of(await request.body(_MAX_BODY))
    _check_datacenter(request, datacenter)
    server, authorizer = request.context.server, request.authorizer
    await _write(request, lambda draft: deregister(server, draft, removal, authorizer))
    return _TRUE


async def _write(request: Request, operation: Callable[[Draft], None]) -> None:
    try:
        await request.context.server.transact(operation)
    except CatalogError as error:
        raise refused(str(error)) from None


def _check_datacenter(request: Request, named: str) -> None:
    own = request.datacenter()
    if named and named != own:
        raise ApiError(500, "No path to datacenter")


async def datacenters(request: Request) -> Answer:
    """The datacenters that are known, nearest first."""
    check_consistency(request)
    await consistency_of(request)
    selection.set_cache_headers(request)
    return json_answer([request.context.settings.datacenter])


async def nodes(request: Request) -> Answer:
    """Every node."""
    datacenter = request.datacenter()
    accepts = row_filter(request, NodeRow)
    meta = selection.node_meta(request)
    catalog = request.context.server.state.catalog
    index = (await read(request, lambda: _of(catalog.nodes.topic))).index

    async def rows(hosts: Iterable[Host]) -> list[NodeRow]:
        chosen = (host.node for host in hosts if selection.has_meta(host.node, meta))
        shown = (node_row(node, datacenter) for node in chosen)
        found = [row async for row in in_turns(shown) if accepts(row)]
        return sort_near(request, found, lambda row: row.node)

    if selection.sees_all(request) and not request.has("near"):
        key = ("nodes", meta, request.param("filter"))
        return await _kept(request, key, index, lambda: rows(catalog.read_hosts().value))
    hosts = catalog.read_hosts().value
    visible = selection.visible_hosts(request, hosts)
    note_filtered(request, len(visible) < len(hosts))
    return json_answer(await rows(visible))


async def services(request: Request) -> Answer:
    """Every service name with the tags of its instances."""
    datacenter = request.datacenter()
    accepts = row_filter(request, ServiceNode)
    meta = selection.node_meta(request)
    selection.set_cache_headers(request)
    catalog = request.context.server.state.catalog
    chosen = bool(meta or request.param("filter"))
    sees_nodes = request.authorizer.allows_all("node")
    topics = (catalog.services.topic, *((catalog.nodes.topic,) if chosen else ()))
    index = (await read(request, lambda: _of(*topics))).index

    async def names() -> dict[str, list[str]]:
        if sees_nodes and not chosen:
            return catalog.read_names().value
        tags: dict[str, dict[str, None]] = {}
        async for instance in in_turns(list(_every_instance(request))):
            if (
                selection.has_meta(instance.node, meta)
                and (not request.param("filter") or accepts(service_node(instance, datacenter)))
                and (sees_nodes or request.allows("node", "read", instance.node.node))
            ):
                known = tags.setdefault(instance.service.service, {})
                known.update(dict.fromkeys(instance.service.tags))
        return {name: list(known) for name, known in tags.items()}

    if selection.sees_all(request):
        return await _kept(request, ("services", meta, request.param("filter")), index, names)
    found = await names()
    visible = {
        name: tags for name, tags in found.items() if request.allows("service", "read", name)
    }
    note_filtered(request, not sees_nodes or len(visible) < len(found))
    return json_answer(visible)


def _every_instance(request: Request) -> Iterable[Instance]:
    for named in request.context.server.state.catalog.by_name.values():
        yield from named.ordered()


async def service(request: Request) -> Answer:
    """The instances of a service."""
    return await instances(request, "service", CATALOG)


async def connect(request: Request) -> Answer:
    """The proxies in front of a service, and its native instances."""
    if request.rest and not request.allows("service", "read", request.rest):
        know_nothing(request)
        return raw_json(b"[]")
    return await instances(request, "connect", CATALOG)


async def node(request: Request) -> Answer:
    """A node with its services by ID."""
    found, shown = await _node_services(request)
    if found is None:
        return raw_json(b"null")
    datacenter = request.context.settings.datacenter
    by_id = {one.id: one for one in shown}
    return json_answer({"Node": node_row(found.node, datacenter), "Services": by_id})


async def node_services(request: Request) -> Answer:
    """A node with its services as a list."""
    found, shown = await _node_services(request)
    datacenter = request.context.settings.datacenter
    row = None if found is None else node_row(found.node, datacenter)
    if found is None or not (found.instances or request.param("filter")):
        return json_answer({"Node": row, "Services": None})  # there are none, hidden or not
    return json_answer({"Node": row, "Services": shown})


async def _node_services(request: Request) -> tuple[Host | None, list[Service]]:
    """The node the path names, if the caller may see it, and what of its services."""
    request.datacenter()
    name = request.rest
    if not name:
        raise bad_request("Missing node name")
    accepts = row_filter(request, Service)
    catalog = request.context.server.state.catalog

    host = (await read(request, lambda: catalog.read_host(name, rows=True))).value
    if host is None:
        return None, []
    if not request.allows("node", "read", host.node.node):
        note_filtered(request, True)
        return None, []
    found = [host.instances[key].service for key in sorted(host.instances, key=by_id)]
    visible = [one for one in found if request.allows("service", "read", one.service)]
    note_filtered(request, len(visible) < len(found))
    return host, [one for one in visible if accepts(one)]


async def gateway_services(request: Request) -> Answer:
    """The services a gateway is configured to serve, as config entries say."""
    request.datacenter()
    gateway = request.rest
    if not gateway:
        raise bad_request("Missing gateway name")
    request.require("service", "read", gateway)
    state = request.context.server.state
    found = (await read(request, lambda: read_gateway_services(state, gateway))).value
    visible = [one for one in found if request.allows("service", "read", one.service.name)]
    note_filtered(request, len(visible) < len(found))
    return json_answer(visible)


def _of(*topics: Topic) -> Reading[None]:
    """A reading of everything under some topics, without looking at it yet."""
    return Reading(None, max(topic.index for topic in topics), topics)


async def _kept(
    request: Request, key: tuple[Any, ...], index: int, value: Callable[[], Awaitable[Any]]
) -> Answer:
    """An answer whose body is shared by all who see everything."""
    version = (request.context.server.state.view.epoch, index)

    async def make() -> bytes:
        return encode(await value())

    return raw_json(await request.context.bodies.made(key, version, make))


_LISTED = "node:read and service:read, else left out"
_NODES = "node:read, else left out"
_NAMES = "service:read, else left out"
ROUTES = (
    Route(
        "/v1/catalog/register",
        {"PUT": put_register},
        access="node:write for the node and its checks, service:write for services and theirs",
    ),
    Route(
        "/v1/catalog/deregister",
        {"PUT": put_deregister},
        access="node:write, or service:write for a service or its checks",
    ),
    Route("/v1/catalog/datacenters", {"GET": datacenters}, access="none"),
    Route("/v1/catalog/nodes", {"GET": nodes}, access=_NODES),
    Route("/v1/catalog/services", {"GET": services}, access=_NAMES),
    Route("/v1/catalog/service/", {"GET": service}, access=_LISTED),
    Route("/v1/catalog/connect/", {"GET": connect}, access=_LISTED),
    Route("/v1/catalog/node/", {"GET": node}, access=_LISTED),
    Route("/v1/catalog/node-services/", {"GET": node_services}, access=_LISTED),
    Route(
        "/v1/catalog/gateway-services/",
        {"GET": gateway_services},
        access="service:read on the gateway",
    ),
)
