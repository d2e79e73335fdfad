"""Listeners: an entry point's address, connection rules and HTTP connection manager.

Everything here follows from the static configuration, so a listener never changes while
Portway runs and no connection is drained by a change of routes, middlewares or services.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from envoy.config.accesslog.v3.accesslog_pb2 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from envoy.config.core.v3.address_pb2 import Address, CidrRange, SocketAddress
from envoy.config.core.v3.base_pb2 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    RuntimeUInt32,
)
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.core.v3.substitution_format_string_pb2 import SubstitutionFormatString
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, FilterChainMatch
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.filters.network.set_filter_state.v3.set_filter_state_pb2 import (
    Config as SetFilterState,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from portway.edge import pipeline
from portway.edge.compile.forwarded import PEER, early_mutation, request_filter
from portway.envoy.messages import pack
from portway.envoy.resource import LISTENER, Resource
from portway.rules import CLIENT_IP

_MAX_HEADER_KB = 8192  # Envoy's limit of max_request_headers_kb


class ListenerSpec(NamedTuple):
    """What the static configuration says about an entry point, times in seconds."""

    name: str
    host: str  # literal IP address, "::" for all
    port: int
    dual_stack: bool = False  # "::" takes IPv4 connections too
    reuse_port: bool = False
    trust_all: bool = False  # forwardedHeaders.insecure
    trusted: Sequence[str] = ()  # forwardedHeaders.trustedIPs
    append_for: bool = True
    hostname: str = ""
    idle_timeout: float = 180
    read_timeout: float = 60
    write_timeout: float = 0
    max_header_bytes: int = 1 << 20
    max_streams: int = 250
    max_requests: int = 0
    max_connection_time: float = 0
    sanitize_path: bool = True


def listener(spec: ListenerSpec) -> Resource:
    """The listener of an entry point; its routes come by RDS under the entry point's name."""
    chains = []
    if spec.trust_all:
        chains.append(_chain(spec, trusted=True, match=FilterChainMatch()))
    else:
        if spec.trusted:
            match = FilterChainMatch(direct_source_prefix_ranges=[_cidr(t) for t in spec.trusted])
            chains.append(_chain(spec, trusted=True, match=match))
        chains.append(_chain(spec, trusted=False, match=FilterChainMatch()))
    address = SocketAddress(address=spec.host, port_value=spec.port, ipv4_compat=spec.dual_stack)
    message = Listener(
        name=spec.name,
        address=Address(socket_address=address),
        filter_chains=chains,
        enable_reuse_port=BoolValue(value=spec.reuse_port),
        per_connection_buffer_limit_bytes=UInt32Value(value=1 << 20),
    )
    if not spec.reuse_port:
        # One accept queue for all workers: without balancing, one worker may take them all.
        message.connection_balance_config.exact_balance.SetInParent()
    return Resource.of(LISTENER, spec.name, message.SerializeToString(deterministic=True))


def _chain(spec: ListenerSpec, *, trusted: bool, match: FilterChainMatch) -> FilterChain:
    manager = _connection_manager(spec, trusted=trusted)
    return FilterChain(
        name="trusted" if trusted else "untrusted",
        filter_chain_match=match,
        filters=[
            Filter(name="client-ip", typed_config=pack(_client_ip())),
            Filter(name="http", typed_config=pack(manager)),
        ],
    )


def _client_ip() -> SetFilterState:
    """Keeps the peer's address where ClientIP rules look for it, once per connection."""
    value = FilterStateValue(object_key=CLIENT_IP, factory_key="envoy.network.ip")
    value.format_string.text_format_source.inline_string = PEER
    return SetFilterState(on_new_connection=[value])


