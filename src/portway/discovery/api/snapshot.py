"""``/v1/snapshot``: save the whole state, and put another in its place."""

from __future__ import annotations

import asyncio
import uuid

from portway.discovery import snapshot
from portway.discovery.api.answer import EMPTY, Answer
from portway.discovery.api.blocking import consistency_of, set_read_headers
from portway.discovery.api.error import ApiError
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route

_MAX_BODY = 4 << 30  # bytes


async def save(request: Request) -> Answer:
    """The state as a file."""
    request.require("snapshot", "read")
    request.datacenter()
    consistency = await consistency_of(request)
    state = await request.context.server.store.read()
    records = [(record.key, record.value) for record in state.records]
    identifier = f"2-{state.revision}-{uuid.uuid4()}"
    body = await asyncio.to_thread(
        lambda: snapshot.write(snapshot.pack(records), state.revision, identifier)
    )
    set_read_headers(request, state.revision, consistency)
    return Answer(body, 200, "application/x-gzip")


async def restore(request: Request) -> Answer:
    """Replace the state by that of a file; blocked queries return."""
    request.require("snapshot", "write")
    request.datacenter()
    body = await request.body(_MAX_BODY)
    try:
        archive = await asyncio.to_thread(snapshot.read, body)
        records = await asyncio.to_thread(lambda: list(archive.records()))
    except snapshot.SnapshotError as error:
        raise ApiError(500, str(error)) from None
    await request.context.server.replace(records)
    return EMPTY


ROUTES = (
    Route(
        "/v1/snapshot",
        {"GET": save, "PUT": restore},
        access="management (acl:write)",
    ),
)
