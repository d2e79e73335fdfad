"""The API of a running Portway: what it says is what Envoy does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from tests.patience import PATIENCE
from tests.ports import free_port

from .services_harness import Server, eventually

ROUTERS: dict[str, dict[str, object]] = {
    "plain": {"rule": "Host(`a.test`)", "service": "one"},
    "path": {"rule": "Host(`a.test`) && PathPrefix(`/api`)", "service": "two"},
    "header": {"rule": "HeaderRegexp(`X-Kind`, `^s`)", "service": "two", "priority": 1000},
    "query": {"rule": "Query(`q`, `1`) && !Method(`POST`)", "service": "two", "priority": 900},
    "address": {"rule": "ClientIP(`10.0.0.0/8`)", "service": "two", "priority": 2000},
    "any": {"rule": "Host(`*.b.test`) || Host(`b.test`)", "service": "checked"},
    "slow": {"rule": "Host(`slow.test`)", "service": "slow"},
    "broken": {"rule": "Hots(`a.test`)", "service": "one"},
}


class Running(NamedTuple):
    """A Portway with two servers behind it."""

    web: int
    api: str
    one: Server
    two: Server

    def answer(self, host: str, target: str, **headers: str) -> tuple[int, str]:
        """Status and body (the name of a server) of a request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web}{target}", headers={"Host": host, **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.api + path, timeout=PATIENCE) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory: Path = tmp_path_factory.mktemp("live")
    one, two = Server("one"), Server("two")
    check = {"path": "/health", "interval": "200ms"}
    both = [{"url": one.url()}, {"url": two.url()}]
    services = {
        "one": {"loadBalancer": {"servers": both[:1]}},
        "two": {"loadBalancer": {"servers": both[1:]}},
        "checked": {"loadBalancer": {"servers": both, "healthCheck": check}},
        "slow": {"loadBalancer": {"servers": both, "serversTransport": "hasty"}},
    }
    transports = {"hasty": {"forwardingTimeouts": {"responseHeaderTimeout": "300ms"}}}
    routers = {name: {**router, "entryPoints": ["web"]} for name, router in ROUTERS.items()}
    http = {"routers": routers, "services": services, "serversTransports": transports}
    (directory / "dynamic.yml").write_text(json.dumps({"http": http}))
    web, admin = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "portway"),
        f"--entrypoints.web.address=127.0.0.1:{web}",
        f"--entrypoints.traefik.address=127.0.0.1:{admin}",
        "--api.insecure=true",
        f"--providers.file.filename={directory / 'dynamic.yml'}",
    ]
    with (directory / "portway.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        found = Running(web, f"http://127.0.0.1:{admin}", one, two)
        eventually(lambda: found.answer("a.test", "/")[0] == 200, "requests are answered")
        yield found
    finally:
        process.terminate()
        process.wait(60)
        one.stop()
        two.stop()


@pytest.mark.parametrize(
    ("host", "target", "headers"),
    [
        ("a.test", "/", {}),
        ("A.Test:1234", "/", {}),
        ("a.test", "/api/x", {}),
        ("a.test", "/x/../api", {}),
        ("a.test", "/%61pi", {}),
        ("a.test", "/?q=1", {}),
        ("c.test", "/?q=%31&q=2", {}),
        ("c.test", "/", {"X-Kind": "special"}),
        ("c.test", "/", {"X-Kind": "other"}),
        ("x.b.test", "/", {}),
        ("x.y.b.test", "/", {}),
    ],
)
def test_the_explained_router_is_the_one_that_answers(
    running: Running, host: str, target: str, headers: dict[str, str]
) -> None:
    parameters = [("url", f"http://{host}{target}"), ("entryPoint", "web")]
    parameters += [("header", f"{name}:{value}") for name, value in headers.items()]
    (point,) = running.ask("/api/explain?" + urlencode(parameters))["entryPoints"]
    status, body = running.answer(host, target, **headers)
    if "router" not in point:
        assert (status, body.strip()) == (404, point["answer"])
        return
    named = {running.one.url(): "one", running.two.url(): "two"}
    assert status == 200
    assert body in [named[url] for url in point["router"]["servers"]]
    assert {other["name"] for other in point["others"]} >= {"broken@file", "api@internal"}


def test_health_is_shown_and_obeyed(running: Running) -> None:
    def states() -> set[str]:
        service = running.ask("/api/http/services/checked@file")
        return {url for url, state in service["serverStatus"].items() if state == "UP"}

    both = {running.one.url(), running.two.url()}
    eventually(lambda: states() == both, "both are up")
    running.one.health = 500
    eventually(lambda: states() == {running.two.url()}, "one is down")
    assert {running.answer("b.test", "/") for _ in range(6)} == {(200, "two")}
    running.two.health = 500
    eventually(lambda: states() == set(), "both are down")
    assert running.answer("b.test", "/") == (503, "no available server\n")
    running.one.health = running.two.health = 200
    eventually(lambda: states() == both, "both are back")


def test_a_server_that_begins_too_late_is_not_asked_again(running: Running) -> None:
    running.one.delay = running.two.delay = 2.0
    try:
        assert running.answer("slow.test", "/late") == (504, "Gateway Timeout")
    finally:
        running.one.delay = running.two.delay = 0.0

    def asked() -> int:
        seen = [*running.one.seen, *running.two.seen]
        return [request.path for request in seen].count("/late")

    assert eventually(asked, "a server saw it") == 1


def test_the_command_prints_what_is_in_force(running: Running) -> None:
    command = [sys.executable, "-m", "portway", "routes", "--json"]
    environment = {**os.environ, "PORTWAY_URL": running.api}
    output = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    rows = {row["name"]: row for row in json.loads(output.stdout)["routers"]}
    assert set(rows) == {f"{name}@file" for name in ROUTERS} | {"api@internal"}
    assert (rows["path@file"]["status"], rows["path@file"]["servers"]) == ("enabled", 1)
    assert "Host" in rows["broken@file"]["errors"][0]
