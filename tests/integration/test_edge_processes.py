"""The processes of a running edge: who may die, what they leave open, and how they end."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE

from .edge import (
    Edge,
    Load,
    Reply,
    backend,
    balanced,
    basic,
    http_config,
    is_running,
    kill,
    serving,
)
from .services_harness import Server, eventually

HASH = "{SHA}" + base64.b64encode(hashlib.sha1(b"secret-word").digest()).decode()


@pytest.fixture
def server() -> Iterator[Server]:
    with backend("one") as found:
        yield found


@pytest.fixture
def edge(tmp_path: Path, server: Server) -> Iterator[Edge]:
    """A Portway with a route and one that asks for a password."""
    with serving(tmp_path) as found:
        found.write("a.yml", config(server))
        eventually(lambda: found.status("a.test") == 200, "the route is live")
        yield found


def config(server: Server) -> dict[str, Any]:
    return http_config(
        routers={
            "r": {"rule": "Host(`a.test`)", "service": "s"},
            "auth": {"rule": "Host(`auth.test`)", "service": "s", "middlewares": ["auth"]},
        },
        services={"s": balanced(server)},
        middlewares={"auth": {"basicAuth": {"users": [f"joe:{HASH}"]}}},
    )


# Deaths


def test_a_killed_control_process_loses_nothing_and_sends_nothing_twice(
    edge: Edge, server: Server
) -> None:
    before = edge.processes()
    with Load(lambda number: edge.ask(f"/{number}", method="POST")) as load:
        for _ in range(3):
            control = edge.processes().control
            load.more()
            kill(control)
            eventually(lambda: edge.control() not in (None, control), "there is a successor")  # noqa: B023
            load.more()
            edge.write("b.yml", config(server))
    assert set(load.statuses) == {200}
    arrived = Counter(seen.path for seen in server.seen if seen.method == "POST")
    assert set(arrived.values()) == {1}
    assert len(arrived) == load.sent
    assert edge.processes().envoy == before.envoy
    assert edge.processes().parent == before.parent


def test_changes_get_through_after_the_control_process_was_killed(
    edge: Edge, server: Server
) -> None:
    kill(edge.processes().control)
    moved = config(server)
    moved["http"]["routers"]["r"]["rule"] = "Host(`moved.test`)"
    edge.write("a.yml", moved)
    eventually(lambda: edge.status("moved.test") == 200, "the change is live")
    assert edge.status("a.test") == 404
    assert edge.status("auth.test", headers=basic("joe", "secret-word")) == 200


def test_passwords_are_not_bypassed_while_the_control_process_is_dead(edge: Edge) -> None:
    kill(edge.processes().control)
    statuses: set[int] = set()
    while not statuses or edge.control() is None:
        statuses.add(edge.status("auth.test"))
    eventually(
        lambda: edge.status("auth.test", headers=basic("joe", "secret-word")) == 200,
        "the right password is let in again",
    )
    assert 200 not in statuses


def test_logins_wait_for_the_successor_of_a_killed_control_process(edge: Edge) -> None:
    """Passwords that Envoy does not remember are checked by the control process."""

    def login(number: int) -> Reply:
        right = number % 2 == 0
        # Envoy remembers good credentials; a header that differs is checked anew.
        password = "secret-word" if right else f"wrong-{number}"
        answer = edge.ask(host="auth.test", headers=basic("joe", password))
        return answer._replace(status=answer.status - (200 if right else 401))

    with Load(login) as load:
        for _ in range(3):
            control = edge.processes().control
            load.more()
            kill(control)
            eventually(lambda: edge.control() not in (None, control), "there is a successor")  # noqa: B023
            load.more()
    assert set(load.statuses) == {0}


def test_the_api_waits_for_the_successor_of_a_killed_control_process(edge: Edge) -> None:
    kill(edge.processes().control)
    names = {router["name"] for router in edge.api("/api/http/routers")}
    assert names == {"r@file", "auth@file", "api@internal", "ping@internal"}


def test_a_killed_envoy_is_started_again_with_everything(edge: Edge) -> None:
    before = edge.processes()
    kill(before.envoy)
    eventually(lambda: edge.envoy() not in (None, before.envoy), "there is another Envoy")
    eventually(lambda: edge.status("a.test") == 200, "it serves")
    assert edge.processes().control == before.control
    assert edge.status("auth.test") == 401


def test_nothing_outlives_a_killed_parent(edge: Edge) -> None:
    processes = edge.processes()
    kill(processes.parent)
    eventually(lambda: not any(map(is_running, processes)), "all processes are gone")
    with pytest.raises(OSError):
        edge.ask()


# Starting and stopping


def test_sigterm_ends_it_with_code_0_and_leaves_nothing(edge: Edge) -> None:
    processes, runtime_dir = edge.processes(), edge.runtime_dir
    edge.signal(signal.SIGTERM)
    assert edge.exit_code() == 0
    assert not any(map(is_running, processes))
    assert not runtime_dir.exists()


def test_a_request_in_flight_is_finished_by_a_stop(edge: Edge, server: Server) -> None:
    server.go_on.clear()
    statuses: list[int] = []
    waiting = threading.Thread(target=lambda: statuses.append(edge.status("a.test", "/wait")))
    waiting.start()
    eventually(lambda: any(seen.path == "/wait" for seen in server.seen), "it has arrived")
    edge.signal(signal.SIGTERM)
    eventually(lambda: refused(edge.web), "no more connections are taken")
    server.go_on.set()
    waiting.join(30)
    assert statuses == [200]
    assert edge.exit_code() == 0


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_ping_says_503_while_requests_are_still_taken(tmp_path: Path) -> None:
    grace = "--entrypoints.traefik.transport.lifecycle.requestacceptgracetimeout=3600"
    with serving(tmp_path, grace) as edge:
        edge.signal(signal.SIGTERM)
        eventually(lambda: edge.ask("/ping", port=edge.admin).status == 503, "/ping says so")
        assert edge.status("a.test") == 404
        assert edge.process.poll() is None
        edge.signal(signal.SIGTERM)
        edge.exit_code()


def run_portway(*flags: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A Portway that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "portway", *flags],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=cwd,
        check=False,
    )


def test_a_port_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_portway(f"--entrypoints.web.address=127.0.0.1:{port}", cwd=tmp_path)
    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert line.startswith(f"portway: entryPoints.web.address: cannot listen on 127.0.0.1:{port}: ")
    assert "in use" in line


def test_an_address_that_is_nowhere_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    ended = run_portway("--entrypoints.web.address=no-such-host.invalid:80", cwd=tmp_path)
    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert line.startswith("portway: entryPoints.web.address: ")
    assert "no-such-host.invalid" in line


def test_nothing_listens_before_every_provider_has_reported(tmp_path: Path) -> None:
    """The Docker daemon lets its listing wait: until then no request could be answered right."""
    with socket.socket(socket.AF_UNIX) as silent, backend("one") as one:
        directory = tmp_path / "d"
        directory.mkdir()
        silent.bind(str(directory / "docker.sock"))
        silent.listen()
        edge = Edge(tmp_path, f"--providers.docker.endpoint=unix://{directory}/docker.sock")
        edge.write("a.yml", config(one))
        try:
            edge.start()
            eventually(lambda: edge.envoy() is not None, "Envoy runs")
            connection, _ = silent.accept()
            assert refused(edge.web)
            assert refused(edge.admin)
            connection.close()
            silent.close()
            edge.wait_ready()
            assert edge.status("a.test") == 200
        finally:
            edge.close()


def test_a_stop_does_not_wait_for_providers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        path = tmp_path / "docker.sock"
        silent.bind(str(path))
        silent.listen()
        edge = Edge(tmp_path, f"--providers.docker.endpoint=unix://{path}")
        try:
            edge.start()
            connection, _ = silent.accept()
            eventually(lambda: edge.envoy() is not None, "Envoy runs")
            edge.signal(signal.SIGTERM)
            assert edge.exit_code() == 0
            connection.close()
        finally:
            edge.close()
    assert "starting without it" not in edge.log()


def test_sighup_reads_files_again(tmp_path: Path, server: Server) -> None:
    with serving(tmp_path, "--providers.file.watch=false") as edge:
        edge.write("a.yml", config(server))
        time.sleep(0.3)  # a watching provider would have seen it
        assert edge.status("a.test") == 404
        edge.signal(signal.SIGHUP)
        eventually(lambda: edge.status("a.test") == 200, "the file is live")


# What is open, and who may look


def tree(edge: Edge) -> dict[int, str]:
    """All processes of an edge."""
    processes = edge.processes()
    return {processes.parent: "parent", processes.control: "control", processes.envoy: "envoy"}


def listening_tcp(pid: int) -> set[int]:
    """TCP ports a process listens to."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = ""
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            target = str(descriptor.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[at] for at in (1, 3, 9))
            if state == "0A" and inode in inodes:
                found.add(int(local.rpartition(":")[2], 16))
    return found