def _connection_manager(spec: ListenerSpec, *, trusted: bool) -> hcm.HttpConnectionManager:
    manager = hcm.HttpConnectionManager(
        stat_prefix=spec.name,
        rds=hcm.Rds(route_config_name=spec.name, config_source=_ads()),
        http_filters=[
            request_filter(trusted=trusted, tls=False, append_for=spec.append_for),
            *pipeline.http_filters(_ads()),
            hcm.HttpFilter(
                name="envoy.filters.http.router",
                typed_config=pack(
                    Router(suppress_envoy_headers=True, dynamic_stats=BoolValue(value=False))
                ),
            ),
        ],
        early_header_mutation_extensions=[
            early_mutation(
                trusted=trusted, tls=False, hostname=spec.hostname, append_for=spec.append_for
            )
        ],
        # The peer's address decides what is internal; XFF is written by the early mutation.
        use_remote_address=BoolValue(value=True),
        skip_xff_append=True,
        xff_num_trusted_hops=1 if trusted else 0,  # a trusted peer's X-Forwarded-Proto stays
        generate_request_id=BoolValue(value=False),
        server_header_transformation=hcm.HttpConnectionManager.PASS_THROUGH,
        normalize_path=BoolValue(value=spec.sanitize_path),
        merge_slashes=spec.sanitize_path,
        path_with_escaped_slashes_action=hcm.HttpConnectionManager.KEEP_UNCHANGED,
        max_request_headers_kb=UInt32Value(
            value=min(_MAX_HEADER_KB, max(1, spec.max_header_bytes // 1024))
        ),
        upgrade_configs=[hcm.HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        local_reply_config=_local_replies(),
        stream_idle_timeout=Duration(),
        request_timeout=_duration(spec.read_timeout),
    )
    manager.internal_address_config.SetInParent()  # nobody is internal: x-envoy-* never pass
    common = manager.common_http_protocol_options
    common.idle_timeout.CopyFrom(_duration(spec.idle_timeout))
    if spec.write_timeout:
        common.max_stream_duration.CopyFrom(_duration(spec.write_timeout))
    if spec.max_requests:
        common.max_requests_per_connection.value = spec.max_requests
    if spec.max_connection_time:
        common.max_connection_duration.CopyFrom(_duration(spec.max_connection_time))
        manager.http1_safe_max_connection_duration = True
    http1 = manager.http_protocol_options
    http1.allow_custom_methods = True
    http1.enable_trailers = True
    http1.accept_http_10 = True
    # Go's canonical spelling (X-Real-Ip), which clients of Traefik see.
    http1.header_key_format.proper_case_words.SetInParent()
    manager.http2_protocol_options.max_concurrent_streams.value = spec.max_streams
    manager.http2_protocol_options.allow_connect = True
    return manager


def _local_replies() -> hcm.LocalReplyConfig:
    """Traefik's texts for the answers Envoy makes by itself."""
    nosniff = {"X-Content-Type-Options": "nosniff"}
    text = "text/plain; charset=utf-8"
    return hcm.LocalReplyConfig(
        mappers=[
            _reply(("NR",), 404, 404, "404 page not found\n", text, nosniff),
            _reply(("UH", "NC"), 503, 503, "no available server\n", text, nosniff),
            _reply(("UT",), 504, 504, "Gateway Timeout", text, {}),
            _reply(("UF", "UC", "UR", "UPE", "URX"), 503, 502, "Bad Gateway", text, {}),
            _reply(("UPE", "UR"), 502, 502, "Bad Gateway", text, {}),
        ]
    )


def _reply(
    flags: Sequence[str],
    status: int,
    answer: int,
    body: str,
    content_type: str,
    headers: dict[str, str],
) -> hcm.ResponseMapper:
    same_status = StatusCodeFilter(
        comparison=ComparisonFilter(
            op=ComparisonFilter.EQ,
            value=RuntimeUInt32(default_value=status, runtime_key=f"portway.reply.{status}"),
        )
    )
    flagged = AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=flags))
    mapper = hcm.ResponseMapper(
        filter=AccessLogFilter(
            and_filter=AndFilter(filters=[flagged, AccessLogFilter(status_code_filter=same_status)])
        ),
        status_code=UInt32Value(value=answer),
        body=DataSource(inline_string=body),
        body_format_override=SubstitutionFormatString(
            text_format_source=DataSource(inline_string="%LOCAL_REPLY_BODY%"),
            content_type=content_type,
        ),
    )
    for key, value in headers.items():
        mapper.headers_to_add.append(
            HeaderValueOption(
                header=HeaderValue(key=key, value=value),
                append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
            )
        )
    return mapper


def _ads() -> ConfigSource:
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def _cidr(text: str) -> CidrRange:
    address, _, length = text.partition("/")
    bits = int(length) if length else (128 if ":" in address else 32)
    return CidrRange(address_prefix=address, prefix_len=UInt32Value(value=bits))


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
