"""Programs that a command runs: with its signals passed on to them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def command_line(arguments: Sequence[str], shell: bool) -> list[str]:
    """What to run: the arguments as they are, or as a line for the user's shell."""
    if shell:
        return [os.environ.get("SHELL") or "/bin/sh", "-c", " ".join(arguments)]
    return list(arguments)


@contextlib.contextmanager
def handling(handler: Handler, signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Have ``handler`` called on signals while inside."""
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt while inside, as SIGINT does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handling(interrupt, [signal.SIGINT, signal.SIGTERM]):
        yield


@contextlib.contextmanager
def forwarding(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass signals on to a process while inside; gives the list of those that came."""
    came: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        came.append(number)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    with handling(forward, _PASSED_ON):
        yield came


def run(
    argv: Sequence[str], *, stdin: bytes | None = None, environ: Mapping[str, str] | None = None
) -> tuple[int, list[int]]:
    """Run a program to its end; its exit code (negative: the signal), and the signals passed on.

    ``stdin`` is what it reads; None leaves it ours. Raises OSError if it cannot be started.
    """
    pipe = None if stdin is None else subprocess.PIPE
    process = subprocess.Popen(list(argv), stdin=pipe, env=environ)
    with forwarding(process) as came:
        process.communicate(stdin)
    return process.returncode, came


def not_started(error: OSError) -> str:
    """As Go words that a program could not be started."""
    return f"fork/exec {error.filename}: {(error.strerror or '').lower()}"


def ending(code: int) -> str:
    """As Go words how a process ended; a negative code is the signal."""
    if code >= 0:
        return f"exit status {code}"
    return f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"
