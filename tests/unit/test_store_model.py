"""Random commits, leases, watches, compactions and restarts, against a model of a few lines."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from portway.store import (
    CompactedError,
    Compare,
    Condition,
    Delete,
    LeaseNotFoundError,
    Operation,
    Put,
    Record,
    Store,
    Unchanged,
)
from portway.store.sqlite import Limits, open_sqlite
from tests.unit.store_rig import ENGINES, Recorder

T = TypeVar("T")
KEEP = {"kv/": 3, "kv/more": 5}
KEYS = ["a", "ab", "b", "kv/a", "kv/b", "kv/more", "kv/more/x", "é", "\0"]
PREFIXES = ["", "a", "b", "kv/", "kv/more", "x", "\0"]
keys = st.sampled_from(KEYS)
revisions = st.integers(0, 60)
conditions = st.lists(
    st.builds(Compare, keys, revisions)
    | st.builds(Unchanged, st.sampled_from(PREFIXES), revisions),
    max_size=2,
)
# Which of the leases that were made, or none: mostly none.
lease_choice = st.sampled_from([0, 0, 0, 1, 2, 3])
choices = st.lists(st.tuples(keys, st.none() | st.binary(max_size=3), lease_choice), max_size=5)


class Model:
    """What a store is, in plain data."""

    def __init__(self) -> None:
        self.revision = 0
        self.records: dict[str, Record] = {}
        self.log: list[tuple[int, str, bytes | None]] = []
        self.leases: set[int] = set()

    def commit(self, conditions: list[Condition], operations: list[Operation]) -> bool:
        for condition in conditions:
            if isinstance(condition, Compare):
                record = self.records.get(condition.key)
                if (record.mod_revision if record else 0) != condition.mod_revision:
                    return False
            elif any(
                record.mod_revision > condition.revision
                for key, record in self.records.items()
                if key.startswith(condition.prefix)
            ):
                return False
        last = {operation.key: operation for operation in operations}.values()
        for operation in last:
            if isinstance(operation, Put) and operation.lease not in {0, *self.leases}:
                raise LeaseNotFoundError
        revision = self.revision + 1
        for operation in last:
            key = operation.key
            old = self.records.get(key)
            if isinstance(operation, Put):
                created, version = (old.create_revision, old.version + 1) if old else (revision, 1)
                self.records[key] = Record(
                    key, operation.value, created, revision, version, operation.lease
                )
                self.log.append((revision, key, operation.value))
            elif old:
                del self.records[key]
                self.log.append((revision, key, None))
        if self.log and self.log[-1][0] == revision:
            self.revision = revision
        return True

    def revoke(self, lease: int) -> None:
        self.leases.discard(lease)
        self.commit([], [Delete(k) for k in sorted(self.records) if self.records[k].lease == lease])

    def events(self, prefix: str, after: int) -> list[tuple[int, str, bytes | None]]:
        return [event for event in self.log if event[0] > after and event[1].startswith(prefix)]


class StoreMachine(RuleBasedStateMachine):
    """The engine under test beside the model."""

    engine = ""
    limits = Limits()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory(prefix="store-model-")
        self.model = Model()
        self.leases: list[int] = []
        self.watches: list[tuple[str, int, Recorder]] = []
        self.compacted = 0
        self.store = self.run(self.open())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def open(self) -> Store:
        path = self.directory.name if self.engine == "file" else None
        return await open_sqlite(path, keep_versions=KEEP, limits=self.limits)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.directory.cleanup()

    def lease(self, choice: int) -> int:
        return self.leases[choice % len(self.leases)] if choice and self.leases else 0

    def operations(self, choices: list[tuple[str, bytes | None, int]]) -> list[Operation]:
        return [
            Delete(key) if value is None else Put(key, value, self.lease(lease))
            for key, value, lease in choices
        ]

    @rule(group=st.lists(st.tuples(conditions, choices), min_size=1, max_size=6))
    def commit(
        self, group: list[tuple[list[Condition], list[tuple[str, bytes | None, int]]]]
    ) -> None:
        self.commit_group(group)

    @rule(key=keys, value=st.binary(max_size=2), times=st.integers(1, 12))
    def write_often(self, key: str, value: bytes, times: int) -> None:
        self.commit_group([([], [(key, value + b"%d" % n, 0)]) for n in range(times)])

    def commit_group(
        self, group: list[tuple[list[Condition], list[tuple[str, bytes | None, int]]]]
    ) -> None:
        """Commits that wait together are one group: each must do as if it were alone."""
        commits = [(conditions, self.operations(choices)) for conditions, choices in group]

        async def commit_all() -> list[Any]:
            return await asyncio.gather(
                *[self.store.commit(*commit) for commit in commits], return_exceptions=True
            )

        for commit, outcome in zip(commits, self.run(commit_all()), strict=True):
            try:
                expected: Any = (self.model.commit(*commit), self.model.revision)
            except LeaseNotFoundError:
                assert isinstance(outcome, LeaseNotFoundError)
            else:
                assert outcome == expected

    @rule()
    def grant(self) -> None:
        lease = self.run(self.store.grant(3600))
        self.leases.append(lease)
        self.model.leases.add(lease)

    @precondition(lambda self: self.leases)
    @rule(choice=st.integers(1, 5))
    def revoke(self, choice: int) -> None:
        lease = self.lease(choice)
        self.run(self.store.revoke(lease))
        self.model.revoke(lease)
        assert self.run(self.store.keep_alive(lease)) is False

    @rule(prefix=st.sampled_from(PREFIXES), after=revisions)
    def watch(self, prefix: str, after: int) -> None:
        watcher = Recorder()
        try:
            self.run(self.store.watch(prefix, after, watcher))
        except CompactedError:
            assert after < self.run(self.store.status()).compacted
            assert watcher.batches == []
        else:
            assert after >= self.compacted
            self.watches.append((prefix, after, watcher))

    @rule(revision=revisions)
    def compact(self, revision: int) -> None:
        revision = min(revision, self.model.revision)
        self.run(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)
        assert self.run(self.store.status()).compacted >= self.compacted

    @precondition(lambda self: self.engine == "file")
    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.watches.clear()
        self.store = self.run(self.open())

    @invariant()
    def records_agree(self) -> None:
        ordered = sorted(self.model.records.values(), key=lambda record: record.key.encode())
        assert self.run(self.store.read()) == (self.model.revision, ordered)
        assert self.run(self.store.revision()) == self.model.revision
        assert self.run(self.store.status()).keys == len(ordered)

    @invariant()
    def watches_agree(self) -> None:
        for prefix, after, watcher in self.watches:
            assert watcher.changes == self.model.events(prefix, after)

    @invariant()
    def versions_agree(self) -> None:
        for key, number in (("kv/a", 3), ("kv/more", 5), ("kv/more/x", 5)):
            history = [(value, r) for r, changed, value in self.model.log if changed == key]
            found = self.run(self.store.versions(key))
            assert [(v.value, v.mod_revision) for v in found] == history[: -number - 1 : -1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("limits", [Limits(), Limits(revisions=8)], ids=["long log", "short log"])
def test_a_store_does_as_the_model(engine: str, limits: Limits) -> None:
    machine = type("Machine", (StoreMachine,), {"engine": engine, "limits": limits})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40 if engine == "memory" else 8,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )
