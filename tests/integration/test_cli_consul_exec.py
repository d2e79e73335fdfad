"""``consul exec``, both of its sides: through an agent that permits it, and one that does not."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.integration.cli_consul_rig import Agent, agent_running, eventually


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    permits = ("-hcl=disable_remote_exec = false", "-node=one")
    with agent_running(tmp_path_factory.mktemp("agent"), *permits) as running:
        yield running


def test_output_and_summary(agent: Agent) -> None:
    done = agent.consul("exec", "-wait=3s", "echo", "hello;", "echo", "world", ">&2")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "    one: hello\n    one: world\n==> one: finished with exit code 0\n"
        "1 / 1 node(s) completed / acknowledged\n"
    )
    assert agent.api("GET", "session/list") == []
    assert agent.api("GET", "kv/_rexec?keys") is None


def test_verbose(agent: Agent) -> None:
    done = agent.consul("exec", "-verbose", "-wait=2s", "sleep 5; echo done")
    assert done.code == 0
    told = [line.split(":")[0] for line in done.out.splitlines()]
    assert told[:4] == [
        "Created remote execution session",
        "Uploaded remote execution spec",
        "Fired remote execution event",
        "==> one",
    ]
    assert "==> one: acknowledged\n" in done.out
    assert "==> one: heartbeat received\n" in done.out
    assert "Completed in " in done.out.splitlines()[-1]


def test_failures_are_exit_code_2(agent: Agent) -> None:
    done = agent.consul("exec", "-wait=3s", "exit 7")
    assert (done.code, done.err) == (2, "==> one: finished with exit code 7\n")


def test_arguments_and_scripts(agent: Agent) -> None:
    done = agent.consul("exec", "-wait=3s", "-shell=false", "echo", "$HOME; x")
    assert "    one: $HOME; x\n" in done.out
    done = agent.consul("exec", "-wait=3s", "-", stdin="#!/bin/sh\necho from a script\n")
    assert "    one: from a script\n" in done.out


def test_nodes_that_are_not_meant_do_nothing(agent: Agent) -> None:
    done = agent.consul("exec", "-wait=500ms", "-node=^two$", "echo hello")
    assert (done.code, done.out) == (0, "0 / 0 node(s) completed / acknowledged\n")


def test_a_signal_ends_it_and_what_it_started(agent: Agent) -> None:
    with agent.running("exec", "-verbose", "-wait=3s", "exec sleep 1000") as running:
        assert running.stdout is not None
        while "acknowledged" not in (line := running.stdout.readline()):
            assert line
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 1
    eventually(lambda: agent.api("GET", "session/list") == [], "no session")
    assert agent.api("GET", "kv/_rexec?keys") is None


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "Must specify a command to execute"),
        (["-"], "Must specify a command to execute"),
        (["-tag=a", "true"], "Cannot provide tag filter without service filter."),
        (["-wait=0s", "true"], "-wait must be positive"),
        (["-wait=x", "true"], 'invalid value "x" for flag -wait: parse error'),
    ],
)
def test_wrong_usage(agent: Agent, argv: list[str], said: str) -> None:
    done = agent.consul("exec", *argv)
    assert (done.code, done.out, done.err) == (1, "", f"{said}\n")


def test_an_agent_runs_nothing_unless_it_is_told_to(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with agent_running(tmp_path_factory.mktemp("closed")) as closed:
        done = closed.consul("exec", "-wait=500ms", "echo hello")
        assert (done.code, done.out) == (0, "0 / 0 node(s) completed / acknowledged\n")
