"""``consul watch``: what it prints, how it runs a program, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.unit.cli_agent import Consul, FakeAgent, Question, Reply, Series, calling, serving

agent = pytest.fixture(serving)
consul = pytest.fixture(calling)


@pytest.fixture(autouse=True)
def reachable(agent: FakeAgent) -> None:
    agent.answer("GET", "/agent/self", {"Config": {"NodeName": "n"}})


ENTRY = {
    "LockIndex": 0,
    "Key": "k",
    "Flags": 0,
    "Value": "YQ==",
    "CreateIndex": 4,
    "ModifyIndex": 4,
}


def test_without_a_program_the_view_is_printed_once(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/k", Reply([ENTRY], index=4))
    code, out, err = consul("watch", "-type=key", "-key=k")
    assert (code, err) == (0, "")
    assert out == (
        '{\n    "Key": "k",\n    "CreateIndex": 4,\n    "ModifyIndex": 4,\n    "LockIndex": 0,\n'
        '    "Flags": 0,\n    "Value": "YQ==",\n    "Session": ""\n}\n'
    )
    agent.answer("GET", "/kv/k", Reply(b"", 404, index=4))
    assert consul("watch", "-type", "key", "-key", "k") == (0, "null\n", "")


def test_parameters(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/health/service/web", Reply([], index=4))
    argv = ("-service=web", "-tag=a", "-passingonly=true", "-filter=f", "-datacenter=d", "-stale")
    assert consul("watch", "-type=service", *argv) == (0, "[]\n", "")
    expected = {"tag": "a", "passing": "1", "filter": "f", "dc": "d", "stale": ""}
    assert agent.questions[-1].params == expected


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "Watch type must be specified"),
        (["-type=nope"], "Unsupported watch type: nope; valid: "),
        (["-type=key"], "Must specify a single key to watch"),
        (["-type=services", "-key=k"], "Invalid parameters: key"),
        (["-type=service", "-service=s", "-passingonly=x"], "Failed to parse passingonly flag: "),
    ],
)
def test_wrong_usage(agent: FakeAgent, consul: Consul, argv: list[str], said: str) -> None:
    code, out, err = consul("watch", *argv)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(said)
    assert agent.questions == []


def test_an_agent_that_refuses_is_told_at_once(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/agent/self", Reply(b"Permission denied", 403))
    code, _, err = consul("watch", "-type=services")
    assert (code, err.startswith("Error querying Consul agent: ")) == (1, True)


def test_a_program_reads_each_change_until_it_fails(
    agent: FakeAgent, consul: Consul, tmp_path: Path
) -> None:
    replies: list[dict[str, list[str]]] = [{"a": []}, {"a": []}, {"b": []}]
    agent.answer(
        "GET",
        "/catalog/services",
        Series(Reply(reply, index=number) for number, reply in enumerate(replies, 5)),
    )
    script = tmp_path / "handler"
    script.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "text = sys.stdin.read()\n"
        "print(os.environ['CONSUL_INDEX'], text, end='')\n"
        "sys.exit('b' in text and 4)\n"
    )
    script.chmod(0o755)
    code, out, err = consul("watch", "-type=services", "-shell=false", str(script))
    assert (code, out) == (1, '5 {"a":[]}\n7 {"b":[]}\n')
    assert err == "Error executing handler: exit status 4\n"
    asked = [q.params.get("index") for q in agent.asked("GET", "/catalog/services")]
    assert asked == [None, "5", "6"]


def test_a_program_is_run_by_the_shell(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/catalog/services", Reply({}, index=1))
    code, out, err = consul("watch", "-type=services", "cat;", "kill", "-9", "$$")
    assert (code, out, err) == (1, "{}\n", "Error executing handler: signal: killed\n")
    code, out, err = consul("watch", "-type=services", "-shell=false", "/nowhere")
    assert (code, out) == (1, "")
    assert err.startswith("Error starting handler: ")


def test_failures_are_told_and_tried_again(
    agent: FakeAgent, consul: Consul, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    failure = Reply(b"No cluster leader", 500)
    agent.answer("GET", "/catalog/nodes", Series([failure, failure, Reply([], index=3)]))
    code, out, err = consul("watch", "-type=nodes")
    assert (code, out, slept) == (0, "[]\n", [5.0, 20.0])
    assert err.splitlines()[1] == (
        "Watch errored: type=nodes error=Unexpected response code: 500 (No cluster leader)"
        " retry=20s"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("argv", [[], ["exec", "sleep", "1000"]])
def test_a_signal_ends_it_well(agent: FakeAgent, argv: list[str], number: int) -> None:
    """While it waits for the agent, and while a program runs."""
    import threading

    arrived = threading.Event()

    def park(question: Question) -> Reply:
        if not argv:
            arrived.set()
            time.sleep(2)
        arrived.set()
        return Reply({}, index=1)

    agent.answer("GET", "/catalog/services", park)
    code = "import sys; from portway.cli import main; sys.exit(main(program='consul'))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "watch", "-type=services", *argv],
        env={**os.environ, "SHELL": "/bin/sh"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert arrived.wait(30)
    if argv:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not any(
            Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
            for pid in children.read_text().split()
        ):
            time.sleep(0.01)
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "")


def test_json_of_other_letters(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/event/list", Reply([{"ID": "1", "Name": "ü<"}], index=4))
    code, out, _ = consul("watch", "-type=event", "-name=ü<")
    assert (code, json.loads(out)) == (0, [{"ID": "1", "Name": "ü<"}])
    assert agent.questions[-1].params == {"name": "ü<"}
