"""``args``: a program says how things are by its exit code.

Passing on exit code 0, warning on 1, critical on any other, on a signal, and when the program
cannot be started; plugins of Nagios work. The arguments are executed as they are: no shell
reads them. The output is what the program writes to standard output and standard error; of
more than the output limit the end is kept. After the timeout (30 s) the program is killed with
everything in its process group.

Scripts run with the agent's rights, so they are off unless ``enable_local_script_checks`` (for
those in the agent's own configuration) or ``enable_script_checks`` (for the API too) is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from functools import partial

from portway.config import Duration
from portway.discovery.checks.context import Context
from portway.discovery.checks.dial import reason_of
from portway.discovery.checks.output import TailBuffer, limit_of
from portway.discovery.checks.result import (
    CheckRefusedError,
    Result,
    critical,
    passing,
    warning,
)
from portway.discovery.checks.settings import Settings
from portway.discovery.model import CheckDefinition

TIMEOUT = 30.0
LINGER = 1.0
"""Seconds to wait for output after the exit: a child that stays may hold the pipe open."""


def permit(settings: Settings, *, remote: bool) -> None:
    """Raise CheckRefusedError if scripts from there are not enabled."""
    if settings.enable_script_checks or (settings.enable_local_script_checks and not remote):
        return
    raise CheckRefusedError(
        "Scripts are disabled on this agent from remote calls;"
        " to enable, configure 'enable_script_checks' to true"
        if remote
        else "Scripts are disabled on this agent; to enable, configure"
        " 'enable_script_checks' or 'enable_local_script_checks' to true"
    )


def judged(exit_code: int, output: str) -> Result:
    """The result of a program that ended."""
    if exit_code == 0:
        return passing(output)
    return warning(output) if exit_code == 1 else critical(output)


def timed_out(timeout: float, output: str) -> Result:
    """The result of a program that did not end."""
    text = f"Timed out ({Duration(timeout)}) running check"
    return critical(f"{text}\n\n{output}" if output else text)


class _Capture(asyncio.SubprocessProtocol):
    """Collects what a program writes; ``exited`` and ``closed`` say how far it is."""

    def __init__(self, limit: int) -> None:
        loop = asyncio.get_running_loop()
        self.output = TailBuffer(limit)
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output.write(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        _done(self.closed)

    def process_exited(self) -> None:
        _done(self.exited)


async def run_once(definition: CheckDefinition, context: Context) -> Result:
    """Run the program to its end, or to the end of its time."""
    arguments = definition.script_args
    timeout = definition.timeout or TIMEOUT
    capture = partial(_Capture, limit_of(definition, context.settings.output_max_size))
    try:
        transport, protocol = await asyncio.get_running_loop().subprocess_exec(
            capture,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except FileNotFoundError:
        if "/" in arguments[0]:
            return critical(f"fork/exec {arguments[0]}: no such file or directory")
        return critical(f'exec: "{arguments[0]}": executable file not found in $PATH')
    except (OSError, ValueError) as error:  # not executable, a NUL in an argument
        return critical(f"fork/exec {arguments[0]}: {reason_of(error)}")
    try:
        # Not awaited themselves: that would cancel them with this task.
        await asyncio.wait((protocol.exited,), timeout=timeout)
        if not protocol.exited.done():
            _kill_group(transport)
            await asyncio.wait((protocol.exited,))
            return timed_out(timeout, protocol.output.text())
        await asyncio.wait((protocol.closed,), timeout=LINGER)
    finally:
        if not protocol.exited.done():
            _kill_group(transport)
        # Not earlier: a transport that is closed before the exit leaves a zombie.
        protocol.exited.add_done_callback(lambda _: transport.close())
    return judged(transport.get_returncode() or 0, protocol.output.text())


def _kill_group(transport: asyncio.SubprocessTransport) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(transport.get_pid(), signal.SIGKILL)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
