"""Which reads say how consistent they were, and which have the headers of a read when refused."""

from __future__ import annotations

from portway.discovery.api.request import Request

_TELL_CONSISTENCY = (
    *("/v1/catalog/", "/v1/health/", "/v1/query", "/v1/discovery-chain/"),
    *("/v1/connect/intentions/match", "/v1/operator/usage"),
)
_TELL_WHEN_REFUSED = (
    *("/v1/acl/policies", "/v1/acl/policy/", "/v1/acl/role", "/v1/acl/token", "/v1/acl/auth"),
    *("/v1/acl/binding", "/v1/catalog/", "/v1/coordinate/node", "/v1/discovery-chain/"),
    *("/v1/health/checks/", "/v1/health/node/", "/v1/health/state/", "/v1/internal/federation"),
    *("/v1/internal/ui/nodes", "/v1/internal/ui/node/", "/v1/internal/ui/services"),
    "/v1/internal/ui/exported-services",
    *("/v1/internal/ui/gateway", "/v1/internal/ui/service-topology/", "/v1/operator/usage"),
    *("/v1/query", "/v1/session/", "/v1/connect/ca/roots", "/v1/connect/intentions/match"),
)
_TELL_WHEN_MISSING = ("/v1/config/",)
"""The reads that tell of an entry that is not there what they tell of others."""
_NOTHING_KNOWN = {
    "X-Consul-Index": "1",
    "X-Consul-KnownLeader": "false",
    "X-Consul-LastContact": "0",
}
_READ = (*_NOTHING_KNOWN, "X-Consul-Effective-Consistency", "X-Consul-Query-Backend")


def tells_consistency(request: Request) -> bool:
    """Whether the answer says how consistent it is."""
    return request.route.startswith(_TELL_CONSISTENCY)


def know_nothing(request: Request) -> None:
    """Let the answer have the headers of a read that knows nothing."""
    request.answer_headers |= _NOTHING_KNOWN


def refuse(request: Request, status: int) -> None:
    """Take what was to be told of a read out of the headers of its refusal."""
    if status == 404 and request.method == "GET" and request.route.startswith(_TELL_WHEN_MISSING):
        return
    for name in _READ:
        request.answer_headers.pop(name, None)
    tells = request.route.startswith(_TELL_WHEN_REFUSED) or request.route == (
        "/v1/connect/intentions"
    )
    denied: tuple[int, ...] = (
        (403,) if request.route == "/v1/connect/intentions/match" else (403, 500)
    )
    if request.route.startswith("/v1/query"):
        denied = (403, 404, 500)
    if tells and request.method == "GET" and status in denied:
        know_nothing(request)
