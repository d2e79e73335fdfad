"""Docker checks: programs executed in a real container."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from portway.config import Duration
from portway.discovery.checks import Result, Settings, docker
from portway.discovery.checks.context import Context
from portway.discovery.model import CheckDefinition
from tests.docker import needs_docker

from .checks_rig import event_loop_policy, on_both_loops  # noqa: F401

pytestmark = [pytest.mark.docker, needs_docker("busybox"), on_both_loops]

TAG = f"portway-checks-{uuid4().hex[:8]}:latest"


def _docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of a static busybox and nothing else."""
    root = tmp_path_factory.mktemp("image")
    (root / "bin").mkdir()
    shutil.copy(shutil.which("busybox") or "", root / "bin" / "busybox")
    for name in ("sh", "sleep", "cat", "test", "yes", "head", "rm", "touch"):
        (root / "bin" / name).symlink_to("busybox")
    tar = subprocess.run(["tar", "-C", str(root), "-c", "."], check=True, capture_output=True)
    command = ["docker", "import", "-c", 'CMD ["sleep", "100000"]', "-", TAG]
    subprocess.run(command, input=tar.stdout, check=True, capture_output=True)
    yield TAG
    _docker("rmi", TAG)


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[str]:
    one = _docker("run", "-d", "--init", image)
    yield one
    _docker("rm", "-f", one)


@pytest.fixture
async def context() -> AsyncIterator[Context]:
    one = Context(Settings())
    yield one
    await one.close()


async def check(
    context: Context, container: str, *arguments: str, within: float = 60, shell: str = ""
) -> Result:
    definition = CheckDefinition(
        script_args=list(arguments),
        docker_container_id=container,
        shell=shell,
        timeout=Duration(within),
    )
    return await docker.run_once(definition, context)


async def test_exit_codes_and_outputs(context: Context, container: str) -> None:
    assert await check(context, container, "sh", "-c", "echo fine") == ("passing", "fine\n")
    both = await check(context, container, "sh", "-c", "echo out; echo err >&2; exit 1")
    assert both.status == "warning"
    assert sorted(both.output.splitlines()) == ["err", "out"]
    assert await check(context, container, "sh", "-c", "exit 2") == ("critical", "")


async def test_a_single_argument_is_for_the_shell(context: Context, container: str) -> None:
    command = "test -e /bin/sh && echo there"
    assert await check(context, container, command, shell="/bin/sh") == ("passing", "there\n")


async def test_it_follows_what_is_in_the_container(context: Context, container: str) -> None:
    probe = ("cat", "/healthy")
    await asyncio.to_thread(_docker, "exec", container, "touch", "/healthy")
    assert await check(context, container, *probe) == ("passing", "")
    await asyncio.to_thread(_docker, "exec", container, "rm", "/healthy")
    failing = await check(context, container, *probe)
    assert failing.status == "warning"
    assert "No such file" in failing.output
    await asyncio.to_thread(_docker, "exec", container, "touch", "/healthy")
    assert await check(context, container, *probe) == ("passing", "")


async def test_of_much_output_the_end_is_kept(context: Context, container: str) -> None:
    result = await check(
        context, container, "sh", "-c", "yes 0123456789 | head -c 300000; echo the end"
    )
    assert result.status == "passing"
    assert result.output.startswith("Captured 4096 of 300008 bytes\n...\n")
    assert result.output.endswith("the end\n")


async def test_a_program_that_does_not_end(context: Context, container: str) -> None:
    result = await check(context, container, "sh", "-c", "echo so far; sleep 1000", within=8)
    assert result == ("critical", "Timed out (8s) running check\n\nso far\n")


async def test_programs_that_are_not_there(context: Context, container: str) -> None:
    result = await check(context, container, "/no/such/program")
    assert result.status == "critical"
    assert "no such file" in result.output


async def test_containers_that_do_not_run(context: Context, image: str) -> None:
    one = await asyncio.to_thread(_docker, "run", "-d", image)
    try:
        assert (await check(context, one, "cat", "/bin/sh")).status == "passing"
        await asyncio.to_thread(_docker, "pause", one)
        paused = Result(
            "critical", f"create exec failed since container {one} is paused or stopped"
        )
        assert await check(context, one, "cat", "/bin/sh") == paused
        await asyncio.to_thread(_docker, "unpause", one)
        assert (await check(context, one, "cat", "/bin/sh")).status == "passing"
        await asyncio.to_thread(_docker, "kill", one)
        assert await check(context, one, "cat", "/bin/sh") == paused
    finally:
        await asyncio.to_thread(_docker, "rm", "-f", one)
    assert await check(context, one, "cat", "/bin/sh") == (
        "critical",
        f"create exec failed for unknown container {one}",
    )


async def test_no_docker(tmp_path: Path) -> None:
    context = Context(Settings(docker_host=f"unix://{tmp_path}/none.sock"))
    try:
        result = await check(context, "c", "true")
        assert result.status == "critical"
        assert result.output.startswith(
            "create exec failed for container c: Cannot connect to Docker Engine"
        )
    finally:
        await context.close()
    context = Context(Settings(docker_host="nonsense"))
    result = await check(context, "c", "true")
    assert result.output == ("exec failed for container c: unable to parse docker host `nonsense`")
