"""``/v1/config``: config entries; ``/v1/exported-services``: what they let peers see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portway.discovery.api.answer import JSON, Answer, encode, json_answer, raw_json
from portway.discovery.api.blocking import note_filtered, read
from portway.discovery.api.decode import parse_json, reason
from portway.discovery.api.error import ApiError, bad_request, not_found, refused
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.render import json_list
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.filter import Predicate
from portway.discovery.operations import config_entries as operations
from portway.discovery.state import Reading
from portway.mesh.entries import (
    ENTERPRISE_KIND,
    WILDCARD,
    EnterpriseKindError,
    Entry,
    EntryError,
    ExportedServices,
    ProxyDefaults,
    ServiceDefaults,
    decode_entry,
    kind_name,
    kind_of,
)

_MAX_BODY = 1 << 20  # bytes
_BOOLEANS = {True: b"true", False: b"false"}
_PREFIX = "Request decoding failed: "


async def put(request: Request) -> Answer:
    """Write an entry; ``?cas`` only if its ModifyIndex is that."""
    cas = _cas(request)
    content = await request.body(_MAX_BODY)
    if not content.strip():
        raise bad_request(f"{_PREFIX}EOF")
    try:
        entry = decode_entry(parse_json(content))
    except EnterpriseKindError as error:
        raise refused(str(error)) from None
    except (EntryError, RecursionError, ValueError) as error:
        raise bad_request(f"{_PREFIX}{reason(error)}") from None
    server, authorizer = request.context.server, request.authorizer
    try:
        done = await server.transact(
            lambda draft: operations.put(server, draft, entry, authorizer, cas), operations.TURN
        )
    except EntryError as error:
        raise refused(str(error)) from None
    return Answer(_BOOLEANS[done], 200, JSON)


async def get(request: Request) -> Answer:
    """One entry, or those of a kind, or all."""
    name_of_kind, slash, name = request.rest.partition("/")
    if not slash:
        return await _list(request, name_of_kind)
    if name_of_kind == ENTERPRISE_KIND:
        await read(request, lambda: _nothing(request))
        raise _no_entry(name_of_kind, name)
    kind = _kind(name_of_kind)
    kind.require_read(name, request.authorizer)
    entries = request.context.server.state.config
    entry = (await read(request, lambda: entries.read(kind, name))).value
    kind.require_read(name, request.authorizer)  # it may have changed during a wait
    if entry is None:
        raise _no_entry(name_of_kind, name)
    return json_answer(entry)


async def _list(request: Request, name_of_kind: str) -> Answer:
    entries = request.context.server.state.config
    accepts: Predicate = _everything
    found: Sequence[Entry]
    if name_of_kind == ENTERPRISE_KIND:
        found = (await read(request, lambda: _nothing(request))).value
    elif name_of_kind:
        kind = _kind(name_of_kind)
        if kind is ServiceDefaults:
            constants = ((ServiceDefaults, "Kind", kind_name(ServiceDefaults)),)
            accepts = row_filter(request, ServiceDefaults, constants)
        elif request.param("filter"):
            raise refused(f"filtering not supported for config entry kind={name_of_kind}")
        found = (await read(request, lambda: entries.read_kind(kind))).value
    else:
        found = (await read(request, entries.read_all)).value
    authorizer = request.authorizer
    visible = [entry for entry in found if entry.may_read(entry.name, authorizer)]
    note_filtered(request, len(visible) < len(found))
    return raw_json(json_list(encode(entry) for entry in visible if accepts(entry)))


async def delete(request: Request) -> Answer:
    """Delete an entry; ``?cas`` only if its ModifyIndex is that."""
    name_of_kind, slash, name = request.rest.partition("/")
    if not slash:
        raise not_found("Must provide both a kind and name to delete")
    if name_of_kind == ENTERPRISE_KIND:
        return Answer(b"{}", 200, JSON)  # there is none
    try:
        kind = kind_of(name_of_kind)
    except EntryError as error:
        raise bad_request(str(error)) from None
    if kind is ProxyDefaults and name != kind.singleton:
        raise refused(f'invalid name ("{name}"), only "{kind.singleton}" is supported')
    cas = _cas(request)
    server, authorizer = request.context.server, request.authorizer
    try:
        done = await server.transact(
            lambda draft: operations.delete(server, draft, kind, name, authorizer, cas),
            operations.TURN,
        )
    except EntryError as error:
        raise refused(str(error)) from None
    return Answer(b"{}" if cas is None else _BOOLEANS[done], 200, JSON)


async def exported_services(request: Request) -> Answer:
    """The services that peers may see, by name, and who they are."""
    request.require("mesh", "read")
    state = request.context.server.state

    def exported() -> Reading[dict[str, set[str]]]:
        entry = state.config.read(ExportedServices, "default")
        names = state.catalog.read_names()
        peers: dict[str, set[str]] = {}
        for service in () if entry.value is None else entry.value.services:
            chosen = [service.name] if service.name != WILDCARD else names.value
            for name in chosen:
                if name != "consul":
                    peers.setdefault(name, set()).update(one.peer for one in service.consumers)
        index = max(entry.index, names.index)
        return Reading(peers, index, (*entry.topics, *names.topics))

    peers = (await read(request, exported)).value
    rows: list[dict[str, Any]] = [
        {"Service": name, "Consumers": {"Peers": sorted(peers[name])}} for name in sorted(peers)
    ]
    return json_answer(rows)


def _kind(name: str) -> type[Entry]:
    try:
        return kind_of(name)
    except EntryError as error:
        raise refused(str(error)) from None


def _no_entry(kind: str, name: str) -> ApiError:
    return not_found(f'Config entry not found for "{kind}" / "{name}"')


def _nothing(request: Request) -> Reading[list[Entry]]:
    topic = request.context.server.state.config.table.topic
    return Reading([], topic.index, (topic,))


def _cas(request: Request) -> int | None:
    given = request.param("cas")
    try:
        return request.unsigned("cas", "")
    except ApiError:
        raise refused(f'strconv.ParseUint: parsing "{given}": invalid syntax') from None


def _everything(_: Any) -> bool:
    return True


_ACCESS = "by kind: service, intention or mesh on the name; proxy-defaults and mesh are read by all"
ROUTES = (
    Route("/v1/config", {"PUT": put}, access=_ACCESS),
    Route("/v1/config/", {"GET": get, "DELETE": delete}, access=_ACCESS),
    Route("/v1/exported-services", {"GET": exported_services}, access="mesh:read"),
)
