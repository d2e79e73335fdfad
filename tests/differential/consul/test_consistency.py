"""Which reads tell how consistent they were, in each mode."""

from __future__ import annotations

import pytest

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

READS = (
    *("catalog/nodes", "catalog/services", "catalog/service/consul", "catalog/node/node-1"),
    *("catalog/node-services/node-1", "catalog/connect/consul", "catalog/gateway-services/x"),
    *("catalog/datacenters", "health/node/node-1", "health/checks/consul", "health/state/any"),
    *("health/service/consul", "health/connect/consul", "health/ingress/consul", "session/list"),
    *("session/node/node-1", "session/info/00000000-0000-0000-0000-000000000001", "query"),
    *("kv/nope", "kv/nope?keys", "kv/nope?recurse", "config/service-defaults", "event/list"),
    *("connect/intentions", "connect/intentions/match?by=source&name=x", "coordinate/nodes"),
    *("coordinate/datacenters", "operator/usage"),
    *("operator/raft/configuration", "status/leader", "status/peers", "agent/services"),
    *("internal/ui/nodes", "internal/ui/services", "internal/ui/node/node-1"),
    *("acl/policies", "acl/roles", "acl/tokens", "acl/token/self", "acl/auth-methods"),
    *("acl/binding-rules", "acl/policy/name/global-management", "acl/role/name/x"),
)


@pytest.mark.parametrize("mode", ["", "stale", "consistent", "leader", "max_stale=1s"])
def test_reads(play: Play, mode: str) -> None:
    def scenario(ask: World) -> None:
        for path in READS:
            query = f"{'&' if '?' in path else '?'}{mode}" if mode else ""
            answer = ask.get(f"{path}{query}", record=False)
            told = {name.lower(): value for name, value in answer.headers.items()}
            names = ("effective-consistency", "knownleader", "lastcontact")
            facts = {name: told.get(f"x-consul-{name}") for name in names}
            ask.note(f"{path} {mode}", {**facts, "status": answer.status})

    play(scenario, GUARDED, token=MANAGEMENT)
