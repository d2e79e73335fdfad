"""Requests that upgrade their connection (WebSocket) to servers that speak HTTP/2.

An upgrade in the sense of HTTP/1.1 cannot be carried over HTTP/2 (RFC 9113 section 8.6), and few
servers know its successor (RFC 8441). Traefik sends such requests by HTTP/1.1 whatever the
server prefers; here they go to a second cluster of the same endpoints.
"""

from __future__ import annotations

from typing import Final

from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.route.v3.route_components_pb2 import ClusterSpecifierPlugin
from envoy.extensions.router.cluster_specifiers.matcher.v3.matcher_pb2 import (
    ClusterAction,
    MatcherClusterSpecifier,
)
from envoy.type.matcher.v3.http_inputs_pb2 import HttpRequestHeaderMatchInput
from google.protobuf.message import Message
from xds.core.v3 import extension_pb2 as xds_extension
from xds.type.matcher.v3.matcher_pb2 import Matcher
from xds.type.matcher.v3.regex_pb2 import RegexMatcher
from xds.type.matcher.v3.string_pb2 import StringMatcher

from portway.envoy.messages import pack

SUFFIX: Final = "~upgrade"
"""What the name of a service's cluster for upgrades ends with."""


def choose_cluster(service: str) -> ClusterSpecifierPlugin:
    """Sends requests with an ``Upgrade`` header to the service's cluster for upgrades and all
    others to the service's own: a route's ``inline_cluster_specifier_plugin``."""
    with_upgrade = Matcher.MatcherList.Predicate(
        single_predicate=Matcher.MatcherList.Predicate.SinglePredicate(
            input=_extension("upgrade", HttpRequestHeaderMatchInput(header_name="upgrade")),
            value_match=StringMatcher(safe_regex=_ANYTHING),
        )
    )
    matcher = Matcher(
        matcher_list=Matcher.MatcherList(
            matchers=[
                Matcher.MatcherList.FieldMatcher(
                    predicate=with_upgrade, on_match=_use(service + SUFFIX)
                )
            ]
        ),
        on_no_match=_use(service),
    )
    specifier = MatcherClusterSpecifier(cluster_matcher=matcher)
    return ClusterSpecifierPlugin(
        extension=TypedExtensionConfig(name="by-upgrade", typed_config=pack(specifier))
    )


def of_cluster(name: str) -> str:
    """The service a cluster belongs to."""
    return name.removesuffix(SUFFIX)


_ANYTHING = RegexMatcher(regex=".+", google_re2=RegexMatcher.GoogleRE2())


def _use(cluster: str) -> Matcher.OnMatch:
    return Matcher.OnMatch(action=_extension("cluster", ClusterAction(cluster=cluster)))


def _extension(name: str, config: Message) -> xds_extension.TypedExtensionConfig:
    return xds_extension.TypedExtensionConfig(name=name, typed_config=pack(config))
