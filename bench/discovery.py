"""Discovery beside the rivals that can be installed: etcd for keys; the rest printed alone.

One run on one machine, each under the same load generator (h2load, C):

* reading and durably writing keys, ours by HTTP/1.1, etcd's by gRPC as its clients do;
* health queries of a three-instance service, registrations through the agent;
* start to first answer, and memory with 10,000 services of three instances each.

DNS is ``python -m bench dns`` (beside unbound), blocking queries ``python -m bench blocking``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.process import cpu_seconds, free_port, memory_bytes, running, wait_for_status

CLIENTS = 64
VALUE = b"v" * 512
_PUT = """
local n, value = 0, string.rep("v", 500)
request = function()
  n = n + 1
  return wrk.format("PUT", nil, nil, string.format("%012d", n) .. value)
end
"""
_RATE = re.compile(r"finished in .*?, ([\d.]+) req/s")
_SUCCEEDED = re.compile(r"requests: .* (\d+) succeeded")


class Rate(NamedTuple):
    """Requests per second, and CPU microseconds of the server for each."""

    per_second: float
    cpu: float


@contextmanager
def portway(folder: Path, *extra: str) -> Iterator[tuple[int, int]]:
    """A server agent that keeps its data on disk; yields its HTTP port and PID."""
    port = free_port()
    command = [sys.executable, "-m", "portway", "agent", "-server", "-bootstrap-expect=1"]
    command += ["-bind=127.0.0.1", f"-http-port={port}", "-dns-port=-1", "-grpc-tls-port=-1"]
    command += [f"-data-dir={folder}", "-log-level=warn", *extra]
    command += ["-hcl", "limits { http_max_conns_per_client = 0 }"]
    with running(command) as pid:
        wait_for_status(port, "127.0.0.1", path="/v1/status/leader")
        yield port, pid


@contextmanager
def etcd(folder: Path) -> Iterator[tuple[int, int]]:
    """An etcd server; yields its client port and PID."""
    port, peer = free_port(), free_port()
    command = ["etcd", f"--data-dir={folder}", f"--listen-client-urls=http://127.0.0.1:{port}"]
    command += [f"--advertise-client-urls=http://127.0.0.1:{port}", "--log-level=error"]
    command += [f"--listen-peer-urls=http://127.0.0.1:{peer}"]
    command += [f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}"]
    command += [f"--initial-cluster=default=http://127.0.0.1:{peer}"]
    with running(command) as pid:
        wait_for_status(port, "127.0.0.1", path="/health")
        yield port, pid


def load(pid: int, url: str, seconds: int, *options: str) -> Rate:
    """Requests by so many clients for so long."""
    before = cpu_seconds(pid)
    command = ["h2load", f"-c{CLIENTS}", "-m1", "-t1", f"-D{seconds}", *options, url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(pid) - before
    rate, succeeded = _RATE.search(printed), _SUCCEEDED.search(printed)
    assert rate and succeeded and int(succeeded[1]), printed
    return Rate(float(rate[1]), spent / int(succeeded[1]) * 1e6)


def keys(folder: Path, seconds: int) -> None:
    """Reads and durable writes of one key."""
    key = b"bench/key"
    read = bytes([10, len(key)]) + key
    write = read + bytes([18]) + _varint(len(VALUE)) + VALUE
    for name, message in (("range", read), ("put", write)):
        (folder / name).write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    with portway(folder / "portway") as (port, pid):
        url = f"http://127.0.0.1:{port}/v1/kv/bench/key"
        put = _puts(pid, url, seconds, folder)
        get = load(pid, url, seconds, "--h1")
    with etcd(folder / "etcd") as (port, pid):
        grpc = ("-Hcontent-type: application/grpc", "-Hte: trailers")
        url = f"http://127.0.0.1:{port}/etcdserverpb.KV/"
        their_put = load(pid, url + "Put", seconds, "-d", str(folder / "put"), *grpc)
        their_get = load(pid, url + "Range", seconds, "-d", str(folder / "range"), *grpc)
    print(f"{'':24}{'portway/s':>12}{'etcd/s':>12}{'ratio':>8}{'CPU us':>9}{'etcd':>7}")
    for name, ours, theirs in (("KV GET", get, their_get), ("durable KV PUT", put, their_put)):
        ratio = ours.per_second / theirs.per_second
        print(
            f"{name:24}{ours.per_second:12,.0f}{theirs.per_second:12,.0f}{ratio:8.2f}"
            f"{ours.cpu:9.0f}{theirs.cpu:7.0f}"
        )


def _puts(pid: int, url: str, seconds: int, folder: Path) -> Rate:
    """Writes of one key, each with another value: an equal one would not be written at all."""
    script = folder / "put.lua"
    script.write_text(_PUT)
    before = cpu_seconds(pid)
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}", f"-s{script}", url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(pid) - before
    requests = re.search(r"(\d+) requests in ([\d.]+)s", printed)
    assert requests and "Non-2xx" not in printed, printed
    count = int(requests[1])
    return Rate(count / float(requests[2]), spent / count * 1e6)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def distinct_writes(folder: Path, seconds: int) -> None:
    """Durable writes of many keys at once, which share their fsync."""
    with portway(folder / "many") as (port, pid):
        before, began = cpu_seconds(pid), time.monotonic()
        done = asyncio.run(_write_many(port, seconds))
        rate = done / (time.monotonic() - began)
        cpu = (cpu_seconds(pid) - before) / done * 1e6
    print(f"{'durable PUT, many keys':24}{rate:12,.0f}{'':20}{cpu:9.0f}")


async def _write_many(port: int, seconds: int) -> int:
    deadline = time.monotonic() + seconds

    async def client(number: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        done = 0
        while time.monotonic() < deadline:
            path = f"/v1/kv/bench/{number}/{done % 100}"
            await _exchange(reader, writer, "PUT", path, VALUE + str(done).encode())
            done += 1
        writer.close()
        return done

    return sum(await asyncio.gather(*(client(number) for number in range(CLIENTS))))


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verb: str, path: str, body: bytes
) -> bytes:
    head = f"{verb} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    header = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in header[:16]:
        raise RuntimeError(header.decode())
    found = re.search(rb"content-length: (\d+)", header, re.IGNORECASE)
    return await reader.readexactly(int(found[1])) if found else b""


def catalog(folder: Path, seconds: int, services: int) -> None:
    """Registrations, health queries, memory."""
    with portway(folder / "catalog") as (port, pid):
        base = memory_bytes(pid)
        began, before = time.monotonic(), cpu_seconds(pid)
        asyncio.run(_register(port, services))
        took, cpu = time.monotonic() - began, cpu_seconds(pid) - before
        count = services * 3
        print(f"{'catalog registrations':24}{count / took:12,.0f}{'':20}{cpu / count * 1e6:9.0f}")
        used = memory_bytes(pid) - base
        health = load(pid, f"http://127.0.0.1:{port}/v1/health/service/s7?passing", seconds, "--h1")
        print(f"{'health/service':24}{health.per_second:12,.0f}{'':20}{health.cpu:9.0f}")
        each = used / count
        print(f"memory with {services:,} services x 3: {used / 1e6:.0f} MB, {each:.0f} B each")
    began = time.monotonic()
    with portway(folder / "catalog"):
        print(f"start to first answer with them: {time.monotonic() - began:.2f} s")
    began = time.monotonic()
    with portway(folder / "empty"):
        print(f"start to first answer, empty: {time.monotonic() - began:.2f} s")


async def _register(port: int, services: int) -> None:
    async def client(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, services, CLIENTS):
            for instance in range(3):
                node = f"n{(number * 3 + instance) % 1000}"
                body = {
                    "Node": node,
                    "Address": "10.0.0.1",
                    "Service": {"ID": f"s{number}-{instance}", "Service": f"s{number}", "Port": 80},
                    "Check": {
                        "CheckID": f"s{number}-{instance}",
                        "Name": "alive",
                        "Status": "passing",
                        "ServiceID": f"s{number}-{instance}",
                    },
                }
                text = json.dumps(body).encode()
                await _exchange(reader, writer, "PUT", "/v1/catalog/register", text)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench discovery", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each load (default 5)")
    parser.add_argument("--services", type=int, default=10_000, help="default 10000")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        keys(folder, options.seconds)
        distinct_writes(folder, options.seconds)
        catalog(folder, options.seconds, options.services)
