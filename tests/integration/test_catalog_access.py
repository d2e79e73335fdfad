"""Who sees and writes what of the catalog, with default deny."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings
from portway.discovery.operations import coordinates
from tests.integration.discovery_rig import MANAGEMENT, Discovery, Reply, running


class Guarded:
    """Discovery with access control, and tokens for rules."""

    def __init__(self, discovery: Discovery) -> None:
        self.discovery = discovery

    async def token(self, rules: str) -> str:
        """The secret of a token with these rules."""
        policy = await self._made(
            "/v1/acl/policy", {"Name": f"p{abs(hash(rules))}", "Rules": rules}
        )
        token = await self._made("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})
        return str(token["SecretID"])

    async def _made(self, path: str, body: dict[str, Any]) -> Any:
        reply = await self.discovery.put(path, body, X_Consul_Token=MANAGEMENT)
        assert reply.status == 200, reply.text
        return reply.json

    async def get(self, path: str, token: str) -> Reply:
        return await self.discovery.get(path, X_Consul_Token=token)

    async def put(self, path: str, body: Any, token: str) -> Reply:
        return await self.discovery.put(path, body, X_Consul_Token=token)


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    """web and db on n1, web on n2; every node has a check, a coordinate and a service's check."""
    acl = AclSettings(enabled=True, default_allow=False)
    async with running(Settings(default_policy="deny"), acl) as discovery:
        started = Guarded(discovery)
        for node, name in (("n1", "web"), ("n1", "db"), ("n2", "web")):
            body = {
                "Node": node,
                "Address": "10.0.0.1",
                "Service": {"Service": name, "Port": 1, "Connect": {"Native": True}},
                "Checks": [
                    {"CheckID": f"{name}-up", "Status": "passing", "ServiceID": name},
                    {"CheckID": "disk", "Status": "passing"},
                ],
            }
            reply = await started.put("/v1/catalog/register", body, MANAGEMENT)
            assert reply.text == "true", reply.text
            vec = [0.0] * 8
            body = {"Node": node, "Coord": {"Vec": vec}}
            reply = await started.put("/v1/coordinate/update", body, MANAGEMENT)
            assert reply.status == 200, reply.text
        await coordinates.flush(discovery.server)
        yield started


NODE = 'node "n1" { policy = "read" }'
WEB = 'service "web" { policy = "read" }'
ALL = 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }'


def names(path: str, found: Any) -> Any:
    """What an answer lists, in short."""
    if "topology" in path or found is None:
        return found
    if path.startswith(("/v1/catalog/node/", "/v1/catalog/node-services/")):
        return None if found["Node"] is None else [found["Node"]["Node"], len(found["Services"])]
    if path.startswith("/v1/health/") and not path.startswith(
        ("/v1/health/node", "/v1/health/checks", "/v1/health/state")
    ):
        return [row["Node"]["Node"] for row in found]
    if path == "/v1/internal/ui/services":
        return [row["Name"] for row in found]
    if isinstance(found, dict):
        return sorted(found)
    return [row.get("CheckID") or row["Node"] for row in found]


@pytest.mark.parametrize(
    ("path", "everything", "with_node", "with_service", "with_both"),
    [
        ("/v1/catalog/nodes", ["n1", "n2"], ["n1"], [], ["n1"]),
        ("/v1/catalog/services", ["db", "web"], [], [], ["web"]),
        ("/v1/catalog/service/web", ["n1", "n2"], [], [], ["n1"]),
        ("/v1/catalog/service/db", ["n1"], [], [], []),
        ("/v1/catalog/node/n1", ["n1", 2], ["n1", 0], None, ["n1", 1]),
        ("/v1/catalog/node-services/n1", ["n1", 2], ["n1", 0], None, ["n1", 1]),
        ("/v1/catalog/node-services/n2", ["n2", 1], None, None, None),
        ("/v1/health/service/web", ["n1", "n2"], [], [], ["n1"]),
        ("/v1/health/node/n1", ["db-up", "disk", "web-up"], ["disk"], [], ["disk", "web-up"]),
        ("/v1/health/checks/web", ["web-up", "web-up"], [], [], ["web-up"]),
        (
            "/v1/health/state/passing",
            ["db-up", "disk", "web-up", "disk", "web-up"],
            ["disk"],
            [],
            ["disk", "web-up"],
        ),
        ("/v1/coordinate/nodes", ["n1", "n2"], ["n1"], [], ["n1"]),
        ("/v1/internal/ui/nodes", ["n1", "n2"], ["n1"], [], ["n1"]),
        ("/v1/internal/ui/services", ["db", "web"], [], [], ["web"]),
    ],
)
async def test_what_may_not_be_seen_is_left_out(
    guarded: Guarded,
    path: str,
    everything: Any,
    with_node: Any,
    with_service: Any,
    with_both: Any,
) -> None:
    header = "X-Consul-Results-Filtered-By-ACLs"
    for rules, expected in (
        (ALL, everything),
        (NODE, with_node),
        (WEB, with_service),
        (NODE + WEB, with_both),
    ):
        reply = await guarded.get(path, await guarded.token(rules))
        assert reply.status == 200, reply.text
        assert names(path, reply.json) == expected, rules
        assert reply.headers.get(header) == (None if expected == everything else "true")
    anonymous = await guarded.discovery.get(path)
    assert anonymous.status == 200
    assert not anonymous.json or names(path, anonymous.json) is None
    assert header not in anonymous.headers, "without a token nothing is said"
    unknown = await guarded.get(path, "00000000-1111-2222-3333-444444444444")
    assert (unknown.status, unknown.text) == (403, "ACL not found")


