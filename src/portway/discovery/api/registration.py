"""Bodies of ``/v1/catalog/register`` and ``/v1/catalog/deregister``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from msgspec import field
from msgspec.structs import asdict, fields

from portway.config import Duration
from portway.discovery.api.decode import decode
from portway.discovery.api.error import bad_request, refused
from portway.discovery.model import (
    CRITICAL,
    Check,
    CheckRun,
    Connect,
    Locality,
    Node,
    Proxy,
    ProxyDefinition,
    Service,
    ServiceAddress,
    ServiceKind,
    ServicePort,
    Weights,
    Wire,
    plain_proxy,
)
from portway.discovery.model.catalog import Expose, MeshGateway
from portway.discovery.operations.catalog import Registration, Removal

_ZERO = Duration(0)
_STATUSES = ("passing", "warning", "critical")
_MOST_WEIGHT = 65535


class _Run(Wire):
    """How a check runs. Durations are in seconds; the other fields are those of ``CheckRun``."""

    interval: Duration = _ZERO
    timeout: Duration = _ZERO
    deregister_critical_service_after: Duration = _ZERO
    ttl: Duration = _ZERO
    http: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    header: dict[str, list[str]] = {}
    method: str = ""
    body: str = ""
    disable_redirects: bool = False
    tcp: str = ""
    tcp_use_tls: bool = field(name="TCPUseTLS", default=False)
    udp: str = ""
    os_service: str = ""
    h2ping: str = field(name="H2PING", default="")
    h2ping_use_tls: bool = field(name="H2PingUseTLS", default=False)
    grpc: str = ""
    grpc_use_tls: bool = field(name="GRPCUseTLS", default=False)
    script_args: list[str] = []
    docker_container_id: str = ""
    shell: str = ""
    alias_node: str = ""
    alias_service: str = ""
    output_max_size: int = 0
    session_name: str = ""


class CheckBody(Wire):
    """A check as it is registered in the catalog."""

    node: str = ""
    check_id: str = ""
    name: str = ""
    status: str = ""
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: list[str] = []
    type: str = ""
    interval: str = ""
    timeout: str = ""
    exposed_port: int = 0
    peer_name: str = ""
    definition: _Run = field(default_factory=_Run)
    create_index: int = 0
    modify_index: int = 0


class _Connect(Wire):
    native: bool = False


class _Weights(Wire):
    passing: int = 0
    warning: int = 0


class ServiceBody(Wire):
    """A service as it is registered in the catalog."""

    kind: str = ""
    id: str = ""
    service: str = ""
    tags: list[str] = []
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] = {}
    meta: dict[str, str] | None = None
    port: int = 0
    ports: list[ServicePort] = []
    socket_path: str = ""
    weights: _Weights | None = None
    enable_tag_override: bool = False
    locality: Locality | None = None
    proxy: ProxyDefinition | None = None
    connect: _Connect | None = None
    peer_name: str = ""
    datacenter: str = ""
    create_index: int = 0
    modify_index: int = 0


class NodeBody(Wire):
    """A node as transactions write it."""

    id: str = ""
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    locality: Locality | None = None
    peer_name: str = ""
    create_index: int = 0
    modify_index: int = 0


class _Register(Wire):
    datacenter: str = ""
    id: str = ""
    node: str = ""
    address: str = ""
    tagged_addresses: dict[str, str] | None = None
    node_meta: dict[str, str] | None = None
    service: ServiceBody | None = None
    check: CheckBody | None = None
    checks: list[CheckBody] = []
    skip_node_update: bool = False
    locality: Locality | None = None
    peer_name: str = ""
    create_index: int = 0
    modify_index: int = 0


class _Deregister(Wire):
    datacenter: str = ""
    node: str = ""
    address: str = ""
    service_id: str = ""
    check_id: str = ""
    peer_name: str = ""


def registration_of(body: bytes) -> tuple[Registration, str]:
    """What is to be registered, and the datacenter the body names. Raises ApiError (400)."""
    given = decode(body, _Register, snake=True)
    bodies = [*given.checks, *([] if given.check is None else [given.check])]
    refuse_peers([given.peer_name, *(one.peer_name for one in bodies)])
    service = None if given.service is None else service_of(given.service)
    node = Node(
        id=given.id,
        node=given.node,
        address=given.address,
        tagged_addresses=given.tagged_addresses,
        meta=given.node_meta,
        locality=given.locality,
    )
    checks = [check_of(one) for one in bodies]
    return Registration(node, service, checks, given.skip_node_update), given.datacenter


def removal_of(body: bytes) -> tuple[Removal, str]:
    """What is to be removed, and the datacenter the body names. Raises ApiError (400)."""
    given = decode(body, _Deregister)
    refuse_peers([given.peer_name])
    return Removal(given.node, given.service_id, given.check_id), given.datacenter


def node_of(body: NodeBody) -> Node:
    """The node a body describes."""
    refuse_peers([body.peer_name])
    return Node(
        id=body.id,
        node=body.node,
        address=body.address,
        tagged_addresses=body.tagged_addresses,
        meta=body.meta,
        locality=body.locality,
    )


def service_of(body: ServiceBody) -> Service:
    """The service a body describes. Raises ApiError (400)."""
    refuse_peers([body.peer_name])
    if body.kind not in get_args(ServiceKind):
        known = ", ".join(kind for kind in get_args(ServiceKind) if kind)
        raise bad_request(f'Invalid Kind "{body.kind}": it may be empty or one of {known}')
    return Service(
        kind=body.kind,  # type: ignore[arg-type]  # checked above
        id=body.id,
        service=body.service,
        tags=body.tags,
        address=body.address,
        tagged_addresses=body.tagged_addresses or None,
        meta=body.meta,
        port=body.port,
        ports=body.ports or None,
        socket_path=body.socket_path,
        weights=_weights(body.weights),
        enable_tag_override=body.enable_tag_override,
        locality=body.locality,
        proxy=proxy_of(body.proxy),
        connect=Connect(native=body.connect is not None and body.connect.native),
        peer_name="",
    )


def _weights(given: _Weights | None) -> Weights:
    """Weights that make sense; clients that do not care send zeros, which stand for the default."""
    if given is None or given.passing < 1 or given.warning < 0:
        return Weights()
    if max(given.passing, given.warning) > _MOST_WEIGHT:
        return Weights()
    return Weights(given.passing, given.warning)


def proxy_of(given: ProxyDefinition | None) -> Proxy:
    """The proxy block a body describes. Raises ApiError (400)."""
    if given is None:
        return plain_proxy()
    for name, value, known in (
        ("Mode", given.mode, ("transparent", "direct")),
        ("MutualTLSMode", given.mutual_tls_mode, ("strict", "permissive")),
    ):
        if value and value not in known:
            raise bad_request(f'Invalid Proxy.{name} "{value}": it may be {" or ".join(known)}')
    values: dict[str, Any] = {one.name: getattr(given, one.name) for one in fields(given)}
    values["mesh_gateway"] = given.mesh_gateway or MeshGateway()
    values["expose"] = given.expose or Expose()
    return Proxy(**values)


def check_of(body: CheckBody) -> Check:
    """The check a body describes, critical unless a status is given. Raises ApiError (400)."""
    refuse_peers([body.peer_name])
    if body.status and body.status not in _STATUSES:
        raise bad_request(f"Invalid check status: '{body.status}'")
    return Check(
        node=body.node,
        check_id=body.check_id,
        name=body.name,
        status=body.status or CRITICAL,  # type: ignore[arg-type]  # checked above
        notes=body.notes,
        output=body.output,
        service_id=body.service_id,
        service_name=body.service_name,
        service_tags=body.service_tags,
        type=body.type,
        interval=body.interval,
        timeout=body.timeout,
        exposed_port=body.exposed_port,
        definition=_run(body.definition),
    )


def _run(given: _Run) -> CheckRun:
    values = asdict(given)
    del values["session_name"]  # says nothing about how a check runs
    for name, value in values.items():
        if isinstance(value, Duration):
            values[name] = str(value) if value else ""
    values["ttl"] = round(given.ttl * 1e9)
    return CheckRun(**values)


def refuse_peers(names: Iterable[str]) -> None:
    """Refuse what is said to be a peer's: only peerings bring that. Raises ApiError (500)."""
    if any(names):
        raise refused("cannot register requests with PeerName in them")
