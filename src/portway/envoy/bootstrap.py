"""Envoy's bootstrap: what it must know before the control process tells it the rest.

Plain dictionaries, no protobuf: the supervising parent writes this file and must stay small.
Everything listens on Unix sockets inside one directory that only its owner may enter.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

NODE_CLUSTER: Final = "portway"
ADS_CLUSTER: Final = "portway-ads"
CONTROL_CLUSTER: Final = "portway-control"
API_CLUSTER: Final = "portway-api"

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TYPE = "type.googleapis.com/"
_UNLIMITED = 4_294_967_295
_SOCKET_PATH_MAX = 107  # sockaddr_un.sun_path holds 108 bytes with the final NUL

# Rules become longer expressions than Envoy's default of 100 instructions allows. They were
# compiled by the same engine, within its memory bound, before they come here.
LAYERED_RUNTIME: Final[dict[str, Any]] = {
    "layers": [
        {
            "name": "expressions",
            "static_layer": {"re2.max_program_size.error_level": _UNLIMITED},
        }
    ]
}


_PARTS = ("cluster_manager.", "control_plane.", "listener_manager.", "server.")
_STATISTICS = [
    {"safe_regex": {"regex": r"http\..+\.downstream_(rq|cx)_active"}},  # the graceful stop's
    {"safe_regex": {"regex": r"http\..+\.rds\..+"}},  # what the control process sent
    *({"prefix": prefix} for prefix in _PARTS),
]


# What the control process is asked only reads: a connection that it dies with is tried anew,
# and waits for its successor.
_RETRIES: Final = {
    "retry_on": "connect-failure,refused-stream,reset",
    "num_retries": 3,
    "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
}


class Sockets(NamedTuple):
    """Where the processes meet, all inside the runtime directory."""

    ads: Path  # the control process' delta ADS server
    admin: Path  # Envoy's admin interface
    control: Path  # the control process' internal HTTP server (Lua calls)
    api: Path  # the control process' API, dashboard and ping


def sockets(runtime_dir: Path) -> Sockets:
    """The socket paths of a runtime directory; raises ValueError when they would be too long
    for the kernel."""
    paths = Sockets(*(runtime_dir / f"{name}.sock" for name in Sockets._fields))
    longest = max(len(os.fsencode(path)) for path in paths)
    if longest > _SOCKET_PATH_MAX:
        room = _SOCKET_PATH_MAX - (longest - len(os.fsencode(runtime_dir)))
        raise ValueError(
            f"the runtime directory {str(runtime_dir)!r} is too long for Unix sockets: "
            f"choose one of at most {room} bytes"
        )
    return paths


def bootstrap(
    where: Sockets, *, node: str = "edge", max_connections: int = 1_000_000
) -> dict[str, Any]:
    """The bootstrap of an edge Envoy that gets everything else over delta ADS.

    ``max_connections`` bounds the client connections of all listeners together.
    """
    return {
        "node": {"id": node, "cluster": NODE_CLUSTER},
        "admin": {"address": {"pipe": {"path": str(where.admin), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": ADS_CLUSTER,
                            # Without this Envoy waits 0.5 to 30 s before it comes back to a
                            # control process that was restarted.
                            "retry_policy": {
                                "retry_back_off": {
                                    "base_interval": "0.05s",
                                    "max_interval": "0.25s",
                                }
                            },
                        }
                    }
                ],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {
            "clusters": [
                _pipe_cluster(ADS_CLUSTER, where.ads, _http2()),
                _pipe_cluster(CONTROL_CLUSTER, where.control, _http1()),
                _pipe_cluster(API_CLUSTER, where.api, _http1()),
            ]
        },
        # A cluster's default statistics weigh 30 kB, and counting every request in a dozen of
        # them costs time; figures of traffic are the access logger's business.
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _STATISTICS}}},
        "layered_runtime": LAYERED_RUNTIME,
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": _TYPE + "envoy.extensions.resource_monitors."
                        "downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": max_connections,
                    },
                }
            ]
        },
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a bootstrap so that only its owner can read it, whole or not at all."""
    partial = path.with_name(path.name + ".part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    partial.replace(path)


def _pipe_cluster(name: str, path: Path, http: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(path)}}}}]}
            ],
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": _UNLIMITED,
                    "max_pending_requests": _UNLIMITED,
                    "max_requests": _UNLIMITED,
                    "max_retries": _UNLIMITED,
                }
            ]
        },
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": _TYPE + _HTTP_OPTIONS,
                "explicit_http_config": http,
                "retry_policy": _RETRIES,
            }
        },
    }


def _http1() -> dict[str, Any]:
    return {"http_protocol_options": {}}


def _http2() -> dict[str, Any]:
    # The keepalive notices a control process that hangs; a dead one closes its socket.
    return {
        "http2_protocol_options": {
            "connection_keepalive": {"interval": "10s", "timeout": "10s"},
            "initial_stream_window_size": 8_388_608,
            "initial_connection_window_size": 16_777_216,
        }
    }
