"""The loadBalancer service: servers, their weights and health, as an Envoy cluster.

The cluster holds what is configured, the endpoints what comes and goes, so that a server that
starts or stops touches its service's endpoints and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster, UpstreamConnectionOptions
from envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection
from envoy.config.core.v3.address_pb2 import Address, SocketAddress, TcpKeepalive
from envoy.config.core.v3.base_pb2 import Metadata, RoutingPriority, TransportSocket
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.endpoint.v3.endpoint_components_pb2 import (
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.type.v3.percent_pb2 import Percent
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import UInt32Value

from portway.edge.dynamic import LoadBalancer, Server, ServersTransport
from portway.edge.services import health_check, transport, upgrade
from portway.edge.services.target import Scheme, Target, parse
from portway.edge.services.transport import Identity, seconds
from portway.envoy.resource import CLUSTER, ENDPOINTS, Resource

_UNLIMITED = 4_294_967_295  # also the largest sum of weights
_SOCKET_MATCH = "envoy.transport_socket_match"

# When at most half of the endpoints are not set aside, all are tried again: one that was set
# aside may be back, and the last that was not may be gone. (Endpoints that fail configured
# health checks are never tried.)
_TOO_FEW = 51  # percent; Envoy compares with "less than"


class Compiled(NamedTuple):
    """What a service is to Envoy.

    ``endpoints`` is the cluster's load assignment, or None when the cluster carries it inline.
    ``provisional`` is given with active health checks. Envoy does not use a new cluster before
    its first round of probes, whereas servers begin UP in Traefik; so a cluster that Envoy does
    not hold yet is first sent in this form, which serves at once, and then replaced by
    ``cluster``, for which Envoy keeps serving the old one until the new one has its probes.

    ``upgrades`` is a second cluster of the same endpoints, given where servers may be spoken to
    by HTTP/2: a request that upgrades its connection (WebSocket) needs HTTP/1.1. It has a
    provisional form likewise.
    """

    cluster: Resource
    endpoints: Resource | None
    provisional: Resource | None = None
    upgrades: Resource | None = None
    provisional_upgrades: Resource | None = None


class RouteNeeds(NamedTuple):
    """What a route to a service must do for it."""

    rewrite_host: bool = False  # auto_host_rewrite: Host becomes the server's own
    hash_client: bool = False  # hash_policy on the source IP
    path_prefix: str = ""  # put in front of the path after all middlewares; no final slash
    response_header_timeout: float = 0.0  # seconds until the answer must begin; 0 for no limit
    upgrades: bool = False  # the cluster is chosen by services.choose_cluster


def problems(balancer: LoadBalancer) -> list[str]:
    """What is wrong with a load balancer, or asked of it and not honoured although the result
    would be wrong or unsafe without it. One sentence each; the service is then disabled."""
    found = []
    targets = []
    for server in balancer.servers:
        try:
            targets.append(parse(server.url))
        except ValueError as error:
            found.append(str(error))
    if balancer.middlewares is not None:
        found.append("middlewares of a service are not supported yet: put them on its routers")
    schemes = {target.scheme for target in targets}
    if "h2c" in schemes and len(schemes) > 1:
        others = ", ".join(sorted(schemes - {"h2c"}))
        found.append(f"servers mix h2c and {others} URLs: split them into two services")
    prefixes = {_prefix(server) for server in balancer.servers}
    if len(prefixes) > 1 and len(targets) == len(balancer.servers):
        found.append(
            "preservePath: the servers' paths differ ("
            + ", ".join(repr(prefix or "/") for prefix in sorted(prefixes))
            + "); they must be the same"
        )
    if sum(_weights(balancer)) > _UNLIMITED:
        found.append(f"the weights of the servers add up to more than {_UNLIMITED}")
    if balancer.health_check is not None:
        found += health_check.problems(balancer.health_check, targets)
    return found


def warnings(balancer: LoadBalancer) -> list[str]:
    """What a load balancer asks for and gets differently or not yet, one sentence each."""
    found = []
    if balancer.sticky is not None:
        found.append("sticky is not supported yet: requests of one client reach any server")
    if balancer.passive_health_check is not None:
        found.append(
            "passiveHealthCheck is not supported yet: only servers that cannot be connected to"
            " are avoided"
        )
    if balancer.strategy == "leasttime":
        found.append("strategy leasttime is not supported yet: p2c with weights is used")
    schemes = _schemes(balancer)
    check = balancer.health_check
    if schemes == {"http", "https"}:
        found.append("servers mix http and https URLs: all are spoken to by HTTP/1.1")
    elif "https" in schemes and check and health_check.needs_own_socket(check, "https"):
        found.append(
            f"healthCheck.scheme {check.scheme} with https servers: they are spoken to by HTTP/1.1"
        )
    if check is not None:
        found += health_check.warnings(check)
    return found


def route_needs(
    balancer: LoadBalancer, options: ServersTransport = transport.DEFAULT
) -> RouteNeeds:
    """What routes to this service must do."""
    return RouteNeeds(
        rewrite_host=not balancer.pass_host_header,
        hash_client=balancer.strategy == "hrw",
        path_prefix=_prefix(balancer.servers[0]) if balancer.servers else "",
        response_header_timeout=transport.response_header_timeout(options),
        upgrades=_protocol(balancer, options) != "http1",
    )


def compile(  # noqa: A001 - the word of this layer for it
    name: str, balancer: LoadBalancer, options: ServersTransport | None = None
) -> Compiled:
    """The Envoy form of a valid load balancer known as ``name`` (``service@provider``).

    ``options`` is the servers transport it uses; None stands for Traefik's defaults. Reads
    the files of ``rootCAs`` when there are several, otherwise pure.
    """
    plan = _plan(name, balancer, options or transport.DEFAULT)
    protocol = _protocol(balancer, plan.options)
    cluster = _cluster(plan, name, protocol)
    provisional = upgrades = provisional_upgrades = None
    check = balancer.health_check
    if check is not None:
        provisional = _resource(CLUSTER, name, cluster, _COMMON)
        cluster.health_checks.append(health_check.message(check, plan.targets, plan.scheme))
    if protocol != "http1":
        sibling = _cluster(plan, name + upgrade.SUFFIX, "http1")
        sibling.alt_stat_name = name
        if check is not None and check.mode != "grpc":  # Envoy probes gRPC over HTTP/2 only
            provisional_upgrades = _resource(CLUSTER, sibling.name, sibling, _COMMON)
            sibling.health_checks.extend(cluster.health_checks)
        upgrades = _resource(CLUSTER, name + upgrade.SUFFIX, sibling, _COMMON)
    return Compiled(
        _resource(CLUSTER, name, cluster, _COMMON),
        None if plan.by_name else _resource(ENDPOINTS, name, plan.endpoints),
        provisional,
        upgrades,
        provisional_upgrades,
    )


class _Plan(NamedTuple):
    """What all clusters of a service share."""

    name: str
    balancer: LoadBalancer
    options: ServersTransport
    targets: list[Target]
    scheme: Scheme  # the one that decides: TLS if any server has it
    sockets: dict[Identity | None, str]
    probe_socket: bool
    by_name: bool  # some server is a host name
    endpoints: ClusterLoadAssignment


def _plan(name: str, balancer: LoadBalancer, options: ServersTransport) -> _Plan:
    weighted = _weighted_targets(balancer)
    targets = [target for target, _ in weighted]
    schemes = {target.scheme for target in targets}
    scheme: Scheme = "https" if "https" in schemes else "h2c" if "h2c" in schemes else "http"
    sockets = _sockets(targets, options)
    check = balancer.health_check
    return _Plan(
        name,
        balancer,
        options,
        targets,
        scheme,
        sockets,
        probe_socket=check is not None and health_check.needs_own_socket(check, scheme),
        by_name=any(not target.is_address for target in targets),
        endpoints=_load_assignment(name, balancer, weighted, sockets, options),
    )


def _protocol(balancer: LoadBalancer, options: ServersTransport) -> transport.Protocol:
    schemes = _schemes(balancer)
    if "https" not in schemes:
        return "http2" if "h2c" in schemes else "http1"
    # ALPN chooses only where every connection of the cluster is TLS.
    check = balancer.health_check
    mixed = "http" in schemes or (check and health_check.needs_own_socket(check, "https"))
    return "http1" if options.disable_http2 or mixed else "auto"


def _cluster(plan: _Plan, name: str, protocol: transport.Protocol) -> Cluster:
    """A cluster of the plan's servers, without health checks and the common part."""
    tls = plan.scheme == "https"
    cluster = Cluster(name=name, lb_policy=_POLICIES[plan.balancer.strategy])
    cluster.connect_timeout.CopyFrom(seconds(transport.connect_timeout(plan.options, tls)))
    if plan.balancer.strategy == "p2c":
        cluster.least_request_lb_config.CopyFrom(_TWO_CHOICES)
    packed = transport.http_options(plan.options, protocol)
    cluster.typed_extension_protocol_options[transport.HTTP_OPTIONS].CopyFrom(packed)
    alpn = ("http/1.1",) if tls and protocol == "http1" else ()
    if len(plan.sockets) > 1:
        for who, kind in plan.sockets.items():
            socket = (
                transport.tls_socket(plan.options, who, alpn) if who else transport.plain_socket()
            )
            _add_match(cluster, kind, socket)
    else:
        (who,) = plan.sockets
        if who is not None:
            cluster.transport_socket.CopyFrom(transport.tls_socket(plan.options, who, alpn))
    check = plan.balancer.health_check
    if check is None:
        cluster.common_lb_config.healthy_panic_threshold.value = _TOO_FEW
    elif plan.probe_socket:
        _add_probe_socket(cluster, check.scheme == "https", plan.targets, plan.options)
    if plan.by_name:
        cluster.MergeFrom(_BY_NAME)
        cluster.load_assignment.CopyFrom(plan.endpoints)
    else:
        cluster.MergeFrom(_BY_ADDRESS)
        if name != plan.name:
            cluster.eds_cluster_config.service_name = plan.name
    return cluster


