"""The checker itself: it accepts what can be explained and, above all, rejects what cannot."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.linearizability import (
    NEVER,
    UNKNOWN,
    Call,
    Entry,
    Operation,
    State,
    linearizable,
    step,
)


def op(called: float, returned: float, kind: str, answer: Any, **call: Any) -> Operation:
    call.setdefault("key", "k")
    return Operation(called, returned, Call(kind, **call), answer)


def put(called: float, returned: float, value: str) -> Operation:
    return op(called, returned, "put", True, value=value)


def get(called: float, returned: float, value: str | None, holder: str = "") -> Operation:
    entry = None if value is None else Entry(value, holder, 1 if holder else 0)
    return op(called, returned, "get", entry)


ONE, TWO = {"session": "s1"}, {"session": "s2"}
GOOD: dict[str, list[Operation]] = {
    "nothing": [],
    "one after the other": [put(0, 1, "a"), get(2, 3, "a"), put(4, 5, "b"), get(6, 7, "b")],
    "a read beside a write sees either": [put(0, 10, "a"), get(1, 2, None), get(3, 4, "a")],
    "two writers, any order": [put(0, 10, "a"), put(0, 10, "b"), get(11, 12, "a")],
    "one of two cas": [
        op(0, 9, "cas", True, value="a"),
        op(0, 9, "cas", False, value="b"),
        get(10, 11, "a"),
    ],
    "lock, refusal, release, lock": [
        op(0, 1, "acquire", True, value="a", **ONE),
        op(2, 3, "acquire", False, value="b", **TWO),
        op(4, 5, "release", True, value="c", **ONE),
        op(6, 7, "acquire", True, value="d", **TWO),
        op(8, 9, "get", Entry("d", "s2", 2)),
    ],
    "the end of a session releases": [
        op(0, 1, "acquire", True, value="a", **ONE),
        op(2, 3, "destroy", True, key="", **ONE),
        op(4, 5, "get", Entry("a", "", 1)),
        op(6, 7, "acquire", "invalid session", value="b", **ONE),
    ],
    "an unknown outcome that happened": [
        Operation(0, NEVER, Call("put", "k", "a"), UNKNOWN),
        get(5, 6, "a"),
    ],
    "an unknown outcome that never happened": [
        Operation(0, NEVER, Call("put", "k", "a"), UNKNOWN),
        get(5, 6, None),
    ],
    "a transaction is one step": [
        op(
            0,
            5,
            "txn",
            ("done", (None, None)),
            key="",
            parts=(Call("put", "a", "1"), Call("put", "b", "1")),
        ),
        op(1, 2, "list", (), key="a"),
        op(3, 4, "list", (("a", Entry("1")), ("b", Entry("1"))), key="a"),
    ],
}
BAD: dict[str, list[Operation]] = {
    "a stale read": [put(0, 1, "a"), put(2, 3, "b"), get(4, 5, "a")],
    "a lost write": [put(0, 1, "a"), get(2, 3, None)],
    "a read of the future": [get(0, 1, "a"), put(2, 3, "a")],
    "reads that go back": [put(0, 1, "a"), put(2, 9, "b"), get(3, 4, "b"), get(5, 6, "a")],
    "two cas on one version": [
        op(0, 9, "cas", True, value="a"),
        op(0, 9, "cas", True, value="b"),
    ],
    "a cas that must have succeeded": [
        put(0, 1, "a"),
        op(2, 3, "cas", False, value="b", expected=("a", "")),
    ],
    "two holders": [
        op(0, 1, "acquire", True, value="a", **ONE),
        op(2, 3, "acquire", True, value="b", **TWO),
    ],
    "release of a lock of others": [
        op(0, 1, "acquire", True, value="a", **ONE),
        op(2, 3, "release", True, value="b", **TWO),
    ],
    "a lock that outlives its session": [
        op(0, 1, "acquire", True, value="a", **ONE),
        op(2, 3, "destroy", True, key="", **ONE),
        op(4, 5, "get", Entry("a", "s1", 1)),
    ],
    "a lock counted wrongly": [
        op(0, 1, "acquire", True, value="a", **ONE),
        op(2, 3, "acquire", True, value="b", **ONE),
        op(4, 5, "get", Entry("b", "s1", 2)),
    ],
    "half a transaction": [
        op(
            0,
            5,
            "txn",
            ("done", (None, None)),
            key="",
            parts=(Call("put", "a", "1"), Call("put", "b", "1")),
        ),
        op(1, 2, "list", (("a", Entry("1")),), key="a"),
    ],
    "a refused transaction that left a trace": [
        op(
            0,
            1,
            "txn",
            ("conflict", (1,)),
            key="",
            parts=(Call("put", "k", "x"), Call("cas", "k", "y", expected=("z", ""))),
        ),
        get(2, 3, "x"),
    ],
    "a deletion undone": [put(0, 1, "a"), op(2, 3, "delete", True), get(4, 5, "a")],
    "an unknown outcome that came and went": [
        Operation(0, NEVER, Call("put", "k", "a"), UNKNOWN),
        get(5, 6, "a"),
        get(7, 8, None),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_can_be_explained_is_accepted(name: str) -> None:
    assert linearizable(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_explained_is_rejected(name: str) -> None:
    assert not linearizable(BAD[name])


def history(seed: int, length: int = 120, clients: int = 5) -> list[Operation]:
    """What clients could have seen of a store: each operation happens within its time."""
    rng = random.Random(seed)
    state = State()
    free = [0.0] * clients
    operations = []
    for number in range(length):
        client = min(range(clients), key=lambda one: free[one])
        point = max(free[client], float(number)) + rng.random()
        kind = rng.choice(["get", "get", "put", "cas", "acquire", "release", "delete", "destroy"])
        session = f"s{client}-{number // 40}"
        old = dict(state.entries).get("k")
        version = None if old is None or rng.random() < 0.3 else (old.value, old.holder)
        call = Call(kind, "k", f"v{number}", session, version)
        if kind == "destroy":
            call = Call(kind, session=session)
        state, answer = step(state, call)
        called, returned = point - rng.random() * 3, point + rng.random() * 3
        operations.append(Operation(max(called, free[client]), returned, call, answer))
        free[client] = returned
        # The next operation of anybody happens after this one.
        free = [max(one, point) for one in free]
    return operations


@pytest.mark.parametrize("seed", range(20))
def test_histories_of_the_model_are_accepted(seed: int) -> None:
    assert linearizable(history(seed))


@pytest.mark.parametrize("seed", range(20))
def test_a_read_of_what_was_overwritten_long_before_is_rejected(seed: int) -> None:
    operations = history(seed)
    written = [one for one in operations if one.call.kind == "put"]
    old, new = written[0], written[-1]
    end = max(one.returned for one in operations)
    assert old.call.value != new.call.value
    stale = Operation(end + 1, end + 2, Call("get", "k"), Entry(old.call.value))
    assert not linearizable([*operations, stale])
