"""Prometheus finds its targets in Portway's catalog.

Debian builds its Prometheus without ``consul_sd_configs``. So its discovery, of the version that
Debian has, runs in a program of its own, made of Prometheus's Go module; and Debian's Prometheus
itself finds targets by DNS.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients.artefacts import go_program
from tests.clients.conftest import MANAGEMENT
from tests.clients.servers import put, until
from tests.integration.cli_consul_rig import Agent
from tests.patience import PATIENCE

_PROGRAMS = Path(__file__).parent / "programs"


class Discovery:
    """What Prometheus's discovery knows: the labels of the targets of each service."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.services: dict[str, list[dict[str, str]]] = {}
        self._process = process
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            change = json.loads(line)
            self.services[change["Source"]] = change["Targets"]

    def ids(self) -> list[str]:
        """The IDs of all instances."""
        targets = [labels for service in list(self.services.values()) for labels in service]
        return sorted(labels["__meta_consul_service_id"] for labels in targets)

    def stop(self) -> None:
        """End the program."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()


@pytest.fixture(scope="module")
def program() -> Path:
    """Prometheus's discovery."""
    return go_program(_PROGRAMS / "consul_sd")


@contextmanager
def _discovery(program: Path, **config: Any) -> Iterator[Discovery]:
    process = subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(yaml.safe_dump({"refresh_interval": "1s"} | config).encode())
    process.stdin.close()
    discovery = Discovery(process)
    try:
        yield discovery
    finally:
        discovery.stop()


def test_targets_follow_registrations(agent: Agent, program: Path) -> None:
    api = f"http://{agent.address}/v1/agent/service"
    with (
        _discovery(program, server=agent.address) as everything,
        _discovery(program, server=agent.address, services=["web"], tags=["blue"]) as blue,
    ):
        web = {"Name": "web", "ID": "web-1", "Address": "127.0.0.2", "Port": 80}
        check = {"Check": {"TTL": "1h", "Status": "passing"}}
        put(f"{api}/register", web | {"Tags": ["green", "v1"], "Meta": {"team": "shop"}} | check)
        until(everything.ids, ["consul", "web-1"])
        node = agent.api("GET", "agent/self")["Config"]["NodeName"]
        expected = {
            "__address__": "127.0.0.2:80",
            "__meta_consul_address": "127.0.0.1",
            "__meta_consul_dc": "dc1",
            "__meta_consul_health": "passing",
            "__meta_consul_node": node,
            "__meta_consul_service": "web",
            "__meta_consul_service_address": "127.0.0.2",
            "__meta_consul_service_metadata_team": "shop",
            "__meta_consul_service_port": "80",
            "__meta_consul_tagged_address_lan": "127.0.0.1",
            "__meta_consul_tags": ",green,v1,",
        }
        (labels,) = everything.services["web"]
        assert {name: labels.get(name) for name in expected} == expected
        put(f"http://{agent.address}/v1/agent/check/fail/service:web-1", "")
        until(lambda: everything.services["web"][0]["__meta_consul_health"], "critical")

        assert blue.ids() == []
        put(f"{api}/register", web | {"Tags": ["blue"]})
        until(blue.ids, ["web-1"])
        put(f"{api}/register", web | {"ID": "web-2"})
        until(everything.ids, ["consul", "web-1", "web-2"])
        put(f"{api}/deregister/web-1", "")
        until(everything.ids, ["consul", "web-2"])
        until(blue.ids, [])
        put(f"{api}/deregister/web-2", "")
        until(everything.ids, ["consul"])


def test_targets_on_nodes_with_metadata(agent: Agent, program: Path) -> None:
    with _discovery(program, server=agent.address, node_meta={"rack": "r1"}) as racks:
        node = {"Node": "far", "Address": "127.0.0.9", "NodeMeta": {"rack": "r1"}}
        service = {"Service": {"Service": "outside", "Port": 9}}
        put(f"http://{agent.address}/v1/catalog/register", node | service)
        until(racks.ids, ["outside"])
        (labels,) = racks.services["outside"]
        assert labels["__meta_consul_metadata_rack"] == "r1"
        assert labels["__address__"] == "127.0.0.9:9"
        put(f"http://{agent.address}/v1/catalog/deregister", {"Node": "far"})
        until(racks.ids, [])


def test_a_token_opens_the_catalog(guarded: Agent, program: Path) -> None:
    with (
        _discovery(program, server=guarded.address, datacenter="dc1") as denied,
        _discovery(program, server=guarded.address, token=MANAGEMENT) as allowed,
    ):
        register = f"http://{guarded.address}/v1/agent/service/register"
        put(register, {"Name": "secret", "Port": 9}, MANAGEMENT)
        until(allowed.ids, ["consul", "secret"])
        assert denied.ids() == []


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_debians_prometheus_finds_targets_by_dns(network: list[str], tmp_path: Path) -> None:
    """In a network of its own, where the agent serves DNS at the port of the system's resolver."""
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    mount = ["sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(resolver)]
    program = [sys.executable, "-m", "tests.clients.programs.prometheus_by_dns", str(tmp_path)]
    done = subprocess.run(
        [*network, *mount, *program],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
