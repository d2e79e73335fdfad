"""What a watch does with a change: run a program, or call a URL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from portway.watch.follower import Change

OUTPUT_KEPT = 4096  # bytes of a program's output

Log = Callable[[str], None]


class WatchHandler(Protocol):
    """Takes one change; failures are logged, never raised."""

    def __call__(self, change: Change) -> Awaitable[None]: ...


def payload(change: Change) -> bytes:
    """What a program reads on standard input: JSON in one line."""
    text = json.dumps(change.data, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"


def environment(change: Change, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: ``base``, and where the change was read."""
    return {**base, "CONSUL_INDEX": str(change.index)}


def shell(script: str) -> list[str]:
    """The arguments that run a line of shell: by the shell of the user, as Consul does."""
    return [os.environ.get("SHELL") or "/bin/sh", "-c", script]


class ScriptHandler:
    """Runs a program on each change, with its JSON on standard input.

    ``args`` are the program and its arguments. Its output is logged, the last 4096 bytes.
    """

    def __init__(self, args: Sequence[str], *, log: Log, failed: Log) -> None:
        self._args = list(args)
        self._log = log
        self._failed = failed

    @classmethod
    def of_shell(cls, script: str, *, log: Log, failed: Log) -> ScriptHandler:
        """The old form: a line of shell instead of arguments."""
        return cls(shell(script), log=log, failed=failed)

    async def __call__(self, change: Change) -> None:
        name = self._args[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment(change, os.environ),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._failed(f"watch handler {name} did not start: {error}")
            return
        try:
            _, (output, total) = await asyncio.gather(_feed(process, change), _tail(process))
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        text = output.decode(errors="replace")
        if total > len(output):
            text = f"Captured {len(output)} of {total} bytes\n...\n{text}"
        if text:
            self._log(f"watch handler {name} output: {text}")
        if code:
            self._failed(f"watch handler {name} exited with code {code}")


async def _feed(process: asyncio.subprocess.Process, change: Change) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # a program need not read its input
        process.stdin.write(payload(change))
        await process.stdin.drain()
    with contextlib.suppress(ConnectionError):
        process.stdin.close()
        await process.stdin.wait_closed()


async def _tail(process: asyncio.subprocess.Process) -> tuple[bytes, int]:
    """The end of the output, and its whole length."""
    assert process.stdout is not None
    kept, total = b"", 0
    while block := await process.stdout.read(65536):
        total += len(block)
        kept = (kept + block)[-OUTPUT_KEPT:]
    return kept, total


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    await process.wait()


class HttpHandler:
    """Calls a URL on each change, with its JSON as the body and ``X-Consul-Index``.

    ``timeout`` is in seconds and bounds the whole call.
    """

    def __init__(
        self,
        url: str,
        *,
        method: str = "POST",
        header: Mapping[str, Sequence[str]] | None = None,
        timeout: float = 10.0,
        tls_skip_verify: bool = False,
        log: Log,
        failed: Log,
    ) -> None:
        self._url = url
        self._method = method
        self._headers = [
            (name, value) for name, values in (header or {}).items() for value in values
        ]
        self._timeout = timeout
        self._verify = not tls_skip_verify
        self._log = log
        self._failed = failed

    async def __call__(self, change: Change) -> None:
        import aiohttp

        headers = [
            ("Content-Type", "application/json"),
            ("X-Consul-Index", str(change.index)),
            *self._headers,
        ]
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    self._method,
                    self._url,
                    data=payload(change),
                    headers=headers,
                    ssl=self._verify,
                ) as response,
            ):
                text = (await response.content.read(OUTPUT_KEPT)).decode(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            self._failed(f"http watch handler {self._url} could not be called: {reason}")
            return
        if 200 <= response.status < 300:
            self._log(f"http watch handler {self._url} output: {text}")
        else:
            self._failed(f"http watch handler {self._url} answered {response.status}: {text}")
