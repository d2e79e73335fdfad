"""Blocking queries: who is woken, when they end, and that nothing is left of those given up."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from portway.discovery.api import Settings
from portway.discovery.api.exchange import Exchange
from portway.discovery.api.request import Request
from tests.integration.discovery_rig import Discovery, Reply, running
from tests.patience import until


async def park(d: Discovery, *paths: str) -> list[asyncio.Task[Reply]]:
    """Blocking reads from where these reads are now."""
    tasks = []
    for path in paths:
        joint = "&" if "?" in path else "?"
        index = (await d.get(path)).index
        tasks.append(await d.parked(f"{path}{joint}index={index}"))
    return tasks


def answered(tasks: list[asyncio.Task[Reply]]) -> list[bool]:
    return [task.done() for task in tasks]


# Who is woken

WATCHES = (
    "/v1/kv/a/1",
    "/v1/kv/a/2",
    "/v1/kv/a/?recurse",
    "/v1/kv/a?keys",
    "/v1/kv/b",
    "/v1/kv/b?recurse",
    "/v1/kv/?recurse",
)
CHANGES: dict[str, tuple[str, str, set[str]]] = {
    "one key": ("PUT", "/v1/kv/a/1", {WATCHES[0], WATCHES[2], WATCHES[3], WATCHES[6]}),
    "a new key": ("PUT", "/v1/kv/a/9", {WATCHES[2], WATCHES[3], WATCHES[6]}),
    "a deletion": ("DELETE", "/v1/kv/b", {WATCHES[4], WATCHES[5], WATCHES[6]}),
    "a tree": (
        "DELETE",
        "/v1/kv/a/?recurse",
        {WATCHES[0], WATCHES[1], WATCHES[2], WATCHES[3], WATCHES[6]},
    ),
    "a longer name": ("PUT", "/v1/kv/bb", {WATCHES[5], WATCHES[6]}),
    "somewhere else": ("PUT", "/v1/kv/z", {WATCHES[6]}),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_wakes_exactly_the_watchers_of_its_key(
    discovery: Discovery, change: str
) -> None:
    method, path, expected = CHANGES[change]
    for key in ("a/1", "a/2", "b"):
        await discovery.put(f"/v1/kv/{key}", b"before")
    tasks = await park(discovery, *WATCHES)
    before = discovery.waits.wakes
    await discovery.call(method, path, b"after")
    await until(lambda: sum(answered(tasks)) >= len(expected), "those that wake to be answered")
    for _ in range(20):
        await asyncio.sleep(0)
    woken = {watch for watch, done in zip(WATCHES, answered(tasks), strict=True) if done}
    assert woken == expected
    assert discovery.waits.wakes - before == len(expected)  # nobody woke and went back to sleep


async def test_an_equal_write_wakes_nobody(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/a", b"v")
    [task] = await park(discovery, "/v1/kv/a")
    before = discovery.waits.wakes
    await discovery.put("/v1/kv/a", b"v")
    await discovery.put("/v1/kv/a?cas=99", b"w")
    assert discovery.waits.wakes == before
    assert not task.done()


async def test_one_transaction_wakes_each_watcher_once(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/t/1", b"v")
    await discovery.put("/v1/kv/t/2", b"v")
    tasks = await park(discovery, "/v1/kv/t/?recurse", "/v1/kv/t/1")
    before = discovery.waits.wakes
    operations = [{"KV": {"Verb": "set", "Key": f"t/{n}", "Value": "dw=="}} for n in (1, 2, 3)]
    await discovery.put("/v1/txn", operations)
    rows = (await tasks[0]).json
    assert [row["Value"] for row in rows] == ["dw=="] * 3
    assert {row["ModifyIndex"] for row in rows} == {(await tasks[1]).index}
    assert discovery.waits.wakes - before == 2


async def test_a_watcher_of_a_missing_key_waits_for_that_key(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/else", b"v")
    [task] = await park(discovery, "/v1/kv/missing")
    before = discovery.waits.wakes
    for number in range(5):
        await discovery.put(f"/v1/kv/other/{number}", b"v")
    assert discovery.waits.wakes == before
    await discovery.put("/v1/kv/missing", b"here")
    assert (await task).status == 200


async def test_a_watcher_learns_of_a_deletion(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/a", b"v")
    [task] = await park(discovery, "/v1/kv/a")
    await discovery.call("DELETE", "/v1/kv/a")
    gone = await task
    assert (gone.status, gone.body) == (404, b"")
    assert gone.index == (await discovery.get("/v1/kv/a")).index


async def test_the_end_of_a_session_wakes_the_watchers_of_its_locks(discovery: Discovery) -> None:
    await discovery.register(Node="alpha", Address="127.0.0.1")
    session = (await discovery.put("/v1/session/create", {"Node": "alpha", "Checks": []})).json
    await discovery.put(f"/v1/kv/lock?acquire={session['ID']}", b"v")
    await discovery.put("/v1/kv/else", b"v")
    tasks = await park(discovery, "/v1/kv/lock", "/v1/kv/else", "/v1/session/list")
    await discovery.put(f"/v1/session/destroy/{session['ID']}")
    await until(lambda: answered(tasks) == [True, False, True], "the others to be answered")


# When they end


@pytest.fixture
async def quick() -> AsyncIterator[Discovery]:
    """Discovery whose longest wait is short."""
    async with running(Settings(default_query_time=0.2, max_query_time=0.3)) as started:
        yield started


@pytest.mark.parametrize("query", ["", "&wait=0s", "&wait=150ms", "&wait=10h", "&wait=1ms"])
async def test_without_a_change_the_result_is_as_it_was(quick: Discovery, query: str) -> None:
    await quick.put("/v1/kv/a", b"v")
    before = await quick.get("/v1/kv/a")
    after = await quick.get(f"/v1/kv/a?index={before.index}{query}")
    assert (after.status, after.index, after.body) == (200, before.index, before.body)
    assert quick.waits.wakes == 0


async def test_an_index_that_is_ahead_waits_its_time_out(quick: Discovery) -> None:
    await quick.put("/v1/kv/a", b"v")
    task = await quick.parked("/v1/kv/a?index=999999&wait=30m")
    await quick.put("/v1/kv/a", b"w")
    reply = await task
    assert reply.index < 999999
    assert reply.json[0]["Value"] == "dw=="


async def test_an_older_index_is_answered_at_once(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/a", b"v")
    index = (await discovery.get("/v1/kv/a")).index
    await discovery.put("/v1/kv/a", b"w")
    assert (await discovery.get(f"/v1/kv/a?index={index}")).index > index
    assert (await discovery.get("/v1/kv/a?index=0&wait=10m")).status == 200


async def test_a_consistent_query_blocks_as_well(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/a", b"v")
    [task] = await park(discovery, "/v1/kv/a?consistent")
    await discovery.put("/v1/kv/a", b"w")
    assert (await task).json[0]["Value"] == "dw=="


# Those given up


async def test_nothing_is_left_of_abandoned_queries(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: weakref.WeakSet[Request] = weakref.WeakSet()
    made = Request.__init__

    def counted(self: Request, *args: Any) -> None:
        made(self, *args)
        requests.add(self)

    monkeypatch.setattr(Request, "__init__", counted)
    await discovery.put("/v1/kv/a", b"v")
    await discovery.get("/v1/kv/a?consistent")  # an answer that is not kept to be given again
    kv = discovery.server.state.kv
    tasks = len(asyncio.all_tasks())
    clients = [
        await discovery.parked(f"/v1/kv/{path}index=100&wait=10m")
        for path in ("a?", "missing?", "a?recurse&", "nowhere/?keys&") * 25
    ]
    assert discovery.waits.now == 100
    assert (len(kv._keys), len(kv._prefixes)) == (2, 2)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    await until(lambda: discovery.waits.now == 0, "nobody to wait")
    await until(lambda: len(asyncio.all_tasks()) <= tasks, "the tasks to end")
    gc.collect()
    assert (len(kv._keys), len(kv._prefixes)) == (0, 0)
    assert not requests
    live = [one for one in gc.get_objects() if isinstance(one, Exchange)]
    assert not live
    # They are not counted as writers' victims either: the next change is nobody's business.
    before = discovery.waits.wakes
    await discovery.put("/v1/kv/a", b"w")
    assert discovery.waits.wakes == before


async def test_a_deadline_that_is_not_reached_leaves_nothing(discovery: Discovery) -> None:
    from portway.discovery.state import topic

    await discovery.put("/v1/kv/a", b"v")
    for number in range(50):
        [task] = await park(discovery, "/v1/kv/a")
        await discovery.put("/v1/kv/a", str(number).encode())
        await task
    deadlines = topic._deadlines
    assert deadlines is not None
    assert not any(deadlines._due.values())


# Loops as consul-template's


class Loop:
    """Follows a path by its index and keeps each new result, as watching clients do."""

    def __init__(self, d: Discovery, path: str, render: Callable[[Reply], Any]) -> None:
        self._discovery = d
        self._path = path
        self._render = render
        self.seen: list[Any] = []
        self.indexes: list[int] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        joint = "&" if "?" in self._path else "?"
        index = 0
        while True:
            reply = await self._discovery.get(f"{self._path}{joint}index={index}&wait=9m")
            if reply.index == index:
                continue  # the wait was over
            if reply.index < index:
                index = 0
                continue
            index = reply.index
            self.indexes.append(index)
            self.seen.append(self._render(reply))

    async def sees(self, value: Any) -> None:
        await until(lambda: bool(self.seen) and self.seen[-1] == value, f"{value} to be seen")

    def stop(self) -> None:
        self._task.cancel()


def raw(reply: Reply) -> Any:
    return reply.body.decode() if reply.status == 200 else None


def keys(reply: Reply) -> Any:
    return [row["Key"] for row in reply.json] if reply.status == 200 else []


def healthy(reply: Reply) -> Any:
    return sorted(entry["Service"]["ID"] for entry in reply.json)


async def test_a_loop_over_a_key_sees_every_change_and_none_twice(discovery: Discovery) -> None:
    loop = Loop(discovery, "/v1/kv/app/config?raw", raw)
    await loop.sees(None)
    values: list[str | None] = [None]
    for number in range(100):
        if number % 10 == 9:
            await discovery.call("DELETE", "/v1/kv/app/config")
            values.append(None)
        else:
            await discovery.put("/v1/kv/app/config", str(number).encode())
            values.append(str(number))
        await discovery.put(f"/v1/kv/noise/{number}", b"x")
        await loop.sees(values[-1])
    assert loop.seen == values
    assert loop.indexes == sorted(set(loop.indexes))
    loop.stop()


async def test_a_loop_over_a_prefix_sees_every_change_and_none_twice(
    discovery: Discovery,
) -> None:
    await discovery.put("/v1/kv/app/first", b"v")
    loop = Loop(discovery, "/v1/kv/app/?recurse", keys)
    present = ["app/first"]
    await loop.sees(present)
    history = [list(present)]
    rng = random.Random(3)
    for number in range(100):
        if present[1:] and rng.random() < 0.4:
            gone = present.pop(rng.randrange(1, len(present)))
            await discovery.call("DELETE", f"/v1/kv/{gone}")
        else:
            key = f"app/{number:03}"
            await discovery.put(f"/v1/kv/{key}", b"v")
            present = sorted([*present, key])
        await discovery.put(f"/v1/kv/apple/{number}", b"x")
        await loop.sees(present)
        history.append(list(present))
    assert loop.seen == history
    assert loop.indexes == sorted(set(loop.indexes))
    loop.stop()


async def test_a_loop_over_health_sees_every_change_and_none_twice(discovery: Discovery) -> None:
    loop = Loop(discovery, "/v1/health/service/web?passing", healthy)
    await loop.sees([])
    history: list[list[str]] = [[]]
    up: set[str] = set()
    rng = random.Random(4)
    for number in range(100):
        node = f"n{rng.randrange(4)}"
        service = {"ID": f"web-{node}", "Service": "web"}
        check = {"CheckID": "c", "Name": "c", "ServiceID": service["ID"]}
        if service["ID"] not in up:
            up.add(service["ID"])
            check["Status"] = "passing"
        else:
            up.remove(service["ID"])
            check["Status"] = "critical"
        if check["Status"] == "critical" and rng.random() < 0.5:
            gone = {"Node": node, "ServiceID": service["ID"]}
            await discovery.put("/v1/catalog/deregister", gone)
        else:
            await discovery.register(Node=node, Address="10.0.0.1", Service=service, Check=check)
        await discovery.register(
            Node=node, Address="10.0.0.1", Service={"ID": "x", "Service": f"other{number}"}
        )
        await loop.sees(sorted(up))
        history.append(sorted(up))
    assert loop.seen == history
    assert loop.indexes == sorted(set(loop.indexes))
    loop.stop()


async def test_loops_that_are_slower_than_the_writers_end_up_right(discovery: Discovery) -> None:
    """They may skip what was overwritten, but go forward only and miss no last word."""
    loops = [Loop(discovery, "/v1/kv/fast?raw", raw) for _ in range(10)]

    async def write(writer: int) -> None:
        for number in range(100):
            await discovery.put("/v1/kv/fast", f"{writer}-{number}".encode())

    await asyncio.gather(*(write(writer) for writer in range(4)))
    last = (await discovery.get("/v1/kv/fast?raw")).text
    for loop in loops:
        await loop.sees(last)
        assert loop.indexes == sorted(set(loop.indexes))
        for writer in range(4):
            own = [one for one in loop.seen if one and one.startswith(f"{writer}-")]
            assert own == sorted(set(own), key=lambda one: int(one.split("-")[1]))
        loop.stop()
