"""Blocking queries: thousands of clients that wait for one key, and one change that wakes them.

Each client has a connection of its own and is parked in ``GET /v1/kv/KEY?index=N``. Printed are
the server's memory for each of them, and how long after the change was sent each had its answer
(the clients share one process and one core with the server, which is part of the time). A second
key is changed first: nobody may answer to that. Consul does the same beside us.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop

from bench.process import cpu_seconds, memory_bytes
from bench.rivals import agents

KEY = "bench/watched"
_STEP = 200  # connections opened at once


class Waiting(asyncio.Protocol):
    """One parked client."""

    __slots__ = ("answered", "request", "transport")

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answered = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.answered:
            self.answered = time.perf_counter()
            assert data.startswith(b"HTTP/1.1 200"), data


async def ask(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """One request on a connection of its own; returns the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    return answer


async def change(port: int, key: str) -> bytes:
    """Give a key another value."""
    return await ask(port, "PUT", f"/v1/kv/{key}", b"%f" % time.time())


def index_of(answer: bytes) -> int:
    """The index an answer carries."""
    _, _, rest = answer.partition(b"X-Consul-Index: ")
    return int(rest.partition(b"\r\n")[0])


async def parked(port: int, count: int, path: str) -> list[Waiting]:
    """So many clients, all of them waiting."""
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    clients: list[Waiting] = []
    for _ in range(0, count, _STEP):
        made = await asyncio.gather(
            *(
                loop.create_connection(lambda: Waiting(request), "127.0.0.1", port)
                for _ in range(min(_STEP, count - len(clients)))
            )
        )
        clients += [client for _, client in made]
        await ask(port, "GET", "/v1/status/leader")  # behind all requests so far
    return clients


async def round_of(port: int, pid: int, count: int) -> tuple[list[float], float, float]:
    """Latencies of one change in seconds, memory per query in bytes, CPU per answer in seconds."""
    # It may have just started.
    while b"\r\n\r\ntrue" not in await change(port, KEY):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    index = index_of(await ask(port, "GET", f"/v1/kv/{KEY}"))
    before = memory_bytes(pid)
    clients = await parked(port, count, f"/v1/kv/{KEY}?index={index}&wait=10m")
    await asyncio.sleep(1)
    memory = (memory_bytes(pid) - before) / count
    await change(port, f"{KEY}-else")
    await asyncio.sleep(0.5)
    assert not any(client.answered for client in clients), "woken by another key's change"
    gc.collect()
    gc.freeze()
    used = cpu_seconds(pid)
    start = time.perf_counter()
    await change(port, KEY)
    async with asyncio.timeout(120):
        while not all(client.answered for client in clients):  # noqa: ASYNC110 - 10,000 of them
            await asyncio.sleep(0.01)
    used = (cpu_seconds(pid) - used) / count
    for client in clients:
        client.transport.abort()
    return sorted(client.answered - start for client in clients), memory, used


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench blocking", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="parked queries")
    parser.add_argument("--rounds", type=int, default=3, help="each with new clients")
    options = parser.parse_args(arguments)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = options.count + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    print(f"{options.count} blocking queries woken by one change of their key:")
    for name, start in agents().items():
        with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as (port, pid):
            for _ in range(options.rounds):
                latencies, memory, cpu = uvloop.run(round_of(port, pid, options.count))
                p99 = latencies[int(len(latencies) * 0.99)]
                print(
                    f"  {name:8} answered after: median {statistics.median(latencies) * 1000:.0f}"
                    f" ms, p99 {p99 * 1000:.0f} ms, last {latencies[-1] * 1000:.0f} ms;"
                    f" {cpu * 1e6:.0f} µs CPU each; {memory / 1000:.1f} kB each",
                    flush=True,
                )


if __name__ == "__main__":
    main()