def _resource(type_url: str, name: str, message: Message, prefix: bytes = b"") -> Resource:
    """``prefix`` is a serialised part of the same message: concatenation merges the two
    (protobuf encoding guide, "last one wins")."""
    return Resource.of(type_url, name, prefix + message.SerializeToString(deterministic=True))


_POLICIES = {
    "": Cluster.ROUND_ROBIN,
    "wrr": Cluster.ROUND_ROBIN,
    "p2c": Cluster.LEAST_REQUEST,
    # A ring moves, like rendezvous hashing, only the clients of a server that comes or goes.
    "hrw": Cluster.RING_HASH,
    "leasttime": Cluster.LEAST_REQUEST,
}

_TWO_CHOICES = Cluster.LeastRequestLbConfig(choice_count=UInt32Value(value=2))

_BY_ADDRESS = Cluster(
    type=Cluster.EDS,
    eds_cluster_config=Cluster.EdsClusterConfig(
        eds_config=ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
    ),
)

_BY_NAME = Cluster(
    type=Cluster.STRICT_DNS,
    dns_lookup_family=Cluster.V4_PREFERRED,
    dns_refresh_rate=seconds(5),
    respect_dns_ttl=True,
)


def _common() -> bytes:
    """The part of a cluster that is the same for all services."""
    unlimited = UInt32Value(value=_UNLIMITED)
    zero = UInt32Value(value=0)
    thresholds = [
        CircuitBreakers.Thresholds(
            priority=priority,
            max_connections=unlimited,
            max_pending_requests=unlimited,
            max_requests=unlimited,
            max_retries=unlimited,
            max_connection_pools=unlimited,
        )
        for priority in (RoutingPriority.DEFAULT, RoutingPriority.HIGH)
    ]
    cluster = Cluster(
        circuit_breakers=CircuitBreakers(thresholds=thresholds),
        # A safety net for endpoints that cannot be connected to: two failures in a row put an
        # endpoint aside for a moment, if at least as many others remain. Answers of a server,
        # whatever their status, never count.
        outlier_detection=OutlierDetection(
            split_external_local_origin_errors=True,
            consecutive_local_origin_failure=UInt32Value(value=2),
            enforcing_consecutive_local_origin_failure=UInt32Value(value=100),
            enforcing_consecutive_5xx=zero,
            enforcing_consecutive_gateway_failure=zero,
            enforcing_success_rate=zero,
            enforcing_local_origin_success_rate=zero,
            enforcing_failure_percentage=zero,
            enforcing_failure_percentage_local_origin=zero,
            interval=seconds(1),
            base_ejection_time=seconds(1),
            max_ejection_time=seconds(2),
            max_ejection_percent=UInt32Value(value=50),
        ),
        common_lb_config=Cluster.CommonLbConfig(healthy_panic_threshold=Percent(value=0)),
        ignore_health_on_host_removal=True,
        upstream_connection_options=UpstreamConnectionOptions(
            tcp_keepalive=TcpKeepalive(
                keepalive_time=UInt32Value(value=30), keepalive_interval=UInt32Value(value=15)
            )
        ),
    )
    return bytes(cluster.SerializeToString(deterministic=True))


