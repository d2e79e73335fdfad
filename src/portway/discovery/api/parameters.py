"""Parameters that are refused before an endpoint looks at any."""

from __future__ import annotations

import re

from portway.discovery.api.blocking import check_read
from portway.discovery.api.error import bad_request
from portway.discovery.api.request import Request

_UNREADABLE = re.compile(rb";|%(?![0-9A-Fa-f]{2})")
_ENTERPRISE = (
    ("ns", "X-Consul-Namespace", "Namespaces"),
    ("partition", "X-Consul-Partition", "Partitions"),
)

# Endpoints of what is neither in a namespace nor in a partition, which look at neither.
_IN_NONE = frozenset(
    {
        "/v1/agent/version",
        "/v1/catalog/datacenters",
        "/v1/connect/intentions/",
        "/v1/coordinate/datacenters",
        "/v1/event/list",
        "/v1/internal/federation-state/",
        "/v1/internal/federation-states",
        "/v1/internal/federation-states/mesh-gateways",
        "/v1/internal/ui/catalog-overview",
        "/v1/internal/ui/metrics-proxy/",
        "/v1/operator/autopilot/configuration",
        "/v1/operator/autopilot/health",
        "/v1/operator/autopilot/state",
        "/v1/operator/keyring",
        "/v1/operator/raft/configuration",
        "/v1/query",
        "/v1/query/",
        "/v1/status/leader",
        "/v1/status/peers",
    }
)
# Endpoints of nodes and peers, which are in a partition only.
_IN_NO_NAMESPACE = _IN_NONE | {
    "/v1/agent/members",
    "/v1/catalog/nodes",
    "/v1/coordinate/node/",
    "/v1/coordinate/nodes",
    "/v1/exported-services",
    "/v1/peering/",
    "/v1/peerings",
}
# Reads that do not wait, and look at the parameters of those that do all the same.
_CHECKED = (
    "/v1/config/",
    "/v1/connect/intentions",
    "/v1/internal/federation-state",
    "/v1/internal/ui/catalog-overview",
    "/v1/internal/ui/exported-services",
    "/v1/internal/ui/service-topology/",
    "/v1/operator/autopilot/",
    "/v1/operator/raft/configuration",
    "/v1/operator/usage",
    "/v1/peering",
    "/v1/query/",
)


def check(request: Request) -> None:
    """Refuse what no endpoint takes. Raises ApiError (400)."""
    if _UNREADABLE.search(request.scope["query_string"]):
        raise bad_request("Invalid query: a semicolon, or a % that begins no escape")
    if request.context.tokens.enabled or not request.route.startswith("/v1/acl/"):
        _check_enterprise(request)
    if request.method == "GET" and request.route.startswith(_CHECKED):
        check_read(request)


def _check_enterprise(request: Request) -> None:
    for name, header, what in _ENTERPRISE:
        if request.route in (_IN_NO_NAMESPACE if name == "ns" else _IN_NONE):
            continue
        if request.param(name):
            raise bad_request(
                f'Invalid query parameter: "{name}" - {what} are a Consul Enterprise feature'
            )
        if request.headers.get(header.lower()):
            raise bad_request(
                f'Invalid header: "{header}" - {what} are a Consul Enterprise feature'
            )
