"""What guides tell people to type, word for word, with ``consul`` linked to ``portway``.

The commands use Consul's own ports, so the agent has a network namespace to itself.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
]


_PYTHON_APPLICATION = """
import consul, sys
c = consul.Consul(host="127.0.0.1", port=8500)
index, data = c.kv.get("app/greeting")
print(data["Value"].decode(), flush=True)
index, data = c.kv.get("app/greeting", index=index, wait="30s")
print(data["Value"].decode(), flush=True)
"""


class Machine:
    """A network namespace with the agent's configuration and data, and ``consul`` on the path."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.config = home / "consul.d"
        self.config.mkdir()
        binaries = home / "bin"
        binaries.mkdir()
        portway = shutil.which(
            "portway", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        )
        assert portway, "portway is installed beside the tests"
        (binaries / "consul").symlink_to(portway)
        self.environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
        self.agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the agent as the guides do and wait for its leader."""
        command = (
            "exec consul agent -server -ui -bootstrap-expect=1 -client=0.0.0.0"
            " -bind=127.0.0.1 -data-dir=data -config-dir=consul.d"
        )
        log = (self.home / "agent.log").open("wb")
        self.agent = subprocess.Popen(
            self._inside(command),
            cwd=self.home,
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self.until(
            lambda: self("curl -s http://127.0.0.1:8500/v1/status/leader"), '"127.0.0.1:8300"'
        )

    def stop(self) -> None:
        """Interrupt the agent."""
        if self.agent is not None:
            self.agent.send_signal(signal.SIGINT)
            self.agent.wait(10)

    def _inside(self, command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, "sh", "-c", command]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell in the namespace."""
        return subprocess.run(
            self._inside(command),
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def __call__(self, command: str) -> str:
        """The standard output of a line of shell."""
        return self.run(command).stdout.strip()

    def background(self, command: str) -> subprocess.Popen[str]:
        """Start a line of shell and leave it running."""
        return subprocess.Popen(
            self._inside(f"exec {command}"),
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, question: Callable[[], str], wanted: str) -> None:
        """Ask until the answer is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while (answer := question()) != wanted:
            assert time.monotonic() < deadline, f"{answer!r} and not {wanted!r}\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        """The end of the agent's log."""
        return (self.home / "agent.log").read_text()[-3000:]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    name = f"portway-{os.getpid()}"
    home = tmp_path_factory.mktemp("everyday")
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        one = Machine(name, home)
        server = one.background(f"{sys.executable} -m http.server 8080 --bind 127.0.0.1")
        try:
            one.start()
            yield one
        finally:
            one.stop()
            server.kill()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def test_a_registered_service_is_found_by_http_and_dns(machine: Machine) -> None:
    machine.home.joinpath("web.json").write_text(
        json.dumps(
            {
                "ID": "web-1",
                "Name": "web",
                "Tags": ["frontend", "v1.0"],
                "Address": "127.0.0.1",
                "Port": 8080,
                "Check": {"HTTP": "http://127.0.0.1:8080/", "Interval": "1s"},
            }
        )
    )
    register = machine.run(
        "curl -s -o /dev/null -w '%{http_code}' --request PUT --data @web.json"
        " http://127.0.0.1:8500/v1/agent/service/register"
    )
    assert register.stdout == "200"
    machine.until(
        lambda: machine("curl -s http://127.0.0.1:8500/v1/catalog/services"),
        '{"consul":[],"web":["frontend","v1.0"]}',
    )
    machine.until(lambda: machine("dig @127.0.0.1 -p 8600 web.service.consul +short"), "127.0.0.1")
    assert machine("dig @127.0.0.1 -p 8600 web.service.consul SRV +short") == (
        "1 1 8080 7f000001.addr.dc1.consul."
    )
    assert machine("dig @127.0.0.1 -p 8600 frontend.web.service.consul +short") == "127.0.0.1"
    nodes = machine.run("consul catalog nodes -service=web -detailed").stdout.splitlines()
    assert nodes[0].split() == ["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"]
    assert "127.0.0.1" in nodes[1]
    assert "dc1" in nodes[1]


def test_members_shows_the_server(machine: Machine) -> None:
    header, row = machine("consul members").splitlines()
    assert header.split() == (
        ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment"]
    )
    assert row.split()[1:] == (
        ["127.0.0.1:8301", "alive", "server", "1.22.0", "2", "dc1", "default", "<all>"]
    )


def test_a_service_in_a_file_is_there_after_a_reload(machine: Machine) -> None:
    (machine.config / "db.json").write_text(
        '{"service": {"name": "db", "tags": ["primary"], "port": 5432}}'
    )
    reload = machine.run("consul reload")
    assert reload.stdout == "Configuration reload triggered\n", reload.stderr
    machine.until(
        lambda: machine("dig @127.0.0.1 -p 8600 primary.db.service.consul +short"), "127.0.0.1"
    )
    assert machine("consul catalog services -tags").splitlines()[-1].split() == [
        "web",
        "frontend,v1.0",
    ]


def test_dns_returns_only_the_healthy_of_two(machine: Machine) -> None:
    for number, port in ((1, 8080), (2, 9)):
        body = json.dumps(
            {
                "id": f"api-{number}",
                "name": "api",
                "address": f"10.0.0.{number}",
                "port": port,
                "check": {"http": f"http://127.0.0.1:{port}/", "interval": "1s"},
            }
        )
        machine.run(f"curl -sf -X PUT -d '{body}' http://127.0.0.1:8500/v1/agent/service/register")
    machine.until(lambda: machine("dig @127.0.0.1 -p 8600 api.service.consul +short"), "10.0.0.1")
    states = json.loads(machine("curl -s http://127.0.0.1:8500/v1/health/checks/api"))
    assert {one["ServiceID"]: one["Status"] for one in states} == {
        "api-1": "passing",
        "api-2": "critical",
    }


def test_the_key_value_store(machine: Machine) -> None:
    assert machine("consul kv put app/color blue") == "Success! Data written to: app/color"
    assert machine("consul kv put app/size large") == "Success! Data written to: app/size"
    assert machine("consul kv get app/color") == "blue"
    assert machine("consul kv get -recurse app/") == "app/color:blue\napp/size:large"
    assert machine("consul kv delete app/color") == "Success! Deleted key: app/color"
    missing = machine.run("consul kv get app/color")
    assert (missing.returncode, missing.stderr) == (1, "Error! No key exists at: app/color\n")


def test_a_watch_calls_its_handler(machine: Machine) -> None:
    handler = machine.home / "handler.sh"
    handler.write_text("#!/bin/sh\ncat >> seen\necho >> seen\n")
    handler.chmod(0o755)
    watch = machine.background("consul watch -type=key -key=app/watched ./handler.sh")
    seen = machine.home / "seen"
    try:
        machine.until(lambda: str(seen.exists()), "True")
        machine("consul kv put app/watched one")
        machine.until(lambda: str('"Value":"b25l"' in seen.read_text()), "True")
        machine("consul kv put app/watched two")
        machine.until(lambda: str('"Value":"dHdv"' in seen.read_text()), "True")
    finally:
        watch.kill()


def test_a_python_application_reads_and_watches(machine: Machine) -> None:
    machine("consul kv put app/greeting hello")
    (machine.home / "application.py").write_text(_PYTHON_APPLICATION)
    application = machine.background(f"{sys.executable} application.py")
    assert application.stdout is not None
    assert application.stdout.readline() == "hello\n"
    machine("consul kv put app/greeting goodbye")
    assert application.stdout.readline() == "goodbye\n"
    assert application.wait(10) == 0


def test_a_deregistered_service_is_gone(machine: Machine) -> None:
    assert machine("consul services deregister -id=api-2") == "Deregistered service: api-2"
    machine.run("curl -sf -X PUT http://127.0.0.1:8500/v1/agent/service/deregister/web-1")
    machine.until(
        lambda: machine("curl -s http://127.0.0.1:8500/v1/catalog/services"),
        '{"api":[],"consul":[],"db":["primary"]}',
    )
    assert "NXDOMAIN" in machine("dig @127.0.0.1 -p 8600 web.service.consul")


def test_services_of_the_api_and_files_survive_a_restart(machine: Machine) -> None:
    machine.stop()
    machine.start()
    machine.until(
        lambda: machine("curl -s http://127.0.0.1:8500/v1/catalog/services"),
        '{"api":[],"consul":[],"db":["primary"]}',
    )
    assert machine("consul kv get app/size") == "large"
