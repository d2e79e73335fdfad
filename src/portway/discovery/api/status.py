"""``/v1/status/``: who leads. These need no token and carry no index."""

from __future__ import annotations

from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import check_read
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route


async def leader(request: Request) -> Answer:
    """The address of the leader, as ``ip:port`` of its server port."""
    check_read(request)
    request.datacenter()
    return json_answer(request.context.settings.server_address)


async def peers(request: Request) -> Answer:
    """The addresses of the servers that vote."""
    check_read(request)
    request.datacenter()
    return json_answer([request.context.settings.server_address])


ROUTES = (
    Route("/v1/status/leader", {"GET": leader}, access="none"),
    Route("/v1/status/peers", {"GET": peers}, access="none"),
)