_COMMON = _common()


def _weights(balancer: LoadBalancer) -> Iterable[int]:
    """The effective weights: p2c has none, elsewhere a weight that is not positive removes
    the server."""
    if balancer.strategy == "p2c":
        return [1] * len(balancer.servers)
    return [1 if s.weight is None else max(s.weight, 0) for s in balancer.servers]


def _schemes(balancer: LoadBalancer) -> set[Scheme]:
    """The schemes of the servers that are used and whose URLs are valid."""
    found = set[Scheme]()
    for server, weight in zip(balancer.servers, _weights(balancer), strict=True):
        with suppress(ValueError):
            found.update([parse(server.url).scheme] if weight else [])
    return found


def _weighted_targets(balancer: LoadBalancer) -> list[tuple[Target, int]]:
    """Servers with weights; one that is listed twice counts once with the sum."""
    found: dict[tuple[str, int], tuple[Target, int]] = {}
    for server, weight in zip(balancer.servers, _weights(balancer), strict=True):
        if weight:
            target = parse(server.url)
            key = (target.host, target.port)
            first, before = found.get(key, (target, 0))
            found[key] = (first, before + weight)
    return list(found.values())


def _prefix(server: Server) -> str:
    """The path that a server's URL puts in front of request paths."""
    if not server.preserve_path:
        return ""
    try:
        return parse(server.url).path.rstrip("/")
    except ValueError:
        return ""


