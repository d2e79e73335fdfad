"""Entry points: from static options to the description of a listener."""

from __future__ import annotations

import socket

from portway.edge.compile.listener import ListenerSpec
from portway.edge.static import EntryPoint, Static


def listener_spec(name: str, point: EntryPoint, static: Static) -> ListenerSpec:
    """The listener of an entry point. A host name is resolved now; OSError if it cannot be."""
    address = point.listen
    host, dual = address.host, False
    if not host:
        host, dual = ("::", True) if socket.has_dualstack_ipv6() else ("0.0.0.0", False)  # noqa: S104
    transport, headers = point.transport, point.forwarded_headers
    timeouts = transport.responding_timeouts
    return ListenerSpec(
        name=name,
        host=str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]),
        port=address.port,
        dual_stack=dual,
        reuse_port=point.reuse_port,
        trust_all=headers.insecure,
        trusted=tuple(headers.trusted_ips),
        append_for=appends_peer(point, static),
        hostname=socket.gethostname(),
        idle_timeout=timeouts.idle_timeout,
        read_timeout=timeouts.read_timeout,
        write_timeout=timeouts.write_timeout,
        max_header_bytes=point.http.max_header_bytes,
        max_streams=point.http2.max_concurrent_streams,
        max_requests=transport.keep_alive_max_requests,
        max_connection_time=transport.keep_alive_max_time,
        sanitize_path=point.http.sanitize_path,
    )


def appends_peer(point: EntryPoint, static: Static) -> bool:
    """Whether the entry point appends the peer to X-Forwarded-For."""
    headers = point.forwarded_headers
    return not (headers.not_append_x_forwarded_for or static.global_.not_append_x_forwarded_for)
