"""Watches: what each type asks, what is a change, what handlers get."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from portway.watch import (
    Change,
    Follower,
    HttpHandler,
    Reply,
    Request,
    ScriptHandler,
    WatchError,
    WatchFailed,
    follow,
    plan,
)


@pytest.mark.parametrize(
    ("kind", "parameters", "path", "query"),
    [
        ("key", {"key": "a/b"}, "kv/a/b", []),
        ("keyprefix", {"prefix": "a/"}, "kv/a/", [("recurse", "")]),
        ("services", {}, "catalog/services", []),
        ("nodes", {"filter": "x"}, "catalog/nodes", [("filter", "x")]),
        ("service", {"service": "web"}, "health/service/web", []),
        (
            "service",
            {"service": "web", "tag": "a", "passingonly": True},
            "health/service/web",
            [("tag", "a"), ("passing", "1")],
        ),
        (
            "service",
            {"service": "web", "tag": ["a", "b"], "passingonly": "false"},
            "health/service/web",
            [("tag", "a"), ("tag", "b")],
        ),
        ("checks", {}, "health/state/any", []),
        ("checks", {"state": "critical"}, "health/state/critical", []),
        ("checks", {"service": "web"}, "health/checks/web", []),
        ("event", {}, "event/list", []),
        ("event", {"name": "deploy"}, "event/list", [("name", "deploy")]),
        ("connect_roots", {}, "agent/connect/ca/roots", []),
        ("connect_leaf", {"service": "web"}, "agent/connect/ca/leaf/web", []),
        ("agent_service", {"service_id": "web-1"}, "agent/service/web-1", []),
        (
            "nodes",
            {"datacenter": "dc2", "stale": True},
            "catalog/nodes",
            [("dc", "dc2"), ("stale", "")],
        ),
    ],
)
def test_plans(kind: str, parameters: dict[str, Any], path: str, query: list[Any]) -> None:
    made = plan(kind, parameters)
    assert (made.type, made.path, list(made.query)) == (kind, path, query)


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("", {}, "Watch type must be specified"),
        ("nope", {}, "Unsupported watch type: nope; valid: key, "),
        ("key", {}, "Must specify a single key to watch"),
        ("keyprefix", {"prefix": ""}, "Must specify a single prefix to watch"),
        ("service", {}, "Must specify a single service to watch"),
        ("connect_leaf", {}, "Must specify a single service to watch"),
        ("agent_service", {}, "Must specify a single service ID to watch"),
        ("checks", {"service": "a", "state": "b"}, "Cannot specify service and state"),
        ("key", {"key": 5}, "Expecting key to be a string, not 5"),
        ("service", {"service": "a", "tag": [1]}, "Expecting tag to be a string or a list"),
        ("service", {"service": "a", "passingonly": 1}, "Expecting passingonly to be a boolean"),
        ("services", {"key": "a", "b": 1}, "Invalid parameters: b, key"),
    ],
)
def test_plans_that_cannot_be(kind: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(WatchError) as caught:
        plan(kind, parameters)
    assert str(caught.value).startswith(message)


def answer(follower: Follower, index: int, data: Any, content_hash: str = "") -> Change | None:
    return follower.answered(index, content_hash, json.dumps(data).encode())


def asked(follower: Follower) -> dict[str, str]:
    return dict(follower.request().query)


def test_the_first_answer_and_each_difference_is_a_change() -> None:
    follower = Follower(plan("services", {}))
    assert asked(follower) == {}
    assert answer(follower, 5, {"a": []}) == Change(5, "", {"a": []})
    assert answer(follower, 5, {"b": []}) is None  # the same index: nothing new
    assert answer(follower, 6, {"a": []}) is None  # the same data
    assert asked(follower) == {"index": "6"}
    assert answer(follower, 7, {"c": []}) == Change(7, "", {"c": []})


def test_the_second_request_blocks() -> None:
    follower = Follower(plan("services", {}))
    answer(follower, 5, {})
    assert asked(follower) == {"index": "5"}


def test_an_index_that_goes_backwards_starts_anew() -> None:
    follower = Follower(plan("services", {}))
    answer(follower, 50, {"a": []})
    assert answer(follower, 3, {"b": []}) is not None
    assert asked(follower) == {}
    answer(follower, 3, {"b": []})
    assert asked(follower) == {"index": "3"}
    follower = Follower(plan("services", {}))
    answer(follower, 0, {})
    assert asked(follower) == {"index": "1"}


def test_a_key_is_its_entry_or_null() -> None:
    follower = Follower(plan("key", {"key": "k"}))
    first = follower.answered(3, "", None)
    assert first == Change(3, "", None)
    entry = {"LockIndex": 0, "Key": "k", "Flags": 0, "Value": "YQ==", "ModifyIndex": 4}
    change = answer(follower, 4, [{**entry, "CreateIndex": 4}])
    assert change is not None
    assert json.dumps(change.data) == (
        '{"Key": "k", "CreateIndex": 4, "ModifyIndex": 4, "LockIndex": 0, "Flags": 0,'
        ' "Value": "YQ==", "Session": ""}'
    )
    assert follower.answered(9, "", None) == Change(9, "", None)


def test_only_events_that_were_not_handed_on_yet_are_a_change() -> None:
    def events(*ids: str) -> list[dict[str, str]]:
        return [{"ID": one} for one in ids]

    follower = Follower(plan("event", {"name": "x"}))
    assert answer(follower, 900, events("a")) == Change(900, "", events("a"))
    assert asked(follower)["index"] == "900"
    change = answer(follower, 30, events("a", "b", "c"))  # the index need not grow
    assert change == Change(30, "", events("b", "c"))
    assert asked(follower)["index"] == "30"
    assert answer(follower, 31, events("b", "c")) is None
    assert answer(follower, 32, events("x")) == Change(32, "", events("x"))  # all are new


def test_a_watch_of_no_events_begins_with_none() -> None:
    follower = Follower(plan("event", {}))
    assert answer(follower, 1, []) == Change(1, "", [])
    assert answer(follower, 7, [{"ID": "a"}]) == Change(7, "", [{"ID": "a"}])


def test_hashes_are_followed_where_there_is_no_index() -> None:
    follower = Follower(plan("agent_service", {"service_id": "w"}))
    assert answer(follower, 0, {"Port": 1}, "h1") == Change(0, "h1", {"Port": 1})
    answer(follower, 0, {"Port": 1}, "h1")
    assert asked(follower) == {"hash": "h1"}
    assert answer(follower, 0, {"Port": 2}, "h2") == Change(0, "h2", {"Port": 2})


def test_failures_wait_longer_and_longer_until_an_answer() -> None:
    follower = Follower(plan("nodes", {}))
    assert [follower.failed() for _ in range(7)] == [5, 20, 45, 80, 125, 180, 180]
    answer(follower, 1, [])
    assert follower.failed() == 5
    with pytest.raises(ValueError, match="Expecting value"):
        follower.answered(2, "", b"<html>")


async def test_the_loop_asks_again_after_failures_and_hands_changes_on() -> None:
    replies: list[Reply | WatchFailed] = [
        WatchFailed("refused"),
        Reply(500, 0, "", b"No cluster leader"),
        Reply(404, 2, "", b""),
        Reply(200, 3, "", b'[{"Key": "k", "Value": null}]'),
    ]
    requests: list[Request] = []
    changes: list[Change] = []
    told: list[tuple[str, float]] = []

    async def ask(request: Request) -> Reply:
        requests.append(request)
        if not replies:
            raise asyncio.CancelledError
        reply = replies.pop(0)
        if isinstance(reply, WatchFailed):
            raise reply
        return reply

    async def handle(change: Change) -> None:
        changes.append(change)

    async def sleep(seconds: float) -> None:
        pass

    with pytest.raises(asyncio.CancelledError):
        await follow(
            plan("key", {"key": "k"}),
            ask,
            handle,
            report=lambda text, delay: told.append((text, delay)),
            sleep=sleep,
        )
    assert told == [
        ("refused", 5.0),
        ("Unexpected response code: 500 (No cluster leader)", 20.0),
    ]
    assert [change.data and change.data["Key"] for change in changes] == [None, "k"]
    assert [dict(request.query) for request in requests[2:]] == [{}, {"index": "2"}, {"index": "3"}]


async def test_a_404_is_a_failure_where_it_is_no_answer() -> None:
    told = []

    async def ask(request: Request) -> Reply:
        return Reply(404, 0, "", b"unknown service ID: w")

    async def sleep(seconds: float) -> None:
        raise asyncio.CancelledError

    async def handle(change: Change) -> None:
        raise AssertionError(change)

    with pytest.raises(asyncio.CancelledError):
        await follow(
            plan("agent_service", {"service_id": "w"}),
            ask,
            handle,
            report=lambda text, delay: told.append(text),
            sleep=sleep,
        )
    assert told == ["Unexpected response code: 404 (unknown service ID: w)"]


class Told:
    """What a handler logged."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failed: list[str] = []


