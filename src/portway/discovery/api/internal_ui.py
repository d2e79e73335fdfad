"""``/v1/internal/ui/``: what a console shows at a glance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from portway.discovery.api import selection
from portway.discovery.api.answer import Answer, encode, json_answer, raw_json
from portway.discovery.api.blocking import note_filtered, read
from portway.discovery.api.error import ApiError, bad_request, not_found, refused
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.read_headers import refuse
from portway.discovery.api.render import ServiceEntry, json_list, service_entry
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.api.summaries import (
    ServiceSummary,
    by_name,
    decide,
    health_of,
    is_transparent,
    own_status,
    summarize,
)
from portway.discovery.api.turns import in_turns
from portway.discovery.model import Check, Node, Service, Wire
from portway.discovery.model.intentions import Intention
from portway.discovery.operations.intentions import decision
from portway.discovery.state import Host, Instance, Reading, Topic, worst
from portway.mesh.entries import protocol_of


class _NodeInfo(Wire):
    """A node with everything on it."""

    id: str
    node: str
    address: str
    tagged_addresses: dict[str, str] | None
    meta: dict[str, str] | None
    services: list[Service]
    checks: list[Check]


def _info(request: Request, host: Host) -> _NodeInfo:
    node: Node = host.node
    services = [host.instances[key].service for key in sorted(host.instances)]
    checks = [host.checks[key] for key in sorted(host.checks)]
    seen = [one for one in services if request.allows("service", "read", one.service)]
    seen_checks = selection.visible_checks(request, checks)
    note_filtered(request, len(seen) < len(services) or len(seen_checks) < len(checks))
    return _NodeInfo(
        node.id, node.node, node.address, node.tagged_addresses, node.meta, seen, seen_checks
    )


async def _everything(request: Request, more: Sequence[Topic] = ()) -> None:
    """Wait as asked for a change of anything in the catalog, and set the headers of a read.

    ``more`` are topics of what else the answer has.
    """
    request.datacenter()
    topics = (*_topics(request), *more)
    await read(
        request,
        lambda: Reading(None, max(_index(request), *(topic.index for topic in more), 0), topics),
    )


def _topics(request: Request) -> tuple[Topic, ...]:
    catalog = request.context.server.state.catalog
    return (catalog.nodes.topic, catalog.services.topic, catalog.checks.topic)


def _index(request: Request) -> int:
    return max(topic.index for topic in _topics(request))


async def nodes(request: Request) -> Answer:
    """Every node with everything on it."""
    accepts = row_filter(request, _NodeInfo)
    await _everything(request)
    catalog = request.context.server.state.catalog
    hosts = catalog.read_hosts().value
    if selection.sees_all(request) and not request.param("filter"):
        return raw_json(json_list([_kept_info(request, host) async for host in in_turns(hosts)]))
    visible = selection.visible_hosts(request, hosts)
    note_filtered(request, len(visible) < len(hosts))
    rows = (_info(request, host) for host in visible)
    return json_answer([row async for row in in_turns(rows) if accepts(row)])


def _kept_info(request: Request, host: Host) -> bytes:
    version = (request.context.server.state.view.epoch, host.topic.index)
    key = ("node", host.node.node)
    return request.context.bodies.get(key, version, lambda: encode(_info(request, host)))


async def node(request: Request) -> Answer:
    """One node with everything on it; 404 without."""
    request.datacenter()
    name = request.rest
    if not name:
        raise bad_request("Missing node name")
    catalog = request.context.server.state.catalog
    host = (await read(request, lambda: catalog.read_host(name))).value
    if host is None or selection.of_peer(request):
        refuse(request, 404)
        return Answer(status=404)
    if not request.allows("node", "read", host.node.node):
        refuse(request, 404)
        return Answer(status=404)
    return json_answer(_info(request, host))


async def services(request: Request) -> Answer:
    """Every service in numbers."""
    accepts = row_filter(request, ServiceEntry)
    await _everything(request)
    if selection.of_peer(request):
        return raw_json(b"[]")
    if selection.sees_all(request) and not request.param("filter"):
        version = (request.context.server.state.view.epoch, _index(request))
        bodies = request.context.bodies
        return raw_json(await bodies.made("services", version, lambda: _whole(request)))
    datacenter = request.context.settings.datacenter
    found = list(_instances(request))
    visible = _visible(request, found)
    note_filtered(request, len(visible) < len(found))
    if request.param("filter"):
        visible = [
            one async for one in in_turns(visible) if accepts(service_entry(one, datacenter))
        ]
    return json_answer(_summaries(visible, datacenter))


async def _whole(request: Request) -> bytes:
    """All services in numbers, those included that only have proxies."""
    catalog = request.context.server.state.catalog
    names = sorted({*catalog.by_name, *catalog.by_destination})
    return json_list([_kept_summary(request, name) async for name in in_turns(names)])


def _kept_summary(request: Request, name: str) -> bytes:
    """A service in numbers as JSON, counted again only when it or a proxy of it has changed."""
    state, datacenter = request.context.server.state, request.context.settings.datacenter
    own = state.catalog.read_service(name)
    mesh = state.catalog.read_connect(name)

    def render() -> bytes:
        proxies = [one for one in mesh.value if one.service.kind == "connect-proxy"]
        shown = own.value[0].service.service if own.value else name
        if not own.value and proxies:
            shown = proxies[0].service.proxy.destination_service_name
        return encode(summarize(shown, own.value, proxies, datacenter))

    version = (state.view.epoch, own.index, mesh.index, len(mesh.value))
    return request.context.bodies.get(("service", name), version, render)


def _summaries(instances: Iterable[Instance], datacenter: str) -> list[ServiceSummary]:
    """Some instances by service, in numbers."""
    own: dict[str, list[Instance]] = {}
    proxies: dict[str, list[Instance]] = {}
    for instance in instances:
        own.setdefault(instance.service.service, []).append(instance)
        if instance.service.kind == "connect-proxy":
            behind = instance.service.proxy.destination_service_name
            proxies.setdefault(behind, []).append(instance)
    return [
        summarize(name, own.get(name, []), proxies.get(name, []), datacenter)
        for name in sorted({*own, *proxies})
    ]


async def catalog_overview(request: Request) -> Answer:
    """The health of nodes, services and checks in numbers."""
    request.require("operator", "read")
    request.datacenter()
    server = request.context.server
    catalog = server.state.catalog

    def count() -> bytes:
        return encode(
            {
                "Nodes": [health_of(worst(host.node_checks()) for host in catalog.hosts.values())],
                "Services": by_name(
                    (one.service.service, own_status(one)) for one in _instances(request)
                ),
                "Checks": by_name((one.name, one.status) for one in catalog.checks.rows.values()),
            }
        )

    version = (server.state.view.epoch, _index(request))
    return raw_json(request.context.bodies.get("overview", version, count))


async def service_topology(request: Request) -> Answer:
    """Which services a service's proxies call, and whose proxies call it, as registered."""
    name = request.rest
    if not name:
        raise bad_request("Missing service name")
    if not request.has("kind"):
        raise bad_request("Missing service kind")
    kind = request.param("kind")
    if kind not in ("", "ingress-gateway"):
        raise bad_request(f'Unsupported service kind "{kind}"')
    request.require("service", "read", name)
    entries = request.context.server.state.config
    await _everything(request, (entries.table.topic,))
    found = list(_instances(request))
    visible = _visible(request, found)
    proxies = [one for one in visible if one.service.kind == "connect-proxy"]
    own = [one for one in proxies if _behind(one) == name.lower()]
    called = {upstream for one in own for upstream in _called(one)}
    callers = {_behind(one) for one in proxies if name.lower() in _called(one)}
    return json_answer(
        {
            "Protocol": protocol_of(entries, name),
            "TransparentProxy": is_transparent(own),
            "Upstreams": _related(
                request, visible, called, lambda other: decision(entries, name, other)
            ),
            "Downstreams": _related(
                request, visible, callers, lambda other: decision(entries, other, name)
            ),
            "FilteredByACLs": len(visible) < len(found),
        }
    )


