"""The ADS server against the real Envoy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from portway.envoy.resource import CLUSTER, ENDPOINTS, ROUTES, Key

from .envoy_rig import (
    Rig,
    cluster,
    endpoints,
    listener,
    load,
    private_dir,
    routes,
    site,
    until,
)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    with private_dir() as where:
        rig = Rig(where)
        try:
            yield rig
        finally:
            await rig.close()


async def test_traffic_flows_once_everything_is_acknowledged(rig: Rig) -> None:
    await rig.live(site(rig.port, "a", await rig.backend("one")))
    assert await rig.ask() == (200, "one")
    assert not rig.rejections


async def test_nothing_is_sent_before_the_first_update(rig: Rig) -> None:
    await rig.ads.start(rig.sockets.ads)
    await rig.start_envoy()
    await until(lambda: rig.ads.connected)
    assert not rig.ads.is_settled
    rig.ads.update(site(rig.port, "a", await rig.backend("one")))
    await rig.until_ready()
    assert await rig.ask() == (200, "one")


async def test_an_empty_state_lets_envoy_become_ready(rig: Rig) -> None:
    await rig.live([])
    assert await rig.admin.ready()


async def test_a_service_replaced_under_load_loses_no_request(rig: Rig) -> None:
    one, two = await rig.backend("one"), await rig.backend("two")
    await rig.live(site(rig.port, "s0", one))
    async with load(rig.port) as seen:
        for turn in range(1, 25):
            old, new = f"s{turn - 1}", f"s{turn}"
            await rig.apply(
                [routes("web", new), endpoints(new, (one, two)[turn % 2]), cluster(new)],
                [Key(CLUSTER, old), Key(ENDPOINTS, old)],
            )
    assert set(seen) == {"200"}
    assert await rig.services() == {"s24"}


async def test_updates_that_pile_up_lose_no_request(rig: Rig) -> None:
    backend = await rig.backend("one")
    await rig.live(site(rig.port, "s0", backend))
    async with load(rig.port) as seen:
        for turn in range(1, 100):
            old, new = f"s{turn - 1}", f"s{turn}"
            rig.ads.update(
                [routes("web", new), cluster(new), endpoints(new, backend)],
                [Key(CLUSTER, old), Key(ENDPOINTS, old)],
            )
            await asyncio.sleep(0.002)
        await rig.apply([])
    assert set(seen) == {"200"}
    assert await rig.services() == {"s99"}


async def test_endpoints_change_under_load_without_loss(rig: Rig) -> None:
    one, two = await rig.backend("one"), await rig.backend("two")
    await rig.live(site(rig.port, "a", one))
    async with load(rig.port) as seen:
        for ports in [(two,), (one, two), (one,)] * 10:
            await rig.apply([endpoints("a", *ports)])
    assert set(seen) == {"200"}


async def test_a_changed_cluster_is_in_force_without_waiting_for_a_timeout(rig: Rig) -> None:
    backend = await rig.backend("one")
    await rig.live(site(rig.port, "a", backend))
    async with load(rig.port) as seen:
        for turn in range(10):
            await rig.apply([cluster("a", timeout=5 + turn)])
            assert await rig.admin.warming() == 0
    assert set(seen) == {"200"}


async def test_clusters_that_share_endpoints_all_become_usable(rig: Rig) -> None:
    backend = await rig.backend("one")
    await rig.live(site(rig.port, "a", backend))
    await rig.apply([cluster("b", endpoints_name="a"), routes("web", "b")])
    assert await rig.admin.warming() == 0
    assert await rig.ask() == (200, "one")


async def test_a_refused_resource_is_reported_once_and_the_rest_gets_through(rig: Rig) -> None:
    backend = await rig.backend("one")
    await rig.live(site(rig.port, "a", backend))
    bad = routes("web", "a", domains=("*", "*"))
    await rig.apply(
        [
            *(cluster(f"good{i}") for i in range(9)),
            cluster("bad", timeout=0),
            *(endpoints(f"good{i}", backend) for i in range(9)),
            bad,
        ]
    )
    reported = {(rejection.type_url, rejection.names): rejection for rejection in rig.rejections}
    assert set(reported) == {(CLUSTER, ("bad",)), (ROUTES, ("web",))}
    assert len(rig.rejections) == 2
    assert "ConnectTimeout" in reported[CLUSTER, ("bad",)].message
    assert reported[ROUTES, ("web",)].version == bad.version
    assert {f"good{i}" for i in range(9)} <= await rig.services()
    assert await rig.ask() == (200, "one")
    await rig.apply([routes("web", "good3")])
    assert await rig.ask() == (200, "one")


async def test_what_a_refused_route_left_in_force_stays_alive(rig: Rig) -> None:
    backend = await rig.backend("one")
    await rig.live(site(rig.port, "a", backend))
    await rig.apply(
        [routes("web", "b", domains=("*", "*")), cluster("b"), endpoints("b", backend)],
        [Key(CLUSTER, "a"), Key(ENDPOINTS, "a")],
    )
    assert await rig.ask() == (200, "one")
    await rig.apply([routes("web", "b")])
    assert await rig.ask() == (200, "one")

    async def is_gone() -> bool:
        return "a" not in await rig.services()

    await until(is_gone)


async def test_an_envoy_that_restarts_gets_the_last_good_state(rig: Rig) -> None:
    await rig.live(site(rig.port, "a", await rig.backend("one")))
    await rig.apply([routes("web", "a", domains=("*", "*"))])
    await rig.stop_envoy()
    await rig.start_envoy()
    await rig.until_ready()
    await rig.eventually((200, "one"))
    assert len(rig.rejections) == 1


async def test_a_control_plane_that_restarts_sends_nothing_that_envoy_has(rig: Rig) -> None:
    backend = await rig.backend("one")
    state = site(rig.port, "a", backend)
    await rig.live(state)
    counters = "^(http.web.rds.web.update_success|listener_manager.lds.update_success)$"
    before = await rig.admin.stats(counters)
    assert len(before) == 2
    async with load(rig.port) as seen:
        for _ in range(3):
            await rig.ads.stop()
            rig.ads = rig.new_ads()
            await rig.ads.start(rig.sockets.ads)
            rig.ads.update(state)
            await rig.settle()
    assert set(seen) == {"200"}
    assert await rig.admin.stats(counters) == before
    await rig.apply([endpoints("a", await rig.backend("two"))])
    await rig.eventually((200, "two"))


async def test_what_vanished_while_the_control_plane_was_away_is_removed(rig: Rig) -> None:
    one = await rig.backend("one")
    await rig.live([*site(rig.port, "a", one), cluster("old"), endpoints("old", one)])
    await rig.ads.stop()
    rig.ads = rig.new_ads()
    await rig.ads.start(rig.sockets.ads)

    async def are_gone() -> bool:
        return await rig.services() == {"b"}

    async with load(rig.port) as seen:
        rig.ads.update(site(rig.port, "b", one))
        await until(are_gone)
    assert set(seen) == {"200"}


async def test_several_envoys_follow_the_same_state(rig: Rig) -> None:
    backend = await rig.backend("one")
    await rig.live(site(rig.port, "a", backend))
    with private_dir() as where:
        second = Rig(where)
        try:
            (where / "ads.sock").symlink_to(rig.sockets.ads)
            await second.start_envoy()
            await until(second.is_ready)
            await rig.apply([cluster("b"), endpoints("b", backend), routes("web", "b")])
            for each in (rig, second):
                assert await each.services() == {"a", "b"}
        finally:
            await second.close()


async def test_a_listener_that_could_not_bind_can_be_retried(rig: Rig) -> None:
    taken = await rig.backend("taken")
    await rig.live(site(rig.port, "a", await rig.backend("one")))
    second = listener("second", taken, "web")
    await rig.apply([second])
    assert [rejection.names for rejection in rig.rejections] == [("second",)]
    rig.close_backend(taken)
    rig.ads.retry([second.key])
    await rig.settle()
    rig.port = taken
    assert await rig.ask() == (200, "one")
