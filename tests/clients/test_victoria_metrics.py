"""Debian's VictoriaMetrics finds its targets by ``consul_sd_configs`` and scrapes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.clients.conftest import MANAGEMENT
from tests.clients.servers import put, request, running, until, web_server
from tests.integration.cli_consul_rig import Agent, eventually
from tests.ports import free_ports

pytestmark = pytest.mark.skipif(
    shutil.which("victoria-metrics") is None, reason="victoria-metrics is not installed"
)


@pytest.fixture(scope="module")
def metrics(
    agent: Agent, guarded: Agent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a VictoriaMetrics whose jobs ask an open and a guarded agent."""
    directory = tmp_path_factory.mktemp("victoria-metrics")
    jobs: dict[str, dict[str, Any]] = {
        "open": {"server": agent.address},
        "racks": {"server": agent.address, "node_meta": {"rack": "r1"}},
        "allowed": {"server": guarded.address, "token": MANAGEMENT},
    }
    scrapes = [
        {"job_name": name, "scrape_interval": "1s", "consul_sd_configs": [job]}
        for name, job in jobs.items()
    ]
    config = directory / "scrape.yml"
    config.write_text(yaml.safe_dump({"scrape_configs": scrapes}))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        "victoria-metrics",
        f"-promscrape.config={config}",
        "-promscrape.consulSDCheckInterval=1s",
        "-search.latencyOffset=1ms",
        f"-storageDataPath={directory / 'data'}",
        f"-httpListenAddr={address}",
    ]
    with running(command, directory / "victoria-metrics.log", f"http://{address}/health"):
        yield address


def _found(metrics: str, job: str) -> list[str]:
    """The IDs of the instances that a job has found."""
    active = json.loads(request(f"http://{metrics}/api/v1/targets")[1])["data"]["activeTargets"]
    labels = [target["discoveredLabels"] for target in active if target["labels"]["job"] == job]
    return sorted(label["__meta_consul_service_id"] for label in labels)


def test_targets_follow_registrations(agent: Agent, metrics: str) -> None:
    api = f"http://{agent.address}/v1/agent/service"
    with web_server("requests_total 7\n") as port:
        web = {"Name": "web", "Address": "127.0.0.1", "Port": port}
        put(f"{api}/register", web | {"ID": "web-1"})
        until(lambda: _found(metrics, "open"), ["consul", "web-1"])
        query = f"http://{metrics}/api/v1/query?query=requests_total"
        eventually(lambda: json.loads(request(query)[1])["data"]["result"], "a scrape")
        put(f"{api}/register", web | {"ID": "web-2", "Address": "127.0.0.2"})
        until(lambda: _found(metrics, "open"), ["consul", "web-1", "web-2"])
        for instance in ("web-1", "web-2"):
            put(f"{api}/deregister/{instance}", "")
        until(lambda: _found(metrics, "open"), ["consul"])


def test_targets_on_nodes_with_metadata(agent: Agent, metrics: str) -> None:
    node = {"Node": "far", "Address": "127.0.0.9", "NodeMeta": {"rack": "r1"}}
    service = {"Service": {"Service": "outside", "Port": 9}}
    put(f"http://{agent.address}/v1/catalog/register", node | service)
    until(lambda: _found(metrics, "racks"), ["outside"])
    put(f"http://{agent.address}/v1/catalog/deregister", {"Node": "far"})
    until(lambda: _found(metrics, "racks"), [])


def test_a_token_opens_the_catalog(guarded: Agent, metrics: str) -> None:
    register = f"http://{guarded.address}/v1/agent/service/register"
    put(register, {"Name": "secret", "Port": 9}, MANAGEMENT)
    until(lambda: _found(metrics, "allowed"), ["consul", "secret"])
