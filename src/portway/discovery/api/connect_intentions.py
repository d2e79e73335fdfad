"""``/v1/connect/intentions``: who may call whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from portway.discovery.acl import PermissionDeniedError
from portway.discovery.api import selection
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import note_filtered, read
from portway.discovery.api.decode import decode
from portway.discovery.api.error import ApiError, bad_request, not_found, refused
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model.intentions import DEFAULT, Intention, IntentionRequest
from portway.discovery.operations import intentions as operations
from portway.discovery.operations.config_entries import TURN
from portway.discovery.operations.intentions import Name, Side
from portway.discovery.state import Draft, Reading
from portway.mesh.entries import EntryError, ServiceIntentions

_MAX_BODY = 1 << 20  # bytes
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PEER = "peer:"
T = TypeVar("T")


async def list_all(request: Request) -> Answer:
    """Every intention the caller may see, by precedence."""
    accepts = row_filter(request, Intention)
    entries = request.context.server.state.config
    entries_found = (await read(request, lambda: entries.read_kind(ServiceIntentions))).value
    found = operations.of_entries(entries_found)
    visible = [one for one in found if operations.may_read(one, request.authorizer)]
    note_filtered(request, len(visible) < len(found))
    return json_answer([row for row in visible if accepts(row)])


async def create(request: Request) -> Answer:
    """Make an intention with an ID (deprecated)."""
    request.datacenter()
    try:
        wanted = await _wanted(request)
    except ApiError as error:
        reason = error.message.removeprefix("Request decode failed: ")
        raise refused(f"Failed to decode request body: {reason}") from None
    made = await _write(
        request,
        lambda draft: operations.create(
            request.context.server, draft, wanted, request.authorizer, datetime.now(UTC)
        ),
    )
    return json_answer({"ID": made})


async def get_exact(request: Request) -> Answer:
    """The intention between two services."""
    source, destination = _ends(request)
    if source.peer or not request.allows("intention", "read", source.service):
        request.require("intention", "read", destination)
    entries = request.context.server.state.config

    def query() -> Reading[Intention | None]:
        reading = entries.read(ServiceIntentions, destination)
        found = operations.exact(reading.value, source)
        return Reading(found, reading.index, reading.topics, found is not None)

    intention = (await read(request, query)).value
    if intention is None:
        raise not_found("Intention not found")
    return json_answer(intention)


async def put_exact(request: Request) -> Answer:
    """Write the intention between two services."""
    request.datacenter()
    source, destination = _ends(request)
    wanted = await _wanted(request)
    if wanted.source_peer:
        raise refused(
            "SourcePeer field is not supported on this endpoint. Use config entries instead"
        )
    wanted = replace(wanted, id="", destination_name=destination)
    await _write(
        request,
        lambda draft: operations.put(
            request.context.server, draft, wanted, source, request.authorizer
        ),
    )
    return json_answer(True)


async def delete_exact(request: Request) -> Answer:
    """Delete the intention between two services."""
    request.datacenter()
    source, destination = _ends(request)
    await _write(
        request,
        lambda draft: operations.delete(
            request.context.server, draft, destination, source, request.authorizer
        ),
    )
    return json_answer(True)


async def match(request: Request) -> Answer:
    """The intentions that concern some services on one side, by precedence."""
    by = request.param("by")
    if not request.has("by"):
        raise refused("required query parameter 'by' not set")
    if by not in ("source", "destination"):
        raise refused("'by' parameter must be one of 'source' or 'destination'")
    names = request.params("name")
    if not names:
        raise refused("required query parameter 'name' not set")
    services = [(name, _name("name", name).service) for name in names]
    for _, service in services:
        request.require("intention", "read", service)
    selection.set_cache_headers(request)
    entries = request.context.server.state.config
    side = cast("Side", by)

    def query() -> Reading[dict[str, list[Intention]]]:
        readings = [operations.read_match(entries, side, service) for _, service in services]
        found = {name: one.value for (name, _), one in zip(services, readings, strict=True)}
        topics = tuple(topic for one in readings for topic in one.topics)
        return Reading(found, max(one.index for one in readings), topics)

    return json_answer((await read(request, query)).value)


async def check(request: Request) -> Answer:
    """Whether a service may connect to another."""
    kind = request.param("source-type", "consul")
    if kind != "consul":
        _parameters(request)
        raise refused(f'unsupported SourceType: "{kind}"')
    source, destination = _ends(request)
    request.require("service", "read", destination)
    server = request.context.server
    await read(request, lambda: server.state.config.read_kind(ServiceIntentions))
    found = operations.decision(server.state.config, source.service, destination)
    allowed = operations.allows(found, request.context.settings.default_intention_allow)
    return json_answer({"Allowed": allowed})


async def get(request: Request) -> Answer:
    """The intention with an ID (deprecated)."""
    intention_id = _id(request)
    entries = request.context.server.state.config

    def query() -> Reading[Intention | None]:
        found = operations.by_id(entries, intention_id)
        kind = entries.read_kind(ServiceIntentions)
        return Reading(found, kind.index, kind.topics, found is not None)

    intention = (await read(request, query)).value
    if intention is None:
        _see_what_is_missing(request)
        raise not_found("Intention not found")
    if not operations.may_read(intention, request.authorizer):
        request.require("intention", "read", intention.destination_name)
    return json_answer(intention)


async def update(request: Request) -> Answer:
    """Change the intention with an ID (deprecated)."""
    request.datacenter()
    wanted = await _wanted(request)
    intention_id = _id(request)
    await _write(
        request,
        lambda draft: operations.update(
            request.context.server,
            draft,
            intention_id,
            wanted,
            request.authorizer,
            datetime.now(UTC),
        ),
    )
    return json_answer({"ID": intention_id})


async def delete(request: Request) -> Answer:
    """Delete the intention with an ID (deprecated)."""
    request.datacenter()
    intention_id = _id(request)
    await _write(
        request,
        lambda draft: operations.delete_by_id(
            request.context.server, draft, intention_id, request.authorizer
        ),
    )
    return json_answer(True)


async def _wanted(request: Request) -> IntentionRequest:
    wanted = decode(await request.body(_MAX_BODY), IntentionRequest)
    for field, value in (
        ("SourceNS", wanted.source_ns),
        ("DestinationNS", wanted.destination_ns),
        ("SourcePartition", wanted.source_partition),
        ("DestinationPartition", wanted.destination_partition),
    ):
        if value.lower() not in ("", DEFAULT):
            what = "Namespaces" if field.endswith("NS") else "Partitions"
            raise bad_request(f"Invalid {field}({value}): {what} is a Consul Enterprise feature")
    return wanted


async def _write(request: Request, operation: Callable[[Draft], T]) -> T:
    try:
        return await request.context.server.transact(operation, TURN)
    except EntryError as error:
        raise refused(str(error)) from None


def _see_what_is_missing(request: Request) -> None:
    """Whether an ID exists is for those to know who may read every intention."""
    if not request.authorizer.allows_all("intention", "read"):
        raise PermissionDeniedError


def _ends(request: Request) -> tuple[Name, str]:
    """Source and destination. Raises ApiError."""
    _parameters(request)
    source = _name("source", request.param("source"), peer=request.method == "GET")
    return source, _name("destination", request.param("destination")).service


def _parameters(request: Request) -> None:
    """Raise ApiError unless source and destination are given."""
    for name in ("source", "destination"):
        given = request.params(name)
        if len(given) != 1 or (request.method != "GET" and not given[0]):
            raise refused(f"required query parameter '{name}' not set")


def _name(what: str, text: str, *, peer: bool = False) -> Name:
    """``name``, ``ns/name``, ``ap/ns/name``, or for some ``peer:<peer>/name``."""
    *scopes, service = text.split("/")
    if text.startswith(_PEER) and not peer:
        raise _invalid(what, text, "cannot specify a peer here")
    if text.startswith(_PEER) and not scopes:
        raise _invalid(what, text, "need to specify the service name as well")
    if peer and scopes and scopes[0].startswith(_PEER):
        if len(scopes) > 2:
            raise _invalid(what, text, "input can contain at most two '/'")
        return Name(service, scopes[0].removeprefix(_PEER))
    if len(scopes) > 2:
        raise _invalid(what, text, "input can contain at most two '/'")
    for scope, kind in zip(reversed(scopes), ("Namespaces", "Partitions"), strict=False):
        if scope.lower() != DEFAULT:
            raise bad_request(f"Invalid {what}({text}): {kind} is a Consul Enterprise feature")
    return Name(service)


def _invalid(what: str, text: str, reason: str) -> ApiError:
    return refused(f'{what} "{text}" is invalid: {reason}')


def _id(request: Request) -> str:
    intention_id = request.rest.lower()
    if not intention_id and request.method == "GET":
        raise not_found("Intention not found")
    if not intention_id and request.method == "DELETE":
        raise PermissionDeniedError  # of the intention without an ID, a destination and a name
    if not _UUID.fullmatch(intention_id):
        reason = "failed config entry lookup: index error: UUID must be 36 characters"
        if request.method == "GET":
            raise bad_request(reason)
        raise refused(f"Intention lookup failed: {reason}")
    return intention_id


_PATH = "/v1/connect/intentions"
_LISTED = "intention:read on the destination, else left out"
_EXACT: dict[str, Any] = {"GET": get_exact, "PUT": put_exact, "DELETE": delete_exact}
_OWN = "GET intention:read, PUT and DELETE intention:write on the destination"
ROUTES = (
    Route(
        _PATH,
        {"GET": list_all, "POST": create},
        access=f"GET {_LISTED}; POST intention:write on the destination",
    ),
    Route(f"{_PATH}/exact", _EXACT, access=_OWN),
    Route(f"{_PATH}/match", {"GET": match}, access="intention:read on the names"),
    Route(f"{_PATH}/check", {"GET": check}, access="service:read on the destination"),
    Route(f"{_PATH}/", {"GET": get, "PUT": update, "DELETE": delete}, access=_OWN),
)
