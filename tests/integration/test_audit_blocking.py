"""Blocking queries beside those of services and keys: every family, every rule.

Who waits for what, and what the index of each reading is, follows Consul's documented rules; where
Portway wakes fewer readers, they are named in ``docs/compatibility-consul.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings, blocking
from tests.integration.discovery_rig import MANAGEMENT, Discovery, Reply, running
from tests.patience import PATIENCE

SESSION = "/v1/session/create"
DEFAULTS = {"Kind": "service-defaults", "Name": "web", "Protocol": "http"}
QUERY = {"Name": "q", "Service": {"Service": "web"}}


class Change(NamedTuple):
    """A write, and the blocking reads it answers; all others go on waiting."""

    method: str
    path: str
    body: Any
    woken: set[str]


READS = {
    "sessions": "/v1/session/list",
    "of a node": "/v1/session/node/here",
    "no session": "/v1/session/info/8f246b77-f3e1-ff88-5b48-8ec93abf3e05",
    "queries": "/v1/query",
    "no query": "/v1/query/8f246b77-f3e1-ff88-5b48-8ec93abf3e05",
    "defaults": "/v1/config/service-defaults",
    "one default": "/v1/config/service-defaults/api",
    "resolvers": "/v1/config/service-resolver",
    "intentions": "/v1/connect/intentions",
    "one intention": "/v1/connect/intentions/exact?source=a&destination=b",
    "matching": "/v1/connect/intentions/match?by=destination&name=b",
    "tokens": "/v1/acl/tokens",
    "policies": "/v1/acl/policies",
    "roles": "/v1/acl/roles",
    "no policy": "/v1/acl/policy/name/none",
    "nodes": "/v1/catalog/nodes",
    "names": "/v1/catalog/services",
    "names of some": "/v1/catalog/services?node-meta=rack:a",
    "ui": "/v1/internal/ui/services",
    "ui nodes": "/v1/internal/ui/nodes",
    "gateway": "/v1/catalog/gateway-services/gw",
}
CATALOG = {"nodes", "ui", "ui nodes", "names of some"}
CHANGES = {
    "a session": Change("PUT", SESSION, {}, {"sessions", "of a node"}),
    "a query": Change("POST", "/v1/query", QUERY, {"queries"}),
    "an entry": Change("PUT", "/v1/config", DEFAULTS, {"defaults"}),
    "an entry that is waited for": Change(
        "PUT", "/v1/config", DEFAULTS | {"Name": "api"}, {"defaults", "one default"}
    ),
    "an entry of another kind": Change(
        "PUT", "/v1/config", {"Kind": "service-resolver", "Name": "web"}, {"resolvers"}
    ),
    "a policy": Change("PUT", "/v1/acl/policy", {"Name": "p"}, {"policies"}),
    "a policy that is waited for": Change(
        "PUT", "/v1/acl/policy", {"Name": "none"}, {"policies", "no policy"}
    ),
    "a role": Change("PUT", "/v1/acl/role", {"Name": "r"}, {"roles"}),
    "a token": Change("PUT", "/v1/acl/token", {}, {"tokens"}),
    "a node": Change("PUT", "/v1/catalog/register", {"Node": "n", "Address": "1.1.1.1"}, CATALOG),
    "a service": Change(
        "PUT",
        "/v1/catalog/register",
        {"Node": "here", "Address": "1.1.1.1", "Service": {"Service": "web"}},
        CATALOG - {"nodes"} | {"names"},
    ),
    "a check": Change(
        "PUT",
        "/v1/catalog/register",
        {"Node": "here", "Address": "1.1.1.1", "Check": {"Name": "c"}},
        {"ui", "ui nodes"},
    ),
    "a key": Change("PUT", "/v1/kv/a", b"v", set()),
}


@pytest.fixture
async def managed() -> AsyncIterator[Discovery]:
    """Discovery with access control, asked by who may do all."""
    async with running(Settings(node_name="here"), AclSettings(enabled=True)) as discovery:
        discovery.http.headers["X-Consul-Token"] = MANAGEMENT
        node = {"Node": "here", "Address": "1.1.1.1", "Check": {"CheckID": "serfHealth"}}
        await discovery.register(**node | {"Check": {"CheckID": "serfHealth", "Status": "passing"}})
        yield discovery


def told(discovery: Discovery, reply: Reply) -> int:
    """The index to wait with: some reads tell none of what is not there."""
    return int(reply.headers.get("X-Consul-Index", discovery.server.state.view.revision))


def blocked(path: str, index: int, wait: str = "60s") -> str:
    return f"{path}{'&' if '?' in path else '?'}index={index}&wait={wait}"


async def settled(discovery: Discovery, parked: dict[str, asyncio.Task[Reply]]) -> set[str]:
    """Who has been answered once nobody has anything left to do."""
    for _ in range(50):
        await asyncio.sleep(0)
    waiting = discovery.waits.now
    async with asyncio.timeout(PATIENCE):
        while sum(not task.done() for task in parked.values()) > waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # nothing announces it
    return {name for name, task in parked.items() if task.done()}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_answers_those_it_concerns(managed: Discovery, name: str) -> None:
    change = CHANGES[name]
    parked = {}
    for read, path in READS.items():
        first = await managed.get(path)
        parked[read] = await managed.parked(blocked(path, told(managed, first)))
    before = managed.server.state.view.revision
    written = await managed.call(change.method, change.path, change.body)
    assert written.status == 200, written.text
    assert await settled(managed, parked) == change.woken
    for read in change.woken:
        assert told(managed, await parked[read]) > before


async def test_the_end_of_a_session_is_told(managed: Discovery) -> None:
    session = (await managed.put(SESSION, {})).json["ID"]
    other = (await managed.put(SESSION, {})).json["ID"]
    info = await managed.get(f"/v1/session/info/{session}")
    task = await managed.parked(blocked(f"/v1/session/info/{session}", info.index))
    await managed.put(f"/v1/session/destroy/{other}")
    await asyncio.sleep(0.05)
    assert not task.done()
    await managed.put(f"/v1/session/destroy/{session}")
    reply = await task
    assert (reply.status, reply.json) == (200, [])
    assert reply.index > info.index


async def test_events_are_waited_for_by_an_index_that_only_has_to_differ(
    managed: Discovery,
) -> None:
    empty = await managed.get("/v1/event/list")
    assert (empty.index, empty.json) == (1, [])
    fired = await managed.put("/v1/event/fire/deploy", b"now")
    first = await managed.get("/v1/event/list?index=1")
    half = 1 << 64
    number = int(fired.json["ID"].replace("-", ""), 16)
    assert first.index == (number % half) ^ (number // half)
    # An index that is neither is not waited with.
    assert (await managed.get("/v1/event/list?index=5")).index == first.index
    other = await managed.get(f"/v1/event/list?name=other&index={first.index}")
    assert (other.index, other.json) == (1, [])


async def test_index_0_is_never_sent(managed: Discovery) -> None:
    for path in READS.values():
        assert told(managed, await managed.get(path)) >= 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/session/info/none", 200),
        ("/v1/query/8f246b77-f3e1-ff88-5b48-8ec93abf3e05", 404),
        ("/v1/config/service-defaults/none", 404),
        ("/v1/connect/intentions/exact?source=a&destination=b", 404),
        ("/v1/acl/policy/name/none", 404),
        ("/v1/catalog/node/none", 200),
        ("/v1/kv/none", 404),
    ],
)
async def test_what_is_not_there_waits_its_time_out(
    managed: Discovery, path: str, status: int
) -> None:
    """Rule 4: others that come into being are not what was waited for."""
    first = await managed.get(path)
    task = await managed.parked(blocked(path, told(managed, first)))
    await managed.put("/v1/kv/other", b"v")
    await managed.put(SESSION, {})
    await managed.put("/v1/config", DEFAULTS)
    await managed.call("POST", "/v1/query", QUERY)
    await managed.put("/v1/acl/policy", {"Name": "p"})
    await managed.register(Node="other", Address="1.1.1.1")
    await managed.put("/v1/connect/intentions/exact?source=x&destination=y", {"Action": "allow"})
    await asyncio.sleep(0.05)
    assert not task.done()
    late = await managed.get(blocked(path, managed.server.state.view.revision, "20ms"))
    assert late.status == first.status == status


@pytest.mark.parametrize("path", sorted(READS.values()))
async def test_a_restored_snapshot_answers_everybody(managed: Discovery, path: str) -> None:
    """Rule 5: indexes mean nothing across it; an index that is ahead is no reason to wait on."""
    saved = (await managed.get("/v1/snapshot")).body
    tasks = [await managed.parked(blocked(path, index)) for index in (50, 999_999)]
    restored = await managed.put("/v1/snapshot", saved)
    assert restored.status == 200
    for reply in await asyncio.gather(*tasks):
        assert told(managed, reply) >= 1


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        ("", 300.0),
        ("0s", 300.0),
        ("-5s", 300.0),
        ("10s", 10.0),
        ("600s", 600.0),
        ("11m", 600.0),
        ("100h", 600.0),
    ],
)
async def test_how_long_a_query_waits(discovery: Discovery, wait: str, seconds: float) -> None:
    """5 minutes unless said otherwise, 10 at most, and up to a sixteenth more at random."""
    asked: list[float] = []

    async def changed(_: Any, __: Any, remaining: float) -> bool:
        asked.append(remaining)
        return False

    with patch.object(blocking, "changed", changed):
        for _ in range(20):
            await discovery.get(f"/v1/kv/none?index=1&wait={wait}")
    assert all(seconds - 1 < one <= seconds * 17 / 16 for one in asked)
    assert len({*asked}) > 1


async def test_the_index_of_a_prefix_counts_what_was_deleted(discovery: Discovery) -> None:
    for key in ("a/1", "a/2", "b"):
        await discovery.put(f"/v1/kv/{key}", b"v")
    before = (await discovery.get("/v1/kv/a/?recurse")).index
    await discovery.call("DELETE", "/v1/kv/a/2")
    after = await discovery.get("/v1/kv/a/?recurse")
    assert after.index > before
    assert after.index == (await discovery.get("/v1/kv/a/2")).index  # the whole table's
    await discovery.put("/v1/kv/b", b"w")
    assert (await discovery.get("/v1/kv/a/?recurse")).index == after.index
    assert (await discovery.get("/v1/kv/?recurse")).index > after.index
    assert (await discovery.get("/v1/kv/none?recurse")).index > after.index
    await discovery.call("DELETE", "/v1/kv/a/1")
    gone = await discovery.get("/v1/kv/a/?keys")
    assert (gone.status, gone.index) == (404, discovery.server.state.view.revision)


async def test_a_service_that_is_not_there_has_the_index_of_the_last_extinction(
    discovery: Discovery,
) -> None:
    async def index(service: str) -> int:
        return (await discovery.get(f"/v1/health/service/{service}")).index

    assert await index("none") == 1
    for number, name in enumerate(("a", "a", "b")):
        service = {"Service": name, "ID": f"{name}{number}"}
        await discovery.register(Node="n", Address="1.1.1.1", Service=service)
    assert await index("none") == 1
    await discovery.put("/v1/catalog/deregister", {"Node": "n", "ServiceID": "a0"})
    assert await index("none") == 1
    await discovery.put("/v1/catalog/deregister", {"Node": "n", "ServiceID": "a1"})
    revision = discovery.server.state.view.revision
    assert await index("none") == await index("a") == revision
    assert await index("b") < revision