def test_only_entry_points_listen_to_tcp(edge: Edge) -> None:
    found = {name: listening_tcp(pid) for pid, name in tree(edge).items()}
    assert found == {"parent": set(), "control": set(), "envoy": {edge.web, edge.alt, edge.admin}}


def test_runtime_files_are_for_their_owner_only(edge: Edge) -> None:
    assert stat.S_IMODE(edge.runtime_dir.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in edge.runtime_dir.iterdir()}
    assert {"ads.sock", "admin.sock", "api.sock", "control.sock", "envoy.json"} <= modes.keys()
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_no_secret_is_logged_or_shown_in_the_process_list(tmp_path: Path, server: Server) -> None:
    with serving(tmp_path, "--log.level=DEBUG", "--log.format=json") as edge:
        edge.write("a.yml", config(server))
        eventually(lambda: edge.status("auth.test") == 401, "the route is live")
        assert edge.status("auth.test", headers=basic("joe", "wrong-word")) == 401
        assert edge.status("auth.test", headers=basic("joe", "secret-word")) == 200
        wrong = {"auth": {"basicAuth": {"users": [f"joe:{HASH}"], "nope": 1}}}
        edge.write("b.yml", http_config(middlewares=wrong))
        eventually(edge.problems, "the wrong file is a problem")
        shown = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in tree(edge))
        log = edge.log()
    login = basic("joe", "secret-word")["Authorization"]
    for secret in (HASH, HASH[5:], "secret-word", "wrong-word", login):
        assert secret not in log
        assert secret.encode() not in shown
    for line in log.splitlines():
        json.loads(line)
