"""5,000 HTTP checks at 10 s intervals on one core: is each started when it is due?

Portway's checks beside the plain way: a task per check that sleeps and asks through aiohttp.
Each has a core to itself and the server they ask another; every run is a connection of its own.
Printed: by how much runs started late, the share of the core, and memory. Then whole agents that
have as many services with a check: ours and Consul's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import http.client
import json
import logging
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path

import msgspec
import structlog
import uvloop

from bench.process import cpu_seconds, memory_bytes
from bench.rivals import Start, agents

PORTS = 50
"""Ports of the server: one alone would leave too few for the client's side in a minute."""

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


class Plan(msgspec.Struct):
    """What a contestant is to do."""

    ports: list[int]
    checks: int
    interval: float
    rounds: int


class Outcome(msgspec.Struct):
    """How it went: seconds late, CPU seconds of all seconds measured, bytes."""

    late: list[float]
    failed: int
    cpu: float
    seconds: float
    memory: int
    memory_per_check: float

    def __str__(self) -> str:
        late = sorted(one * 1000 for one in self.late)
        p50, p99, p999 = (late[int(len(late) * share)] for share in (0.5, 0.99, 0.999))
        return (
            f"{len(late)} runs, {self.failed} failed; late p50 {p50:.1f} ms, p99 {p99:.1f} ms,"
            f" p99.9 {p999:.1f} ms, max {late[-1]:.1f} ms; {self.cpu / self.seconds:.1%} of a core"
            f" ({self.cpu / len(late) * 1e6:.0f} µs a run);"
            f" {self.memory_per_check / 1024:.1f} kB a check, {self.memory / 2**20:.0f} MB in all"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench checks", description=__doc__)
    parser.add_argument("--checks", type=int, default=5000)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds")
    parser.add_argument("--rounds", type=int, default=3, help="intervals to measure")
    options = parser.parse_args(arguments)
    print(f"{options.checks} HTTP checks every {options.interval:g} s")
    with _server() as ports:
        plan = Plan(ports, options.checks, options.interval, options.rounds)
        ours, theirs = (_contest(name, plan) for name in CONTESTANTS)
    print(f"  portway: {ours}\n  aiohttp: {theirs}")
    print(
        f"  portway / aiohttp: CPU {ours.cpu / theirs.cpu:.2f},"
        f" memory a check {ours.memory_per_check / theirs.memory_per_check:.2f}"
    )
    with _server() as ports:
        for name, start in agents().items():
            plan = Plan(ports, options.checks, options.interval, options.rounds)
            print(f"  agent {name:8}: {_whole(start, plan)}", flush=True)


def _whole(start: Start, plan: Plan) -> str:
    """What an agent takes that has as many services, each with a check."""
    with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as (port, pid):
        api = http.client.HTTPConnection("127.0.0.1", port)
        for number, url in enumerate(_urls(plan)):
            check = {"HTTP": url, "Interval": f"{plan.interval:g}s"}
            service = {"Name": "web", "ID": f"web-{number}", "Port": 80, "Check": check}
            api.request("PUT", "/v1/agent/service/register", json.dumps(service))
            answer = api.getresponse()
            assert answer.read() == b"" and answer.status == HTTPStatus.OK
        time.sleep(plan.interval * 2)
        cpu, now = cpu_seconds(pid), time.perf_counter()
        time.sleep(plan.interval * plan.rounds)
        share = (cpu_seconds(pid) - cpu) / (time.perf_counter() - now)
        api.request("GET", "/v1/health/service/web?passing")
        passing = len(json.loads(api.getresponse().read()))
        memory = memory_bytes(pid) / 2**20
        return f"{passing} passing, {share:.1%} of a core, {memory:.0f} MB"


class Meter:
    """Counts what a contestant does once the first round is over."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.failed = 0
        self.measuring = False

    def started(self, late: float) -> None:
        if self.measuring:
            self.late.append(late)

    def ended(self, *, good: bool) -> None:
        self.failed += self.measuring and not good


async def portway(plan: Plan, meter: Meter) -> None:
    """Our checks."""
    from portway.config import Duration
    from portway.discovery.checks import Checks, Settings
    from portway.discovery.model import CheckDefinition, CheckStatus

    def on_result(check_id: str, status: CheckStatus, output: str) -> None:
        meter.ended(good=status == "passing")

    checks = Checks(
        Settings(),
        on_result,
        lambda *_: lambda: None,
        on_overdue=lambda _: None,
        started=meter.started,
    )
    for number, url in enumerate(_urls(plan)):
        definition = CheckDefinition(http=url, interval=Duration(plan.interval))
        checks.add(f"service:web-{number}", definition)


async def aiohttp(plan: Plan, meter: Meter) -> None:
    """A task per check, in a fixed rhythm like ours."""
    from aiohttp import ClientSession, ClientTimeout, TCPConnector

    loop = asyncio.get_running_loop()
    session = ClientSession(
        connector=TCPConnector(force_close=True, limit=0), timeout=ClientTimeout(10)
    )

    async def check(url: str) -> None:
        due = loop.time() + random.uniform(0, plan.interval)
        while True:
            await asyncio.sleep(due - loop.time())
            meter.started(loop.time() - due)
            async with session.get(url) as response:
                await response.content.read(4096)
                meter.ended(good=response.status == 200)
            due += plan.interval

    tasks.extend(asyncio.create_task(check(url)) for url in _urls(plan))


tasks: list[asyncio.Task[None]] = []
CONTESTANTS: dict[str, Callable[[Plan, Meter], Awaitable[None]]] = {
    "portway": portway,
    "aiohttp": aiohttp,
}


def _urls(plan: Plan) -> list[str]:
    ports = plan.ports
    return [f"http://127.0.0.1:{ports[i % len(ports)]}/health?{i}" for i in range(plan.checks)]


async def _compete(name: str, plan: Plan) -> Outcome:
    meter = Meter()
    await CONTESTANTS[name](msgspec.structs.replace(plan, checks=1), meter)  # imports
    gc.collect()
    before = memory_bytes(os.getpid())
    await CONTESTANTS[name](plan, meter)
    await asyncio.sleep(plan.interval * 1.5)
    meter.measuring = True
    cpu, now = cpu_seconds(os.getpid()), time.perf_counter()
    await asyncio.sleep(plan.interval * plan.rounds)
    meter.measuring = False
    memory = memory_bytes(os.getpid())
    return Outcome(
        meter.late,
        meter.failed,
        cpu_seconds(os.getpid()) - cpu,
        time.perf_counter() - now,
        memory,
        (memory - before) / plan.checks,
    )


def _contest(name: str, plan: Plan) -> Outcome:
    command = [sys.executable, "-m", "bench.checks", name]
    done = subprocess.run(command, input=msgspec.json.encode(plan), check=True, capture_output=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Outcome)


@contextlib.contextmanager
def _server() -> Iterator[list[int]]:
    """A server in a process of its own; yields its ports."""
    command = [sys.executable, "-m", "bench.checks", "server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield msgspec.json.decode(process.stdout.readline(), type=list[int])
        finally:
            process.kill()


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)  # type: ignore[attr-defined]
        self.transport.close()


async def _serve() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(PORTS)]
    loop = asyncio.get_running_loop()
    for one in sockets:
        await loop.create_server(_Answering, sock=one)
    print(msgspec.json.encode([one.getsockname()[1] for one in sockets]).decode(), flush=True)
    await asyncio.Event().wait()


def _pin(index: int) -> None:
    """Keep this process on one of the cores it may use."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})


def _child(name: str) -> None:
    if name == "server":
        _pin(1)
        uvloop.run(_serve())
        return
    _pin(0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    outcome = uvloop.run(_compete(name, plan))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    sys.stdout.flush()
    os._exit(0)  # thousands of tasks are not worth a farewell


if __name__ == "__main__":
    _child(sys.argv[1])
