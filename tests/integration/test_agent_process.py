"""The agent as a process: how it begins, how it ends, and what it says meanwhile."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_rig import Home, home
from tests.integration.cli_consul_rig import eventually
from tests.patience import PATIENCE


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("config", "number", "code", "said"),
    [
        # A server by itself: interrupted or terminated, it does not leave.
        ({}, signal.SIGINT, 1, "Graceful shutdown disabled. Exiting"),
        ({}, signal.SIGTERM, 1, "Graceful shutdown disabled. Exiting"),
        ({"skip_leave_on_interrupt": False}, signal.SIGINT, 0, "Gracefully shutting down agent"),
        ({"leave_on_terminate": True}, signal.SIGTERM, 0, "Gracefully shutting down agent"),
    ],
)
def test_signals(place: Home, config: dict[str, bool], number: int, code: int, said: str) -> None:
    place.config |= config
    agent = place.start()
    agent.done("agent/service/register", {"Name": "web"})
    assert agent.stop(number) == code
    log = agent.log.read_text()
    assert said in log
    assert "Traceback" not in log
    # The servers of a cluster would deregister one that leaves. One alone is there again soon.
    assert place.start().services() == ["web"]


def test_a_client_asks_it_to_leave(place: Home) -> None:
    agent = place.start()
    reply = agent.put("agent/leave")
    assert (reply.status, reply.body) == (200, b"")
    assert agent.ended() == 0


def test_the_end_releases_blocked_queries(place: Home) -> None:
    agent = place.start()
    agent.done("kv/k", b"v")
    agent.done("agent/service/register", {"Name": "web"})
    digest = agent.get("agent/service/web").headers["x-consul-contenthash"]
    waiting = []
    for path in (
        *(f"kv/{key}?index=999999&wait=5m" for key in ("k", "missing")),
        "health/service/web?index=999999&wait=5m",
        "event/list?index=1&wait=5m",
        f"agent/service/web?hash={digest}&wait=5m",
    ):
        one = http.client.HTTPConnection("127.0.0.1", agent.ports["http"], timeout=PATIENCE)
        one.request("GET", f"/v1/{path}")
        waiting.append(one)
    agent.get("status/leader")  # asked after them, so they have been read
    agent.stop(signal.SIGINT)
    assert sorted(one.getresponse().status for one in waiting) == [200, 200, 200, 200, 404]


def test_a_second_signal_does_not_wait(place: Home) -> None:
    agent = place.start()
    os.kill(agent.process.pid, signal.SIGINT)
    os.kill(agent.process.pid, signal.SIGINT)
    assert agent.ended() == 1


def test_a_signal_while_it_starts(place: Home) -> None:
    agent = place.launch()
    agent.wait_for_log("==> Log data will now stream in as it occurs")
    assert agent.stop(signal.SIGTERM) == 1
    assert "Traceback" not in agent.log.read_text()
    assert place.start().services() == []


def test_the_banner(place: Home) -> None:
    agent = place.start()
    agent.wait_for_log("agent: Consul agent running!")
    lines = agent.log.read_text().splitlines()
    assert lines[0] == "==> Starting Consul agent..."
    titles = [line.partition(":")[0].strip() for line in lines[1:12]]
    assert titles[:4] == ["Version", "Build Date", "Node ID", "Node name"]
    assert "==> Log data will now stream in as it occurs:" in lines


def test_the_pid_file(place: Home) -> None:
    file = place.directory / "agent.pid"
    place.config["pid_file"] = str(file)
    agent = place.start()
    eventually(file.exists, "a PID file")
    assert file.read_text().strip() == str(agent.process.pid)
    agent.stop()
    assert not file.exists()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"pid_file": "/no/such/directory/pid"}, "/no/such/directory/pid"),
        ({"service": {"name": "web", "check": {"args": ["x"], "interval": "1s"}}}, "disabled"),
        ({"check": {"name": "c", "ttl": "1s", "service_id": "x"}}, 'ServiceID "x"'),
        ({"addresses": {"http": "192.0.2.1"}}, "192.0.2.1"),
        ({"recursors": ["[::1"]}, "::1"),
        ({"log_file": "/proc/no/such/log"}, "/proc/no"),
    ],
)
def test_what_keeps_it_from_starting(place: Home, config: dict[str, object], text: str) -> None:
    place.config |= config
    agent = place.launch()
    assert agent.ended() == 1
    log = agent.log.read_text()
    assert "==> " in log
    assert text in log
    assert "Traceback" not in log


def test_a_taken_port_and_a_taken_directory(place: Home) -> None:
    agent = place.start()
    second = place.launch()
    assert second.ended() == 1
    text = second.log.read_text()
    assert f"listen 127.0.0.1:{place.ports['http']}: Address already in use" in text
    with home(place.directory / "other") as other:
        other.data = place.data
        third = other.launch()
        assert third.ended() == 1
        assert "in use" in third.log.read_text()
    assert agent.get("status/leader").status == 200


def test_systemd_is_told(place: Home) -> None:
    path = str(place.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(PATIENCE)
        agent = place.start(environ={"NOTIFY_SOCKET": path})
        assert systemd.recv(100) == b"READY=1"
        assert agent.get("status/leader").json
        agent.stop()
        assert systemd.recv(100) == b"STOPPING=1"


def test_it_answers_before_it_has_read_its_state(place: Home) -> None:
    """What a client hears from the first moment on until there is a leader."""
    agent = place.start()
    for number in range(64):
        operations = [
            {"KV": {"Verb": "set", "Key": f"k/{number}/{one}", "Value": "eHg="}}
            for one in range(128)
        ]
        agent.done("txn", operations)
    agent.stop()
    agent = place.launch()
    known = ("status/leader", 200, f'"127.0.0.1:{place.ports["server"]}"')
    seen: list[tuple[str, int, str]] = []

    def leads() -> bool:
        for path in ("kv/k/0/0?raw", "status/leader"):
            try:
                reply = agent.get(path)
            except OSError:
                return False
            answer = (path, reply.status, reply.text)
            if answer not in seen:
                seen.append(answer)
        return known in seen

    eventually(leads, "a leader")
    assert set(seen) <= {
        ("kv/k/0/0?raw", 500, "No cluster leader"),
        ("kv/k/0/0?raw", 200, "xx"),
        ("status/leader", 200, '""'),
        known,
    }


def test_log_files_and_levels_of_modules(place: Home) -> None:
    place.config |= {
        "log_file": f"{place.directory}/logs/",
        "log_level": "INFO",
        "log_sublevels": {"agent.anti_entropy": "DEBUG", "agent.http": "ERROR"},
    }
    agent = place.start()
    agent.done("agent/service/register", {"Name": "web"})
    agent.wait_for_log('[DEBUG] agent.anti_entropy: Synced: what="service web"')
    (file,) = (place.directory / "logs").iterdir()
    eventually(lambda: "agent.anti_entropy: Synced" in file.read_text(), "the log file")
    assert "[DEBUG] agent:" not in agent.log.read_text()
