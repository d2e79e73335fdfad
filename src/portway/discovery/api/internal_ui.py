"""``/v1/internal/ui/``: what a console shows at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from portway.discovery.api import selection
from portway.discovery.api.answer import Answer, json_answer, raw_json
from portway.discovery.api.blocking import note_filtered, read
from portway.discovery.api.error import bad_request, not_found
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.render import ServiceEntry, service_entry
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.api.summaries import (
    Decision,
    by_name,
    health_of,
    is_transparent,
    own_status,
    summarize,
)
from portway.discovery.model import Check, Node, Service, Wire
from portway.discovery.state import Host, Instance, Reading, worst


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


async def _everything(request: Request) -> None:
    """Wait as asked for a change of anything in the catalog, and set the headers of a read."""
    request.datacenter()
    catalog = request.context.server.state.catalog
    topics = (catalog.nodes.topic, catalog.services.topic, catalog.checks.topic)
    await read(request, lambda: Reading(None, max(topic.index for topic in topics), topics))


async def nodes(request: Request) -> Answer:
    """Every node with everything on it."""
    accepts = row_filter(request, _NodeInfo)
    await _everything(request)
    catalog = request.context.server.state.catalog
    hosts = catalog.read_hosts().value
    visible = selection.visible_hosts(request, hosts)
    note_filtered(request, len(visible) < len(hosts))
    rows = (_info(request, host) for host in visible)
    return json_answer([row for row in rows if accepts(row)])


async def node(request: Request) -> Answer:
    """One node with everything on it; 404 without."""
    request.datacenter()
    name = request.rest
    if not name:
        raise bad_request("Missing node name")
    catalog = request.context.server.state.catalog
    host = (await read(request, lambda: catalog.read_host(name))).value
    if host is None or selection.of_peer(request):
        return Answer(status=404)
    if not request.allows("node", "read", host.node.node):
        note_filtered(request, True)
        return Answer(status=404)
    return json_answer(_info(request, host))


async def services(request: Request) -> Answer:
    """Every service in numbers."""
    accepts = row_filter(request, ServiceEntry)
    await _everything(request)
    if selection.of_peer(request):
        return raw_json(b"[]")
    datacenter = request.context.settings.datacenter
    found = list(_instances(request))
    visible = _visible(request, found)
    note_filtered(request, len(visible) < len(found))
    if request.param("filter"):
        visible = [one for one in visible if accepts(service_entry(one, datacenter))]
    return json_answer(summarize(visible, datacenter))


async def catalog_overview(request: Request) -> Answer:
    """The health of nodes, services and checks in numbers."""
    request.require("operator", "read")
    request.datacenter()
    catalog = request.context.server.state.catalog
    return json_answer(
        {
            "Nodes": [health_of(worst(host.node_checks()) for host in catalog.hosts.values())],
            "Services": by_name(
                (one.service.service, own_status(one)) for one in _instances(request)
            ),
            "Checks": by_name((one.name, one.status) for one in catalog.checks.rows.values()),
        }
    )


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
    await _everything(request)
    found = list(_instances(request))
    visible = _visible(request, found)
    proxies = [one for one in visible if one.service.kind == "connect-proxy"]
    own = [one for one in proxies if _behind(one) == name.lower()]
    called = {upstream for one in own for upstream in _called(one)}
    callers = {_behind(one) for one in proxies if name.lower() in _called(one)}
    return json_answer(
        {
            "Protocol": "tcp",
            "TransparentProxy": is_transparent(own),
            "Upstreams": _related(request, visible, called),
            "Downstreams": _related(request, visible, callers),
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
    request: Request, instances: Iterable[Instance], names: set[str]
) -> list[dict[str, Any]]:
    """The services of some names; what no intention decides, the default policy does."""
    settings = request.context.settings
    chosen = [
        one
        for one in instances
        if one.service.service.lower() in names
        or (one.service.kind == "connect-proxy" and _behind(one) in names)
    ]
    allow = settings.default_policy == "allow"
    rows = []
    for summary in summarize(chosen, settings.datacenter):
        if summary.kind in ("", "ingress-gateway") and summary.instance_count:
            row: dict[str, Any] = msgspec.to_builtins(summary)
            del row["ConnectedWithProxy"], row["ConnectedWithGateway"]
            row |= {"Source": "proxy-registration", "Intention": Decision(allow, allow)}
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


async def gateway(request: Request) -> Answer:
    """What config entries and intentions say of a gateway: nothing, as there are none."""
    if not request.rest:
        raise bad_request("Missing gateway name")
    request.require("service", "read", request.rest)
    await _everything(request)
    return raw_json(b"[]")


async def exported_services(request: Request) -> Answer:
    """What a peer is offered: nothing, as there are no peers."""
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
    Route(
        f"{_PATH}gateway-services-nodes/", {"GET": gateway}, access="service:read on the gateway"
    ),
    Route(f"{_PATH}gateway-intentions/", {"GET": gateway}, access="service:read on the gateway"),
    Route(f"{_PATH}exported-services", {"GET": exported_services}, access="none"),
    Route(f"{_PATH}metrics-proxy/", {"GET": metrics_proxy}, access="none"),
)
