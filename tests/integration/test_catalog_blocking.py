"""Blocking reads of the catalog and of health: a change wakes those it concerns, nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.discovery_rig import Discovery
from tests.patience import PATIENCE


def instance(node: str, name: str, status: str = "passing", **service: Any) -> dict[str, Any]:
    """A registration of a service with a check."""
    return {
        "Node": node,
        "Address": "10.0.0.1",
        "Service": {"ID": name, "Service": name, **service},
        "Check": {"CheckID": f"c-{name}", "ServiceID": name, "Status": status},
    }


READS = (
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/web",
    "/v1/catalog/service/db",
    "/v1/catalog/service/none",
    "/v1/catalog/node/n1",
    "/v1/catalog/node-services/n2",
    "/v1/catalog/node/none",
    "/v1/health/service/web",
    "/v1/health/service/db?passing",
    "/v1/health/service/none",
    "/v1/health/checks/web",
    "/v1/health/node/n1",
    "/v1/health/node/n2",
    "/v1/health/state/any",
    "/v1/health/state/critical",
    "/v1/health/state/passing",
    "/v1/coordinate/nodes",
)
WEB = {"/v1/catalog/service/web", "/v1/health/service/web", "/v1/health/checks/web"}
DB = {"/v1/catalog/service/db", "/v1/health/service/db?passing"}
WEB_CHECKED = {"/v1/health/service/web", "/v1/health/checks/web", "/v1/health/node/n1"}
NONE = {"/v1/catalog/service/none", "/v1/health/service/none"}
NODES = {"/v1/catalog/nodes"}
N1 = {"/v1/catalog/node/n1", "/v1/health/node/n1"}
N2 = {"/v1/catalog/node-services/n2", "/v1/health/node/n2"}
SERVICES = {"/v1/catalog/services"}
ANY, PASSING, CRITICAL = (
    {f"/v1/health/state/{status}"} for status in ("any", "passing", "critical")
)
ABSENT = "/v1/catalog/node/none"


@pytest.mark.parametrize(
    ("change", "woken"),
    [
        pytest.param(
            instance("n1", "web", "warning"), WEB_CHECKED | ANY | PASSING, id="a check's status"
        ),
        pytest.param(
            instance("n1", "web", "critical"),
            WEB_CHECKED | ANY | PASSING | CRITICAL,
            id="a check turns critical",
        ),
        pytest.param(instance("n1", "web"), set(), id="nothing at all"),
        pytest.param(
            {"Node": "n2", "Address": "10.0.0.1", "Service": {"Service": "db", "Tags": ["x"]}},
            # The check shows the tags of its service.
            DB | N2 | SERVICES | ANY | PASSING,
            id="a service",
        ),
        pytest.param(
            {"Node": "n1", "Address": "10.9.9.9"},
            {"/v1/catalog/service/web", "/v1/health/service/web", "/v1/catalog/node/n1"} | NODES,
            id="a node's address",
        ),
        pytest.param(
            {"Node": "n2", "Address": "10.0.0.1", "Check": {"CheckID": "disk"}},
            {"/v1/health/service/db?passing", "/v1/health/node/n2"} | ANY | CRITICAL,
            id="a node's check concerns its services",
        ),
        pytest.param({"Node": "n3", "Address": "10.0.0.3"}, NODES, id="another node"),
        pytest.param(instance("n2", "other"), N2 | SERVICES | ANY | PASSING, id="another service"),
        pytest.param(
            instance("n2", "none"),
            NONE | N2 | SERVICES | ANY | PASSING,
            id="a service that somebody waits for",
        ),
        pytest.param(
            {"Node": "none", "Address": "10.0.0.3"},
            NODES | {ABSENT},
            id="a node that somebody waits for",
        ),
    ],
)
async def test_a_change_wakes_exactly_those_it_concerns(
    discovery: Discovery, change: dict[str, Any], woken: set[str]
) -> None:
    await discovery.register(**instance("n1", "web"))
    await discovery.register(**instance("n2", "db"))
    index = discovery.server.state.view.revision
    parked = {path: await discovery.parked(_blocking(path, index)) for path in READS}
    before = discovery.server.state.view.revision
    await discovery.register(**change)
    replies = await asyncio.gather(*(parked[path] for path in woken))
    assert all(reply.index > before for reply in replies)
    # Whoever waits for a node that is not there looks when a node changes, and waits on.
    looked = int(ABSENT not in woken and woken >= NODES)
    assert discovery.waits.wakes == len(woken) + looked
    assert {path for path, task in parked.items() if task.done()} == woken


async def test_removals_wake_those_they_concern(discovery: Discovery) -> None:
    await discovery.register(**instance("n1", "web"))
    await discovery.register(**instance("n2", "db"))
    for removal, woken in (
        (
            {"Node": "n1", "ServiceID": "web"},
            WEB | N1 | SERVICES | ANY | PASSING,
        ),
        ({"Node": "n1"}, NODES | {"/v1/catalog/node/n1"}),
        ({"Node": "n2"}, DB | NODES | N2 | SERVICES | ANY | PASSING),
    ):
        index = discovery.server.state.view.revision
        parked = {
            path: await discovery.parked(_blocking(path, index))
            for path in READS
            if not (path in N1 and index > 4)
        }
        await discovery.put("/v1/catalog/deregister", removal)
        replies = await asyncio.gather(*(parked[path] for path in woken))
        assert all(reply.index > index for reply in replies)
        await asyncio.sleep(0)
        assert {path for path, task in parked.items() if task.done()} == woken
        await discovery.stop()


def _blocking(path: str, index: int) -> str:
    return f"{path}{'&' if '?' in path else '?'}index={index}&wait=9m"


async def test_a_loop_sees_every_change_once(discovery: Discovery) -> None:
    """What consul-template does: ask with the last index, again and again."""
    await discovery.register(**instance("n1", "web", Meta={"step": "start"}))
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def follow() -> None:
        index = 0
        while True:
            reply = await discovery.get(f"/v1/health/service/web?index={index}&wait=9m")
            assert reply.index > index, "woken by nothing"
            index = reply.index
            seen.put_nowait(reply.json[0]["Service"]["Meta"]["step"])

    follower = asyncio.create_task(follow())
    async with asyncio.timeout(PATIENCE):
        assert await seen.get() == "start"
        for step in range(50):
            await discovery.register(**instance("n9", f"noise{step}"))
            await discovery.register(**instance("n1", "web", Meta={"step": str(step)}))
            assert await seen.get() == str(step)
    follower.cancel()
    assert seen.empty()


async def test_readers_that_wake_together_share_one_body(discovery: Discovery) -> None:
    await discovery.register(**instance("n1", "web"))
    tasks = [await discovery.parked("/v1/health/service/web?index=2&wait=9m") for _ in range(50)]
    await discovery.register(**instance("n1", "web", "warning"))
    bodies = {reply.body for reply in await asyncio.gather(*tasks)}
    assert len(bodies) == 1
    assert b'"Status":"warning"' in bodies.pop()
    assert len(discovery.context.bodies) == 1


async def test_a_wait_ends_with_the_same_index(discovery: Discovery) -> None:
    await discovery.register(**instance("n1", "web"))
    reply = await discovery.get("/v1/health/service/web?index=2&wait=10ms")
    assert (reply.status, reply.index) == (200, 2)
    assert reply.json[0]["Service"]["ID"] == "web"
    ahead = await discovery.get("/v1/health/service/web?index=99999&wait=10ms")
    assert (ahead.status, ahead.index) == (200, 2)