async def test_the_mesh_is_only_shown_to_who_may_see_the_service(guarded: Guarded) -> None:
    both = await guarded.token(NODE + WEB)
    node = await guarded.token(NODE)
    for path in ("/v1/catalog/connect/web", "/v1/health/connect/web"):
        assert names(path, (await guarded.get(path, both)).json) == ["n1"]
    listed = await guarded.get("/v1/catalog/connect/web", node)
    assert (listed.status, listed.json) == (200, [])
    assert listed.headers["X-Consul-KnownLeader"] == "false"
    for path in ("/v1/health/connect/web", "/v1/health/ingress/web"):
        refused = await guarded.get(path, node)
        assert (refused.status, refused.text) == (403, "Permission denied")


async def test_a_service_is_shown_whole_to_who_may_see_all(guarded: Guarded) -> None:
    """A kept body of one caller is never another's."""
    everything = await guarded.token(ALL)
    part = await guarded.token(NODE + WEB)
    for path in ("/v1/health/service/web", "/v1/catalog/service/web", "/v1/catalog/nodes"):
        for _ in range(2):
            assert len((await guarded.get(path, everything)).json) == 2
            assert len((await guarded.get(path, part)).json) == 1


REGISTER, DEREGISTER = "/v1/catalog/register", "/v1/catalog/deregister"
COORDINATE = "/v1/coordinate/update"
WRITE_NODE = 'node "n1" { policy = "write" }'
WRITE_WEB = 'service "web" { policy = "write" }'
N1 = {"Node": "n1", "Address": "10.0.0.1"}


@pytest.mark.parametrize(
    ("path", "body", "rules", "lacking"),
    [
        (REGISTER, N1 | {"Address": "10.0.0.2"}, WRITE_WEB + ALL, "node:write' on \"n1"),
        (REGISTER, N1 | {"Address": "10.0.0.2"}, WRITE_NODE, ""),
        (REGISTER, {"Node": "n9", "Address": "a"}, WRITE_NODE, "node:write' on \"n9"),
        (REGISTER, N1 | {"Service": {"Service": "web"}}, WRITE_NODE, "service:write' on \"web"),
        (REGISTER, N1 | {"Service": {"Service": "web"}}, WRITE_WEB, ""),
        (REGISTER, N1 | {"Check": {"CheckID": "disk"}}, WRITE_WEB, "node:write' on \"n1"),
        (REGISTER, N1 | {"Check": {"CheckID": "x", "ServiceID": "web"}}, WRITE_WEB, ""),
        (
            REGISTER,
            N1 | {"Service": {"Service": "web", "ID": "db"}},
            WRITE_WEB,
            "service:write' on \"db",
        ),
        (DEREGISTER, {"Node": "n1"}, WRITE_WEB, "node:write' on \"n1"),
        (DEREGISTER, {"Node": "n1"}, WRITE_NODE, ""),
        (DEREGISTER, {"Node": "n1", "ServiceID": "web"}, WRITE_WEB, ""),
        (DEREGISTER, {"Node": "n1", "ServiceID": "db"}, WRITE_WEB, "service:write' on \"db"),
        (DEREGISTER, {"Node": "n1", "CheckID": "web-up"}, WRITE_WEB, ""),
        (COORDINATE, {"Node": "n1", "Coord": {"Vec": [0.0] * 8}}, NODE, "node:write' on \"n1"),
        (COORDINATE, {"Node": "n1", "Coord": {"Vec": [0.0] * 8}}, WRITE_NODE, ""),
    ],
)
async def test_who_may_write(
    guarded: Guarded, path: str, body: dict[str, Any], rules: str, lacking: str
) -> None:
    before = guarded.discovery.server.state.view.revision
    anonymous = await guarded.discovery.put(path, body)
    assert anonymous.status == 403
    assert guarded.discovery.server.state.view.revision == before
    token = await guarded.token(rules)
    before = guarded.discovery.server.state.view.revision
    reply = await guarded.put(path, body, token)
    if lacking:
        assert reply.status == 403
        assert f"lacks permission '{lacking}\"" in reply.text
        assert token not in reply.text
        assert guarded.discovery.server.state.view.revision == before
    else:
        assert reply.status == 200, reply.text


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/v1/internal/ui/catalog-overview", 'operator = "read"'),
        ("/v1/internal/ui/service-topology/web?kind=", WEB),
        ("/v1/internal/ui/gateway-services-nodes/web", WEB),
        ("/v1/internal/ui/gateway-intentions/web", WEB),
        ("/v1/catalog/gateway-services/web", WEB),
        ("/v1/peerings", 'peering = "read"'),
        ("/v1/internal/federation-states", 'operator = "read"'),
    ],
)
async def test_what_is_refused_altogether(guarded: Guarded, path: str, needed: str) -> None:
    assert (await guarded.discovery.get(path)).status == 403
    assert (await guarded.get(path, await guarded.token(NODE))).status == 403
    assert (await guarded.get(path, await guarded.token(needed))).status == 200


async def test_who_is_behind_is_only_shown_to_who_may_see(guarded: Guarded) -> None:
    topology = await guarded.get(
        "/v1/internal/ui/service-topology/web?kind=", await guarded.token(WEB)
    )
    assert topology.json["FilteredByACLs"] is True