def _behind(proxy: Instance) -> str:
    return proxy.service.proxy.destination_service_name.lower()


def _called(proxy: Instance) -> set[str]:
    upstreams = proxy.service.proxy.upstreams
    return {
        one.destination_name.lower() for one in upstreams if one.destination_type in ("", "service")
    }


def _related(
    request: Request,
    instances: Iterable[Instance],
    names: set[str],
    decided: Callable[[str], Intention | None],
) -> list[dict[str, Any]]:
    """The services of some names; what no intention decides, the default policy does."""
    settings = request.context.settings
    chosen = [
        one
        for one in instances
        if one.service.service.lower() in names
        or (one.service.kind == "connect-proxy" and _behind(one) in names)
    ]
    allow = settings.default_intention_allow
    rows = []
    for summary in _summaries(chosen, settings.datacenter):
        if summary.kind in ("", "ingress-gateway") and summary.instance_count:
            row: dict[str, Any] = msgspec.to_builtins(summary)
            del row["ConnectedWithProxy"], row["ConnectedWithGateway"]
            row |= {
                "Source": "proxy-registration",
                "Intention": decide(decided(summary.name), allow),
            }
            rows.append(row)
    return rows


def _instances(request: Request) -> Iterator[Instance]:
    by_service = request.context.server.state.catalog.by_name
    for name in sorted(by_service):
        yield from by_service[name].ordered()


def _visible(request: Request, found: list[Instance]) -> list[Instance]:
    if selection.sees_all(request):
        return found
    return [
        one
        for one in found
        if request.allows("node", "read", one.node.node)
        and request.allows("service", "read", one.service.service)
    ]


async def exported_services(request: Request) -> Answer:
    """What a peer is offered: nothing, as there are no peers."""
    if not request.param("peer"):
        raise refused("must provide PeerName")
    if not request.param("peer"):
        raise ApiError(500, "must provide PeerName")
    await _everything(request)
    return raw_json(b"[]")


async def metrics_proxy(request: Request) -> Answer:
    """A proxy to the metrics of the mesh, where one is configured."""
    enabled = request.context.settings.ui_enabled
    raise not_found("Metrics proxy is not enabled" if enabled else "UI is not enabled")


_LISTED = "node:read and service:read, else left out"
_PATH = "/v1/internal/ui/"
ROUTES = (
    Route(f"{_PATH}nodes", {"GET": nodes}, access=_LISTED),
    Route(f"{_PATH}node/", {"GET": node}, access=_LISTED),
    Route(f"{_PATH}services", {"GET": services}, access=_LISTED),
    Route(f"{_PATH}catalog-overview", {"GET": catalog_overview}, access="operator:read"),
    Route(
        f"{_PATH}service-topology/",
        {"GET": service_topology},
        access="service:read on the service; others as listed elsewhere",
    ),
    Route(f"{_PATH}exported-services", {"GET": exported_services}, access="none"),
    Route(f"{_PATH}metrics-proxy/", {"GET": metrics_proxy}, access="none"),
)
