"""Instances of a service: the lists of the catalog and of the health API, in their two forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from portway.discovery.acl import PermissionDeniedError
from portway.discovery.api import selection
from portway.discovery.api.answer import Answer, raw_json
from portway.discovery.api.blocking import last, note_filtered, read
from portway.discovery.api.error import bad_request
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.near import sort_near
from portway.discovery.api.render import (
    ServiceEntry,
    ServiceNode,
    json_list,
    render_entry,
    render_node,
    service_entry,
    service_node,
)
from portway.discovery.api.request import Request
from portway.discovery.api.turns import in_turns
from portway.discovery.model import PASSING
from portway.discovery.state import Instance, Reading
from portway.discovery.state.catalog import Side


class Form(NamedTuple):
    """How instances are shown."""

    name: str
    kind: type
    """What ``?filter=`` selects from."""
    row: Callable[[Instance, str], Any]
    render: Callable[[Instance, str], bytes]


_FEW = 200  # instances that are looked at and rendered in a millisecond or two
CATALOG = Form("catalog", ServiceNode, service_node, render_node)
HEALTH = Form("health", ServiceEntry, service_entry, render_entry)


async def instances(request: Request, side: Side, form: Form) -> Answer:
    """The instances of the service that the path names, as far as they are asked for."""
    datacenter = request.datacenter()
    name = request.rest
    if not name:
        raise bad_request("Missing service name")
    if form is HEALTH:
        selection.refuse_sameness_group(request)
        if side == "connect" and not request.allows("service", "read", name):
            raise PermissionDeniedError
    selection.set_cache_headers(request)
    matches = _matcher(request, form, datacenter)
    catalog = request.context.server.state.catalog

    def query() -> Reading[list[Instance]]:
        if selection.of_peer(request):
            return Reading([], catalog.extinction.index, ())
        reads = catalog.read_connect if side == "connect" else catalog.read_service
        return reads(name, checks=form is HEALTH)

    reading = await read(request, query)
    if not reading.value:
        return raw_json(b"[]")

    def shown(chosen: list[Instance]) -> list[Instance]:
        return sort_near(request, chosen, lambda instance: instance.node.node)

    def rendered(found: list[Instance]) -> bytes:
        chosen = shown([instance for instance in found if matches(instance)])
        return json_list(form.render(instance, datacenter) for instance in chosen)

    async def render(found: list[Instance]) -> bytes:
        if len(found) <= _FEW and not request.param("filter"):
            return rendered(found)
        chosen = shown([instance async for instance in in_turns(found) if matches(instance)])
        return json_list([form.render(one, datacenter) async for one in in_turns(chosen)])

    if selection.sees_all(request) and not request.has("near"):
        last(request, reading)
        version = (request.context.server.state.view.epoch, reading.index)
        key = (form.name, side, name.lower(), *_variant(request, form))
        bodies, found = request.context.bodies, reading.value
        if len(found) <= _FEW and not request.param("filter"):  # most are: no task for them
            return raw_json(bodies.get(key, version, lambda: rendered(found)))
        return raw_json(await bodies.made(key, version, lambda: render(found)))
    visible = list(_visible(request, side, name, reading.value))
    note_filtered(request, len(visible) < len(reading.value))
    return raw_json(await render(visible))


def _variant(request: Request, form: Form) -> Iterator[Any]:
    """What distinguishes the bodies of one service."""
    yield selection.passing(request) if form is HEALTH else False
    yield tuple(request.params("tag"))
    yield selection.node_meta(request)
    yield request.param("filter")


def _matcher(request: Request, form: Form, datacenter: str) -> Callable[[Instance], bool]:
    """Whether an instance is asked for. Raises ApiError for bad parameters."""
    tags = {tag.lower() for tag in request.params("tag")}
    meta = selection.node_meta(request)
    only_passing = selection.passing(request) if form is HEALTH else False
    accepts = row_filter(request, form.kind) if request.param("filter") else None

    def matches(instance: Instance) -> bool:
        if tags and not tags.issubset(tag.lower() for tag in instance.service.tags):
            return False
        if meta and not selection.has_meta(instance.node, meta):
            return False
        if only_passing and any(check.status != PASSING for check in instance.all_checks()):
            return False
        return accepts is None or accepts(form.row(instance, datacenter))

    return matches


def _visible(request: Request, side: Side, name: str, found: list[Instance]) -> Iterator[Instance]:
    """The instances the caller may see."""
    if side == "connect" and not request.allows("service", "read", name):
        return
    for instance in found:
        if request.allows("node", "read", instance.node.node) and request.allows(
            "service", "read", instance.service.service
        ):
            yield instance
