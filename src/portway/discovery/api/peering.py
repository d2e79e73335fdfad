"""``/v1/peering`` and ``/v1/internal/federation-state``: a server without other datacenters."""

from __future__ import annotations

from portway.discovery.api.answer import EMPTY, Answer, raw_json, text_answer
from portway.discovery.api.blocking import set_read_headers
from portway.discovery.api.decode import decode
from portway.discovery.api.error import bad_request, refused
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model import Wire


class _Peering(Wire):
    peer_name: str = ""


async def peerings(request: Request) -> Answer:
    """Every peering: none."""
    request.datacenter()
    request.require("peering", "read")
    set_read_headers(request, 1)
    return raw_json(b"[]")


async def peering(request: Request) -> Answer:
    """One peering: it does not exist."""
    request.datacenter()
    request.require("peering", "read")
    name = _name(request)
    return text_answer(f'Peering not found for "{name}"', 404)


async def delete(request: Request) -> Answer:
    """Delete a peering: one that does not exist is as good as deleted."""
    request.datacenter()
    request.require("peering", "write")
    _name(request)
    return EMPTY


async def connect(request: Request) -> Answer:
    """Peer with another cluster: refused."""
    wanted = decode(await request.body(), _Peering)
    if not wanted.peer_name:
        token = request.route.endswith("token")
        what = "generating a new peering token" if token else "establishing a peering"
        raise bad_request(f"PeerName is required in the payload when {what}.")
    request.require("peering", "write")
    raise refused("peering is not enabled: this server cannot be connected with other clusters")


async def federation_states(request: Request) -> Answer:
    """The mesh gateways of every datacenter that is federated: none is."""
    request.datacenter()
    request.require("operator", "read")
    set_read_headers(request, 1)
    return raw_json(b"[]")


async def federation_gateways(request: Request) -> Answer:
    """The same, by datacenter."""
    request.datacenter()
    request.require("operator", "read")
    set_read_headers(request, 1)
    return raw_json(b"{}")


async def federation_state(request: Request) -> Answer:
    """One datacenter that is federated: there is none."""
    request.datacenter()
    request.require("operator", "read")
    if not request.rest:
        raise bad_request("Missing datacenter name")
    set_read_headers(request, 1)
    return Answer(status=404)


def _name(request: Request) -> str:
    if not request.rest:
        raise bad_request("Must specify a name to fetch.")
    return request.rest


_FEDERATION = "/v1/internal/federation-state"
ROUTES = (
    Route("/v1/peerings", {"GET": peerings}, access="peering:read"),
    Route("/v1/peering/token", {"POST": connect}, access="peering:write"),
    Route("/v1/peering/establish", {"POST": connect}, access="peering:write"),
    Route(
        "/v1/peering/",
        {"GET": peering, "DELETE": delete},
        access="GET peering:read, DELETE peering:write",
    ),
    Route(f"{_FEDERATION}s", {"GET": federation_states}, access="operator:read"),
    Route(f"{_FEDERATION}s/mesh-gateways", {"GET": federation_gateways}, access="operator:read"),
    Route(f"{_FEDERATION}/", {"GET": federation_state}, access="operator:read"),
)
