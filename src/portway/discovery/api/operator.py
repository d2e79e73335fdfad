"""``/v1/operator/``: the servers themselves. Of one server alone, this is the whole truth."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.config import Duration
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import check_read, consistency_of, set_read_headers
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
_MOST_RELAYS = 5
_UNWRITTEN = 1
"""The index of a configuration that nobody has set: it is as old as the state."""
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
    check_read(request)
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
    if not (request.has("id") or request.has("address")):
        raise bad_request(
            "Must specify either ?id with the server's ID or ?address with IP:port"
            " of peer to remove"
        )
    if request.has("id") and request.has("address"):
        raise bad_request("Must specify only one of ?id or ?address")
    settings = request.context.settings
    if server_id == settings.node_id or address == settings.server_address:
        raise ApiError(500, "this server is the only one and cannot be removed")
    what = f'id "{server_id}"' if request.has("id") else f'address "{address}"'
    raise ApiError(500, f"{what} was not found in the Raft configuration")


async def transfer_leader(request: Request) -> Answer:
    """Hand leadership to another server, which a single one has not."""
    request.require("operator", "write")
    request.datacenter()
    wanted = request.param("id")
    if wanted and wanted != request.context.settings.node_id:
        raise ApiError(500, f"Could not find address for server id {wanted}")
    raise ApiError(500, "cannot find peer")


async def autopilot_configuration(request: Request) -> Answer:
    """How servers are kept in order."""
    request.require("operator", "read")
    request.datacenter()
    check_read(request)
    await consistency_of(request)
    return json_answer(_autopilot(request))


async def set_autopilot_configuration(request: Request) -> Answer:
    """Set how servers are kept in order; with ``cas`` if it is as the caller knows it."""
    request.require("operator", "write")
    request.datacenter()
    new = _given(await request.body(_MAX_BODY))
    index = None
    if request.has("cas"):
        problem = (
            f'Error parsing cas value: strconv.ParseUint: parsing "{request.param("cas")}": '
            "invalid syntax"
        )
        index = request.unsigned("cas", problem)
        if index is None:
            raise bad_request(problem)
    table = request.context.server.state.autopilot

    def write(draft: Draft) -> bool:
        old = draft.get(table, AUTOPILOT)
        if index is not None and (old.modify_index if old else _UNWRITTEN) != index:
            return False
        draft.put(table, AUTOPILOT, msgspec.structs.replace(new, create_index=0, modify_index=0))
        return True

    return json_answer(await request.context.server.transact(write))


class _Configuration(Wire):
    """The body of a configuration: its durations may be nanoseconds."""

    cleanup_dead_servers: bool = True
    last_contact_threshold: str | int = "200ms"
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time: str | int = "10s"
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""
    create_index: int = 0
    modify_index: int = 0


def _given(body: bytes) -> Autopilot:
    prefix = "Error parsing autopilot config: "
    given = decode(body, _Configuration, prefix=prefix)
    fields = msgspec.structs.asdict(given)
    for name in ("max_trailing_logs", "min_quorum"):
        if fields[name] < 0:
            raise bad_request(f"{prefix}{name} must not be negative: {fields[name]}")
    for name in ("last_contact_threshold", "server_stabilization_time"):
        time = fields[name]
        try:
            fields[name] = str(Duration(go_duration(time) if isinstance(time, str) else time / 1e9))
        except ValueError as error:
            raise bad_request(f"{prefix}{error}") from None
    return Autopilot(**fields)


async def autopilot_health(request: Request) -> Answer:
    """Whether the servers are well."""
    request.require("operator", "read")
    check_read(request)
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
    check_read(request)
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
        "ReadReplica": False,
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
    """How much the cluster holds, whatever datacenter is asked for."""
    request.require("operator", "read")
    check_read(request)
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
    if factor and not factor.isdigit():
        raise bad_request(
            f'Error parsing relay factor: strconv.Atoi: parsing "{factor}": invalid syntax'
        )
    if factor and int(factor) > _MOST_RELAYS:
        raise bad_request("Invalid relay-factor: Relay factor must be in range: [0, 5]")
    local = request.boolean("local-only") if request.param("local-only") else False
    if local is None:
        given = request.param("local-only")
        raise bad_request(
            f'Error parsing local-only: strconv.ParseBool: parsing "{given}": invalid syntax'
        )
    if local and write:
        raise bad_request("Invalid use of local-only: local-only can only be set for list requests")
    settings = request.context.settings
    node, datacenter = settings.node_name, settings.datacenter
    problem = "No keyring to modify" if write else "Keyring is empty"
    pools = [("WAN", f"{node}.{datacenter}"), (f"{datacenter} (LAN)", node)]
    errors = [
        line
        for pool, member in pools[local:]
        for line in (
            f"{pool} error: 1/1 nodes reported failure",
            f"{member}: {problem} (encryption not enabled)",
        )
    ]
    listed = "".join(f"\t* {error}\n" for error in errors)
    raise ApiError(500, f"{len(errors)} errors occurred:\n{listed}\n")


def _autopilot(request: Request) -> Autopilot:
    found = request.context.server.state.autopilot.get(AUTOPILOT)
    if found is not None:
        return found
    initial = request.context.settings.autopilot
    return msgspec.structs.replace(initial, create_index=_UNWRITTEN, modify_index=_UNWRITTEN)


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
