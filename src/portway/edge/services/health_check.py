"""Active health checks: Traefik's options as an Envoy health checker.

One failure takes a server out, one success brings it back, as in Traefik. The first probe is
sent at once, not after an interval, and servers that are down are probed often unless
``unhealthyInterval`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption, RequestMethod
from envoy.config.core.v3.health_check_pb2 import HealthCheck as Message
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint
from envoy.type.v3.http_pb2 import CodecClientType
from envoy.type.v3.range_pb2 import Int64Range
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import UInt32Value

from portway.edge.dynamic import HealthCheck
from portway.edge.services.target import Scheme, Target
from portway.edge.services.transport import seconds

SOCKET = "health"
"""The ``name`` in a transport socket match that health checks ask for when their scheme is
not the servers' own."""

_INTERVAL, _TIMEOUT = 30.0, 5.0  # Traefik's defaults, also used for values that are not positive
_RECOVERY = 2.0  # seconds between probes of a server that is down
_SCHEMES = ("http", "https", "h2c")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")
_ONE = UInt32Value(value=1)


def problems(check: HealthCheck, targets: Sequence[Target]) -> list[str]:
    """What is wrong with a health check of these servers, one sentence each."""
    found = []
    if check.scheme and check.scheme not in _SCHEMES:
        found.append(f"healthCheck.scheme: {check.scheme!r} is not one of {', '.join(_SCHEMES)}")
    if check.method and check.method.upper() not in _METHODS:
        found.append(f"healthCheck.method: {check.method!r} is not one of {', '.join(_METHODS)}")
    if check.status and not 100 <= check.status <= 599:
        found.append(f"healthCheck.status: {check.status} is not an HTTP status (100 to 599)")
    if not 0 <= check.port <= 65_535:
        found.append(f"healthCheck.port: {check.port} is not a port (1 to 65535)")
    if check.mode == "grpc":
        plain = check.scheme in ("", "http", "h2c")
        if any(t.scheme == "http" for t in targets) or plain != all(
            t.scheme != "https" for t in targets
        ):
            found.append(
                "healthCheck.mode grpc uses the connections of the service: give the servers the"
                " scheme h2c, or https with healthCheck.scheme https"
            )
        return found
    if not check.path:
        found.append("healthCheck.path is empty: write the path to probe, for instance /health")
    elif urlsplit(check.path).netloc or urlsplit(check.path).scheme:
        found.append(f"healthCheck.path: {check.path!r} is a whole URL; write the path only")
    elif len({_path(check, t) for t in targets}) > 1:
        found.append(
            f"healthCheck.path: {check.path!r} is relative and the servers' paths differ;"
            " begin it with /"
        )
    return found


def warnings(check: HealthCheck) -> list[str]:
    """What a health check asks for that is taken differently, one sentence each."""
    found = []
    for option, value, default in (
        ("interval", check.interval, _INTERVAL),
        ("unhealthyInterval", check.unhealthy_interval, _INTERVAL),
        ("timeout", check.timeout, _TIMEOUT),
    ):
        if value is not None and value <= 0:
            found.append(f"healthCheck.{option} is not positive: {default:g}s is used")
    if any(name.lower() == "host" for name in check.headers):
        found.append("healthCheck.headers: Host has no effect; use healthCheck.hostname")
    return found


def message(check: HealthCheck, targets: Sequence[Target], scheme: Scheme) -> Message:
    """The Envoy health checker of a service whose servers speak ``scheme``."""
    interval = float(check.interval) if check.interval > 0 else _INTERVAL
    if check.unhealthy_interval is None:
        recovery = min(interval, _RECOVERY)
    else:
        recovery = float(check.unhealthy_interval) if check.unhealthy_interval > 0 else _INTERVAL
    # Envoy decides by a statistic we do not collect whether a cluster has had traffic, so both
    # pairs of intervals must say the same.
    built = Message(
        timeout=seconds(float(check.timeout) if check.timeout > 0 else _TIMEOUT),
        interval=seconds(interval),
        no_traffic_healthy_interval=seconds(interval),
        unhealthy_interval=seconds(recovery),
        no_traffic_interval=seconds(recovery),
        unhealthy_threshold=_ONE,
        healthy_threshold=_ONE,
    )
    own = check.scheme or scheme
    if check.mode == "grpc":
        built.grpc_health_check.SetInParent()
        own, codec = scheme, CodecClientType.HTTP2
    else:
        codec = CodecClientType.HTTP2 if own == "h2c" else CodecClientType.HTTP1
        built.http_health_check.CopyFrom(_http(check, targets, codec))
    if own == "https":
        built.tls_options.alpn_protocols.append(
            "h2" if codec == CodecClientType.HTTP2 else "http/1.1"
        )
    if needs_own_socket(check, scheme):
        criteria = Struct()
        criteria["name"] = SOCKET
        built.transport_socket_match_criteria.CopyFrom(criteria)
    return built


def needs_own_socket(check: HealthCheck, scheme: Scheme) -> bool:
    """Whether probes need another kind of connection (TLS or not) than requests."""
    if not check.scheme or check.mode == "grpc":
        return False
    return (check.scheme == "https") != (scheme == "https")


def endpoint_config(check: HealthCheck, target: Target) -> Endpoint.HealthCheckConfig:
    """The part of a health check that differs from server to server: Host and port."""
    authority = target.authority
    if check.port:
        host = f"[{target.host}]" if ":" in target.host else target.host
        authority = f"{host}:{check.port}"
    return Endpoint.HealthCheckConfig(port_value=check.port, hostname=check.hostname or authority)


def _path(check: HealthCheck, target: Target) -> str:
    return urljoin(target.path or "/", check.path)


def _http(
    check: HealthCheck, targets: Sequence[Target], codec: CodecClientType
) -> Message.HttpHealthCheck:
    first, last = (check.status, check.status) if check.status else (200, 399)
    return Message.HttpHealthCheck(
        path=_path(check, targets[0]) if targets else urljoin("/", check.path),
        method=RequestMethod.Value(check.method.upper() or "GET"),
        expected_statuses=[Int64Range(start=first, end=last + 1)],
        codec_client_type=codec,
        request_headers_to_add=[
            HeaderValueOption(
                header=HeaderValue(key=name, value=value.replace("%", "%%")),
                append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
            )
            for name, value in sorted(check.headers.items())
            if name.lower() != "host"
        ],
    )
