"""A store on disk: its files, what is wrong with them, and a writer that dies."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from portway.store import (
    Committed,
    CompactedError,
    Delete,
    OutcomeUnknownError,
    Put,
    Record,
    Store,
    StoreError,
)
from portway.store.sqlite import Limits, files, open_sqlite
from portway.store.sqlite.database import Database
from portway.store.sqlite.messages import Commit, Grant
from tests.patience import until
from tests.unit.store_rig import Recorder, opened, put


def modes(directory: Path) -> dict[str, int]:
    """The permissions of every file, by name."""
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


async def filled(directory: Path, keys: int = 200) -> None:
    """Make a store with some contents, and close it."""
    async with opened("file", directory) as store:
        await store.commit([], [Put(f"key/{n:05}", b"value %d" % n * 20) for n in range(keys)])


_STRANGERS: set[int] = set()  # what other tests have left to this process


@pytest.fixture(autouse=True)
def strangers() -> None:
    """Take no notice of processes that were there before the test."""
    _STRANGERS.clear()
    _STRANGERS.update(children())


def children() -> set[int]:
    """The processes that were started in this test and still run."""
    lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return {int(pid) for pids in lists for pid in pids.split()} - _STRANGERS


class TestFiles:
    @pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
    async def test_they_are_for_their_owner_only(self, tmp_path: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            async with opened("file", tmp_path) as store:
                await put(store, "a")
                await store.read()
                directory = tmp_path / "store"
                assert stat.S_IMODE(directory.stat().st_mode) == 0o700
                names = ["lock", "store.db", "store.db-shm", "store.db-wal"]
                assert modes(directory) == dict.fromkeys(names, 0o600)
        finally:
            os.umask(before)

    async def test_permissions_that_were_opened_are_closed(self, tmp_path: Path) -> None:
        await filled(tmp_path)
        directory = tmp_path / "store"
        directory.chmod(0o755)
        (directory / "store.db").chmod(0o644)
        async with opened("file", tmp_path) as store:
            await put(store, "a")
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            assert set(modes(directory).values()) == {0o600}

    async def test_after_close_everything_is_in_one_file(self, tmp_path: Path) -> None:
        await filled(tmp_path)
        assert sorted(modes(tmp_path / "store")) == ["lock", "store.db"]

    async def test_everything_survives_a_restart(self, tmp_path: Path) -> None:
        live, replayed = Recorder(), Recorder()
        async with opened("file", tmp_path, {"kv/": 5}) as store:
            await store.watch("", 0, live)
            lease = await store.grant(3600)
            for number in range(3):
                await put(store, "kv/a", b"%d" % number, lease)
            await store.compact(1)
            before = await store.read(), await store.versions("kv/a"), await store.status()
        async with opened("file", tmp_path, {"kv/": 5}) as store:
            snapshot, versions, status = before
            assert (await store.read(), await store.versions("kv/a")) == (snapshot, versions)
            assert (await store.status())[:3] == status[:3]
            await store.watch("", 1, replayed)
            assert replayed.batches == live.batches[1:]
            with pytest.raises(CompactedError):
                await store.watch("", 0, replayed)
            assert await put(store, "b") == Committed(True, 4)
            assert await store.keep_alive(lease)
            await store.revoke(lease)
            assert await store.get("kv/a") is None

    async def test_leases_have_their_full_time_again_after_a_restart(self, tmp_path: Path) -> None:
        async with opened("file", tmp_path) as store:
            lease = await store.grant(3)
            await put(store, "a", b"", lease)
        await asyncio.sleep(3.5)
        watcher = Recorder()
        async with opened("file", tmp_path) as store:
            await store.watch("", 1, watcher)
            assert await store.get("a") == Record("a", b"", 1, 1, 1, lease)
            assert await store.keep_alive(lease)
            await until(lambda: bool(watcher.batches), "a batch")
            assert watcher.changes == [(2, "a", None)]


class TestBounds:
    """The past that is kept is bounded, without anyone asking for it."""

    async def test_the_log_by_revisions(self, tmp_path: Path) -> None:
        async with opened("file", tmp_path, limits=Limits(revisions=200)) as store:
            for _ in range(40):
                await asyncio.gather(*[put(store, f"{n}") for n in range(50)])
            status = await store.status()
            assert 1700 <= status.compacted < 1900
            await self.stays_bounded(store, status.bytes)

    async def test_the_log_by_bytes(self, tmp_path: Path) -> None:
        async with opened("file", tmp_path, limits=Limits(bytes=1 << 20)) as store:
            for _ in range(40):
                await asyncio.gather(*[put(store, "a", bytes(20_000)) for n in range(10)])
            assert (await store.status()).compacted > 0
        database = sqlite3.connect(tmp_path / "store" / "store.db")
        (size,) = database.execute("SELECT sum(length(value)) FROM log").fetchone()
        assert size < 3 << 20
        database.close()

    async def stays_bounded(self, store: Store, size: int) -> None:
        for _ in range(40):
            await asyncio.gather(*[put(store, f"{n}") for n in range(50)])
        assert (await store.status()).bytes < 2 * size

    async def test_the_versions_of_a_key(self, tmp_path: Path) -> None:
        async with opened("file", tmp_path, {"kv/": 4, "kv/more": 6}) as store:
            for number in range(100):
                await asyncio.gather(*[put(store, f"{k}/{number % 3}") for k in ("kv", "kv/more")])
            await store.compact(await store.revision())
        database = sqlite3.connect(tmp_path / "store" / "store.db")
        rows = database.execute("SELECT key, count(*) FROM log GROUP BY key ORDER BY key")
        counts = {"kv/0": 4, "kv/1": 4, "kv/2": 4, "kv/more/0": 6, "kv/more/1": 6, "kv/more/2": 6}
        assert dict(rows) == counts
        database.close()

    async def test_the_history_of_deleted_keys(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of keys that come and go for ever, only the last to go are remembered."""
        monkeypatch.setattr("portway.store.sqlite.compaction._MAX_DELETED_KEYS", 20)
        async with opened("memory", tmp_path, {"": 2}, Limits(revisions=10)) as store:
            for number in range(200):
                key = f"{number:03}"
                await put(store, key)
                await store.commit([], [Put("other", b"")])
                await store.commit([], [Delete(key)])
            await store.compact(await store.revision())
            remembered = [n for n in range(200) if await store.versions(f"{n:03}")]
            assert remembered == list(range(180, 200))
            assert len(await store.versions("199")) == 2


