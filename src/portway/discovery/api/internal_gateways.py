"""``/v1/internal/ui/gateway-…``: what a console shows of a gateway, as config entries say."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from portway.discovery.api import selection
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import note_filtered, read
from portway.discovery.api.error import bad_request
from portway.discovery.api.gateway_services import GatewayService, read_gateway_services
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.api.summaries import GatewayConfig, ServiceSummary, summarize
from portway.discovery.model.intentions import Intention
from portway.discovery.operations.intentions import may_read, read_match
from portway.discovery.state import Instance, Reading

_Served = list[tuple[GatewayService, list[Instance]]]


async def services(request: Request) -> Answer:
    """The services behind a gateway in numbers, and where it serves them."""
    gateway = _gateway(request)
    state = request.context.server.state

    def query() -> Reading[_Served]:
        served = read_gateway_services(state, gateway)
        readings = [state.catalog.read_service(one.service.name) for one in served.value]
        found = [(one, reading.value) for one, reading in zip(served.value, readings, strict=True)]
        topics = [*served.topics, *(topic for reading in readings for topic in reading.topics)]
        index = max(served.index, *(reading.index for reading in readings), 0)
        return Reading(found, index, tuple(topics))

    found = (await read(request, query)).value
    visible = [row for row in found if request.allows("service", "read", row[0].service.name)]
    note_filtered(request, len(visible) < len(found))
    return json_answer(_summaries(request, visible))


def _summaries(request: Request, served: _Served) -> list[ServiceSummary]:
    datacenter = request.context.settings.datacenter
    summaries: dict[str, ServiceSummary] = {}
    for one, instances in served:
        name = one.service.name
        if name not in summaries:
            seen = _visible(request, instances)
            summaries[name] = summarize(name, seen, [], datacenter)
        summary = summaries[name]
        known = summary.gateway_config.addresses
        addresses = dict.fromkeys([*known, *_addresses(request, one)])
        summaries[name] = replace(summary, gateway_config=GatewayConfig(addresses=[*addresses]))
    return list(summaries.values())


def _visible(request: Request, instances: Iterable[Instance]) -> list[Instance]:
    if selection.sees_all(request):
        return list(instances)
    return [one for one in instances if request.allows("node", "read", one.node.node)]


def _addresses(request: Request, one: GatewayService) -> list[str]:
    """Where an ingress serves a service: at its hosts, or at the name it has in the DNS."""
    if not one.port:
        return []
    settings = request.context.settings
    name = f"{one.service.name}.ingress.{settings.datacenter}"
    hosts = one.hosts or [f"{name}.{domain}" for domain in settings.dns_domains]
    return [f"{host.rstrip('.')}:{one.port}" for host in hosts]


async def intentions(request: Request) -> Answer:
    """The intentions whose destination is a service behind a gateway."""
    gateway = _gateway(request)
    state = request.context.server.state

    def query() -> Reading[list[Intention]]:
        served = read_gateway_services(state, gateway)
        names = dict.fromkeys(one.service.name for one in served.value)
        readings = [read_match(state.config, "destination", name) for name in names]
        # The intentions for all destinations are found for each of them.
        found = {
            (one.source_peer, one.source_name, one.destination_name): one
            for reading in readings
            for one in reading.value
        }
        topics = [*served.topics, *(topic for reading in readings for topic in reading.topics)]
        index = max(served.index, *(reading.index for reading in readings), 0)
        return Reading(list(found.values()), index, tuple(topics))

    found = (await read(request, query)).value
    visible = [one for one in found if may_read(one, request.authorizer)]
    note_filtered(request, len(visible) < len(found))
    return json_answer(visible)


def _gateway(request: Request) -> str:
    """The gateway that is asked for, which the caller may see. Raises ApiError."""
    if not request.rest:
        raise bad_request("Missing gateway name")
    request.require("service", "read", request.rest)
    request.datacenter()
    return request.rest


_PATH = "/v1/internal/ui/"
_ACCESS = "service:read on the gateway"
ROUTES = (
    Route(
        f"{_PATH}gateway-services-nodes/",
        {"GET": services},
        access=f"{_ACCESS}; on its services, else left out",
    ),
    Route(
        f"{_PATH}gateway-intentions/",
        {"GET": intentions},
        access=f"{_ACCESS}; intention:read on either side, else left out",
    ),
)
