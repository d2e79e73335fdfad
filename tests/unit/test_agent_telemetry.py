"""Metrics, their two forms, and the sinks of logs."""

from __future__ import annotations

import socket
from pathlib import Path

from portway.agent.log_sinks import LogFile
from portway.agent.logs import render
from portway.agent.prometheus import exposition
from portway.agent.statsd import Statsd
from portway.agent.telemetry import INTERVAL, Gauge, Names, Telemetry
from tests.patience import PATIENCE


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_last_complete_interval_is_shown() -> None:
    clock = Clock()
    telemetry = Telemetry(clock)
    for seconds in (0.010, 0.030):
        telemetry.timing("consul.api.http", seconds, (("method", "GET"),))
    assert telemetry.summary()["Samples"] == []
    clock.now += INTERVAL
    row = telemetry.summary()["Samples"][0]
    assert (row["Name"], row["Labels"]) == ("consul.api.http", {"method": "GET"})
    assert (row["Count"], row["Min"], row["Max"], row["Mean"]) == (2, 10, 30, 20)
    assert row["Stddev"] == 10
    clock.now += 5 * INTERVAL
    assert telemetry.summary()["Samples"] == []


def test_counters_for_prometheus_never_go_back() -> None:
    clock = Clock()
    telemetry = Telemetry(clock)
    telemetry.count("consul.kvs.apply")
    clock.now += 3600
    telemetry.count("consul.kvs.apply")
    telemetry.gauges(lambda: [Gauge("consul.state.nodes", 3.0, (("datacenter", "dc1"),))])
    lines = exposition(telemetry, 0.0).decode().splitlines()
    assert "# TYPE consul_kvs_apply counter" in lines
    assert "consul_kvs_apply 2.0" in lines
    assert 'consul_state_nodes{datacenter="dc1"} 3.0' in lines


def test_timings_for_prometheus_are_summaries() -> None:
    telemetry = Telemetry()
    for number in range(1, 301):
        telemetry.timing("consul.raft.commitTime", number / 1000, (("a-b", 'x"\\y'),))
    lines = exposition(telemetry, 0.0).decode().splitlines()
    own = [line for line in lines if line.startswith("consul_")]
    label = 'a_b="x\\"\\\\y"'
    assert own[0] == f'consul_raft_commitTime{{{label},quantile="0.5"}} 173.0'  # of the last 256
    assert own[-1] == f"consul_raft_commitTime_count{{{label}}} 300"
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_names_and_filters() -> None:
    telemetry = Telemetry()
    rules = ["-mine.api", "+mine.api.http", "-mine.state.checks"]
    telemetry.names = Names("mine", rules)
    seen: list[str] = []
    telemetry.sinks.append(lambda kind, name, value, labels: seen.append(name))
    for name in ("consul.api.http", "consul.api.grpc", "consul.kvs.apply"):
        telemetry.count(name)
    assert seen == ["mine.api.http", "mine.kvs.apply"]
    telemetry.gauges(lambda: [Gauge("consul.state.nodes", 1.0), Gauge("consul.state.checks", 1.0)])
    assert [gauge.name for gauge in telemetry.all_gauges()] == ["mine.state.nodes"]
    telemetry.names = Names(filters=["+consul.kvs"], default=False)
    telemetry.count("consul.kvs.apply")
    telemetry.count("consul.api.http")
    assert seen[2:] == ["consul.kvs.apply"]
    assert telemetry.all_gauges() == []
    text = exposition(telemetry, 0.0)
    assert b"\nmine_kvs_apply 1.0" in text
    assert b"\nconsul_kvs_apply 1.0" in text


def test_measurements_go_to_statsd() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        telemetry = Telemetry()
        plain, dog = Statsd(address), Statsd(address, dog=True, tags=["env:test"])
        telemetry.sinks = [plain.send, dog.send]
        telemetry.timing("consul.api.http", 0.5, (("method", "GET"),))
        assert server.recv(200) == b"consul.api.http.GET:500.000000|ms"
        assert server.recv(200) == b"consul.api.http:500.000000|ms|#env:test,method:GET"
        telemetry.gauges(lambda: [Gauge("consul.state.nodes", 3.0, (("datacenter", "dc1"),))])
        telemetry.send_gauges()
        assert server.recv(200) == b"consul.state.nodes.dc1:3.000000|g"
        assert server.recv(200) == b"consul.state.nodes:3.000000|g|#env:test,datacenter:dc1"
        plain.close()
        dog.close()


def test_a_log_file_rotates_by_size_and_age(tmp_path: Path) -> None:
    clock = Clock()
    file = LogFile(f"{tmp_path}/agent.log", most_bytes=20, seconds=60, keep=1, clock=clock)
    for line in ("first line\n", "second line\n"):
        file.write(line)
        clock.now += 1
    clock.now += 60
    file.write("third\n")
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2, "one closed file is kept"
    assert all(name.startswith("agent-") and name.endswith(".log") for name in names)
    assert (tmp_path / names[-1]).read_text() == "third\n"
    assert (tmp_path / names[-1]).stat().st_mode & 0o777 == 0o600


def test_a_directory_takes_the_default_name(tmp_path: Path) -> None:
    file = LogFile(f"{tmp_path}/logs/")
    file.write("line\n")
    file.close()
    assert [path.name.split("-")[0] for path in (tmp_path / "logs").iterdir()] == ["consul"]


def test_a_line_is_as_consul_writes_it() -> None:
    fields = {
        "@timestamp": 1763841600.125,
        "@level": "WARN",
        "@module": "agent",
        "@message": "Check is now critical",
        "check": "web",
        "error": "two words",
    }
    assert render(fields) == (
        '2025-11-22T20:00:00.125Z [WARN]  agent: Check is now critical: check=web error="two words"'
    )
    assert '"@level": "warn"' in render(fields, as_json=True)
