"""``consul lock`` against a real agent: one holder, or some, and what happens at the end."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_consul_rig import Agent, agent_running, eventually
from tests.patience import PATIENCE

MUTEX_FLAGS = 0x2DDCCBC058A50C18
SEMAPHORE_FLAGS = 0xE0F69A2BAA414DE0


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with agent_running(tmp_path_factory.mktemp("agent")) as running:
        yield running


def entry(agent: Agent, key: str) -> dict[str, Any] | None:
    found = agent.api("GET", f"kv/{key}")
    return found[0] if found else None


def held(agent: Agent, prefix: str) -> dict[str, Any]:
    def holder() -> dict[str, Any] | None:
        found = entry(agent, f"{prefix}/.lock")
        return found if found and found.get("Session") else None

    found = eventually(holder, "a lock")
    assert isinstance(found, dict)
    return found


def sessions(agent: Agent) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = agent.api("GET", "session/list")
    return found


def test_the_child_runs_while_the_lock_is_held(agent: Agent, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    check = f"{agent.program} kv get -detailed jobs/one/.lock > {seen}; echo $CONSUL_LOCK_HELD"
    done = agent.consul("lock", "-verbose", "-name=mine", "/jobs/one", check)
    assert (done.code, done.err) == (0, "")
    assert "true\n" in done.out
    assert "Cleanup succeeded\n" in done.out
    fields = [line.split() for line in seen.read_text().splitlines()]
    assert ["Flags", str(MUTEX_FLAGS)] in fields
    assert ["Session", "-"] not in fields
    assert entry(agent, "jobs/one/.lock") is None
    assert sessions(agent) == []


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["-child-exit-code", "p", "exit 7"], 2),
        (["-child-exit-code", "p", "exit 0"], 0),
        (["p", "exit 7"], 0),
        (["-shell=false", "p", "/bin/false"], 0),
        (["-shell=false", "-child-exit-code", "p", "/nowhere"], 2),
    ],
)
def test_exit_codes(agent: Agent, argv: list[str], code: int) -> None:
    assert agent.consul("lock", *argv).code == code


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["p"], "Key prefix and child command must be specified"),
        (["-n=0", "p", "true"], "Lock holder limit must be positive"),
        (["-timeout=-1s", "p", "true"], "Timeout must be positive"),
    ],
)
def test_wrong_usage(agent: Agent, argv: list[str], said: str) -> None:
    done = agent.consul("lock", *argv)
    assert (done.code, done.out, done.err) == (1, "", f"{said}\n")


def test_a_second_one_waits_for_the_first(agent: Agent, tmp_path: Path) -> None:
    gate, order = tmp_path / "gate", tmp_path / "order"
    first = f"echo first >> {order}; while [ ! -e {gate} ]; do sleep 0.05; done"
    with agent.running("lock", "jobs/two", first) as holder:
        held(agent, "jobs/two")
        late = agent.consul("lock", "-timeout=300ms", "jobs/two", "true")
        assert late.code == 1
        assert late.err == "Shutdown triggered or timeout during lock acquisition\n"
        with agent.running("lock", "jobs/two", f"echo second >> {order}") as waiter:
            eventually(lambda: len(sessions(agent)) == 2, "a second session")
            gate.touch()
            assert holder.wait(60) == 0
            assert waiter.wait(60) == 0
    assert order.read_text() == "first\nsecond\n"
    assert entry(agent, "jobs/two/.lock") is None


def test_the_child_reads_our_input_only_if_asked(agent: Agent) -> None:
    assert agent.consul("lock", "-pass-stdin", "p", "cat", stdin="hello\n").out == "hello\n"
    assert agent.consul("lock", "p", "cat", stdin="hello\n").out == ""


def test_a_lost_lock_ends_the_child(agent: Agent, tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"trap 'echo term > {told}; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    with agent.running("lock", "jobs/lost", script) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        session = held(agent, "jobs/lost")["Session"]
        agent.api("PUT", f"session/destroy/{session}", b"")
        _, err = holder.communicate(timeout=PATIENCE)
    assert holder.returncode == 1
    assert "Lock lost, killing child" in err
    assert told.read_text() == "term\n"
    # The session was ended from outside, so the lock-delay keeps everybody out for a while.
    assert agent.consul("lock", "-timeout=300ms", "jobs/lost", "true").code == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_child_and_gives_the_lock_up(agent: Agent, number: int) -> None:
    with agent.running("lock", "jobs/stop", "trap '' HUP; echo up; exec sleep 1000") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        holder.send_signal(number)
        _, err = holder.communicate(timeout=PATIENCE)
    assert (holder.returncode, err) == (0, "Shutdown triggered, killing child\n")
    assert entry(agent, "jobs/stop/.lock") is None


def test_a_child_that_does_not_listen_is_killed(agent: Agent) -> None:
    with agent.running("lock", "-verbose", "jobs/deaf", "trap '' TERM; echo up; sleep 1000") as one:
        assert one.stdout is not None
        while one.stdout.readline() != "up\n":
            pass
        one.terminate()
        out, _ = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0
    assert "Child did not exit after grace period" in out


def test_a_signal_while_it_waits(agent: Agent) -> None:
    with agent.running("lock", "jobs/wait", "exec sleep 1000") as holder:
        held(agent, "jobs/wait")
        with agent.running("lock", "jobs/wait", "true") as waiter:
            eventually(lambda: len(sessions(agent)) == 2, "a second session")
            waiter.terminate()
            _, err = waiter.communicate(timeout=PATIENCE)
        assert (waiter.returncode, err) == (
            1,
            "Shutdown triggered or timeout during lock acquisition\n",
        )
        eventually(lambda: len(sessions(agent)) == 1, "the end of the second session")
        assert holder.poll() is None


def test_a_key_of_somebody_else_is_no_lock(agent: Agent) -> None:
    agent.api("PUT", "kv/jobs/other/.lock", b"mine")
    done = agent.consul("lock", "jobs/other", "true")
    said = "Lock acquisition failed: Existing key does not match"
    assert (done.code, done.err) == (1, f"{said} lock use\n")
    done = agent.consul("lock", "-n=2", "jobs/other", "true")
    assert (done.code, done.err) == (1, f"{said} semaphore use\n")


def holders(agent: Agent, prefix: str) -> list[str]:
    found = entry(agent, f"{prefix}/.lock")
    return sorted(json.loads(base64.b64decode(found["Value"]))["Holders"]) if found else []


def test_a_semaphore_has_as_many_holders_as_were_said(agent: Agent, tmp_path: Path) -> None:
    prefix, gate = "jobs/sem", tmp_path / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.05; done"
    lock = ("lock", "-n=2", prefix, wait)
    with agent.running(*lock) as one, agent.running(*lock) as two:
        eventually(lambda: len(holders(agent, prefix)) == 2, "two holders")
        found = entry(agent, f"{prefix}/.lock")
        assert found is not None
        assert found["Flags"] == SEMAPHORE_FLAGS
        body = json.loads(base64.b64decode(found["Value"]))
        assert body == {"Limit": 2, "Holders": dict.fromkeys(holders(agent, prefix), True)}
        for session in body["Holders"]:
            contender = entry(agent, f"{prefix}/{session}")
            assert contender is not None
            assert (contender["Session"], contender["Flags"]) == (session, SEMAPHORE_FLAGS)
        done = agent.consul("lock", "-n=3", prefix, "true")
        assert done.code == 1
        assert "semaphore limit conflict (lock: 2, local: 3)" in done.err
        done = agent.consul("lock", "-n=2", "-timeout=300ms", prefix, "true")
        assert done.code == 1
        with agent.running(*lock) as three:
            eventually(lambda: len(sessions(agent)) == 3, "a third session")
            two.send_signal(signal.SIGTERM)
            assert two.wait(60) == 0
            gate.touch()
            assert [one.wait(60), three.wait(60)] == [0, 0]
    keys = agent.api("GET", f"kv/{prefix}/?keys")
    assert keys is None, keys


def test_a_holder_that_died_leaves_its_slot(agent: Agent) -> None:
    prefix = "jobs/dead"
    with agent.running("lock", "-n=2", prefix, "exec sleep 5") as one:
        eventually(lambda: holders(agent, prefix), "a holder")
        (dead,) = holders(agent, prefix)
        one.kill()
        one.wait()
        agent.api("PUT", f"session/destroy/{dead}", b"")
        assert agent.consul("lock", "-n=2", prefix, "true").code == 0
    assert holders(agent, prefix) == []


def test_a_lock_of_an_agent_that_is_gone_is_lost(tmp_path: Path) -> None:
    with agent_running(tmp_path) as own:
        lock = ("lock", "-monitor-retry=1", "p", "echo up; exec sleep 1000")
        with own.running(*lock) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "up\n"
            own.process.kill()
            own.process.wait()
            _, err = holder.communicate(timeout=PATIENCE)
        assert holder.returncode == 1
        assert err.startswith("Lock lost, killing child\n")


def test_no_agent(tmp_path: Path, agent: Agent) -> None:
    done = agent.consul("lock", "-http-addr=127.0.0.1:1", "p", "true")
    assert done.code == 1
    assert done.err.startswith('Error querying Consul agent: Get "http://127.0.0.1:1/v1/agent/self')
