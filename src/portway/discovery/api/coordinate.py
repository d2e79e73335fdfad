"""``/v1/coordinate/``: where nodes are in network space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import field

from portway.discovery.api.answer import EMPTY, Answer, json_answer
from portway.discovery.api.blocking import note_filtered, read
from portway.discovery.api.decode import decode
from portway.discovery.api.error import ApiError, bad_request, refused
from portway.discovery.api.request import Request
from portway.discovery.api.route import Handler, Route
from portway.discovery.model import Coordinate, NodeCoordinate, Wire
from portway.discovery.operations.coordinates import ORIGIN, problem_of, submit
from portway.discovery.state import Reading

_MAX_BODY = 1 << 16  # bytes


class _Place(Wire):
    vec: list[float] = []
    error: float = 0.0
    adjustment: float = 0.0
    height: float = 0.0


class _Update(Wire):
    datacenter: str = ""
    node: str = ""
    segment: str = ""
    coord: _Place = field(default_factory=_Place)


async def datacenters(request: Request) -> Answer:
    """The servers of each datacenter; a lone one is where everybody starts."""
    settings = request.context.settings
    place = {"Node": settings.node_name, "Segment": "", "Coord": ORIGIN}
    return json_answer(
        [{"Datacenter": settings.datacenter, "AreaID": "wan", "Coordinates": [place]}]
    )


async def nodes(request: Request) -> Answer:
    """The coordinates of every node."""
    return json_answer(await _rows(request, request.context.server.state.coordinates.read_all))


async def node(request: Request) -> Answer:
    """The coordinates of a node; 404 without any."""
    coordinates = request.context.server.state.coordinates
    request.require("node", "read", request.rest)
    rows = await _rows(request, lambda: coordinates.read_node(request.rest))
    return json_answer(rows) if rows else Answer(status=404)


async def _rows(
    request: Request, query: Callable[[], Reading[list[NodeCoordinate]]]
) -> list[dict[str, Any]]:
    request.datacenter()
    found = (await read(request, query)).value
    if request.has("segment"):
        found = [row for row in found if row.segment == request.param("segment")]
    visible = [row for row in found if request.allows("node", "read", row.node)]
    note_filtered(request, len(visible) < len(found))
    return [{"Node": row.node, "Segment": row.segment, "Coord": row.coord} for row in visible]


async def update(request: Request) -> Answer:
    """Take the coordinate of a node; it is written together with others within seconds."""
    given = decode(await request.body(_MAX_BODY), _Update)
    own = request.datacenter()
    if given.datacenter and given.datacenter.lower() != own:
        raise ApiError(500, "No path to datacenter")
    if given.segment:
        raise bad_request(f'Invalid Segment "{given.segment}": there are no network segments')
    place = given.coord
    coordinate = Coordinate(place.vec, place.error, place.adjustment, place.height)
    problem = problem_of(coordinate)
    if problem:
        raise refused(problem)
    known = request.context.server.state.catalog.host(given.node)
    name = given.node if known is None else known.node.node
    request.require("node", "write", name)
    submit(request.context.server, NodeCoordinate(name, "", coordinate))
    return EMPTY


def _enabled(handler: Handler) -> Handler:
    """``handler``, unless coordinates are switched off."""

    async def guarded(request: Request) -> Answer:
        if request.context.settings.disable_coordinates:
            raise ApiError(401, "Coordinate support disabled")
        return await handler(request)

    return guarded


_LISTED = "node:read, else left out"
ROUTES = (
    Route("/v1/coordinate/datacenters", {"GET": _enabled(datacenters)}, access="none"),
    Route("/v1/coordinate/nodes", {"GET": _enabled(nodes)}, access=_LISTED),
    Route("/v1/coordinate/node/", {"GET": _enabled(node)}, access=_LISTED),
    Route("/v1/coordinate/update", {"PUT": _enabled(update)}, access="node:write"),
)
