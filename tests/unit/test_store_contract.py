"""What every engine of the store must do, as the package's documentation says it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from portway.store import (
    Batch,
    Committed,
    CompactedError,
    Compare,
    Delete,
    LeaseNotFoundError,
    Put,
    Record,
    Store,
    StoreClosedError,
    StoreError,
    Unchanged,
    Version,
)
from portway.store.sqlite import open_sqlite
from tests.patience import until
from tests.unit.store_rig import ENGINES, Recorder, opened, put


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def store(engine: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(engine, tmp_path, {"kv/": 3}) as store:
        yield store


class TestCommit:
    async def test_a_new_store_is_at_revision_0(self, store: Store) -> None:
        assert await store.revision() == 0
        assert await store.read() == (0, [])
        assert await store.get("a") is None

    async def test_a_commit_writes_all_its_keys_at_one_revision(self, store: Store) -> None:
        assert await store.commit([], [Put("b", b"2"), Put("a", b"1")]) == Committed(True, 1)
        assert await store.read() == (1, [Record("a", b"1", 1, 1, 1), Record("b", b"2", 1, 1, 1)])

    async def test_each_write_counts_a_version_and_a_deletion_begins_anew(
        self, store: Store
    ) -> None:
        await put(store, "a", b"1")
        await put(store, "a", b"2")
        assert await store.get("a") == Record("a", b"2", 1, 2, 2)
        assert await store.commit([], [Delete("a")]) == Committed(True, 3)
        assert await store.get("a") is None
        await put(store, "a", b"3")
        assert await store.get("a") == Record("a", b"3", 4, 4, 1)

    async def test_of_several_operations_on_a_key_the_last_counts(self, store: Store) -> None:
        watcher = Recorder()
        await store.watch("", 0, watcher)
        await store.commit([], [Put("a", b"1"), Put("b", b""), Put("a", b"2"), Delete("b")])
        assert await store.read() == (1, [Record("a", b"2", 1, 1, 1)])
        assert watcher.changes == [(1, "a", b"2")]

    @pytest.mark.parametrize(
        ("compare", "holds"),
        [
            (Compare("a", 2), True),
            (Compare("a", 1), False),
            (Compare("a", 3), False),
            (Compare("a", 0), False),
            (Compare("nothing", 0), True),
            (Compare("nothing", 1), False),
            (Compare("deleted", 0), True),
            (Compare("deleted", 3), False),
        ],
    )
    async def test_compare(self, store: Store, compare: Compare, holds: bool) -> None:
        await store.commit([], [Put("a", b""), Put("deleted", b"")])
        await put(store, "a", b"")
        await store.commit([], [Delete("deleted")])
        outcome = await store.commit([compare], [Put("new", b"")])
        assert outcome == Committed(holds, 4 if holds else 3)
        assert (await store.get("new") is not None) is holds

    @pytest.mark.parametrize(
        ("unchanged", "holds"),
        [
            (Unchanged("dir/", 0), False),
            (Unchanged("dir/", 1), False),
            (Unchanged("dir/", 2), True),
            (Unchanged("dir/", 99), True),
            (Unchanged("dir/a", 1), True),
            (Unchanged("dir/b", 1), False),
            (Unchanged("dir/gone", 0), True),  # a key that does not exist was not written
            (Unchanged("dir0", 0), True),
            (Unchanged("di", 3), True),
            (Unchanged("", 3), False),
            (Unchanged("", 4), True),
        ],
    )
    async def test_unchanged(self, store: Store, unchanged: Unchanged, holds: bool) -> None:
        await store.commit([], [Put("dir/a", b""), Put("dir/b", b"")])
        await put(store, "dir/b")
        await put(store, "dir/gone")
        await store.commit([], [Delete("dir/gone"), Put("other", b"")])
        assert (await store.commit([unchanged], [])).succeeded is holds
        # However long ago it is, and however the engine finds out.
        for number in range(3):
            await put(store, f"later/{number}")
        if unchanged.prefix:
            assert (await store.commit([unchanged], [])).succeeded is holds
            await store.compact(await store.revision())
            assert (await store.commit([unchanged], [])).succeeded is holds

    async def test_one_compare_that_fails_keeps_everything_from_happening(
        self, store: Store
    ) -> None:
        await put(store, "a", b"1")
        conditions = (Compare("a", 1), Unchanged("", 1), Compare("b", 1))
        operations = (Put("a", b"2"), Delete("d"), Put("c", b""))
        assert await store.commit(conditions, operations) == Committed(False, 1)
        assert await store.read() == (1, [Record("a", b"1", 1, 1, 1)])

    async def test_compares_see_the_commits_that_wait_before_them(self, store: Store) -> None:
        """One group, judged one after the other."""
        outcomes = await asyncio.gather(
            store.commit([Compare("a", 0)], [Put("a", b"1")]),
            store.commit([Compare("a", 0)], [Put("a", b"2")]),
            store.commit([Compare("a", 1)], [Put("a", b"3")]),
            store.commit([Unchanged("a", 1)], [Delete("a")]),
            store.commit([Unchanged("a", 2)], [Delete("a")]),
            store.commit([Unchanged("a", 0), Compare("a", 0)], [Put("b", b"")]),
        )
        assert list(outcomes) == [
            Committed(True, 1),
            Committed(False, 1),
            Committed(True, 2),
            Committed(False, 2),
            Committed(True, 3),
            Committed(True, 4),
        ]

    async def test_unchanged_sees_deletions_that_wait_before_it(self, store: Store) -> None:
        await store.commit([], [Put(f"d/{name}", b"") for name in "abc"])
        outcomes = await asyncio.gather(
            store.commit([], [Delete("d/a"), Delete("d/b")]),
            store.commit([Unchanged("d/", 0)], [Put("not all are gone", b"")]),
            store.commit([], [Delete("d/c")]),
            store.commit([Unchanged("d/", 0)], [Put("all are gone", b"")]),
            store.commit([], [Put("d/a", b"")]),
            store.commit([Unchanged("d/", 3)], [Put("one is back", b"")]),
        )
        assert [outcome.succeeded for outcome in outcomes] == [True, False, True, True, True, False]

    async def test_a_commit_that_changes_nothing_makes_no_revision(self, store: Store) -> None:
        watcher = Recorder()
        await store.watch("", 0, watcher)
        await put(store, "a")
        assert await store.commit([], []) == Committed(True, 1)
        assert await store.commit([Compare("a", 1)], []) == Committed(True, 1)
        assert await store.commit([], [Delete("nothing")]) == Committed(True, 1)
        assert await store.commit([], [Delete("nothing"), Put("b", b"")]) == Committed(True, 2)
        assert watcher.changes == [(1, "a", b""), (2, "b", b"")]

    async def test_revisions_have_no_gaps(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            *[
                store.commit(
                    [Compare("odd", 0)] if n % 2 else [], [Put("odd" if n % 2 else "x", b"")]
                )
                for n in range(200)
            ]
        )
        succeeded = [outcome.revision for outcome in outcomes if outcome.succeeded]
        assert succeeded == list(range(1, 102))
        assert await store.revision() == 101

    async def test_one_of_many_that_compare_wins(self, store: Store) -> None:
        async def increment(times: int) -> None:
            while times:
                record = await store.get("counter")
                number = int(record.value) if record else 0
                revision = record.mod_revision if record else 0
                outcome = await store.commit(
                    [Compare("counter", revision)], [Put("counter", b"%d" % (number + 1))]
                )
                times -= outcome.succeeded

        await asyncio.gather(*[increment(20) for _ in range(8)])
        record = await store.get("counter")
        assert record == Record("counter", b"160", 1, 160, 160)

    async def test_many_operations_in_one_commit(self, store: Store) -> None:
        watcher = Recorder()
        await store.watch("", 0, watcher)
        keys = [f"many/{number:05}" for number in range(5000)]
        assert await store.commit([], [Put(key, key.encode()) for key in keys]) == (True, 1)
        await store.commit([Compare(key, 1) for key in keys], [Delete(key) for key in keys[1:]])
        assert await store.read() == (2, [Record(keys[0], keys[0].encode(), 1, 1, 1)])
        assert [len(batch.events) for batch in watcher.batches] == [5000, 4999]

    async def test_a_large_value(self, store: Store) -> None:
        value = random.Random(1).randbytes(3 << 20)
        watcher = Recorder()
        await store.watch("", 0, watcher)
        await put(store, "large", value)
        assert await store.get("large") == Record("large", value, 1, 1, 1)
        assert watcher.changes == [(1, "large", value)]

    async def test_what_cannot_be_stored_is_refused_and_disturbs_nothing(
        self, store: Store
    ) -> None:
        with pytest.raises(StoreError, match=r"key '\\ud800'.*not valid Unicode"):
            await put(store, "\ud800")
        with pytest.raises(StoreError, match=r"key 'a': a value of 67108865 bytes"):
            await put(store, "a", bytes((64 << 20) + 1))
        assert await put(store, "a") == Committed(True, 1)


class TestKeys:
    NAMES = [
        "",
        "\0",
        "\0\0",
        "a",
        "a\0",
        "a\0b",
        "a\x7f",
        "aa",
        "a\x80",
        "a\ud7ff",
        "a\ud7ff!",
        "a\ue000",
        "a\uffff",
        "a\U00010000",
        "a\U0010ffff",
        "a\U0010ffff\U0010ffff",
        "a\U0010ffffz",
        "b",
        "ü/ö",
        "\U0010ffff",
        "\U0010ffff\U0010ffff",
        "%_*?[]'\"\\",
    ]

    async def test_they_are_ordered_by_their_utf8_bytes(self, store: Store) -> None:
        shuffled = random.Random(1).sample(self.NAMES, len(self.NAMES))
        await store.commit([], [Put(key, b"") for key in shuffled])
        ordered = sorted(self.NAMES, key=str.encode)
        assert [record.key for record in (await store.read()).records] == ordered

    async def test_a_prefix_finds_what_begins_with_it(self, store: Store) -> None:
        live = {prefix: Recorder() for prefix in self.NAMES}
        for prefix, watcher in live.items():
            await store.watch(prefix, 0, watcher)
        await store.commit([], [Put(key, b"") for key in self.NAMES])
        for prefix in sorted(self.NAMES, key=len, reverse=True):
            replayed = Recorder()
            await store.watch(prefix, 0, replayed)
            under = [key for key in self.NAMES if key.startswith(prefix)]
            records = (await store.read(prefix)).records
            assert [record.key for record in records] == sorted(under, key=str.encode), prefix
            assert [key for _, key, _ in live[prefix].changes] == under, prefix
            assert replayed.batches == live[prefix].batches, prefix
            assert not (await store.commit([Unchanged(prefix, 0)], [])).succeeded, prefix
        for prefix in sorted(self.NAMES, key=len, reverse=True):
            under = [key for key in self.NAMES if key.startswith(prefix)]
            await store.commit([], [Delete(key) for key in under])
            assert (await store.commit([Unchanged(prefix, 0)], [])).succeeded, prefix


class TestWatch:
    async def test_events_come_before_the_commit_returns(self, store: Store) -> None:
        watcher = Recorder()
        await store.watch("", 0, watcher)
        await store.commit([], [Put("a", b"1"), Put("b", b"2")])
        assert [event.key for event in watcher.batches[0].events] == ["a", "b"]
        await store.commit([], [Delete("b"), Put("a", b"3")])
        assert watcher.changes == [(1, "a", b"1"), (1, "b", b"2"), (2, "b", None), (2, "a", b"3")]

    async def test_a_prefix_sees_its_own_events_only(self, store: Store) -> None:
        watcher = Recorder()
        await store.watch("a/", 0, watcher)
        await store.commit([], [Put("a/1", b""), Put("b", b"")])
        await put(store, "b")
        await put(store, "a/2")
        assert watcher.changes == [(1, "a/1", b""), (3, "a/2", b"")]

    async def test_it_begins_with_what_has_happened(self, store: Store) -> None:
        for number in range(10):
            await put(store, f"{'a' if number % 2 else 'b'}/{number}")
        await store.commit([], [Delete("a/1")])
        everything, some = Recorder(), Recorder()
        await store.watch("", 0, everything)
        await store.watch("a/", 5, some)
        assert everything.revisions == list(range(1, 12))
        assert some.changes == [
            (6, "a/5", b""),
            (8, "a/7", b""),
            (10, "a/9", b""),
            (11, "a/1", None),
        ]
        await put(store, "a/x")
        assert everything.revisions == list(range(1, 13))
        assert some.revisions == [6, 8, 10, 11, 12]

    async def test_replayed_records_are_those_of_their_time(self, store: Store) -> None:
        live, replayed = Recorder(), Recorder()
        await store.watch("", 0, live)
        lease = await store.grant(60)
        await put(store, "a", b"1")
        await put(store, "a", b"2", lease)
        await store.commit([], [Delete("a")])
        await put(store, "a", b"3")
        await store.watch("", 0, replayed)
        assert replayed.batches == live.batches
        assert live.batches[1].events[0].record == Record("a", b"2", 1, 2, 2, lease)

    async def test_it_may_begin_in_the_future(self, store: Store) -> None:
        watcher = Recorder()
        await store.watch("", 2, watcher)
        for _ in range(4):
            await put(store, "a")
        assert watcher.revisions == [3, 4]

    async def test_after_cancel_nothing_comes(self, store: Store) -> None:
        watcher = Recorder()
        watch = await store.watch("", 0, watcher)
        await put(store, "a")
        watch.cancel()
        watch.cancel()
        await put(store, "a")
        assert watcher.revisions == [1]

    async def test_one_may_cancel_another_while_it_is_called(self, store: Store) -> None:
        other = Recorder()

        def cancel_other(_: Sequence[Batch]) -> None:
            watch.cancel()

        await store.watch("", 0, cancel_other)
        watch = await store.watch("", 0, other)
        await put(store, "a")
        assert other.batches == []

    async def test_one_that_fails_harms_no_other(self, store: Store) -> None:
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, c: reported.append(c))

        def fail(_: Sequence[Batch]) -> None:
            raise RuntimeError("broken")

        watcher = Recorder()
        await store.watch("", 0, fail)
        await store.watch("", 0, watcher)
        assert await put(store, "a") == Committed(True, 1)
        assert watcher.revisions == [1]
        assert "broken" in repr(reported[0]["exception"])

    async def test_no_gap_and_no_duplicate_when_it_begins_amid_commits(self, store: Store) -> None:
        done = False

        async def write(writer: int) -> None:
            for number in range(150):
                await put(store, f"{writer}/{number % 7}", b"%d" % number)

        async def begin_watches() -> list[tuple[int, Recorder]]:
            watchers = []
            while not done:
                watcher, after = Recorder(), random.randint(0, await store.revision())
                await store.watch("", after, watcher)
                watchers.append((after, watcher))
                await asyncio.sleep(0.002)
            return watchers

        beginning = asyncio.create_task(begin_watches())
        await asyncio.gather(*[write(writer) for writer in range(8)])
        done = True
        watchers = await beginning
        assert len(watchers) > 3
        whole = Recorder()
        await store.watch("", 0, whole)
        assert whole.revisions == list(range(1, 1201))
        for after, watcher in watchers:
            assert watcher.batches == whole.batches[after:]


class TestLeases:
    async def test_its_expiry_deletes_its_keys_in_one_commit(self, store: Store) -> None:
        watcher = Recorder()
        await store.watch("", 0, watcher)
        lease = await store.grant(1.5)
        await store.commit([], [Put("a", b"", lease), Put("b", b"", lease), Put("c", b"")])
        await until(lambda: len(watcher.batches) == 2, "two batches")
        assert watcher.changes[3:] == [(2, "a", None), (2, "b", None)]
        assert [record.key for record in (await store.read()).records] == ["c"]
        assert await store.keep_alive(lease) is False

    async def test_it_lives_while_it_is_kept_alive(self, store: Store) -> None:
        watcher = Recorder()
        kept, left = await store.grant(4.0), await store.grant(4.5)
        await put(store, "kept", b"", kept)
        await put(store, "left", b"", left)
        await store.watch("", 2, watcher)
        while not watcher.batches:
            assert await store.keep_alive(kept)
            await asyncio.sleep(0.05)
        assert watcher.changes == [(3, "left", None)]
        assert await store.keep_alive(kept)

    async def test_when_its_time_is_over_it_cannot_be_renewed(self, store: Store) -> None:
        """Even if nobody has noticed yet."""
        lease = await store.grant(0.05)
        time.sleep(0.1)  # noqa: ASYNC251 - the loop must not come to look at it
        assert await store.keep_alive(lease) is False

    async def test_revoke_deletes_its_keys_at_once(self, store: Store) -> None:
        lease = await store.grant(60)
        await store.commit([], [Put("a", b"", lease), Put("b", b"", lease)])
        await store.revoke(lease)
        assert await store.read() == (2, [])
        assert await store.keep_alive(lease) is False
        await store.revoke(lease)
        assert await store.revision() == 2

    async def test_an_end_without_keys_makes_no_revision(self, store: Store) -> None:
        await store.revoke(await store.grant(60))
        assert await store.revision() == 0

    async def test_a_write_moves_a_key_to_its_own_lease(self, store: Store) -> None:
        first, second = await store.grant(60), await store.grant(60)
        for key in ("moved", "freed", "deleted", "stays"):
            await put(store, key, b"", first)
        await put(store, "moved", b"", second)
        await put(store, "freed")
        await store.commit([], [Delete("deleted")])
        await store.revoke(first)
        assert [record.key for record in (await store.read()).records] == ["freed", "moved"]
        await store.revoke(second)
        assert [record.key for record in (await store.read()).records] == ["freed"]

    async def test_its_end_sees_the_writes_that_wait_before_it(self, store: Store) -> None:
        lease, other = await store.grant(60), await store.grant(60)
        await store.commit([], [Put("a", b"", lease), Put("b", b"", lease), Put("c", b"", lease)])
        late = put(store, "late", b"", lease)
        results = await asyncio.gather(
            put(store, "new", b"", lease),
            put(store, "a", b"", other),
            store.commit([], [Delete("b")]),
            store.revoke(lease),
            late,
            put(store, "c"),
            return_exceptions=True,
        )
        assert isinstance(results[4], LeaseNotFoundError)
        records = (await store.read()).records
        assert [(r.key, r.lease, r.version) for r in records] == [("a", other, 2), ("c", 0, 1)]

    async def test_a_lease_that_does_not_exist(self, store: Store) -> None:
        with pytest.raises(LeaseNotFoundError, match=r"key 'a': lease 77 does not exist"):
            await store.commit([], [Put("b", b""), Put("a", b"", 77)])
        assert await store.read() == (0, [])
        assert await store.keep_alive(77) is False
        await store.revoke(77)

    @pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 1e12])
    async def test_bad_times(self, store: Store, ttl: float) -> None:
        with pytest.raises(StoreError, match="must be more than 0"):
            await store.grant(ttl)

    async def test_many_expire(self, store: Store) -> None:
        leases = await asyncio.gather(*[store.grant(0.05 + n % 10 / 50) for n in range(300)])
        assert len({0, *leases}) == 301
        outcomes = await asyncio.gather(
            *[put(store, f"{n:03}", b"", lease) for n, lease in enumerate(leases)],
            return_exceptions=True,
        )
        assert all(isinstance(o, Committed | LeaseNotFoundError) for o in outcomes)
        watcher = Recorder()
        await store.watch("", 0, watcher)
        await until(lambda: not _remaining(watcher), "leases to end")
        assert await store.read() == (await store.revision(), [])


def _remaining(watcher: Recorder) -> set[str]:
    remaining: set[str] = set()
    for _, key, value in watcher.changes:
        (remaining.discard if value is None else remaining.add)(key)
    return remaining


class TestVersions:
    async def test_newest_first_with_deletions(self, store: Store) -> None:
        await put(store, "kv/a", b"1")
        await put(store, "kv/a", b"2")
        await store.commit([], [Delete("kv/a"), Put("kv/ab", b"")])
        await put(store, "kv/a", b"3")
        assert await store.versions("kv/a") == [
            Version(b"3", 4, 4, 1),
            Version(None, 0, 3, 0),
            Version(b"2", 1, 2, 2),
        ]
        assert await store.versions("kv/a", 1) == [Version(b"3", 4, 4, 1)]
        assert await store.versions("kv/nothing") == []

    async def test_as_many_as_configured_survive_compaction(self, store: Store) -> None:
        for number in range(20):
            for key in ("kv/a", "kv/b", "other"):
                await put(store, key, b"%d" % number)
        await put(store, "kv/once", b"1")
        before = [await store.versions(key) for key in ("kv/a", "kv/b")]
        assert [version.value for version in before[0]] == [b"19", b"18", b"17"]
        await store.compact(await store.revision())
        assert [await store.versions(key) for key in ("kv/a", "kv/b")] == before
        assert [v.value for v in await store.versions("kv/once")] == [b"1"]
        for number in range(2):
            await put(store, "kv/a", b"later %d" % number)
        await store.compact(await store.revision())
        values = [version.value for version in await store.versions("kv/a")]
        assert values == [b"later 1", b"later 0", b"19"]

    async def test_other_keys_have_but_what_they_are(self, store: Store) -> None:
        await put(store, "other", b"1")
        await put(store, "other", b"2")
        assert await store.versions("other") == [Version(b"2", 1, 2, 2)]
        await store.commit([], [Delete("other")])
        assert await store.versions("other") == []


class TestCompaction:
    async def test_it_forgets_events_and_keeps_records(self, store: Store) -> None:
        watcher = Recorder()
        for number in range(10):
            await put(store, f"a/{number % 2}", b"%d" % number)
        before = await store.read()
        await store.compact(6)
        assert await store.read() == before
        assert (await store.status()).compacted == 6
        for after in range(6):
            with pytest.raises(CompactedError, match=rf"revision {after} .*from is 6"):
                await store.watch("", after, watcher)
        assert watcher.batches == []
        await store.watch("", 6, watcher)
        assert watcher.revisions == [7, 8, 9, 10]

    async def test_what_is_forgotten_already_may_be_compacted_again(self, store: Store) -> None:
        for _ in range(5):
            await put(store, "a")
        await store.compact(3)
        await store.compact(2)
        await store.compact(3)
        assert (await store.status()).compacted == 3

    async def test_the_future_cannot_be(self, store: Store) -> None:
        with pytest.raises(StoreError, match="revision 1: the last one is 0"):
            await store.compact(1)

    async def test_a_long_one_lets_writers_through(self, store: Store) -> None:
        await store.commit([], [Put(f"{n}", b"") for n in range(20_000)])
        last = await store.revision()
        compaction = asyncio.create_task(store.compact(last))
        while not compaction.done():
            await put(store, "a")
        await compaction
        assert await store.revision() > last + 1
        watcher = Recorder()
        await store.watch("", last, watcher)
        assert watcher.revisions == list(range(last + 1, await store.revision() + 1))


class TestStatus:
    async def test_it_counts_keys(self, store: Store) -> None:
        await store.commit([], [Put(f"{n}", b"x" * 1000) for n in range(500)])
        await store.commit([], [Delete(f"{n}") for n in range(450)])
        await asyncio.gather(put(store, "1"), put(store, "1"), store.commit([], [Delete("460")]))
        status = await store.status()
        assert (status.revision, status.compacted, status.keys) == (5, 0, 50)
        assert 500_000 < status.bytes < 10_000_000


class TestBackup:
    async def test_it_is_a_complete_store(self, store: Store, tmp_path: Path) -> None:
        lease = await store.grant(60)
        await put(store, "kv/a", b"1")
        await put(store, "kv/a", b"2", lease)
        await put(store, "b", b"3")
        copy = tmp_path / "copy" / "store.db"
        copy.parent.mkdir()
        assert await store.backup(str(copy)) == 3
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert [file.name for file in copy.parent.iterdir()] == ["store.db"]
        await put(store, "later")
        restored = await open_sqlite(str(copy.parent), keep_versions={"kv/": 3})
        try:
            assert (await restored.read()) == (3, (await store.read()).records[:2])
            assert await restored.versions("kv/a") == await store.versions("kv/a")
            assert await restored.keep_alive(lease)
            assert await put(restored, "c") == Committed(True, 4)
        finally:
            await restored.close()

    async def test_while_it_is_written(self, store: Store, tmp_path: Path) -> None:
        """Each commit writes two equal keys: a copy has both or neither, and whole revisions."""
        done = False

        async def write(writer: int) -> None:
            number = 0
            while not done:
                number += 1
                value = b"%d" % number * 50
                await store.commit([], [Put(f"x/{writer}", value), Put(f"y/{writer}", value)])

        writers = [asyncio.create_task(write(writer)) for writer in range(8)]
        copies = []
        for number in range(4):
            await asyncio.sleep(0.05)
            before = await store.revision()
            path = tmp_path / f"copy {number}"
            revision = await store.backup(str(path))
            assert before <= revision <= await store.revision()
            copies.append((revision, path))
        done = True
        await asyncio.gather(*writers)
        for revision, path in copies:
            copy = sqlite3.connect(path)
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert copy.execute("SELECT max(modified) FROM records").fetchall() == [(revision,)]
            rows = dict(copy.execute("SELECT key, value FROM records"))
            for writer in range(8):
                assert rows.get(f"x/{writer}") == rows.get(f"y/{writer}")
            copy.close()

    async def test_it_replaces_no_file(self, store: Store, tmp_path: Path) -> None:
        existing = tmp_path / "existing"
        existing.write_bytes(b"precious")
        with pytest.raises(StoreError, match="exists already"):
            await store.backup(str(existing))
        assert existing.read_bytes() == b"precious"
        with pytest.raises(StoreError, match="nowhere"):
            await store.backup(str(tmp_path / "nowhere" / "copy"))


class TestClose:
    async def test_what_is_under_way_is_finished(self, engine: str, tmp_path: Path) -> None:
        async with opened(engine, tmp_path) as store:
            commits = [asyncio.create_task(put(store, f"{n}")) for n in range(50)]
            await asyncio.sleep(0)
            await store.close()
            assert await asyncio.gather(*commits) == [(True, n + 1) for n in range(50)]

    async def test_then_everything_is_refused(self, store: Store) -> None:
        watcher = Recorder()
        await store.watch("", 0, watcher)
        await store.close()
        await store.close()
        for call in (
            put(store, "a"),
            store.read(),
            store.get("a"),
            store.revision(),
            store.watch("", 0, watcher),
            store.versions("a"),
            store.grant(1),
            store.keep_alive(1),
            store.revoke(1),
            store.compact(0),
            store.status(),
        ):
            with pytest.raises(StoreClosedError):
                await call
        assert watcher.batches == []

    async def test_a_caller_that_has_gone_harms_no_other(self, store: Store) -> None:
        gone = asyncio.create_task(put(store, "gone"))
        stays = asyncio.create_task(put(store, "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await stays).succeeded
        assert await store.revision() in (1, 2)
