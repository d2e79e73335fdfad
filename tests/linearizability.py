"""A linearizability checker for histories of the key-value store.

A history is what several clients saw: for each operation when it was called, when it returned,
and what it answered. It is linearizable when there is one order of all operations that keeps to
real time (what returned before another was called comes first) and in which every answer is what
the sequential model gives. The search is Wing and Gong's in the form of Lowe: all configurations
are followed at once, each once. An operation whose outcome nobody knows (the server died) may have
happened between its call and the moment when it no longer could, or never.

Histories are split into groups of keys that no operation joins; each group is checked alone.

Every write has a value of its own, so that a version of a key is known by its value and holder:
``cas`` and ``delete-cas`` say which version they expect, as the client had read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

NEVER = float("inf")
UNKNOWN: Any = ("unknown",)
"""The answer of an operation that got none."""


class Entry(NamedTuple):
    """A key that exists."""

    value: str
    holder: str = ""
    locks: int = 0
    """How often it was locked (``LockIndex``)."""


class Call(NamedTuple):
    """What was asked.

    ``expected`` is the version for cas and delete-cas: (value, holder), or none for absence.
    ``parts`` are the operations of a transaction.
    """

    kind: str
    key: str = ""
    value: str = ""
    session: str = ""
    expected: tuple[str, str] | None = None
    parts: tuple[Call, ...] = ()


class Operation(NamedTuple):
    """One operation of a client. Times are of one clock; without an answer ``returned`` is when it
    could no longer happen, NEVER if there is no such moment."""

    called: float
    returned: float
    call: Call
    answer: Any


class State(NamedTuple):
    """The store: its entries sorted by key, and the sessions that have ended."""

    entries: tuple[tuple[str, Entry], ...] = ()
    ended: frozenset[str] = frozenset()


def step(state: State, call: Call) -> tuple[State, Any]:
    """The sequential model: what the store becomes, and what it answers."""
    if call.kind == "txn":
        return _transaction(state, call)
    if call.kind == "destroy":
        entries = {
            key: entry._replace(holder="") if entry.holder == call.session else entry
            for key, entry in state.entries
        }
        return State(_sorted(entries), state.ended | {call.session}), True
    if call.kind == "list":
        return state, state.entries
    entries = dict(state.entries)
    old = entries.get(call.key)
    if call.kind == "get":
        return state, old
    new, answer = _write(old, call, state.ended)
    if new is None:
        entries.pop(call.key, None)
    else:
        entries[call.key] = new
    return State(_sorted(entries), state.ended), answer


def _write(old: Entry | None, call: Call, ended: frozenset[str]) -> tuple[Entry | None, Any]:
    version = None if old is None else (old.value, old.holder)
    written = Entry(call.value) if old is None else old._replace(value=call.value)
    match call.kind:
        case "put":
            return written, True
        case "delete":
            return None, True
        case "cas":
            return (written, True) if version == call.expected else (old, False)
        case "delete-cas":
            return (None, True) if old is None or version == call.expected else (old, False)
        case "acquire":
            if call.session in ended:
                return old, "invalid session"
            if old is None or not old.holder:
                return Entry(call.value, call.session, (old.locks if old else 0) + 1), True
            return (written, True) if old.holder == call.session else (old, False)
        case "release":
            if old is None or old.holder != call.session:
                return old, False
            return Entry(call.value, "", old.locks), True
    raise ValueError(f"no such operation: {call.kind}")


def _transaction(state: State, call: Call) -> tuple[State, Any]:
    """All or nothing; answers what the parts read, or which of them failed."""
    now, answers, failed = state, [], []
    for index, part in enumerate(call.parts):
        now, answer = step(now, part)
        answers.append(answer if part.kind in ("get", "list") else None)
        if answer is False or answer == "invalid session":
            failed.append(index)
    if failed:
        return state, ("conflict", tuple(failed))
    return now, ("done", tuple(answers))


def _sorted(entries: dict[str, Entry]) -> tuple[tuple[str, Entry], ...]:
    return tuple(sorted(entries.items()))


Configuration = tuple[State, frozenset[int]]
"""A possible store, and those of the running operations that have taken effect in it."""


def linearizable(operations: Sequence[Operation], initial: State = State()) -> bool:  # noqa: B008
    """Whether the operations, all of one group, can be put into an order that explains them.

    Goes through calls and returns in time and keeps every configuration that is possible. An
    operation takes effect when a return shows that it must have.
    """
    running: dict[int, Operation] = {}
    possible: set[Configuration] = {(initial, frozenset())}
    for number, is_return in _events(operations):
        operation = operations[number]
        if not is_return:
            running[number] = operation
            continue
        reached = _reach(possible, running, number)
        if operation.answer is UNKNOWN:  # it has happened by now, or never will
            possible = {(state, done - {number}) for state, done in reached}
        else:
            possible = {(state, done - {number}) for state, done in reached if number in done}
        del running[number]
        if not possible:
            return False
    return True


def _reach(
    possible: set[Configuration], running: dict[int, Operation], wanted: int
) -> set[Configuration]:
    """The configurations that running operations can lead to.

    Nothing follows ``wanted``: what comes after it can take effect later.
    """
    reached = set(possible)
    left = list(possible)
    while left:
        state, done = left.pop()
        if wanted in done:
            continue
        for number, operation in running.items():
            if number in done:
                continue
            following, answer = step(state, operation.call)
            if operation.answer is UNKNOWN or operation.answer == answer:
                next_one = (following, done | {number})
                if next_one not in reached:
                    reached.add(next_one)
                    left.append(next_one)
    return reached


def _events(operations: Sequence[Operation]) -> list[tuple[int, bool]]:
    """Calls and returns in time. At one moment calls come first: those count as concurrent."""
    events = [(one.called, False, number) for number, one in enumerate(operations)]
    events += [
        (one.returned, True, number)
        for number, one in enumerate(operations)
        if one.returned != NEVER
    ]
    return [(number, is_return) for _, is_return, number in sorted(events)]


def by_group(
    operations: Iterable[Operation], group_of: dict[str, str]
) -> dict[str, list[Operation]]:
    """The history of each group; ``group_of`` maps keys and sessions to their group."""
    groups: dict[str, list[Operation]] = {}
    for operation in operations:
        call = operation.call
        name = call.key or call.session or call.parts[0].key
        groups.setdefault(group_of[name], []).append(operation)
    return groups
