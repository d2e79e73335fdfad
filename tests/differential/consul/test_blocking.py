"""Blocking queries: which changes move the index of a read, and which wake those who wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.patience import PATIENCE

from .conftest import Play
from .facts import Facts, of_json
from .world import Answer, World

PATHS = (
    "catalog/nodes",
    "catalog/nodes?node-meta=blk:x",
    "catalog/services",
    "catalog/services?node-meta=blk:x",
    "catalog/services?filter=ServiceName==`blk-web`",
    "catalog/service/blk-web",
    "catalog/service/blk-web?tag=a",
    "catalog/service/blk-nope",
    "catalog/connect/blk-web",
    "catalog/node/blk-1",
    "catalog/node/blk-nope",
    "catalog/node-services/blk-1",
    "catalog/node-services/blk-nope",
    "health/node/blk-1",
    "health/node/blk-nope",
    "health/checks/blk-web",
    "health/checks/blk-nope",
    "health/service/blk-web",
    "health/service/blk-web?passing",
    "health/service/blk-web?filter=Service.Port==1",
    "health/service/blk-nope",
    "health/connect/blk-web",
    "health/ingress/blk-web",
    "health/state/any",
    "health/state/critical",
    "health/state/passing",
)
OWN = [
    one
    for one in PATHS
    if not ("nope" in one and one.startswith("health/"))
    and one not in ("catalog/service/blk-nope", "health/state/passing", "health/state/critical")
]
"""But what other changes may wake in the real one, by chance of its memory's layout."""

FILTER = {"`/v1/catalog/services?filter=`": ["catalog/services?filter=ServiceName==`blk-web`"]}
QUIET = [
    one for one in OWN if not one.startswith(("health/node", "health/checks", "health/state/"))
]
"""And so for changes of what is nobody's."""


