"""Durability as a client of the HTTP API sees it: an agent that is killed, and a full disk."""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_store_full import small_disk
from tests.patience import PATIENCE
from tests.ports import free_ports

__all__ = ["small_disk"]
ROUNDS = 20
"""The other 180 of the 200 are in test_store_crash, without an agent."""
WRITERS = 6


class Client:
    """One connection to an agent."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def __call__(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._connection.request(method, f"/v1/{path}", body)
        response = self._connection.getresponse()
        return response.status, response.read()

    def values(self, prefix: str) -> dict[str, tuple[bytes, int]]:
        """Value and index of every key under a prefix."""
        status, body = self("GET", f"kv/{prefix}?recurse&consistent")
        if status == 404:
            return {}
        assert status == 200, body
        return {
            entry["Key"]: (base64.b64decode(entry["Value"] or ""), entry["ModifyIndex"])
            for entry in json.loads(body)
        }


@contextmanager
def agent(data: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server with its data in a directory: the process and its HTTP port; killed at the end."""
    http_port, server, serf, wan = free_ports(4)
    flags = {
        "bind": "127.0.0.1",
        "bootstrap-expect": 1,
        "data-dir": data,
        "dns-port": -1,
        "grpc-port": -1,
        "grpc-tls-port": -1,
        "http-port": http_port,
        "serf-lan-port": serf,
        "serf-wan-port": wan,
        "server-port": server,
    }
    command = [sys.executable, "-m", "portway", "agent", "-server"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, *(f"-{name}={value}" for name, value in flags.items())],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        give_up = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            with suppress(OSError, http.client.HTTPException):
                status, leader = Client(http_port)("GET", "status/leader")
                if status == 200 and leader != b'""':
                    break
            time.sleep(0.02)
        yield process, http_port
    finally:
        process.kill()
        process.wait()


def transaction(pairs: dict[str, bytes]) -> bytes:
    """The body of a transaction that sets keys."""
    operations: list[dict[str, Any]] = [
        {"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode()}}
        for key, value in pairs.items()
    ]
    return json.dumps(operations).encode()


def write(port: int, number: int, writer: int, acknowledged: list[tuple[int, int]]) -> None:
    """Write until the agent is gone: even writers transactions, odd ones single keys."""
    client, step = Client(port), 0
    with suppress(OSError, http.client.HTTPException):
        while True:
            step += 1
            value = b"%d" % step
            if writer % 2:
                status, _ = client("PUT", f"kv/{number}/{writer}/log/{step}", value)
            else:
                keys = (f"log/{step}", "a", "b")
                pairs = {f"{number}/{writer}/{key}": value for key in keys}
                status, _ = client("PUT", "txn", transaction(pairs))
            assert status == 200
            acknowledged.append((writer, step))


def check(client: Client, number: int, acknowledged: list[tuple[int, int]]) -> None:
    """Compare what there is with what was acknowledged."""
    for writer in range(WRITERS):
        found = client.values(f"{number}/{writer}/")
        steps = [int(key.rpartition("/")[2]) for key in found if "/log/" in key]
        assert sorted(steps) == list(range(1, len(steps) + 1))
        last = max((step for who, step in acknowledged if who == writer), default=0)
        # One more may have been committed than was answered.
        assert last <= len(steps) <= last + 1, "an acknowledged write is lost"
        if writer % 2 == 0 and steps:
            latest = {found[f"{number}/{writer}/{key}"] for key in ("a", "b", f"log/{len(steps)}")}
            assert len(latest) == 1, "half a transaction"


@pytest.mark.slow
def test_kill_9_of_an_agent(tmp_path: Path) -> None:
    chance = random.Random(4)
    data, log = tmp_path / "data", tmp_path / "log"
    total = 0
    before: list[tuple[int, int]] = []
    for number in range(ROUNDS + 1):
        acknowledged: list[tuple[int, int]] = []
        with agent(data, log) as (process, port):
            if number:
                check(Client(port), number - 1, before)
            threads = [
                threading.Thread(target=write, args=(port, number, writer, acknowledged))
                for writer in range(WRITERS)
            ]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.05, 0.3))
            if number % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            for thread in threads:
                thread.join()
        total += len(acknowledged)
        before = acknowledged
    print(f"{total} requests acknowledged in {ROUNDS} rounds")
    assert total > 5 * ROUNDS


@pytest.mark.root
def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """Writes answer 500 and say why; reads and blocking reads go on; with room all is well."""
    value = os.urandom(100_000)
    with agent(small_disk / "data", tmp_path / "log") as (process, port):
        client = Client(port)
        assert client("PUT", "kv/first", b"1") == (200, b"true")
        written = 0
        status, body = 200, b"true"
        while status == 200:
            assert body == b"true"
            written += 1
            assert written < 1000
            status, body = client("PUT", f"kv/fill/{written}", value)
        assert status == 500
        assert b"store.db: cannot be written (" in body
        assert b"reads go on" in body
        for _ in range(3):
            for path, data in (
                (f"kv/fill/{written}", value),
                ("txn", transaction({"first": value, "other": b"1"})),
            ):
                status, body = client("PUT", path, data)
                assert (status, b"cannot be written" in body) == (500, True)
        assert client("GET", "kv/first?raw") == (200, b"1")
        assert client("GET", "kv/other?raw&consistent")[0] == 404
        found = client.values("fill/")
        assert len(found) == written - 1
        assert {content for content, _ in found.values()} == {value}
        status, _ = client("GET", "health/service/consul?passing")
        assert status == 200
        index = max(index for _, index in found.values())
        woken: list[tuple[int, bytes]] = []
        blocked = threading.Thread(
            target=lambda: woken.append(
                Client(port)("GET", f"kv/fill/{written}?raw&wait=9m&index={index}")
            )
        )
        blocked.start()
        (small_disk / "ballast").unlink()
        assert client("PUT", f"kv/fill/{written}", value) == (200, b"true")
        assert client("PUT", "txn", transaction({"first": b"2", "other": b"1"}))[0] == 200
        assert client("GET", "kv/first?raw") == (200, b"2")
        blocked.join(60)
        assert woken == [(200, value)]
        assert len(client.values("fill/")) == written
        process.terminate()
        assert process.wait(30) is not None
    with agent(small_disk / "data", tmp_path / "log") as (_, port):
        assert len(Client(port).values("fill/")) == written
