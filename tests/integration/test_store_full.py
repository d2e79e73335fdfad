"""A full disk: writes are refused with a clear error, reads go on, and room makes all well."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from portway.store import Committed, Delete, Put, Store, StoreError, StoreFullError
from portway.store.sqlite import open_sqlite
from tests.integration.test_store_files import children
from tests.patience import until
from tests.unit.store_rig import Recorder, opened, put

BLOCK = bytes(range(256)) * 64  # 16 KiB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 20 MB, 14 MB of which a file takes that can be deleted."""
    if os.geteuid():
        pytest.skip("needs root to mount a small file system")
    directory = tmp_path / "disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs to mount a small file system: {mounted.stderr.strip()}")
    try:
        (directory / "ballast").write_bytes(bytes(14 << 20))
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


async def fill(store: Store) -> tuple[set[str], str]:
    """Write from many sides until nothing goes any more: the keys acknowledged, and the error."""
    acknowledged: set[str] = set()
    errors: list[str] = []

    async def write(writer: int) -> None:
        for number in range(10_000):
            key = f"fill/{writer}/{number}"
            try:
                await store.commit([], [Put(key, BLOCK), Put(f"{key}/twin", b"")])
            except StoreFullError as error:
                errors.append(str(error))
                return
            acknowledged.update((key, f"{key}/twin"))

    await asyncio.gather(*[write(writer) for writer in range(16)])
    assert len(errors) == 16
    return acknowledged, errors[-1]


async def is_refused(store: Store, watcher: Recorder, acknowledged: set[str], path: Path) -> None:
    """Reads show what was acknowledged and only that, watches too, and writes are refused."""
    revision = await store.revision()
    keys = [record.key for record in (await store.read("fill/")).records]
    assert set(keys) == acknowledged
    assert {key for _, key, _ in watcher.changes} == acknowledged | {"before"}
    assert watcher.revisions == list(range(1, revision + 1))
    before = await store.get("before")
    assert before is not None
    assert before.value == b"1"
    for _ in range(3):
        with pytest.raises(StoreFullError) as caught:
            await store.commit([], [Put("large", BLOCK * 40), Delete("before")])
        message = str(caught.value)
        assert message.startswith(f"{path}: cannot be written (")
        assert "reads go on" in message
    assert await store.revision() == revision
    assert await store.get("large") is None
    assert len(await store.versions("before")) == 1
    late = Recorder()
    await store.watch("", 0, late)
    assert late.batches == watcher.batches
    assert (await store.status()).revision == revision


async def works_again(store: Store, watcher: Recorder) -> None:
    """Writes of every size go, and are the next revisions."""
    revision = await store.revision()
    large = await store.commit([], [Put("large", BLOCK * 40), Delete("before")])
    assert large == Committed(True, revision + 1)
    assert await put(store, "after") == Committed(True, revision + 2)
    assert watcher.revisions == list(range(1, revision + 3))


Limit = Callable[[bool], None]


@contextmanager
def ballast(disk: Path) -> Iterator[Limit]:
    yield lambda full: None if full else (disk / "ballast").unlink()


@contextmanager
def file_size(pid: int) -> Iterator[Limit]:
    """The writer's files may have 3 MB and no more: what a quota looks like."""

    def limit(full: bool) -> None:
        size = 3 << 20 if full else resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    yield limit


async def run(directory: Path, limited: Callable[[int], AbstractContextManager[Limit]]) -> None:
    before = children()
    store = await open_sqlite(str(directory / "store"))
    (pid,) = children() - before
    watcher = Recorder()
    await store.watch("", 0, watcher)
    await put(store, "before", b"1")
    with limited(pid) as limit:
        limit(True)
        acknowledged, message = await fill(store)
        path = directory / "store" / "store.db"
        assert message.startswith(f"{path}: cannot be written (")
        assert len(acknowledged) > 20
        await is_refused(store, watcher, acknowledged, path)
        lease = None
        with suppress(StoreFullError):
            lease = await store.grant(0.1)
        limit(False)
        await works_again(store, watcher)
    if lease is not None:
        await store.revoke(lease)
    snapshot = await store.read()
    await store.close()
    async with opened("file", directory) as store:
        assert await store.read() == snapshot
        assert await put(store, "restarted") == Committed(True, snapshot.revision + 1)


@pytest.mark.root
async def test_a_full_file_system(small_disk: Path) -> None:
    await run(small_disk, lambda _: ballast(small_disk))


async def test_a_limit_of_file_sizes(tmp_path: Path) -> None:
    await run(tmp_path, file_size)


@pytest.mark.root
async def test_killed_while_the_disk_is_full(small_disk: Path) -> None:
    """The next process may be unable to open the store, and says so; with room it has all."""
    store = await open_sqlite(str(small_disk / "store"))
    acknowledged, _ = await fill(store)
    for pid in children():
        os.kill(pid, 9)
    await store.close()
    try:
        store = await open_sqlite(str(small_disk / "store"))
    except StoreFullError as error:
        assert str(error).startswith(f"{small_disk / 'store' / 'store.db'}: cannot be ")
    else:
        assert {record.key for record in (await store.read()).records} == acknowledged
        await store.close()
    (small_disk / "ballast").unlink()
    async with opened("file", small_disk) as store:
        assert {record.key for record in (await store.read()).records} == acknowledged
        assert (await put(store, "after")).succeeded


@pytest.mark.root
async def test_expired_leases_end_as_soon_as_there_is_room(small_disk: Path) -> None:
    store = await open_sqlite(str(small_disk / "store"))
    watcher = Recorder()
    await store.watch("leased/", 0, watcher)
    lease = await store.grant(5.0)
    await store.commit([], [Put(f"leased/{number}", BLOCK, lease) for number in range(5)])
    await fill(store)
    with suppress(OSError), (small_disk / "more").open("wb", buffering=0) as more:
        while more.write(bytes(4096)):
            pass
    with pytest.raises(StoreFullError):
        for number in range(1000):
            await put(store, f"small/{number}")
    await asyncio.sleep(5.2)
    assert await store.keep_alive(lease) is False
    assert len(watcher.batches) == 1
    (small_disk / "ballast").unlink()
    await until(lambda: len(watcher.batches) == 2, "two batches")
    assert [(key, value) for _, key, value in watcher.changes[5:]] == [
        (f"leased/{number}", None) for number in range(5)
    ]
    assert await store.read("leased/") == (await store.revision(), [])
    await store.close()


@pytest.mark.root
async def test_a_disk_without_room_for_a_backup(small_disk: Path, tmp_path: Path) -> None:
    async with opened("file", tmp_path) as store:
        await store.commit([], [Put(f"{n}", BLOCK) for n in range(1000)])
        with pytest.raises(StoreError, match=r"disk/copy: the backup cannot be written: .*full"):
            await store.backup(str(small_disk / "copy"))
        assert [file.name for file in small_disk.iterdir()] == ["ballast"]
        assert (await put(store, "after")).succeeded


@pytest.mark.root
async def test_a_disk_without_room_for_a_store(small_disk: Path) -> None:
    (small_disk / "more").write_bytes(bytes(6 << 20))
    with pytest.raises(StoreError, match=r"store\.db: cannot be made: .*full"):
        await open_sqlite(str(small_disk / "store"))
    (small_disk / "ballast").unlink()
    async with opened("file", small_disk) as store:
        assert await put(store, "a") == Committed(True, 1)
