"""Traefik itself takes its routes from Portway's catalog and key-value store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import MANAGEMENT
from tests.clients.servers import put, request, running, until, web_server
from tests.integration.cli_consul_rig import Agent
from tests.ports import free_ports

pytestmark = pytest.mark.skipif(shutil.which("traefik") is None, reason="traefik is not installed")


@pytest.fixture(scope="module")
def traefik(
    agent: Agent, guarded: Agent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a Traefik: the open agent's catalog and keys, the guarded one's keys."""
    directory = tmp_path_factory.mktemp("traefik")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        "traefik",
        f"--entryPoints.web.address={address}",
        f"--providers.consulCatalog.endpoint.address={agent.address}",
        "--providers.consulCatalog.exposedByDefault=false",
        "--providers.consulCatalog.watch=true",
        f"--providers.consul.endpoints={agent.address}",
        "--providers.consul.rootKey=edge",
        "--log.level=DEBUG",
    ]
    with running(command, directory / "traefik.log", f"http://{address}/", 404):
        yield address


def _service(name: str, port: int, host: str) -> dict[str, object]:
    tags = ["traefik.enable=true", f"traefik.http.routers.{name}.rule=Host(`{host}`)"]
    check = {"HTTP": f"http://127.0.0.1:{port}/", "Interval": "1s", "Status": "passing"}
    return {"Name": name, "Address": "127.0.0.1", "Port": port, "Tags": tags, "Check": check}


def test_routes_of_the_catalog(agent: Agent, traefik: str) -> None:
    api = f"http://{agent.address}/v1/agent"
    with web_server("from the catalog") as port:
        put(f"{api}/service/register", _service("shop", port, "shop.internal"))
        until(
            lambda: request(f"http://{traefik}/", Host="shop.internal"), (200, "from the catalog")
        )
        put(f"{api}/service/register", _service("shop", port, "moved.internal"))
        until(lambda: request(f"http://{traefik}/", Host="moved.internal")[0], 200)
        assert request(f"http://{traefik}/", Host="shop.internal")[0] == 404
        put(f"{api}/service/maintenance/shop?enable=true", "")
        until(lambda: request(f"http://{traefik}/", Host="moved.internal")[0], 404)
        put(f"{api}/service/maintenance/shop?enable=false", "")
        until(lambda: request(f"http://{traefik}/", Host="moved.internal")[0], 200)
        put(f"{api}/service/deregister/shop", "")
        until(lambda: request(f"http://{traefik}/", Host="moved.internal")[0], 404)


def test_routes_of_the_keys(agent: Agent, traefik: str) -> None:
    keys = f"http://{agent.address}/v1/kv/edge/http"
    with web_server("from the keys") as port:
        put(f"{keys}/services/pages/loadBalancer/servers/0/url", f"http://127.0.0.1:{port}")
        put(f"{keys}/routers/pages/service", "pages")
        put(f"{keys}/routers/pages/rule", "Host(`pages.internal`)")
        until(lambda: request(f"http://{traefik}/", Host="pages.internal"), (200, "from the keys"))
        put(f"{keys}/routers/pages/rule", "Host(`other.internal`)")
        until(lambda: request(f"http://{traefik}/", Host="other.internal")[0], 200)
        assert request(f"{keys}/routers/pages?recurse=true", "DELETE") == (200, "true")
        until(lambda: request(f"http://{traefik}/", Host="other.internal")[0], 404)


def test_a_token_opens_the_catalog(guarded: Agent, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        "traefik",
        f"--entryPoints.web.address={address}",
        f"--providers.consulCatalog.endpoint.address={guarded.address}",
        f"--providers.consulCatalog.endpoint.token={MANAGEMENT}",
        "--providers.consulCatalog.watch=true",
        f"--providers.consul.endpoints={guarded.address}",
        f"--providers.consul.token={MANAGEMENT}",
    ]
    with (
        web_server("allowed") as port,
        running(command, tmp_path / "traefik.log", f"http://{address}/", 404),
    ):
        api = f"http://{guarded.address}/v1/agent/service/register"
        put(api, _service("shop", port, "shop.internal"), MANAGEMENT)
        until(lambda: request(f"http://{address}/", Host="shop.internal"), (200, "allowed"))
