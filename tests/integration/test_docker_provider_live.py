"""The Docker provider with the real daemon: real stops, starts, kills and pauses."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from portway.edge.providers.docker import DockerProvider
from portway.edge.static import Docker
from tests.docker import needs_docker
from tests.docker.images import whoami_image
from tests.integration.passage import Passage
from tests.integration.provider_harness import Reported, running

pytestmark = [pytest.mark.docker, needs_docker()]

UNIQUE = f"portway-provider-{uuid.uuid4().hex[:8]}"


def _docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


async def docker(*arguments: str) -> str:
    return await asyncio.to_thread(_docker, *arguments)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    tag = whoami_image(f"{UNIQUE}:latest")
    yield tag
    if found := _docker("ps", "-aq", "--filter", f"label=test={UNIQUE}").split():
        _docker("rm", "-f", *found)
    _docker("rmi", tag)


@pytest.fixture
async def reported() -> AsyncGenerator[Reported, None]:
    options = Docker(exposed_by_default=False, constraints=f"Label(`test`, `{UNIQUE}`)")
    async with running(DockerProvider(options)) as reported:
        yield reported


async def start(image: str, name: str, *options: str, **labels: str) -> str:
    given = {
        "test": UNIQUE,
        "traefik.enable": "true",
        "traefik.http.routers.app.rule": "Host(`app.test`)",
        "traefik.http.services.app.loadbalancer.passhostheader": "true",
        **labels,
    }
    flags = [part for key, value in given.items() for part in ("--label", f"{key}={value}")]
    return await docker("run", "-d", "--name", f"{UNIQUE}-{name}", *flags, *options, image)


async def test_a_service_follows_its_containers(image: str, reported: Reported) -> None:
    one = await start(image, "one")
    two = await start(image, "two")
    await reported.until(lambda: len(reported.urls("app")) == 2)
    assert reported.router("app").service == "app"

    await docker("kill", "-s", "HUP", one)  # harmless, and this container survives it
    await docker("stop", two)
    await reported.until(lambda: len(reported.urls("app")) == 1)
    await docker("start", two)
    await reported.until(lambda: len(reported.urls("app")) == 2)

    await docker("pause", one)
    await reported.until(lambda: len(reported.urls("app")) == 1)
    await docker("unpause", one)
    await reported.until(lambda: len(reported.urls("app")) == 2)

    await docker("kill", two)
    await reported.until(lambda: len(reported.urls("app")) == 1)
    await docker("rm", "-f", one, two)
    await reported.until(lambda: not reported.objects)
    assert reported.problems == []


async def test_the_endpoint_leaves_at_the_stop_signal_and_not_at_the_death(
    image: str, reported: Reported
) -> None:
    """Its stop signal is one that processes ignore."""
    stubborn = await start(image, "stubborn", "--stop-signal", "SIGURG")
    await reported.until(lambda: reported.urls("app"))
    stopping = asyncio.create_task(docker("stop", "-t", "60", stubborn))
    await reported.until(lambda: not reported.urls("app"))
    assert reported.names("router") == ["app"], "it still runs"
    assert await docker("inspect", "-f", "{{.State.Running}}", stubborn) == "true"
    await docker("kill", stubborn)
    await stopping
    await reported.until(lambda: not reported.objects)
    await docker("rm", stubborn)


async def test_health_checks_decide(image: str, reported: Reported) -> None:
    healthy = await start(image, "healthy", "--health-cmd", "exit 1", "--health-interval", "1s")
    # The image has no shell: the check can never succeed, the container stays out.
    witness = await start(
        image, "witness", **{"traefik.http.routers.app.rule": "Host(`witness.test`)"}
    )
    await reported.until(lambda: reported.urls("app"))
    assert len(reported.urls("app")) == 1
    assert reported.router("app").rule == "Host(`witness.test`)"
    await docker("rm", "-f", healthy, witness)
    await reported.until(lambda: not reported.objects)


async def test_networks_decide_the_address(image: str, reported: Reported) -> None:
    network = f"{UNIQUE}-net"
    await docker("network", "create", network)
    try:
        both = await start(image, "both", **{"traefik.docker.network": network})
        await reported.until(lambda: any(network in problem for problem in reported.problems))
        await docker("network", "connect", network, both)
        form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        address = await docker("inspect", "-f", form, both)
        await reported.until(lambda: reported.urls("app") == [f"http://{address}:80"])
        assert reported.problems == []
        shared = await start(
            image,
            "guest",
            "--network",
            f"container:{both}",
            **{
                "traefik.http.services.app.loadbalancer.server.port": "80",
            },
        )
        await docker("rm", "-f", shared, both)
        await reported.until(lambda: not reported.objects)
    finally:
        await docker("network", "rm", network)


async def test_stops_are_noticed_while_the_daemon_cannot_be_reached(
    image: str, tmp_path: Path
) -> None:
    passage = Passage(tmp_path / "docker.sock")
    await passage.open()
    options = Docker(
        endpoint=f"unix://{passage.path}",
        exposed_by_default=False,
        constraints=f"Label(`test`, `{UNIQUE}`)",
    )
    try:
        async with running(DockerProvider(options)) as reported:
            one, two = await start(image, "one"), await start(image, "two")
            await reported.until(lambda: len(reported.urls("app")) == 2)
            passage.close()
            await reported.until(lambda: "unreachable" in "".join(reported.problems))
            assert len(reported.urls("app")) == 2
            await docker("stop", two)
            await reported.until(lambda: len(reported.urls("app")) == 1)
            await passage.open()
            await reported.until(lambda: not reported.problems)
            await docker("start", two)
            await reported.until(lambda: len(reported.urls("app")) == 2)
            await docker("rm", "-f", one, two)
            await reported.until(lambda: not reported.objects)
    finally:
        passage.close()
