"""The store alone: durable commits per second, how long they take, and how large stores open.

Printed beside what the disk itself can do, one small write and ``fdatasync`` after the other:
a group of commits shares one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.process import memory_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from portway.store import Store

VALUE = b"v" * 512
WRITERS = (1, 8, 64, 256)
_KEYS = 10_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench store", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--keys", type=int, default=200_000, help="of the large store")
    parser.add_argument("--directory", help="where the disk is to be measured; default: temporary")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        uvloop.run(_measure(Path(folder), options.seconds, options.keys))


async def _measure(folder: Path, seconds: float, keys: int) -> None:
    print(f"store: values of {len(VALUE)} bytes")
    print(f"  the disk: {_syncs(folder / 'file', seconds):,.0f} synced writes/s")
    for name, path in (("on disk", str(folder / "store")), ("in memory", None)):
        async with _opened(path) as store:
            for writers in WRITERS:
                print(f"  {name}, {writers:3} writers: {await _commits(store, writers, seconds)}")
    async with _opened(str(folder / "busy")) as store:
        busy = asyncio.create_task(_busy())
        print(f"  beside a busy loop, 1 writer: {await _commits(store, 1, seconds)}")
        busy.cancel()
        with suppress(asyncio.CancelledError):
            await busy
    await _large(folder / "large", keys)


async def _large(folder: Path, keys: int) -> None:
    from portway.store import Put

    async with _opened(str(folder)) as store:
        for first in range(0, keys, 1000):
            await store.commit([], [Put(f"kv/{n:09}", VALUE) for n in range(first, first + 1000)])
    began = time.perf_counter()
    async with _opened(str(folder)) as store:
        opened = time.perf_counter()
        await store.read()
        read = time.perf_counter()
        (writer,) = _children()
        print(
            f"  {keys:,} keys: open {opened - began:.2f} s, read {read - opened:.2f} s,"
            f" writer {memory_bytes(writer) / 2**20:.0f} MB"
        )


async def _commits(store: Store, writers: int, seconds: float) -> str:
    from portway.store import Put

    taken: list[float] = []
    began = time.perf_counter()

    async def write() -> None:
        while (start := time.perf_counter()) - began < seconds:
            await store.commit([], [Put(f"kv/{random.randrange(_KEYS)}", VALUE)])
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*[write() for _ in range(writers)])
    rate = len(taken) / (time.perf_counter() - began)
    taken.sort()
    p50, p99 = (taken[int(len(taken) * share)] * 1000 for share in (0.5, 0.99))
    return f"{rate:8,.0f} commits/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms"


async def _busy() -> None:
    """Keep the loop at work, 0.2 ms at a time, as a server under load does."""
    while True:
        end = time.perf_counter() + 0.0002
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)


def _syncs(path: Path, seconds: float) -> float:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        os.pwrite(descriptor, VALUE, count % 1000 * len(VALUE))
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count / (time.perf_counter() - began)


def _children() -> list[int]:
    lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return [int(pid) for pids in lists for pid in pids.split()]


@asynccontextmanager
async def _opened(path: str | None) -> AsyncIterator[Store]:
    from portway.store.sqlite import open_sqlite

    store = await open_sqlite(path, keep_versions={"kv/": 64})
    try:
        yield store
    finally:
        await store.close()
