"""Ways around access control that somebody with a few rights might try."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings
from tests.integration.discovery_rig import MANAGEMENT, Discovery, running

VICTIM = "aaaaaaaa-0000-4000-8000-000000000001"
INTRUDER = 'node "intruder" { policy = "write" } service "web" { policy = "write" }'
ALL_BUT_DB = """
node_prefix "" { policy = "write" } node "db" { policy = "deny" }
session_prefix "" { policy = "write" } session "db" { policy = "deny" }
service_prefix "" { policy = "read" }
"""


class Guarded:
    """Two nodes, ``db`` with the ID ``VICTIM`` and ``shared``, on which web and api run."""

    def __init__(self, discovery: Discovery) -> None:
        self.discovery = discovery

    async def put(self, path: str, body: Any, token: str = MANAGEMENT) -> tuple[int, str]:
        reply = await self.discovery.put(path, body, X_Consul_Token=token)
        return reply.status, reply.text

    async def json(self, path: str) -> Any:
        return await self.discovery.json(path, X_Consul_Token=MANAGEMENT)

    async def token(self, rules: str) -> str:
        policy = await self.discovery.put(
            "/v1/acl/policy", {"Name": "p", "Rules": rules}, X_Consul_Token=MANAGEMENT
        )
        token = await self.discovery.put(
            "/v1/acl/token", {"Policies": [{"ID": policy.json["ID"]}]}, X_Consul_Token=MANAGEMENT
        )
        return str(token.json["SecretID"])


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    acl = AclSettings(enabled=True, default_allow=False)
    async with running(Settings(default_policy="deny"), acl) as discovery:
        started = Guarded(discovery)
        serf = {"CheckID": "serfHealth", "Status": "passing"}
        for body in (
            {"Node": "db", "ID": VICTIM, "Address": "10.0.0.1", "Check": serf},
            {"Node": "shared", "Address": "10.0.0.2", "Check": serf},
            *(
                {
                    "Node": "shared",
                    "SkipNodeUpdate": True,
                    "Service": {"Service": name},
                    "Check": {"CheckID": f"{name}-up", "Status": "passing", "ServiceID": name},
                }
                for name in ("web", "api")
            ),
        ):
            assert await started.put("/v1/catalog/register", body) == (200, "true")
        yield started


def _in_txn(kind: str, row: dict[str, Any], verb: str = "set") -> list[dict[str, Any]]:
    return [{kind: {"Verb": verb, kind: row}}]


@pytest.mark.parametrize("check", ["serfHealth", "api-up"])
async def test_who_may_write_a_service_cannot_take_a_check_of_others(
    guarded: Guarded, check: str
) -> None:
    token = await guarded.token(INTRUDER)
    row = {"Node": "shared", "CheckID": check, "Status": "critical", "ServiceID": "web"}
    body = {"Node": "shared", "SkipNodeUpdate": True, "Service": {"Service": "web"}, "Check": row}
    before = await guarded.json("/v1/health/node/shared")

    status, text = await guarded.put("/v1/catalog/register", body, token)
    assert (status, "lacks permission" in text) == (403, True), text
    status, text = await guarded.put("/v1/txn", _in_txn("Check", row), token)
    assert (status, "lacks permission" in text) == (409, True), text
    assert await guarded.json("/v1/health/node/shared") == before


async def test_who_may_write_a_service_cannot_make_its_check_one_of_the_node(
    guarded: Guarded,
) -> None:
    token = await guarded.token(INTRUDER)
    row = {"Node": "shared", "CheckID": "web-up", "Status": "critical"}

    status, text = await guarded.put("/v1/txn", _in_txn("Check", row), token)
    assert (status, "'node:write' on \\\"shared\\\"" in text) == (409, True), text


async def test_the_id_of_a_node_is_not_taken_from_it(guarded: Guarded) -> None:
    token = await guarded.token(INTRUDER)
    row = {"Node": "intruder", "ID": VICTIM, "Address": "10.0.0.66"}

    status, text = await guarded.put("/v1/catalog/register", row, token)
    assert (status, "'node:write' on \"db\"" in text) == (403, True), text
    status, text = await guarded.put("/v1/txn", _in_txn("Node", row), token)
    assert (status, "'node:write' on \\\"db\\\"" in text) == (409, True), text
    assert (await guarded.json("/v1/catalog/node/db"))["Node"]["Address"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/catalog/register", {"Node": "DB", "Address": "10.0.0.66"}),
        ("/v1/catalog/register", {"Node": "DB", "SkipNodeUpdate": True, "Check": {"Name": "x"}}),
        ("/v1/catalog/deregister", {"Node": "DB"}),
        ("/v1/catalog/deregister", {"Node": "DB", "CheckID": "serfHealth"}),
        ("/v1/coordinate/update", {"Node": "DB", "Coord": {"Vec": [0.0] * 8}}),
        ("/v1/session/create", {"Node": "DB", "NodeChecks": []}),
        ("/v1/txn", _in_txn("Node", {"Node": "DB", "Address": "10.0.0.66"})),
        ("/v1/txn", _in_txn("Node", {"Node": "DB"}, "delete")),
        ("/v1/txn", _in_txn("Check", {"Node": "DB", "CheckID": "new"})),
        ("/v1/txn", _in_txn("Check", {"Node": "DB", "CheckID": "serfHealth"}, "delete")),
    ],
)
async def test_a_rule_for_a_node_holds_for_every_spelling_of_its_name(
    guarded: Guarded, path: str, body: Any
) -> None:
    token = await guarded.token(ALL_BUT_DB)

    status, text = await guarded.put(path, body, token)
    assert "lacks permission" in text
    assert status == (409 if path == "/v1/txn" else 403)
    assert (await guarded.json("/v1/catalog/node/db"))["Node"]["Address"] == "10.0.0.1"
    assert [row["CheckID"] for row in await guarded.json("/v1/health/node/db")] == ["serfHealth"]


async def test_a_proxy_is_not_put_before_a_service_of_others(guarded: Guarded) -> None:
    token = await guarded.token(INTRUDER)
    service = {
        "ID": "web",
        "Service": "web",
        "Kind": "connect-proxy",
        "Port": 1,
        "Proxy": {"DestinationServiceName": "api"},
    }
    body = [{"Service": {"Verb": "set", "Node": "shared", "Service": service}}]

    status, text = await guarded.put("/v1/txn", body, token)
    assert (status, "'service:write' on \\\"api\\\"" in text) == (409, True), text


async def test_what_belongs_to_the_caller_may_still_be_written(guarded: Guarded) -> None:
    token = await guarded.token(INTRUDER)
    row = {"Node": "shared", "CheckID": "web-up", "Status": "warning", "ServiceID": "web"}
    body = {"Node": "SHARED", "SkipNodeUpdate": True, "Service": {"Service": "web"}, "Check": row}

    assert await guarded.put("/v1/catalog/register", body, token) == (200, "true")
    assert (await guarded.put("/v1/txn", _in_txn("Check", row), token))[0] == 200
    assert (await guarded.put("/v1/txn", _in_txn("Check", row, "delete"), token))[0] == 200
    body = {"Node": "intruder", "Address": "10.0.0.66", "Check": {"Name": "x"}}
    assert await guarded.put("/v1/catalog/register", body, token) == (200, "true")
    assert await guarded.put("/v1/catalog/deregister", {"Node": "intruder"}, token) == (
        200,
        "true",
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/internal/acl/authorize"),
        ("PUT", "/v1/acl/token"),
        ("PUT", "/v1/acl/policy"),
        ("PUT", "/v1/acl/role"),
        ("PUT", "/v1/acl/auth-method"),
        ("PUT", "/v1/acl/binding-rule"),
        ("POST", "/v1/acl/login"),
        ("PUT", "/v1/catalog/register"),
        ("PUT", "/v1/session/create"),
        ("POST", "/v1/query"),
        ("PUT", "/v1/config"),
        ("PUT", "/v1/coordinate/update"),
        ("PUT", "/v1/operator/autopilot/configuration"),
    ],
)
async def test_small_things_have_small_bodies(guarded: Guarded, method: str, path: str) -> None:
    body = b'[{"Description": "' + b"x" * (1 << 20) + b'"}]'

    reply = await guarded.discovery.call(method, path, body, X_Consul_Token=MANAGEMENT)
    assert reply.status == 413, reply.text
