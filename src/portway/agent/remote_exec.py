"""The agent's side of ``consul exec``: commands that others asked for by an event.

Off unless ``disable_remote_exec`` is false. The event names a session, below whose prefix in the
key-value store lies what to run (``job``); beside it the agent writes that it has seen it
(``<node>/ack``), what the command writes (``<node>/out/00000`` …; an empty one says that it still
runs) and how it ended (``<node>/exit``). All these keys are locked by the session and go with it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import structlog

from portway.agent.own_api import Answer, OwnApi
from portway.discovery.operations.events import REMOTE_EXEC, Event, EventLog

log = structlog.get_logger("agent.remote_exec")

CHUNK = 4096  # bytes of output in one key
_PAUSE = 0.5  # seconds output is held back, for more to come
_LEAST_BEAT = 0.05  # seconds
_NOT_RUN = 255  # the exit code of a command that could not be started


class RemoteExecError(Exception):
    """The command cannot be run, or nobody waits for it any more; the text says why."""


class Keys(Protocol):
    """The key-value store."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None. Raises RemoteExecError."""

    async def lock(self, key: str, value: bytes, session: str) -> bool:
        """Write a value and lock it by a session; whether it could be. Raises RemoteExecError."""


class ApiKeys:
    """The store by the agent's own API, with the rights of the agent's token."""

    def __init__(self, api: OwnApi) -> None:
        self._api = api

    async def get(self, key: str) -> bytes | None:
        answer = await self._api.call("GET", f"kv/{key}", [("raw", "")])
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        return _fine(answer).body

    async def lock(self, key: str, value: bytes, session: str) -> bool:
        answer = await self._api.call("PUT", f"kv/{key}", [("acquire", session)], value)
        return _fine(answer).body == b"true"


def _fine(answer: Answer) -> Answer:
    if answer.status != HTTPStatus.OK:
        raise RemoteExecError(answer.body.decode(errors="replace"))
    return answer


def serve_remote_exec(
    events: EventLog,
    node: str,
    keys: Keys,
    background: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """Run, by ``background``, what each event of remote execution asks for."""

    def hook(event: Event) -> None:
        if event.name == REMOTE_EXEC:
            background(remote_exec(event.payload, node, keys))

    events.on_event(hook)


class Job(NamedTuple):
    """What to run: a command line, arguments or a script. ``wait`` is in seconds."""

    command: str
    args: list[str]
    script: bytes
    wait: float


async def remote_exec(payload: bytes | None, node: str, keys: Keys) -> None:
    """Run what an event asks for, on ``node``; failures are logged."""
    try:
        prefix, session = _asked(payload)
        folder = f"{prefix}/{session}"

        async def write(name: str, value: bytes) -> None:
            if not await keys.lock(f"{folder}/{node}/{name}", value, session):
                raise RemoteExecError("its session does not hold any more")

        await write("ack", b"")
        job = _job(await keys.get(f"{folder}/job"))
        log.info("Remote execution", session=session)
        code = await _run(job, write)
        await write("exit", str(code).encode())
    except RemoteExecError as error:
        log.error("Remote execution failed", error=str(error))


def _asked(payload: bytes | None) -> tuple[str, str]:
    """Prefix and session."""
    tree = _object(payload, "the event")
    prefix, session = tree.get("Prefix"), tree.get("Session")
    if not (isinstance(prefix, str) and prefix and isinstance(session, str) and session):
        raise RemoteExecError("the event names no prefix and session")
    return prefix.rstrip("/"), session


def _job(text: bytes | None) -> Job:
    tree = _object(text, "the job")
    command, args = tree.get("Command") or "", tree.get("Args") or []
    try:
        script = base64.b64decode(tree.get("Script") or "", validate=True)
        wait = int(tree.get("Wait") or 0) / 1e9
    except (ValueError, TypeError):
        raise RemoteExecError("the job is not one") from None
    texts = isinstance(args, list) and all(isinstance(one, str) for one in args)
    if not (isinstance(command, str) and texts and (command or args or script)):
        raise RemoteExecError("the job has no command")
    return Job(command, args, script, max(wait, _LEAST_BEAT))


def _object(text: bytes | None, what: str) -> dict[str, Any]:
    if text is None:
        raise RemoteExecError(f"{what} is missing")
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise RemoteExecError(f"{what} is not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise RemoteExecError(f"{what} is not a JSON object")
    return tree


Write = Callable[[str, bytes], Awaitable[None]]


async def _run(job: Job, write: Write) -> int:
    """Run it to its end; its exit code, 128 and more for a signal."""
    with _argv(job) as argv:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            await write("out/00000", f"failed to start: {error}\n".encode())
            return _NOT_RUN
        try:
            await _pass_on(process, write, job.wait)
            code = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _argv(job: Job) -> Iterator[list[str]]:
    """What to execute; a script lies in a file meanwhile."""
    if job.script:
        with tempfile.TemporaryDirectory(prefix="portway-exec-") as folder:
            path = Path(folder) / "script"
            path.write_bytes(job.script)
            path.chmod(0o700)
            yield [str(path)]
    elif job.args:
        yield job.args
    else:
        yield [os.environ.get("SHELL") or "/bin/sh", "-c", job.command]


async def _pass_on(process: asyncio.subprocess.Process, write: Write, beat: float) -> None:
    """Write the output in chunks, and an empty one whenever ``beat`` seconds passed without."""
    assert process.stdout is not None
    number = 0
    ended = False
    while not ended:
        chunk = b""
        try:
            async with asyncio.timeout(beat):
                chunk = await process.stdout.read(CHUNK)
            if not chunk:
                return
            async with asyncio.timeout(_PAUSE):
                while len(chunk) < CHUNK:
                    more = await process.stdout.read(CHUNK - len(chunk))
                    if not more:
                        ended = True
                        break
                    chunk += more
        except TimeoutError:
            pass  # what there is, or an empty one: it still runs
        await write(f"out/{number:05x}", chunk)
        number += 1
