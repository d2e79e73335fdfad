"""What both kinds of lock share: waiting, and watching that a lock is still held."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from portway.cli.client import Answer, ApiError, Client, StatusError, following

DELAY_RETRY = 5.0  # seconds between tries while a lock-delay keeps everybody out
_MONITOR_RETRY = 1.0  # seconds
_WAIT = 15.0  # seconds a request waits at most, so that none outlives its server unnoticed


class LockError(Exception):
    """A lock that cannot be taken or given up; the text says why."""


class InUseError(LockError):
    """Others use the lock, so its key stays."""


class Lock(Protocol):
    """A lock that a session may hold."""

    def acquire(self, deadline: Deadline) -> bool: ...
    def release(self) -> None: ...
    def destroy(self) -> None: ...
    def monitor(self, client: Client, retries: int) -> None: ...


class Deadline:
    """A point in time until which to try; ``seconds`` from now, 0 for ever."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds if seconds else None

    def left(self) -> float:
        """Seconds that are left; infinite without an end."""
        return float("inf") if self._end is None else self._end - time.monotonic()

    def wait(self) -> float:
        """How long the next blocking query may wait."""
        return max(0.01, min(_WAIT, self.left()))


def monitor(
    client: Client, path: str, query: dict[str, Any], retries: int, held: Callable[[Any], bool]
) -> None:
    """Return when ``held`` is no longer true of what is at ``path``.

    Also when it cannot be asked for: after as many failures in a row as ``retries``, one a
    second, that need not be the lock's end, or after any other failure.
    """
    index, left = 0, retries
    while True:
        try:
            answer, index = client.blocking(
                path, {**query, "consistent": True}, index=index, wait=_WAIT, missing=[404]
            )
        except ApiError as error:
            if left <= 0 or (isinstance(error, StatusError) and error.code < 500):
                return
            left -= 1
            index = 0
            time.sleep(_MONITOR_RETRY)
            continue
        left = retries
        if not held(content(answer)):
            return


def content(answer: Answer) -> Any:
    """The JSON of an answer; None where nothing was found."""
    return None if answer.status == 404 else answer.json()


def next_index(asked: int, answer: Answer) -> int:
    """The index to wait from, after an answer."""
    return following(asked, answer.index)
