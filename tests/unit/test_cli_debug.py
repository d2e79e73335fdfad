"""``consul debug``: what is recorded, and where it lies."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.unit.cli_agent import Consul, FakeAgent, Reply, calling, serving

agent = pytest.fixture(serving)
consul = pytest.fixture(calling)

SELF = {"Config": {"Version": "1.22.0", "NodeName": "n"}}


@pytest.fixture(autouse=True)
def short(agent: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portway.cli.debug._LEAST_DURATION", 0.01)
    monkeypatch.setattr("portway.cli.debug._LEAST_INTERVAL", 0.01)
    monkeypatch.chdir(tmp_path)
    agent.answer("GET", "/agent/self", SELF)
    agent.answer("GET", "/agent/host", {"CPU": []})
    agent.answer("GET", "/operator/raft/configuration", {"Servers": []})
    agent.answer("GET", "/agent/members", [{"Name": "n"}])
    agent.answer("GET", "/agent/metrics", {"Gauges": []})
    agent.answer("GET", "/agent/monitor", b"one\ntwo\n")


def test_an_archive_of_everything(consul: Consul, tmp_path: Path) -> None:
    code, out, err = consul("debug", "-duration=300ms", "-interval=100ms")
    assert (code, err) == (0, "")
    (archive,) = tmp_path.glob("consul-debug-*.tar.gz")
    assert list(tmp_path.iterdir()) == [archive]
    assert archive.stat().st_mode & 0o777 == 0o600
    lines = out.splitlines()
    assert lines[:6] == [
        "==> Starting debugger and capturing static information...",
        "     Agent Version: '1.22.0'",
        "          Interval: '100ms'",
        "          Duration: '300ms'",
        f"            Output: '{archive.name}'",
        "           Capture: 'metrics, logs, host, agent, members'",
    ]
    assert lines[-1] == f"Saved debug archive: {archive.name}"
    folder = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    names = {path.name for path in (tmp_path / folder).iterdir()}
    files = {"agent.json", "host.json", "members.json", "metrics.json", "consul.log", "index.json"}
    files |= {"ports.json", "listpeers.json"}
    assert names == files
    assert json.loads((tmp_path / folder / "agent.json").read_text()) == SELF
    assert (tmp_path / folder / "consul.log").read_bytes() == b"one\ntwo\n"
    metrics = (tmp_path / folder / "metrics.json").read_text().splitlines()
    assert [json.loads(line) for line in metrics] == [{"Gauges": []}] * 3
    assert json.loads((tmp_path / folder / "index.json").read_text())["Targets"] == [
        "metrics",
        "logs",
        "host",
        "agent",
        "members",
    ]
    assert (tmp_path / folder / "listpeers.json").read_text().startswith("Node  ID")
    ports = json.loads((tmp_path / folder / "ports.json").read_text())
    assert {*ports} == {"Open", "Closed"}


def test_a_directory_of_some_things(agent: FakeAgent, consul: Consul, tmp_path: Path) -> None:
    agent.answer("GET", "/agent/host", Reply(b"Permission denied", 403))
    argv = ("-capture=cluster", "-capture=host,pprof", "-archive=false", "-output=found/it")
    code, out, err = consul("debug", "-duration=300ms", "-interval=100ms", *argv)
    assert code == 0
    assert {path.name for path in (tmp_path / "found/it").iterdir()} == {
        "members.json",
        "index.json",
        "listpeers.json",
        "ports.json",
    }
    assert err.splitlines() == [
        "pprof: left out, since the agent is not a Go program",
        "Static capture failed: host: Unexpected response code: 403 (Permission denied)",
    ]
    assert "Beginning" not in out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-duration=1ms"], "==> Capture validation failed: duration must be longer than 10ms"),
        (["-interval=1ms"], "==> Capture validation failed: interval must be longer than 10ms"),
        (
            ["-duration=1s", "-interval=2s"],
            "==> Capture validation failed: duration (1s) must be longer than interval (2s)",
        ),
        (["-capture=all"], "==> Capture validation failed: target not found: all; valid: "),
        (["-output=there"], "output directory already exists: there.tar.gz"),
        (
            ["-output=there/x/y"],
            "==> Capture validation failed: could not create output directory: mkdir there/x",
        ),
        (["x"], "==> debug: Too many arguments provided, expected 0"),
    ],
)
def test_wrong_usage(consul: Consul, tmp_path: Path, argv: list[str], said: str) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "there.tar.gz").touch()
    code, out, err = consul("debug", *argv)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(said)
