"""``/v1/operator/``: the servers themselves. Of one server alone, this is the whole truth."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import consistency_of, set_read_headers
from portway.discovery.api.decode import decode
from portway.discovery.api.error import ApiError, bad_request
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model import Wire
from portway.discovery.model.operator import AUTOPILOT, Autopilot
from portway.discovery.operations.durations import go_duration
from portway.discovery.state import Draft
from portway.discovery.version import CONSUL

_MAX_BODY = 1 << 16  # bytes
_NO_KEYS = "Keyring is empty (encryption not enabled)"
_KINDS = (
    "connect-proxy",
    "connect-native",
    "mesh-gateway",
    "terminating-gateway",
    "ingress-gateway",
    "api-gateway",
)


async def raft_configuration(request: Request) -> Answer:
    """The servers that vote."""
    request.require("operator", "read")
    request.datacenter()
    await consistency_of(request)
    settings, revision = request.context.settings, request.context.server.state.view.revision
    server = {
        "ID": settings.node_id,
        "Node": settings.node_name,
        "Address": settings.server_address,
        "Leader": True,
        "ProtocolVersion": "3",
        "Voter": True,
        "LastIndex": revision,
    }
    return json_answer({"Servers": [server], "Index": 0})


async def remove_peer(request: Request) -> Answer:
    """Remove a server: the only one cannot be, and others are not known."""
    request.require("operator", "write")
    request.datacenter()
    server_id, address = request.param("id"), request.param("address")
    if not server_id and not address:
        raise bad_request(
            "Must specify either ?id with the server's ID or ?address with IP:port"
            " of peer to remove"
        )
    if server_id and address:
        raise bad_request("Must specify only one of ?id or ?address")
    settings = request.context.settings
    if server_id == settings.node_id or address == settings.server_address:
        raise ApiError(500, "this server is the only one and cannot be removed")
    what = f'id "{server_id}"' if server_id else f'address "{address}"'
    raise ApiError(500, f"{what} was not found in the Raft configuration")


async def transfer_leader(request: Request) -> Answer:
    """Hand leadership to another server, which a single one has not."""
    request.require("operator", "write")
    request.datacenter()
    raise ApiError(500, "cannot find peer: this server is the only one")


async def autopilot_configuration(request: Request) -> Answer:
    """How servers are kept in order."""
    request.require("operator", "read")
    request.datacenter()
    consistency = await consistency_of(request)
    found = _autopilot(request)
    set_read_headers(request, found.modify_index, consistency)
    return json_answer(found)


async def set_autopilot_configuration(request: Request) -> Answer:
    """Set how servers are kept in order; with ``cas`` if it is as the caller knows it."""
    request.require("operator", "write")
    request.datacenter()
    new = decode(
        await request.body(_MAX_BODY), Autopilot, prefix="Error parsing autopilot config: "
    )
    for name in ("last_contact_threshold", "server_stabilization_time"):
        try:
            go_duration(getattr(new, name))
        except ValueError as error:
            raise bad_request(f"Error parsing autopilot config: {error}") from None
    index = None
    if request.has("cas"):
        index = request.unsigned("cas", "Error parsing cas value: it must be a number")
    table = request.context.server.state.autopilot

    def write(draft: Draft) -> bool:
        old = draft.get(table, AUTOPILOT)
        if index is not None and (old.modify_index if old else 0) != index:
            return False
        draft.put(table, AUTOPILOT, msgspec.structs.replace(new, create_index=0, modify_index=0))
        return True

    return json_answer(await request.context.server.transact(write))


async def autopilot_health(request: Request) -> Answer:
    """Whether the servers are well."""
    request.require("operator", "read")
    request.datacenter()
    revision = request.context.server.state.view.revision
    settings = request.context.settings
    server = {
        "ID": settings.node_id,
        "Name": settings.node_name,
        "Address": settings.server_address,
        "SerfStatus": "alive",
        "Version": CONSUL,
        "Leader": True,
        "LastContact": "0s",
        "LastTerm": 2,
        "LastIndex": revision,
        "Healthy": True,
        "Voter": True,
        "StableSince": _started(request),
    }
    return json_answer({"Healthy": True, "FailureTolerance": 0, "Servers": [server]})


async def autopilot_state(request: Request) -> Answer:
    """The same as autopilot sees it."""
    request.require("operator", "read")
    request.datacenter()
    settings, revision = request.context.settings, request.context.server.state.view.revision
    server: dict[str, Any] = {
        "ID": settings.node_id,
        "Name": settings.node_name,
        "Address": settings.server_address,
        "NodeStatus": "alive",
        "Version": CONSUL,
        "LastContact": "0s",
        "LastTerm": 2,
        "LastIndex": revision,
        "Healthy": True,
        "StableSince": _started(request),
        "Status": "leader",
        "Meta": {"consul-network-segment": "", "consul-version": CONSUL},
        "NodeType": "voter",
    }
    return json_answer(
        {
            "Healthy": True,
            "FailureTolerance": 0,
            "OptimisticFailureTolerance": 0,
            "Servers": {settings.node_id: server},
            "Leader": settings.node_id,
            "Voters": [settings.node_id],
        }
    )


async def usage(request: Request) -> Answer:
    """How much the cluster holds."""
    request.require("operator", "read")
    request.datacenter()
    consistency = await consistency_of(request)
    catalog = request.context.server.state.catalog
    kinds = dict.fromkeys(_KINDS, 0)
    billable = 0
    for service in catalog.services.rows.values():
        if service.kind:
            kinds[service.kind] += 1
            continue
        if service.connect.native:
            kinds["connect-native"] += 1
        billable += service.service != "consul"
    index = max(catalog.services.topic.index, catalog.nodes.topic.index)
    set_read_headers(request, index, consistency)
    counts = {
        "Nodes": len(catalog.hosts),
        "Services": len(catalog.by_name),
        "ServiceInstances": len(catalog.services.rows),
        "ConnectServiceInstances": kinds,
        "BillableServiceInstances": billable,
    }
    return json_answer(
        {
            "Usage": {request.context.settings.datacenter: counts},
            "Index": index or 1,
            "LastContact": 0,
            "KnownLeader": True,
            "ConsistencyLevel": consistency,
            "NotModified": False,
            "Backend": 0,
            "ResultsFilteredByACLs": False,
        }
    )


class _Key(Wire):
    key: str = ""


async def keyring(request: Request) -> Answer:
    """The keys of gossip encryption: a single server does not gossip and has none."""
    write = request.method != "GET"
    if write:
        decode(await request.body(_MAX_BODY), _Key, unknown=True)
    request.require("keyring", "write" if write else "read")
    factor = request.param("relay-factor")
    if factor and not (factor.isdigit() and int(factor) <= 5):
        raise bad_request("Error parsing relay factor: relay factor must be in range: [0, 5]")
    if request.has("local-only") and write:
        raise bad_request("Error parsing local-only: local-only may only be used with GET")
    raise ApiError(500, _NO_KEYS)


def _autopilot(request: Request) -> Autopilot:
    found = request.context.server.state.autopilot.get(AUTOPILOT)
    return request.context.settings.autopilot if found is None else found


def _started(request: Request) -> str:
    return request.context.started.strftime("%Y-%m-%dT%H:%M:%SZ")


ROUTES = (
    Route("/v1/operator/raft/configuration", {"GET": raft_configuration}, access="operator:read"),
    Route("/v1/operator/raft/peer", {"DELETE": remove_peer}, access="operator:write"),
    Route("/v1/operator/raft/transfer-leader", {"POST": transfer_leader}, access="operator:write"),
    Route(
        "/v1/operator/autopilot/configuration",
        {"GET": autopilot_configuration, "PUT": set_autopilot_configuration},
        access="GET operator:read, PUT operator:write",
    ),
    Route("/v1/operator/autopilot/health", {"GET": autopilot_health}, access="operator:read"),
    Route("/v1/operator/autopilot/state", {"GET": autopilot_state}, access="operator:read"),
    Route("/v1/operator/usage", {"GET": usage}, access="operator:read"),
    Route(
        "/v1/operator/keyring",
        {"GET": keyring, "POST": keyring, "PUT": keyring, "DELETE": keyring},
        access="GET keyring:read, others keyring:write",
    ),
)
