"""The compose files of the common guides, under real Docker, with only the image name changed.

Traefik itself runs them too, which shows that the files are written for it.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docker import needs_docker
from tests.docker.images import ROOT, portway_image, stand_in, traefik_image
from tests.patience import PATIENCE

pytestmark = [pytest.mark.docker, needs_docker("docker-compose", "debootstrap")]

FILES = ROOT / "examples" / "compose"
STAND_INS = {"traefik/whoami": 80, "nginx:alpine": 80, "ghost:alpine": 2368}
PORTWAY = "    image: portway\n"


class Reply(NamedTuple):
    status: int
    body: str

    @property
    def container(self) -> str:
        """The short id of the container that answered."""
        return self.body.partition("\n")[0].removeprefix("Hostname: ")


def get(host: str, path: str = "/", port: int = 80) -> Reply:
    """What the published port answers; a refused connection counts as status 0."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return Reply(answer.status, answer.read().decode())
    except OSError:
        return Reply(0, "")
    finally:
        connection.close()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Project:
    """A compose file that is up."""

    def __init__(self, file: Path) -> None:
        self._command = ["docker-compose", "-p", f"portway{uuid.uuid4().hex[:8]}", "-f", str(file)]

    def compose(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def containers(self, service: str) -> set[str]:
        """The short ids of a service's containers."""
        return {line[:12] for line in self.compose("ps", "-q", service).split()}

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "2")


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[None]:
    for name, port in STAND_INS.items():
        stand_in(name, port)
    yield
    subprocess.run(["docker", "rmi", *STAND_INS], check=True, capture_output=True)


@pytest.fixture(scope="module", params=["portway", "traefik"])
def image(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "portway":
        yield portway_image()
        return
    tag = traefik_image("portway-test-traefik:latest")
    yield tag
    subprocess.run(["docker", "rmi", tag], check=True, capture_output=True)


@pytest.fixture
def up(image: str, stand_ins: None, tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    """Starts a file of the examples with the image under test in the place of ours."""
    projects: list[Project] = []

    def start(name: str) -> Project:
        text = (FILES / name).read_text()
        assert text.count(PORTWAY) == 1
        file = tmp_path / name
        file.write_text(text.replace(PORTWAY, f"    image: {image}\n"))
        project = Project(file)
        projects.append(project)
        project.compose("up", "-d")
        return project

    yield start
    for project in projects:
        project.down()


def test_the_first_service_of_the_guides(up: Callable[[str], Project]) -> None:
    project = up("whoami.yml")
    until(lambda: get("whoami.localhost").status == 200, "whoami.localhost does not answer")
    assert {get("whoami.localhost").container} == project.containers("whoami")
    assert get("other.localhost").status == 404
    routers = json.loads(get("localhost", "/api/http/routers", port=8080).body)
    assert "Host(`whoami.localhost`)" in {router["rule"] for router in routers}


def test_every_url_of_several_services_reaches_its_container(
    up: Callable[[str], Project],
) -> None:
    project = up("multi-service.yml")
    table = [
        ("app.localhost", "/", "frontend", "/"),
        ("app.localhost", "/about", "frontend", "/about"),
        ("app.localhost", "/api", "api", "/"),
        ("app.localhost", "/api/users?page=2", "api", "/users?page=2"),
        ("blog.localhost", "/", "blog", "/"),
        ("blog.localhost", "/api/posts", "blog", "/api/posts"),
    ]
    for host, path, service, seen in table:
        containers = project.containers(service)
        until(
            lambda: get(host, path).container in containers,  # noqa: B023 - used up at once
            f"{host}{path} does not come from {service}",
        )
        reply = get(host, path)
        assert reply.status == 200
        assert re.search(f"^GET {re.escape(seen)} HTTP/1.1", reply.body, re.M), reply.body
        prefix = re.search("^x-forwarded-prefix: (.*?)\r?$", reply.body, re.M | re.I)
        assert (prefix and prefix[1]) == ("/api" if service == "api" else None)
    assert get("other.localhost").status == 404


def test_scaling_up_reaches_every_container_and_scaling_down_leaves_one(
    up: Callable[[str], Project],
) -> None:
    project = up("multi-service.yml")
    until(lambda: get("app.localhost").status == 200, "the frontend does not answer")

    project.compose("up", "-d", "--scale", "frontend=3")
    three = project.containers("frontend")
    assert len(three) == 3
    until(lambda: three == answering(12), "not all three containers get requests")

    project.compose("up", "-d", "--scale", "frontend=1")
    (one,) = project.containers("frontend")
    until(lambda: {one} == answering(12), "others than the one that is left get requests")


def answering(requests: int) -> set[str]:
    """The containers that answered so many requests to the frontend."""
    return {get("app.localhost").container for _ in range(requests)}
