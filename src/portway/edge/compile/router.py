"""Routers: a runtime router becomes the action part of its Envoy routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    Route,
    RouteAction,
)
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue

from portway.edge import pipeline, services
from portway.edge.compile.route_table import CompiledRouter, Order
from portway.edge.middlewares.step import Step
from portway.edge.runtime import RouterInfo
from portway.edge.services import RouteNeeds, retries
from portway.rules import alternatives, parse


class Compiled(NamedTuple):
    """A router for one entry point: its routes and the named filter chains they use."""

    router: CompiledRouter
    chains: Mapping[str, Mapping[str, pipeline.Chain]]  # slot -> chain name -> filters


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
    route = _route(info, arrangement.per_filter_config, needs, answer)
    compiled = CompiledRouter(order, alternatives(rule), route)
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

_NOT_REPEATABLE = HeaderValueOption(
    header=HeaderValue(key=retries.HEADER, value=retries.NOT_REPEATABLE),
    append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
)

API_CLUSTER = "portway-api"


def _route(
    info: RouterInfo,
    filters: Mapping[str, Any],
    needs: RouteNeeds,
    answer: DirectResponseAction | None,
) -> bytes:
    route = Route(name=info.name, typed_per_filter_config=filters)
    if answer is not None:
        route.direct_response.CopyFrom(answer)
        route.response_headers_to_add.append(_PLAIN)
        return bytes(route.SerializeToString(deterministic=True))
    action = RouteAction(
        timeout=Duration(),
        cluster_not_found_response_code=RouteAction.SERVICE_UNAVAILABLE,
    )
    if needs.upgrades:
        action.inline_cluster_specifier_plugin.CopyFrom(services.choose_cluster(info.service))
    else:
        action.cluster = API_CLUSTER if info.service == "api@internal" else info.service
    if needs.response_header_timeout:
        # Envoy counts a server that is too slow as reset, and that one must not be asked again.
        route.request_headers_to_add.append(_NOT_REPEATABLE)
        limit = action.retry_policy.per_try_timeout
        limit.FromMilliseconds(round(needs.response_header_timeout * 1000))
    if needs.rewrite_host:
        action.auto_host_rewrite.CopyFrom(BoolValue(value=True))
    if needs.hash_client:
        action.hash_policy.add().connection_properties.source_ip = True
    route.route.CopyFrom(action)
    return bytes(route.SerializeToString(deterministic=True))
