"""``ttl``: the application itself says how it is, and at least so often.

It sets its status through the API; when it says nothing for the TTL, the check is critical
until it does. The last status is kept on disk and taken up again after a restart of the agent
unless it has expired by then. There is no interval and there are no thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from portway.discovery.checks.output import decoded
from portway.discovery.checks.schedule import RESOLUTION, Clock, Timer
from portway.discovery.model import CheckStatus


class TTLState(msgspec.Struct, frozen=True):
    """What a TTL check last said, until when it holds (seconds since 1970)."""

    status: CheckStatus
    output: str
    expires: float


class TTLStore(Protocol):
    """Where the states of TTL checks survive a restart of the agent."""

    def load(self, check_id: str) -> TTLState | None:
        """The state last saved, if there is one."""

    def save(self, check_id: str, state: TTLState) -> None:
        """Keep a state."""

    def remove(self, check_id: str) -> None:
        """Forget the state of a check, if there is one."""


def cut(output: str, limit: int) -> str:
    """Output of at most ``limit`` bytes, with a note of what is missing."""
    data = output.encode(errors="replace")
    if len(data) <= limit:
        return output
    return f"{decoded(data[:limit])} ... (captured {limit} of {len(data)} bytes)"


def expired(last_output: str) -> str:
    """The output of a check whose time is over."""
    if not last_output:
        return "TTL expired"
    return f"TTL expired (last output before timeout follows): {last_output}"


class Expiry:
    """Calls back when nothing was heard for the TTL; ``renew`` starts it anew.

    A renewal costs nothing but a note of the time: one timer runs, and looks at the note.
    """

    __slots__ = ("_clock", "_end", "_expired", "_timer", "_ttl")

    def __init__(self, ttl: float, clock: Clock, expired: Callable[[], None]) -> None:
        """``ttl`` in seconds."""
        self._ttl = ttl
        self._clock = clock
        self._expired = expired
        self._timer: Timer | None = None
        self.renew()

    def renew(self) -> None:
        """The application was heard."""
        self._end = self._clock.time() + self._ttl
        if self._timer is None:
            self._timer = self._clock.call_at(self._end, self._due)

    def stop(self) -> None:
        """Never call back again."""
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        self._timer = None
        if self._clock.time() + RESOLUTION < self._end:
            self._timer = self._clock.call_at(self._end, self._due)
        else:
            self._expired()
