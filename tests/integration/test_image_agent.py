"""Consul's guides for Docker, with only the image name changed."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.docker import needs_docker
from tests.docker.images import portway_image
from tests.patience import PATIENCE

pytestmark = [pytest.mark.docker, needs_docker("debootstrap")]


def docker(*arguments: str) -> str:
    """What a docker command prints."""
    done = subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()


def until(question: Callable[[], str], wanted: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while (answer := question()) != wanted:
        assert time.monotonic() < deadline, f"{answer!r} and not {wanted!r}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    name = f"portway-agent-{uuid.uuid4().hex[:8]}"
    command = ["run", "-d", "--name", name, portway_image()]
    docker(*command, "agent", "-server", "-ui", "-bootstrap-expect=1", "-client=0.0.0.0")
    try:
        yield name
    finally:
        docker("rm", "-f", "-v", name)


def test_the_agent_of_the_image_serves(container: str) -> None:
    until(lambda: docker("exec", container, "consul", "catalog", "services"), "consul")
    members = docker("exec", container, "consul", "members").splitlines()
    assert members[1].split()[2:4] == ["alive", "server"]
    state = json.loads(docker("inspect", container))[0]
    address = state["NetworkSettings"]["IPAddress"]
    assert members[1].split()[1] == f"{address}:8301"
    answers = subprocess.run(
        ["dig", f"@{address}", "-p", "8600", "consul.service.consul", "+short"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answers.stdout.strip() == address


def test_data_outlives_the_container(container: str) -> None:
    assert docker("exec", container, "consul", "kv", "put", "kept", "yes").startswith("Success!")
    docker("restart", container)
    until(lambda: docker("exec", container, "consul", "kv", "get", "kept"), "yes")
