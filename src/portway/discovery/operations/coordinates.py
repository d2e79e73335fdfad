"""Updates of network coordinates: collected, and written together.

Every agent sends one now and then, and none matters by itself: of a period's updates the last of
each node is written, many nodes in one commit.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from portway.discovery.model import Coordinate, NodeCoordinate
from portway.discovery.state import Draft, coordinate_key, node_key
from portway.store import StoreError

if TYPE_CHECKING:
    from portway.discovery.server import Server

log = structlog.get_logger("coordinates")
PERIOD = 5.0  # seconds from the first update to the write
_BATCH = 128  # nodes per commit
DIMENSIONS = 8
ORIGIN = Coordinate(vec=[0.0] * DIMENSIONS, error=1.5, adjustment=0.0, height=1e-5)
"""Where everybody starts, and a lone node stays."""
_writing: set[asyncio.Task[None]] = set()


def problem_of(coordinate: Coordinate) -> str:
    """What is wrong with a coordinate, in the documented words, or nothing."""
    numbers = (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)
    if not all(math.isfinite(number) for number in numbers):
        return "invalid coordinate"
    return "" if len(coordinate.vec) == DIMENSIONS else "incompatible coordinate"


def submit(server: Server, row: NodeCoordinate) -> None:
    """Take an update, to be written with others; one of an unknown node is dropped."""
    coordinates = server.state.coordinates
    if server.state.catalog.host(row.node) is None:
        return
    if not coordinates.pending:
        asyncio.get_running_loop().call_later(PERIOD, _start, server)
    coordinates.pending[node_key(row.node), row.segment] = row


def _start(server: Server) -> None:
    task = asyncio.ensure_future(flush(server))
    _writing.add(task)
    task.add_done_callback(_writing.discard)


async def flush(server: Server) -> None:
    """Write the updates that wait. What the store cannot take is dropped: newer ones will come."""
    coordinates = server.state.coordinates
    rows, coordinates.pending = list(coordinates.pending.values()), {}
    try:
        for start in range(0, len(rows), _BATCH):
            await server.transact(partial(_write, server, rows[start : start + _BATCH]))
    except StoreError as error:
        log.warning("Coordinates were not written", error=str(error))


def _write(server: Server, rows: Sequence[NodeCoordinate], draft: Draft) -> None:
    table = server.state.coordinates.table
    for row in rows:
        node = draft.get(server.state.catalog.nodes, node_key(row.node))
        if node is None:
            continue
        key = coordinate_key(row.node, row.segment)
        old = draft.get(table, key)
        if old is None or old.coord != row.coord:
            draft.put(table, key, replace(row, node=node.node))