CHANGE = Change(42, "", {"a": "ü"})


async def test_a_script_reads_json_and_the_index(tmp_path: Path) -> None:
    told = Told()
    code = (
        "import os, sys; print(os.environ['CONSUL_INDEX'], sys.stdin.read(), end='')\n"
        "print('oops', file=sys.stderr); sys.exit(3)"
    )
    args = [sys.executable, "-c", code]
    handle = ScriptHandler(args, log=told.log.append, failed=told.failed.append)
    await handle(CHANGE)
    (logged,) = told.log
    assert logged.startswith(f"watch handler {sys.executable} output: ")
    assert '42 {"a":"ü"}\n' in logged
    assert "oops" in logged
    assert told.failed == [f"watch handler {sys.executable} exited with code 3"]


async def test_a_line_of_shell_and_output_that_is_too_long() -> None:
    told = Told()
    script = "exec 0<&-; head -c 9000 /dev/zero | tr '\\0' x; echo END"
    handle = ScriptHandler.of_shell(script, log=told.log.append, failed=told.failed.append)
    await handle(Change(1, "", ["x" * 300_000]))  # nobody reads it
    assert told.failed == []
    (logged,) = told.log
    assert "Captured 4096 of 9004 bytes\n...\n" in logged
    assert logged.endswith("xEND\n")


