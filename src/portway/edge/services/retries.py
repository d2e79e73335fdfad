"""Retries: a request that failed on one server is tried on another when that is safe.

Safe are, for every method, failures after which the server cannot have processed the request,
and any reset for methods that may be repeated (RFC 9110 section 9.2.2). The policy belongs to the
cluster, so routes stay small. It applies to idempotent methods; for the others the listener
adds the header ``x-envoy-retry-on`` with the safe conditions alone.
"""

from __future__ import annotations

from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, RetryPolicy
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from portway.envoy.messages import pack

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
NEVER_PROCESSED = "connect-failure,refused-stream,reset-before-request"
HEADER = "x-envoy-retry-on"
IDEMPOTENT_METHODS = "|".join(sorted(IDEMPOTENT, key=lambda method: (method != "GET", method)))
"""A regular expression for the methods that may be repeated, the most frequent first."""

_RETRIES = 3
_HOST_ATTEMPTS = 5  # how often to draw again when the draw is an endpoint already tried


def policy(conditions: str) -> RetryPolicy:
    """Up to three more attempts at once, never on a server that was tried already."""
    message = RetryPolicy(
        retry_on=conditions,
        num_retries=UInt32Value(value=_RETRIES),
        host_selection_retry_max_attempts=_HOST_ATTEMPTS,
    )
    message.retry_host_predicate.add(
        name="previous_hosts", typed_config=pack(PreviousHostsPredicate())
    )
    message.retry_back_off.base_interval.CopyFrom(Duration(nanos=1_000_000))
    message.retry_back_off.max_interval.CopyFrom(Duration(nanos=10_000_000))
    return message


def cluster_policy(*, impatient: bool) -> RetryPolicy:
    """The policy of a cluster; it prevails over the conditions of a route's own.

    ``impatient`` says that routes limit the time until an answer begins. Envoy counts a server
    that is too slow as reset, and that one must not be asked again.
    """
    if impatient:
        return policy(NEVER_PROCESSED)
    message = policy(f"{NEVER_PROCESSED},reset")
    method = HeaderMatcher(name=":method")
    method.string_match.safe_regex.regex = IDEMPOTENT_METHODS
    message.retriable_request_headers.append(method)
    return message
