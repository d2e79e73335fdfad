"""Routers: a runtime router becomes the action part of its Envoy routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RetryPolicy,
    Route,
    RouteAction,
)
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from portway.edge import pipeline, services
from portway.edge.compile.forwarded import pack
from portway.edge.compile.route_table import CompiledRouter, Order
from portway.edge.middlewares.step import Step
from portway.edge.runtime import RouterInfo
from portway.edge.services import RouteNeeds
from portway.rules import alternatives, parse

# Failures after which the upstream cannot have processed the request, for every method, and
# any reset for methods that may be repeated (RFC 9110 section 9.2.2).
_NEVER_PROCESSED = "connect-failure,refused-stream,reset-before-request"
_RETRY = {
    "idempotent": _NEVER_PROCESSED + ",reset",
    "other": _NEVER_PROCESSED,
}
_RETRIES = 3
_HOST_ATTEMPTS = 5  # how often to draw again when the draw is an endpoint already tried


class Compiled(NamedTuple):
    """A router for one entry point: its routes and the named filter chains they use."""

    router: CompiledRouter
    chains: Mapping[str, Mapping[str, pipeline.Chain]]  # slot -> chain name -> filters


def _retry(kind: str) -> RetryPolicy:
    policy = RetryPolicy(
        retry_on=_RETRY[kind],
        num_retries=UInt32Value(value=_RETRIES),
        host_selection_retry_max_attempts=_HOST_ATTEMPTS,
    )
    policy.retry_host_predicate.add(
        name="previous_hosts", typed_config=pack(PreviousHostsPredicate())
    )
    policy.retry_back_off.base_interval.CopyFrom(Duration(nanos=1_000_000))
    policy.retry_back_off.max_interval.CopyFrom(Duration(nanos=10_000_000))
    return policy


_POLICIES = {kind: _retry(kind) for kind in _RETRY}


def _within(policy: RetryPolicy, seconds: float) -> RetryPolicy:
    """The policy with a limit on the time until an answer begins; 0 means none."""
    if not seconds:
        return policy
    limited = RetryPolicy()
    limited.CopyFrom(policy)
    limited.per_try_timeout.FromNanoseconds(round(seconds * 1e9))
    return limited


def compile_router(
    info: RouterInfo,
    order: Order,
    steps: Sequence[Step],
    needs: RouteNeeds,
    ping_status: int = 200,
) -> Compiled:
    """The routes of an enabled router; ``ping_status`` is what ``ping@internal`` answers. Pure.

    Raises :class:`portway.rules.RuleError` when the rule has too many alternatives and
    :class:`portway.edge.pipeline.TooManySteps` when the middlewares need too many filters.
    """
    rule = parse(info.config.rule)
    arrangement = pipeline.arrange(steps)
    answer = None
    if info.service == "ping@internal":
        answer = _direct(ping_status, "OK" if ping_status == 200 else "Service Unavailable")
    elif info.service == "noop@internal":
        answer = _direct(418, "")
    routes = {
        kind: _route(info, arrangement.per_filter_config, needs, answer, kind)
        for kind in ("idempotent", "other")
    }
    compiled = CompiledRouter(order, alternatives(rule), routes["idempotent"], routes["other"])
    return Compiled(compiled, arrangement.chains)


def _direct(status: int, body: str) -> DirectResponseAction:
    answer = DirectResponseAction(status=status)
    if body:
        answer.body.inline_string = body
    return answer


_PLAIN = HeaderValueOption(
    header=HeaderValue(key="content-type", value="text/plain; charset=utf-8"),
    append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
)

API_CLUSTER = "portway-api"


def _route(
    info: RouterInfo,
    filters: Mapping[str, Any],
    needs: RouteNeeds,
    answer: DirectResponseAction | None,
    kind: str,
) -> bytes:
    route = Route(name=info.name, typed_per_filter_config=filters)
    if answer is not None:
        route.direct_response.CopyFrom(answer)
        route.response_headers_to_add.append(_PLAIN)
        return bytes(route.SerializeToString(deterministic=True))
    action = RouteAction(
        timeout=Duration(),
        retry_policy=_within(_POLICIES[kind], needs.response_header_timeout),
        cluster_not_found_response_code=RouteAction.SERVICE_UNAVAILABLE,
    )
    if needs.upgrades:
        action.inline_cluster_specifier_plugin.CopyFrom(services.choose_cluster(info.service))
    else:
        action.cluster = API_CLUSTER if info.service == "api@internal" else info.service
    if needs.response_header_timeout:
        # Envoy counts a server that is too slow to begin as reset: it must not be asked again.
        action.retry_policy.CopyFrom(_POLICIES["other"])
        limit = action.retry_policy.per_try_timeout
        limit.FromMilliseconds(round(needs.response_header_timeout * 1000))
    if needs.rewrite_host:
        action.auto_host_rewrite.CopyFrom(BoolValue(value=True))
    if needs.hash_client:
        action.hash_policy.add().connection_properties.source_ip = True
    route.route.CopyFrom(action)
    route.request_headers_to_remove.extend(pipeline.PRIVATE_HEADERS)
    return bytes(route.SerializeToString(deterministic=True))