def watch(
    ask: World,
    what: str,
    change: Callable[[], Any],
    paths: Sequence[str] = PATHS,
    differs: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Wait with a blocking query of each path for a change, and record what they are told.

    ``differs`` names, for a row of the document, the paths whose reads behave otherwise.
    """

    changed = threading.Event()

    def read(path: str, index: int) -> Answer:
        more = "&" if "?" in path else "?"
        while True:
            answer = ask.get(f"{path}{more}index={index}&wait=400ms", record=False)
            if answer.index > index or changed.is_set():
                return answer

    before = {path: ask.get(path, record=False).index for path in paths}
    with ThreadPoolExecutor(len(paths)) as threads:
        started = {path: threads.submit(read, path, before[path]) for path in paths}
        time.sleep(0.1)
        change()
        changed.set()
        answers = {path: future.result() for path, future in started.items()}
    for path, answer in answers.items():
        facts: Facts = {"status": answer.status, "index moved": answer.index > before[path]}
        if path.startswith(("catalog/node/", "catalog/service/", "health/service/")):
            facts |= of_json(answer.json, ask.names)
        named = {
            row: ["index*"]
            for row, patterns in (differs or {}).items()
            if any(path == one for one in patterns)
        }
        ask.note(f"{what}: {path}", facts, differs=named)


def node(name: str = "blk-1", **fields: Any) -> dict[str, Any]:
    return {"Node": name, "Address": "10.2.0.1", "NodeMeta": {"blk": "x"}, **fields}


def web(**fields: Any) -> dict[str, Any]:
    return {"Service": "blk-web", "Port": 1, "Tags": ["a"], **fields}


def test_what_moves_an_index(play: Play) -> None:
    def scenario(ask: World) -> None:
        def put(body: dict[str, Any]) -> Callable[[], Any]:
            return lambda: ask.put("catalog/register", body, record=False)

        def remove(**body: str) -> Callable[[], Any]:
            return lambda: ask.put("catalog/deregister", body, record=False)

        check = {"CheckID": "c", "ServiceID": "blk-web", "Status": "passing"}
        other = {"Service": "blk-other", "Port": 2}
        put(node(Service=web(), Check=check))()
        put(node("blk-2", Service=other))()
        try:
            watch(ask, "a key", lambda: ask.put("kv/blk", "x", record=False))
            watch(ask, "the same again", put(node(Service=web(), Check=check)))
            watch(ask, "another node", put(node("blk-3")), QUIET, FILTER)
            watch(ask, "its metadata", put(node("blk-3", NodeMeta={"b": "c"})), QUIET, FILTER)
            watch(ask, "it goes", remove(Node="blk-3"), QUIET, FILTER)
            watch(ask, "another service", put(node("blk-2", Service={"Service": "x"})), QUIET)
            watch(ask, "another check", put(node("blk-2", Check={"Name": "x"})), QUIET)
            watch(ask, "its output", put(node("blk-2", Check={"Name": "x", "Output": "o"})), QUIET)
            watch(ask, "it goes", remove(Node="blk-2", CheckID="x"), QUIET)
            watch(ask, "a service goes", remove(Node="blk-2", ServiceID="x"), QUIET)
            watch(ask, "its check", put(node(Check={**check, "Status": "critical"})), OWN)
            watch(
                ask,
                "its output",
                put(node(Check={**check, "Status": "critical", "Output": "o"})),
                OWN,
            )
            watch(
                ask, "a check of its node", put(node(Check={"Name": "n", "Status": "passing"})), OWN
            )
            watch(
                ask,
                "its node's metadata",
                put(node(NodeMeta={"blk": "x", "more": "y"})),
                OWN,
                FILTER,
            )
            watch(ask, "its node's address", put(node(Address="10.2.0.9")), OWN, FILTER)
            watch(ask, "one more instance", put(node("blk-2", Service=web())), OWN)
            watch(ask, "one instance less", remove(Node="blk-2", ServiceID="blk-web"), OWN)
            watch(ask, "its check goes", remove(Node="blk-1", CheckID="c"), OWN)
            watch(ask, "a tag", put(node(Service=web(Tags=["a", "b"]))), OWN)
            watch(ask, "the last instance goes", remove(Node="blk-1", ServiceID="blk-web"), OWN)
            watch(ask, "it comes back", put(node(Service=web())), OWN)
            watch(ask, "its node goes", remove(Node="blk-1"), OWN)
            watch(ask, "all comes back", put(node(Service=web(), Check=check)), OWN)
        finally:
            for name in ("blk-1", "blk-2", "blk-3"):
                remove(Node=name)()
            ask.delete("kv/blk", record=False)

    play(scenario)


def test_how_long_a_read_waits(play: Play) -> None:
    def scenario(ask: World) -> None:
        paths = (
            *("catalog/nodes", "catalog/services", "catalog/service/consul", "catalog/node/node-1"),
            *("catalog/node/nope", "catalog/service/nope", "health/node/node-1"),
            *("health/checks/consul", "health/state/any", "catalog/gateway-services/nope"),
            *("catalog/node-services/node-1", "catalog/connect/nope", "health/checks/nope"),
        )
        for path in paths:
            index = ask.get(path).index
            for what, given, wait in (
                ("0", "0", "10m"),
                ("the present", str(index), "20ms"),
                ("the present", str(index), "0.02s"),
                ("the next", str(index + 1), "20ms"),
                ("the largest", "18446744073709551615", "20ms"),
                ("00", "00", "1ns"),
            ):
                answer = ask.get(f"{path}?index={given}&wait={wait}", record=False)
                facts: Facts = {"status": answer.status, "index": answer.index == index}
                ask.note(f"{path} index {what}, {wait}", facts)
            for query in (
                *("wait=-1s", "wait=10", "wait=1x", "wait=", "index=", "index=1.5", "index=+1"),
                *("wait=1h&index=0", "index=0x1", "index=1&wait=1", "index=18446744073709551616"),
            ):
                ask.get(f"{path}?{query}")

    play(scenario)


def test_writers_in_the_background(play: Play) -> None:
    """A follower sees the last of many changes, and no index goes backwards."""

    def scenario(ask: World) -> None:
        def write() -> None:
            for number in range(30):
                tags = [f"v{number}"]
                service = {"Service": "blk-many", "Tags": tags}
                check = {"CheckID": "m", "ServiceID": "blk-many", "Output": tags[0]}
                ask.put(
                    "catalog/register", node("blk-m", Service=service, Check=check), record=False
                )
                ask.put("catalog/register", node(f"blk-m{number}"), record=False)

        def follow(path: str) -> Facts:
            index, backwards, text = 0, False, ""
            deadline = time.monotonic() + PATIENCE
            while "v29" not in text and time.monotonic() < deadline:
                answer = ask.get(f"{path}?index={index}&wait=5s", record=False)
                backwards |= answer.index < index
                index, text = answer.index, answer.body.decode()
            return {"saw the last": "v29" in text, "backwards": backwards}

        paths = (
            *("catalog/service/blk-many", "health/service/blk-many", "health/node/blk-m"),
            *("catalog/node/blk-m", "catalog/services", "health/checks/blk-many"),
        )
        try:
            with ThreadPoolExecutor(len(paths) + 1) as threads:
                followers = {path: threads.submit(follow, path) for path in paths}
                threads.submit(write).result()
                for path, follower in followers.items():
                    ask.note(f"following {path}", follower.result())
        finally:
            for name in ("blk-m", *(f"blk-m{number}" for number in range(30))):
                ask.put("catalog/deregister", {"Node": name}, record=False)

    play(scenario)
