"""``/v1/snapshot``: save the whole state, and put another in its place."""

from __future__ import annotations

import asyncio
import uuid

from portway.discovery import snapshot
from portway.discovery.api.answer import Answer
from portway.discovery.api.blocking import check_consistency, consistency_of, set_read_headers
from portway.discovery.api.error import ApiError
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route

_MAX_BODY = snapshot.MAX_STATE


async def save(request: Request) -> Answer:
    """The state as a file."""
    request.require("snapshot", "read")
    request.datacenter()
    check_consistency(request)
    consistency = await consistency_of(request)
    try:
        async with request.context.snapshots:
            revision, body = await _saved(request)
    except snapshot.SnapshotError as error:
        raise ApiError(500, str(error)) from None
    set_read_headers(request, revision, consistency)
    return Answer(body, 200, "application/x-gzip")


async def _saved(request: Request) -> tuple[int, bytes]:
    state = await request.context.server.store.read()
    identifier = f"2-{state.revision}-{uuid.uuid4()}"

    def write() -> bytes:
        packed = snapshot.pack((record.key, record.value) for record in state.records)
        return snapshot.write(packed, state.revision, identifier)

    return state.revision, await asyncio.to_thread(write)


async def restore(request: Request) -> Answer:
    """Replace the state by that of a file; blocked queries return."""
    request.require("snapshot", "write")
    request.datacenter()
    if request.has("stale"):
        raise ApiError(500, "stale not allowed for restore")
    body = await request.body(_MAX_BODY)
    try:
        async with request.context.snapshots:
            records = await asyncio.to_thread(lambda: list(snapshot.read(body).records()))
            await request.context.server.replace(records)
    except snapshot.SnapshotError as error:
        raise ApiError(500, str(error)) from None
    return Answer(content_type="application/octet-stream")


ROUTES = (
    Route(
        "/v1/snapshot",
        {"GET": save, "PUT": restore},
        access="management (acl:write)",
    ),
)
