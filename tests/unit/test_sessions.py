"""Sessions: who may create one, what ends it, and what goes with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portway.discovery.model import CRITICAL, SessionServiceCheck
from portway.discovery.model.queries import PreparedQuery
from portway.discovery.operations import kv, sessions
from portway.discovery.operations.sessions import SessionError, behavior_of, check_ttl
from portway.discovery.session_timers import SessionTimers
from portway.store import Delete
from portway.store.sqlite import open_sqlite
from tests.unit.sessions_rig import rig

TTLS = {
    "": "",
    "0s": "",
    "10s": "",
    "24h": "",
    "1m30s": "",
    "9s": "Invalid Session TTL '9000000000', must be between [10s=24h0m0s]",
    "24h0m1s": "Invalid Session TTL '86401000000000', must be between [10s=24h0m0s]",
    "-1s": "Invalid Session TTL '-1000000000', must be between [10s=24h0m0s]",
    "10": "Session TTL '10' invalid: time: missing unit in duration \"10\"",
    "soon": "Session TTL 'soon' invalid: time: invalid duration \"soon\"",
}


@pytest.mark.parametrize("ttl", TTLS)
def test_a_ttl_is_between_ten_seconds_and_a_day(ttl: str) -> None:
    problem = ""
    try:
        check_ttl(ttl, 10.0)
    except SessionError as error:
        problem = str(error)
    assert problem == TTLS[ttl]


def test_behaviors() -> None:
    assert [behavior_of(text) for text in ("", "release", "delete")] == [
        "release",
        "release",
        "delete",
    ]
    with pytest.raises(SessionError, match="Invalid Behavior setting 'keep'"):
        behavior_of("keep")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"node": ""}, "Must provide Node"),
        ({"node": "beta"}, "Missing node registration"),
        ({"node_checks": ["nope"]}, "Missing check 'nope' registration"),
        ({"node_checks": ["bad"]}, "Check 'bad' is in critical state"),
        ({"service_checks": [SessionServiceCheck("bad")]}, "Check 'bad' is in critical state"),
    ],
)
async def test_what_a_session_needs(fields: dict[str, Any], message: str) -> None:
    async with rig() as r:
        await r.check("bad", CRITICAL)
        with pytest.raises(SessionError, match=message):
            await r.session(**fields)
        assert not r.alive()


async def test_node_names_are_without_case_and_checks_may_be_none() -> None:
    async with rig() as r:
        session = await r.session(node="ALPHA", node_checks=[])
        assert session.create_index == session.modify_index > 0
        assert r.server.state.sessions.on_node("alpha") == ["s1"]


@pytest.mark.parametrize(("behavior", "left"), [("release", ""), ("delete", None)])
async def test_the_end_of_a_session_lets_go_of_its_keys(behavior: str, left: str | None) -> None:
    async with rig() as r:
        await r.session(behavior=behavior)
        await r.session("s2")
        assert await r.acquire("a", "s1", b"value")
        assert await r.acquire("b", "s1")
        assert await r.acquire("c", "s2")
        entry = r.server.state.kv.table.rows["a"]
        assert await r.destroy("s1")
        assert [r.holder(key) for key in "abc"] == [left, left, "s2"]
        assert not r.alive()
        if left == "":
            after = r.server.state.kv.table.rows["a"]
            assert (after.value, after.lock_index) == (b"value", 1)
            assert after.modify_index > entry.modify_index
        assert not await r.destroy("s1")


async def test_lock_delay_counts_from_the_end_of_the_session() -> None:
    async with rig() as r:
        await r.session(lock_delay=5_000_000_000)
        await r.session("s2")
        await r.acquire("a", "s1")
        r.clock.now += 100
        await r.destroy("s1")
        assert not await r.acquire("a", "s2")
        r.clock.now += 4.99
        assert not await r.acquire("a", "s2")
        r.clock.now += 0.02
        assert await r.acquire("a", "s2")
        assert r.server.state.kv.table.rows["a"].lock_index == 2


async def test_lock_delay_is_a_minute_at_most_and_may_be_nothing() -> None:
    async with rig() as r:
        await r.session(lock_delay=3600 * 1_000_000_000)
        await r.session("s2", lock_delay=0)
        await r.session("s3")
        await r.acquire("long", "s1")
        await r.acquire("none", "s2")
        await r.destroy("s1")
        await r.destroy("s2")
        assert await r.acquire("none", "s3")
        r.clock.now += 59.9
        assert not await r.acquire("long", "s3")
        r.clock.now += 0.2
        assert await r.acquire("long", "s3")


async def test_a_released_lock_has_no_delay() -> None:
    async with rig() as r:
        await r.session()
        await r.session("s2")
        await r.acquire("a", "s1")
        server = r.server
        assert await server.transact(lambda d: kv.release(server, d, "a", b"", 0, "s1"))
        assert await r.acquire("a", "s2")


async def test_nobody_acquires_between_the_end_and_the_delay() -> None:
    """Acquirers that wait for their turn at every step of the loop never get through."""
    async with rig() as r:
        await r.session()
        await r.session("s2")
        await r.acquire("a", "s1")
        got: list[bool] = []
        stop = False

        async def try_all_the_time() -> None:
            while not stop:
                got.append(await r.acquire("a", "s2"))
                await asyncio.sleep(0)

        racer = asyncio.create_task(try_all_the_time())
        await asyncio.sleep(0)
        await r.destroy("s1")
        await asyncio.sleep(0.05)
        stop = True
        await racer
        assert got
        assert not any(got)


async def test_a_lock_acquired_while_the_session_ends_does_not_stay() -> None:
    async with rig() as r:
        for round_ in range(30):
            await r.session(f"s{round_}", lock_delay=0)
            await asyncio.gather(
                *(r.acquire(f"k{n}", f"s{round_}") for n in range(3)),
                r.destroy(f"s{round_}"),
                *(r.acquire(f"k{n}", f"s{round_}") for n in range(3, 6)),
                return_exceptions=True,
            )
            assert [r.holder(f"k{n}") or "" for n in range(6)] == [""] * 6
        assert not r.server.state.kv.held


@pytest.mark.parametrize("how", ["node check", "service check"])
async def test_a_critical_check_ends_the_sessions_bound_to_it(how: str) -> None:
    async with rig() as r:
        await r.check("web")
        if how == "node check":
            await r.session(node_checks=["serfHealth", "web"])
        else:
            await r.session(node_checks=[], service_checks=[SessionServiceCheck("web")])
        await r.session("other")
        await r.acquire("a", "s1")
        await r.check("web", "warning")
        assert r.alive()
        await r.check("web", CRITICAL)
        assert not r.alive()
        assert r.alive("other")
        assert r.holder("a") == ""


async def test_a_session_created_as_its_check_fails_does_not_survive() -> None:
    async with rig() as r:
        for round_ in range(20):
            check = f"c{round_}"
            await r.check(check)
            await asyncio.gather(
                r.session(f"a{round_}", node_checks=[check]),
                r.check(check, CRITICAL),
                r.session(f"b{round_}", node_checks=[check]),
                return_exceptions=True,
            )
            assert not r.server.state.sessions.by_check


async def test_the_end_of_a_node_ends_its_sessions() -> None:
    async with rig() as r:
        await r.session()
        server = r.server
        await server.transact(lambda d: sessions.invalidate_node(server, d, "Alpha"))
        assert not r.alive()


async def test_bound_queries_go_with_the_session() -> None:
    async with rig() as r:
        await r.session()
        queries = r.server.state.queries
        query = PreparedQuery(id="q1", name="x", session="s1")
        await r.server.transact(lambda d: d.put(queries.table, "q1", query))
        assert queries.named("X") is not None
        await r.destroy("s1")
        assert queries.named("x") is None


async def test_a_session_expires_at_twice_its_ttl_after_the_last_renewal() -> None:
    async with rig() as r:
        await r.session(ttl="10s")
        await r.session("no-ttl")
        await r.acquire("a", "s1")
        await r.pass_time(19.9)
        assert r.alive()
        assert r.server.sessions.renew("s1") is not None
        await r.pass_time(19.9)
        assert r.alive()
        await r.pass_time(0.2)
        assert not r.alive()
        assert r.holder("a") == ""
        assert r.alive("no-ttl")
        assert r.server.sessions.renew("s1") is None
        assert len(r.server.sessions.timers) == 0


async def test_after_a_restart_sessions_have_their_full_time_again() -> None:
    store = await open_sqlite(None)
    async with rig(store) as r:
        await r.session(ttl="10s")
        await r.pass_time(19)
    async with rig(store) as r:
        await r.pass_time(19)
        assert r.alive()
        await r.pass_time(2)
        assert not r.alive()
    await store.close()


async def test_at_start_keys_of_dead_sessions_are_released() -> None:
    store = await open_sqlite(None)
    async with rig(store) as r:
        await r.session()
        await r.acquire("a", "s1", b"kept")
        table = r.server.state.sessions.table
        r.server.stop()  # as if it died between the two commits
        await r.server.store.commit([], [Delete(table.prefix + "s1")])
    async with rig(store) as r:
        assert r.holder("a") == ""
        assert r.server.state.kv.table.rows["a"].value == b"kept"
    await store.close()


async def test_timers_forget_sessions_that_have_ended() -> None:
    now = 0.0
    over: list[str] = []
    timers = SessionTimers(lambda: now, over.append)
    for number in range(10_000):
        timers.begin(f"s{number}", 3600)
        timers.end(f"s{number}")
    assert len(timers) == 0
    assert len(timers._heap) < 200
    timers.begin("last", 1)
    now = 2.0
    timers.look()
    assert over == ["last"]
    timers.stop()


async def test_lock_delays_that_are_over_take_no_room() -> None:
    async with rig() as r:
        server = r.server
        for round_ in range(20):
            server.delay_locks([f"{round_}-{n}" for n in range(500)], 1)
            r.clock.now += 2
        assert len(server.lock_delays) < 3000


async def test_topics_of_sessions_wake_only_their_own_watchers() -> None:
    async with rig() as r:
        await r.session()
        state = r.server.state.sessions
        mine, other = state.read("s1"), state.read("s2")
        before = other.topics[0].index
        await r.destroy("s1")
        assert mine.topics[0].index > 0
        assert other.topics[0].index == before
