"""What several client processes saw of a real server can be explained by one order of all steps.

The server is killed with SIGKILL and started again while they work.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_consul_rig import eventually
from tests.integration.kv_client import KEYS
from tests.integration.kv_process import ServerProcess, server_process
from tests.linearizability import (
    NEVER,
    UNKNOWN,
    Call,
    Entry,
    Operation,
    by_group,
    linearizable,
)

CLIENTS = 5
OPERATIONS = 300  # of each client
GROUPS = 4
_READS = ("get", "list")


def record(
    server: ServerProcess, directory: Path, seed: int, kills: int
) -> tuple[list[dict[str, Any]], list[float]]:
    """The records of all clients, who work while the server is killed a few times; and when."""
    deaths = []
    files = [directory / f"client-{number}.json" for number in range(CLIENTS)]
    clients = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.integration.kv_client", server.address),
                *(str(number), str(seed), str(OPERATIONS), str(GROUPS), str(file)),
            ]
        )
        for number, file in enumerate(files)
    ]
    rng = random.Random(seed)
    try:
        for _ in range(kills):
            _await_progress(server)
            time.sleep(rng.uniform(0, 0.3))
            server.kill()
            deaths.append(time.monotonic())
            server.start()
        (directory / "stop").touch()
        for client in clients:
            assert client.wait(300) == 0
    finally:
        for client in clients:
            client.kill()
            client.wait()
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines], deaths


def _await_progress(server: ServerProcess) -> None:
    """Return when the clients have written a while."""
    start = server.index()
    eventually(lambda: server.index() > start + 100, "writes")


def call_of(given: dict[str, Any]) -> Call:
    expected = given.get("expected")
    return Call(
        given["kind"],
        given.get("key", ""),
        given.get("value", ""),
        given.get("session", ""),
        None if expected is None else tuple(expected),
        tuple(call_of(part) for part in given.get("parts", ())),
    )


def entry_of(row: list[Any] | None) -> Entry | None:
    return None if row is None else Entry(*row[1:4])


def answer_of(call: Call, answer: Any) -> Any:
    if call.kind == "get":
        return entry_of(answer)
    if call.kind == "list":
        return tuple((row[0], entry_of(row)) for row in answer)
    if call.kind == "txn":
        how, what = answer
        return how, tuple(map(entry_of, what)) if how == "done" else tuple(what)
    return answer


def operations_of(records: list[dict[str, Any]], deaths: list[float]) -> list[Operation]:
    """The history. What got no answer happened before the server's next death, or never."""
    operations = []
    for one in records:
        call = call_of(one["call"])
        if one["returned"] is not None:
            answer = answer_of(call, one["answer"])
            operations.append(Operation(one["called"], one["returned"], call, answer))
        elif call.kind not in _READS:
            end = min((death for death in deaths if death >= one["called"]), default=NEVER)
            operations.append(Operation(one["called"], end, call, UNKNOWN))
    return operations


def rows_of(records: list[dict[str, Any]]) -> list[list[Any]]:
    """Every row read outside transactions: key, value, holder, lock index, index."""
    rows = []
    for one in records:
        answer, kind = one["answer"], one["call"]["kind"]
        if one["returned"] is None or not answer:
            continue
        if kind == "get":
            rows.append(answer)
        elif kind == "list":
            rows += answer
    return rows


@pytest.mark.parametrize(("seed", "kills"), [(1, 0), (2, 3)])
def test_histories_are_linearizable(tmp_path: Path, seed: int, kills: int) -> None:
    with server_process(tmp_path) as server:
        records, deaths = record(server, tmp_path, seed, kills)
    assert len(records) >= CLIENTS * OPERATIONS
    lost = sum(one["returned"] is None for one in records)
    assert lost > 0 if kills else lost == 0
    operations = operations_of(records, deaths)
    group_of = {f"lin/{group}/{key}": str(group) for group in range(GROUPS) for key in KEYS}
    group_of |= {f"lin/{group}/": str(group) for group in range(GROUPS)}
    for one in operations:
        for call in (one.call, *one.call.parts):
            if call.session and call.key:
                group_of[call.session] = group_of[call.key]
    operations = [
        one for one in operations if one.call.kind != "destroy" or one.call.session in group_of
    ]
    for group, history in by_group(operations, group_of).items():
        assert linearizable(history), f"group {group} of seed {seed}"
    # An index is one version, everywhere and for ever.
    versions: dict[int, set[tuple[Any, ...]]] = {}
    for key, value, holder, locks, index in rows_of(records):
        versions.setdefault(index, set()).add((key, value, holder, locks))
    for index, seen in versions.items():
        assert len({key for key, *_ in seen}) == len(seen), (index, seen)
    # The clients did meet: some lost their race.
    refused = [one for one in records if one["answer"] is False]
    conflicts = [one for one in records if one["call"]["kind"] == "txn" and one["returned"]]
    assert len(refused) > 20
    assert {one["answer"][0] for one in conflicts} == {"done", "conflict"}


def test_the_check_of_a_real_history_can_fail(tmp_path: Path) -> None:
    """The same history with one answer turned around is rejected."""
    with server_process(tmp_path) as server:
        records, deaths = record(server, tmp_path, 3, 0)
    operations = [
        one for one in operations_of(records, deaths) if (one.call.key or "").startswith("lin/0/a")
    ]
    refused = next(one for one in operations if one.answer is False and one.call.kind == "cas")
    at = operations.index(refused)
    wrong = [*operations[:at], refused._replace(answer=True), *operations[at + 1 :]]
    assert not linearizable(wrong)


def test_lock_delay_and_ttl_by_the_real_clock(tmp_path: Path) -> None:
    with server_process(tmp_path, session_ttl_min="1s") as server:
        body = {"NodeChecks": [], "LockDelay": "2s"}
        one = server.ask("PUT", "/v1/session/create", body)["ID"]
        two = server.ask("PUT", "/v1/session/create", body)["ID"]
        assert server.ask("PUT", f"/v1/kv/lock?acquire={one}") is True
        destroyed = time.monotonic()
        server.ask("PUT", f"/v1/session/destroy/{one}")
        while server.ask("PUT", f"/v1/kv/lock?acquire={two}") is not True:
            assert "Session" not in server.ask("GET", "/v1/kv/lock")[0]
            time.sleep(0.02)
        assert time.monotonic() - destroyed >= 2.0

        asked = time.monotonic()
        timed = server.ask("PUT", "/v1/session/create", {**body, "TTL": "1s"})["ID"]
        while server.ask("GET", f"/v1/session/info/{timed}"):
            time.sleep(0.02)
        assert time.monotonic() - asked >= 1.0
