"""``args`` with ``docker_container_id``: a program inside a container says how things are.

Executed through the Docker Engine at ``DOCKER_HOST`` (else its usual socket), with the exit
codes and outputs of script checks. Several ``args`` are executed as they are. A single one is a
command for ``shell``, if that is set, or if it has blanks: then for ``$SHELL`` of the agent or
``/bin/sh``. Timeout: 30 s, or the interval if that is longer; Docker has no way to end what was
started in the container.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from portway.discovery.checks import script
from portway.discovery.checks.context import Context
from portway.discovery.checks.dial import DialError
from portway.discovery.checks.output import TailBuffer, limit_of
from portway.discovery.checks.result import Result, critical
from portway.discovery.model import CheckDefinition

if TYPE_CHECKING:
    from aiodocker import Docker, DockerError


def command_of(arguments: Sequence[str], shell: str) -> list[str]:
    """The program to execute in the container."""
    if len(arguments) == 1 and (shell or any(blank in arguments[0] for blank in " \t\n")):
        return [shell or os.environ.get("SHELL") or "/bin/sh", "-c", arguments[0]]
    return list(arguments)


async def run_once(definition: CheckDefinition, context: Context) -> Result:
    """Execute the program in the container."""
    from aiodocker import DockerError
    from aiohttp import ClientError

    container = definition.docker_container_id
    timeout = definition.timeout or max(script.TIMEOUT, definition.interval)
    output = TailBuffer(limit_of(definition, context.settings.output_max_size))
    try:
        async with asyncio.timeout(timeout):
            code = await _execute(
                context.docker(),
                container,
                command_of(definition.script_args, definition.shell),
                output,
            )
    except TimeoutError:
        return script.timed_out(timeout, output.text())
    except DockerError as error:
        return critical(_failure(container, error))
    except (DialError, ClientError, OSError) as error:
        return critical(f"exec failed for container {container}: {error}")
    return script.judged(code, output.text())


async def _execute(docker: Docker, container: str, command: list[str], output: TailBuffer) -> int:
    execution = await docker.containers.container(container).exec(
        command, stdout=True, stderr=True, stdin=False, tty=False
    )
    async with execution.start(detach=False) as stream:
        while message := await stream.read_out():
            output.write(message.data)
    ended = await execution.inspect()
    code = ended["ExitCode"]
    return code if isinstance(code, int) else -1


def _failure(container: str, error: DockerError) -> str:
    if error.status == 404:
        return f"create exec failed for unknown container {container}"
    if error.status == 409:
        return f"create exec failed since container {container} is paused or stopped"
    if error.status >= 600:  # no answer of Docker's, but aiodocker's word for none
        return f"create exec failed for container {container}: {error.message}"
    return (
        f"create exec failed for container {container} with status {error.status}: {error.message}"
    )