async def test_a_script_that_does_not_start() -> None:
    told = Told()
    await ScriptHandler(["/nowhere"], log=told.log.append, failed=told.failed.append)(CHANGE)
    assert told.failed[0].startswith("watch handler /nowhere did not start: ")


async def test_a_script_ends_with_its_watch(tmp_path: Path) -> None:
    told = Told()
    started = tmp_path / "started"
    args = ["sh", "-c", f"echo $$ > {started}.new; mv {started}.new {started}; sleep 1000 & wait"]
    handle = ScriptHandler(args, log=told.log.append, failed=told.failed.append)
    task = asyncio.ensure_future(handle(CHANGE))
    while not started.exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pid = int(started.read_text())
    assert not Path(f"/proc/{pid}").exists()


async def test_an_http_handler() -> None:
    got: list[tuple[str, str, str, bytes]] = []

    async def serve(request: web.Request) -> web.Response:
        index = request.headers["X-Consul-Index"]
        extra = ",".join(request.headers.getall("X-Mine", []))
        got.append((request.method, index, extra, await request.read()))
        return web.Response(status=500 if request.path == "/bad" else 200, text="fine")

    app = web.Application()
    app.router.add_route("*", "/{path}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    told = Told()

    def handler(path: str, **settings: Any) -> HttpHandler:
        url = f"{address}{path}"
        return HttpHandler(url, log=told.log.append, failed=told.failed.append, **settings)

    try:
        await handler("/ok")(CHANGE)
        await handler("/bad", method="PUT", header={"X-Mine": ["a", "b"]})(CHANGE)
    finally:
        await runner.cleanup()
    await handler("/gone", timeout=5.0)(CHANGE)
    body = '{"a":"ü"}\n'.encode()
    assert got == [("POST", "42", "", body), ("PUT", "42", "a,b", body)]
    assert told.log == [f"http watch handler {address}/ok output: fine"]
    assert told.failed[0] == f"http watch handler {address}/bad answered 500: fine"
    assert told.failed[1].startswith(f"http watch handler {address}/gone could not be called: ")