def _sockets(targets: Sequence[Target], options: ServersTransport) -> dict[Identity | None, str]:
    """The kinds of connection the servers need, each with its name in endpoint metadata."""
    kinds = dict.fromkeys(transport.identity(options, target) for target in targets) or {None: None}
    return {who: f"{who.sni}/{who.name}" if who else "plain" for who in kinds}


def _criteria(name: str) -> Struct:
    criteria = Struct()
    criteria["name"] = name
    return criteria


def _add_probe_socket(
    cluster: Cluster, tls: bool, targets: Sequence[Target], options: ServersTransport
) -> None:
    socket = transport.plain_socket()
    if tls:
        # Probes cannot choose a socket per server, so the name demanded is that of the first.
        target = (targets or [parse("https://localhost")])[0]._replace(scheme="https")
        who = transport.identity(options, target) or Identity()
        socket = transport.tls_socket(options, who)
    _add_match(cluster, health_check.SOCKET, socket)


def _add_match(cluster: Cluster, name: str, socket: TransportSocket) -> None:
    cluster.transport_socket_matches.add(name=name, match=_criteria(name), transport_socket=socket)


def _load_assignment(
    name: str,
    balancer: LoadBalancer,
    weighted: Sequence[tuple[Target, int]],
    sockets: dict[Identity | None, str],
    options: ServersTransport,
) -> ClusterLoadAssignment:
    endpoints = []
    for target, weight in weighted:
        address = SocketAddress(address=target.host, port_value=target.port)
        endpoint = Endpoint(address=Address(socket_address=address), hostname=target.authority)
        if balancer.health_check is not None:
            config = health_check.endpoint_config(balancer.health_check, target)
            endpoint.health_check_config.CopyFrom(config)
        entry = LbEndpoint(endpoint=endpoint)
        if weight != 1:
            entry.load_balancing_weight.value = weight
        if len(sockets) > 1:
            who = transport.identity(options, target)
            entry.metadata.CopyFrom(
                Metadata(filter_metadata={_SOCKET_MATCH: _criteria(sockets[who])})
            )
        endpoints.append(entry)
    localities = [LocalityLbEndpoints(lb_endpoints=endpoints)] if endpoints else []
    return ClusterLoadAssignment(cluster_name=name, endpoints=localities)