def test_commits_are_synced_to_the_disk(tmp_path: Path) -> None:
    """Kills of processes cannot show it: only a loss of power does."""
    connection = files.open_database(tmp_path / "store.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    connection.close()


class TestRefusal:
    async def test_a_directory_in_use(self, tmp_path: Path) -> None:
        async with opened("file", tmp_path) as store:
            await put(store, "a")
            message = rf"store: is in use by another process \(pid {os.getpid()}\)"
            with pytest.raises(StoreError, match=message):
                await open_sqlite(str(tmp_path / "store"))
            code = (
                "import asyncio, sys; from portway.store.sqlite import open_sqlite;"
                "asyncio.run(open_sqlite(sys.argv[1]))"
            )
            command = [sys.executable, "-c", code, str(tmp_path / "store")]
            other = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=False
            )
            assert other.returncode == 1
            assert f"in use by another process (pid {os.getpid()})" in other.stderr
            assert await put(store, "b") == Committed(True, 2)

    async def test_a_directory_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(StoreError, match=r"file.*: cannot be used for the store"):
                await open_sqlite(str(path))

    @pytest.mark.parametrize(
        "damage",
        ["empty", "text", "header", "page", "half", "schema", "another database", "no state"],
    )
    async def test_a_damaged_database(self, tmp_path: Path, damage: str) -> None:
        """One error that names the file and what to do; never an empty store; nothing changed."""
        await filled(tmp_path)
        database = tmp_path / "store" / "store.db"
        content = bytearray(database.read_bytes())
        match damage:
            case "empty":
                content.clear()
            case "text":
                content[:] = b"not a database at all\n" * 100
            case "header":
                content[:100] = bytes(100)
            case "page":
                content[5 * 4096 : 6 * 4096] = random.Random(1).randbytes(4096)
            case "half":
                del content[len(content) // 2 :]
            case "schema":
                content[100:4096] = random.Random(1).randbytes(3996)
            case "another database" | "no state":
                if damage == "another database":
                    database.unlink()
                connection = sqlite3.connect(database)
                connection.execute("CREATE TABLE t (a)")
                if damage == "no state":
                    connection.execute("DELETE FROM state")
                connection.commit()
                connection.close()
                content = bytearray(database.read_bytes())
        database.write_bytes(content)
        with pytest.raises(StoreError) as caught:
            await open_sqlite(str(tmp_path / "store"))
        message = str(caught.value)
        assert message.startswith(f"{database}: the store is damaged (")
        assert "Put a backup in its place" in message
        assert "\n" not in message
        assert database.read_bytes() == content
        assert children() == set()

    async def test_a_format_of_the_future(self, tmp_path: Path) -> None:
        await filled(tmp_path)
        connection = sqlite3.connect(tmp_path / "store" / "store.db")
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(StoreError, match=r"store\.db: has format 99; this version .* format 1"):
            await open_sqlite(str(tmp_path / "store"))

    async def test_a_journal_without_its_database(self, tmp_path: Path) -> None:
        await filled(tmp_path)
        directory = tmp_path / "store"
        (directory / "store.db").unlink()
        (directory / "store.db-wal").write_bytes(b"x")
        with pytest.raises(StoreError, match=r"store\.db: is missing, but its journal"):
            await open_sqlite(str(directory))
        assert not (directory / "store.db").exists()

    async def test_a_database_that_was_never_finished_is_begun_anew(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "store.db.new").write_bytes(b"half")
        async with opened("file", tmp_path) as store:
            assert await store.read() == (0, [])
        assert sorted(modes(tmp_path / "store")) == ["lock", "store.db"]

    async def test_damage_that_shows_later(self, tmp_path: Path) -> None:
        await filled(tmp_path, keys=2000)
        async with opened("file", tmp_path) as store:
            with (tmp_path / "store" / "store.db").open("r+b") as database:
                for page in range(2, 100):
                    database.seek(page * 4096)
                    database.write(b"\xff" * 4096)
            with pytest.raises(StoreError, match="damaged"):
                await store.read()


class TestWriter:
    """The process that writes."""

    async def start(self, directory: Path) -> tuple[Store, int]:
        before = children()
        # A past that reaches back to the beginning, however many writes there are.
        limits = Limits(revisions=1_000_000)
        store = await open_sqlite(str(directory / "store"), limits=limits)
        (pid,) = children() - before
        return store, pid

    async def test_when_it_dies_writes_fail_and_another_takes_over(self, tmp_path: Path) -> None:
        store, pid = await self.start(tmp_path)
        watcher = Recorder()
        await store.watch("", 0, watcher)
        lease = await store.grant(3600)
        await put(store, "a", b"1", lease)
        os.kill(pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(put(store, f"{n}")) for n in range(10)]
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        message = r"store\.db: the store's writer has ended with signal 9; .* not known"
        for commit in waiting:
            with pytest.raises(OutcomeUnknownError, match=message):
                await commit
        with pytest.raises(StoreError, match=r"the store's writer has ended with signal 9$"):
            await put(store, "b")
        assert await store.get("a") == Record("a", b"1", 1, 1, 1, lease)
        await self.written(store, "b")
        assert watcher.changes == [(1, "a", b"1"), (2, "b", b"")]
        assert await store.keep_alive(lease)
        await store.revoke(lease)
        assert watcher.changes[2:] == [(3, "a", None)]
        await store.close()
        assert children() == set()

    async def written(self, store: Store, key: str) -> None:
        """Try to write until it succeeds."""
        while True:
            try:
                await put(store, key)
            except StoreError:
                await asyncio.sleep(0.01)
            else:
                return

    async def test_watches_miss_nothing_when_it_dies_amid_commits(self, tmp_path: Path) -> None:
        store, pid = await self.start(tmp_path)
        live, replayed = Recorder(), Recorder()
        await store.watch("", 0, live)
        acknowledged, failed, done = [], 0, False

        async def write(writer: int) -> None:
            nonlocal failed
            number = 0
            while not done:
                number += 1
                try:
                    outcome = await put(store, f"{writer}/{number}")
                except StoreError:
                    failed += 1
                    await asyncio.sleep(0.02)
                else:
                    acknowledged.append((outcome.revision, f"{writer}/{number}", b""))

        writers = [asyncio.create_task(write(writer)) for writer in range(16)]
        for _ in range(8):
            await asyncio.sleep(random.uniform(0.02, 0.1))
            os.kill(pid, signal.SIGKILL)
            await self.written(store, "alive")
            (pid,) = children()
        done = True
        await asyncio.gather(*writers)
        await store.watch("", 0, replayed)
        assert live.revisions == list(range(1, await store.revision() + 1))
        assert live.batches == replayed.batches
        assert set(acknowledged) <= set(live.changes)
        assert failed >= 8
        await store.close()

    async def test_what_was_stored_and_not_answered_is_seen(self, tmp_path: Path) -> None:
        store, pid = await self.start(tmp_path)
        watcher = Recorder()
        await store.watch("", 0, watcher)
        await put(store, "a")
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            time.sleep(0.001)  # noqa: ASYNC251 - the store must not notice yet
        # What the writer does when it is killed between its commit and its answer.
        path = tmp_path / "store" / "store.db"
        database = Database(files.open_database(path), path, {}, Limits())
        database.apply([Commit(7, [], [], [("b", b"unanswered", 0)]), Grant(8, 77, 0.1)])
        database.apply([Commit(9, [], [], [("c", b"leased", 77)])])
        database.close()
        await until(lambda: len(watcher.batches) == 4, "four batches")
        expected = [(1, "a", b""), (2, "b", b"unanswered"), (3, "c", b"leased"), (4, "c", None)]
        assert watcher.changes == expected
        assert await store.revision() == 4
        await store.close()

    async def test_a_store_that_cannot_be_opened_again(self, tmp_path: Path) -> None:
        await filled(tmp_path)
        store, pid = await self.start(tmp_path)
        database = tmp_path / "store" / "store.db"
        content = database.read_bytes()
        database.write_bytes(b"x" * len(content))
        os.kill(pid, signal.SIGKILL)
        message = ""
        while "damaged" not in message:
            with pytest.raises(StoreError) as caught:
                await put(store, "b")
            message = str(caught.value)
            await asyncio.sleep(0.01)
        database.write_bytes(content)
        await self.written(store, "b")
        await store.close()

    async def test_it_lets_the_signals_pass_that_stop_an_agent(self, tmp_path: Path) -> None:
        store, pid = await self.start(tmp_path)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os.kill(pid, number)
            assert (await put(store, "a")).succeeded
        await store.close()
        assert pid not in children()

    async def test_it_ends_when_its_store_is_killed(self, tmp_path: Path) -> None:
        code = (
            "import asyncio, os, sys\n"
            "from portway.store import Put\n"
            "from portway.store.sqlite import open_sqlite\n"
            "async def main():\n"
            "    store = await open_sqlite(sys.argv[1])\n"
            "    await store.commit([], [Put('a', b'1')])\n"
            "    os.kill(os.getpid(), 9)\n"
            "asyncio.run(main())\n"
        )
        directory = str(tmp_path / "store")
        for _ in range(3):
            killed = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", code, directory], check=False
            )
            assert killed.returncode == -signal.SIGKILL
            # It may not have noticed yet; the next one waits for it.
            async with opened("file", tmp_path) as store:
                record = await store.get("a")
        assert record == Record("a", b"1", 1, 3, 3)


