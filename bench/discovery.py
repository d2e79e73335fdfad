"""Discovery beside its rivals: Consul, and etcd for keys.

One run on one machine, each under the same load generators:

* reading and durably writing keys (h2load and wrk), etcd's by gRPC as its clients do;
* registrations, health queries of a service with three instances;
* memory with 10,000 services of three instances each, and start to first answer.

DNS is ``python -m bench dns``, blocking queries ``python -m bench blocking``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.process import cpu_seconds, memory_bytes
from bench.rivals import Start, agents, etcd

CLIENTS = 64
VALUE = b"v" * 512
_PUT_ONE = "durable KV PUT, one key"
_GET_MANY = "KV GET, 50,000 names"
_PUT_MANY = "durable PUT, many keys"
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


def load(pid: int, url: str, seconds: int, *options: str) -> Rate:
    """Requests by so many clients for so long."""
    before = cpu_seconds(pid)
    command = ["h2load", f"-c{CLIENTS}", "-m1", "-t1", f"-D{seconds}", *options, url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(pid) - before
    rate, succeeded = _RATE.search(printed), _SUCCEEDED.search(printed)
    assert rate and succeeded and int(succeeded[1]), printed
    return Rate(float(rate[1]), spent / int(succeeded[1]) * 1e6)


def keys(servers: dict[str, Start], folder: Path, seconds: int) -> None:
    """Reads and durable writes: of one key, and of many keys at once, which share their fsync."""
    rows: dict[str, dict[str, Rate]] = {
        name: {} for name in ("KV GET", _GET_MANY, _PUT_ONE, _PUT_MANY)
    }
    for name, start in servers.items():
        with start(folder / f"{name}-keys") as (port, pid):
            url = f"http://127.0.0.1:{port}/v1/kv/bench/key"
            rows[_PUT_ONE][name] = _puts(pid, url, seconds, folder)
            rows["KV GET"][name] = load(pid, url, seconds, "--h1")
            rows[_PUT_MANY][name] = _many_puts(port, pid, seconds)
            rows[_GET_MANY][name] = load(pid, url, seconds, "--h1", "-i", str(_urls(folder, port)))
    key = b"bench/key"
    read = bytes([10, len(key)]) + key
    write = read + bytes([18]) + _varint(len(VALUE)) + VALUE
    for name, message in (("range", read), ("put", write)):
        (folder / name).write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    with etcd(folder / "etcd") as (port, pid):
        grpc = ("-Hcontent-type: application/grpc", "-Hte: trailers")
        url = f"http://127.0.0.1:{port}/etcdserverpb.KV/"
        put = load(pid, url + "Put", seconds, "-d", str(folder / "put"), *grpc)
        rows[_PUT_ONE]["etcd"] = put
        get = load(pid, url + "Range", seconds, "-d", str(folder / "range"), *grpc)
        rows["KV GET"]["etcd"] = get
    for what, rates in rows.items():
        show(what, rates)


def show(what: str, rates: dict[str, Rate]) -> None:
    """A line for each server; the ratio is Portway's rate to its."""
    for name, rate in rates.items():
        ratio = rates["portway"].per_second / rate.per_second
        print(f"{what:24}{name:9}{rate.per_second:12,.0f}{rate.cpu:12.0f}{ratio:12.2f}", flush=True)
        what = ""


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


def _urls(folder: Path, port: int) -> Path:
    """More URLs than anybody keeps the answers of; they differ in a parameter without meaning."""
    path = folder / f"urls-{port}"
    base = f"http://127.0.0.1:{port}/v1/kv/bench/key"
    path.write_text("".join(f"{base}?n={number}\n" for number in range(50_000)))
    return path


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def _many_puts(port: int, pid: int, seconds: int) -> Rate:
    before, began = cpu_seconds(pid), time.monotonic()
    done = asyncio.run(_write_many(port, seconds))
    rate = done / (time.monotonic() - began)
    return Rate(rate, (cpu_seconds(pid) - before) / done * 1e6)


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


def catalog(servers: dict[str, Start], folder: Path, seconds: int, services: int) -> None:
    """Registrations, health queries, memory, and starting with it all."""
    count = services * 3
    registrations: dict[str, Rate] = {}
    reads: dict[str, Rate] = {}
    notes = []
    for name, start in servers.items():
        with start(folder / f"{name}-catalog") as (port, pid):
            base = memory_bytes(pid)
            began, before = time.monotonic(), cpu_seconds(pid)
            asyncio.run(_register(port, services))
            took, cpu = time.monotonic() - began, cpu_seconds(pid) - before
            registrations[name] = Rate(count / took, cpu / count * 1e6)
            memory = memory_bytes(pid)
            url = f"http://127.0.0.1:{port}/v1/health/service/s7?passing"
            reads[name] = load(pid, url, seconds, "--h1")
        full = _started(start, folder / f"{name}-catalog")
        empty = _started(start, folder / f"{name}-empty")
        notes.append(
            f"{name:9}{memory / 1e6:9.0f} MB, {(memory - base) / count:6.0f} B an instance;"
            f" start to first answer {full:.2f} s, empty {empty:.2f} s"
        )
    show("catalog registrations", registrations)
    show("health/service", reads)
    print(f"with {services:,} services x 3:", *notes, sep="\n  ")


def _started(start: Start, folder: Path) -> float:
    """Seconds from the start to the first answer that needs a leader."""
    began = time.monotonic()
    with start(folder):
        return time.monotonic() - began


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
    servers = agents()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"{'':24}{'':9}{'per second':>12}{'CPU us each':>12}{'portway is':>12}")
        keys(servers, folder, options.seconds)
        catalog(servers, folder, options.seconds, options.services)
