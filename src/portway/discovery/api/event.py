"""``/v1/event/``: events fired by users, as this agent has seen them."""

from __future__ import annotations

import time

from portway.discovery.api.answer import Answer, json_answer, text_answer
from portway.discovery.api.blocking import changed, note_filtered
from portway.discovery.api.error import ApiError, bad_request, refused
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.operations import events as operations
from portway.discovery.operations.events import Event, EventError, EventLog

_MAX_WAIT = 600.0  # seconds, and the default


async def fire(request: Request) -> Answer:
    """Send an event; the body is its payload."""
    request.datacenter()
    name = request.rest
    if not name:
        raise bad_request("Missing name")
    if not request.allows("event", "write", name):
        return text_answer("Permission denied", 403)
    event = Event(
        name=name,
        payload=await _payload(request),
        node_filter=request.param("node"),
        service_filter=request.param("service"),
        tag_filter=request.param("tag"),
    )
    try:
        return json_answer(_log(request).fire(event))
    except EventError as error:
        raise refused(str(error)) from None


async def _payload(request: Request) -> bytes:
    try:
        return await request.body(operations.MAX_PAYLOAD)
    except ApiError as error:
        size = request.headers.get("content-length", "")
        told = f"({size} bytes) " if size else ""
        raise ApiError(
            error.status,
            f"Event payload {told}too large, max size: {operations.MAX_PAYLOAD} bytes",
        ) from None


async def list_recent(request: Request) -> Answer:
    """The last events of this agent, the oldest first; blocks while nothing has changed."""
    wanted = request.unsigned("index", "Invalid index") or 0
    wait = request.duration("wait", "Invalid wait time") or _MAX_WAIT
    name = request.param("name")
    log = _log(request)
    deadline = time.monotonic() + min(wait if wait > 0 else _MAX_WAIT, _MAX_WAIT)
    while True:
        named = log.recent(name)
        visible = [event for event in named if request.allows("event", "read", event.name)]
        index = operations.index_of(visible)
        remaining = deadline - time.monotonic()
        if index != wanted or remaining <= 0:
            break
        if not await changed(request, (log.topic,), remaining):
            break
    note_filtered(request, len(visible) < len(named))
    return json_answer(visible, headers={"X-Consul-Index": str(index)})


def _log(request: Request) -> EventLog:
    return request.context.events


ROUTES = (
    Route("/v1/event/fire/", {"PUT": fire}, access="event:write on the name"),
    Route("/v1/event/list", {"GET": list_recent}, access="event:read on the name, else left out"),
)