async def test_a_torn_journal(tmp_path: Path) -> None:
    """Whatever is cut off or garbled at the end of the journal, whole commits remain.

    The state is the one after some commit, and those before the tear are all there.
    """
    chance = random.Random(3)
    original = tmp_path / "store"
    async with opened("file", tmp_path) as store:
        sizes = []
        for number in range(60):
            value = b"%d" % number * chance.randint(1, 800)
            await store.commit([], [Put(f"{k}", value) for k in range(5)])
            sizes.append((original / "store.db-wal").stat().st_size)
        live = tmp_path / "live"
        shutil.copytree(original, live)
    for number in range(40):
        directory = tmp_path / f"torn {number}"
        shutil.copytree(live, directory / "store")
        (directory / "store" / "store.db-shm").unlink()
        journal = directory / "store" / "store.db-wal"
        content = bytearray(journal.read_bytes())
        position = chance.randrange(32, len(content))
        match number % 3:
            case 0:
                del content[position:]
            case 1:
                content[position:] = chance.randbytes(len(content) - position)
            case 2:
                content[position] ^= 1 << chance.randrange(8)
        journal.write_bytes(content)
        intact = sum(size <= position for size in sizes)
        async with opened("file", directory) as store:
            revision, records = await store.read()
            assert intact <= revision <= intact + 1
            values = {record.value for record in records}
            assert len(values) == (1 if revision else 0)
            for value in values:
                assert value.startswith(b"%d" % (revision - 1))
            watcher = Recorder()
            await store.watch("", 0, watcher)
            assert watcher.revisions == list(range(1, revision + 1))
            assert await put(store, "new") == Committed(True, revision + 1)


async def test_opening_can_be_given_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for turns in range(12):
        opening = asyncio.create_task(open_sqlite(str(tmp_path / "store")))
        for _ in range(turns % 4):
            await asyncio.sleep(0.002 * (turns // 4))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: not children(), "the end of the writer")
    async with opened("file", tmp_path) as store:
        assert await put(store, "new") == Committed(True, 1)
    assert capfd.readouterr().err == ""
