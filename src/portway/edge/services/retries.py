"""Retries: a request that failed on one server is tried on another when that is safe.

Safe are, for every method, failures after which the server cannot have processed the request,
and any reset for methods that may be repeated (RFC 9110 section 9.2.2). The policy belongs to the
cluster, so routes stay small, and holds what is safe for every method. Envoy adds the conditions
of the header ``x-envoy-retry-on`` to it: the route table sets the header to "reset" where it is
absent, and for methods that must not be repeated the listener has set it to something that adds
nothing. (``retriable_request_headers`` would not do: they switch off all conditions.)
"""

from __future__ import annotations

from envoy.config.route.v3.route_components_pb2 import RetryPolicy
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from portway.envoy.messages import pack

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
NEVER_PROCESSED = "connect-failure,refused-stream,reset-before-request"
HEADER = "x-envoy-retry-on"
REPEATABLE = "reset"
NOT_REPEATABLE = "connect-failure"
IDEMPOTENT_METHODS = "|".join(sorted(IDEMPOTENT, key=lambda method: (method != "GET", method)))
"""A regular expression for the methods that may be repeated, the most frequent first."""

_RETRIES = 3
# How often to draw again when the draw is an endpoint already tried: many times, for one of
# greater weight, or one that looks idle because it refuses, is drawn more often.
_HOST_ATTEMPTS = 64


def cluster_policy() -> RetryPolicy:
    """Up to three more attempts at once, never on a server that was tried already."""
    message = RetryPolicy(
        retry_on=NEVER_PROCESSED,
        num_retries=UInt32Value(value=_RETRIES),
        host_selection_retry_max_attempts=_HOST_ATTEMPTS,
    )
    message.retry_host_predicate.add(
        name="previous_hosts", typed_config=pack(PreviousHostsPredicate())
    )
    message.retry_back_off.base_interval.CopyFrom(Duration(nanos=1_000_000))
    message.retry_back_off.max_interval.CopyFrom(Duration(nanos=10_000_000))
    return message
