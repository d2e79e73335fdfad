"""``limits.request_limits``: how many reads and writes a second a server answers.

Requests the agent answers by itself, and those who ask for the leader, do not count. Texts and
statuses are Consul's: a read may try another server (429), a write only later (503).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import structlog

from portway.discovery.api.error import ApiError
from portway.discovery.api.request import Request

log = structlog.get_logger("agent.rate_limit")

Mode = Literal["disabled", "permissive", "enforcing"]
_BURST = 10  # seconds of the rate that may come at once after a pause
_EXEMPT = ("/v1/agent/", "/v1/status/")
_READING_POSTS = ("/v1/discovery-chain/", "/v1/internal/acl/authorize")
_ELSEWHERE = "rate limit exceeded, try again later or against a different server"
_LATER = (
    "rate limit exceeded for operation that can only be performed by the leader, try again later"
)
_QUIET = 1.0  # seconds between two lines of the log


class RateSettings(NamedTuple):
    """``permissive`` only logs; rates are requests a second, below 0 without bound."""

    mode: Mode = "disabled"
    read_rate: float = -1.0
    write_rate: float = -1.0


class _Bucket:
    """Tokens that come at a rate, of which each request takes one."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.burst = max(1.0, rate * _BURST)
        self._tokens = self.burst
        self._at = now

    def take(self, now: float) -> bool:
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class RequestRates:
    """Lets requests in, or refuses them.

    ``exceeded`` is told of each request beyond a rate: ``read`` or ``write``, and whether it was
    refused.
    """

    def __init__(
        self,
        settings: RateSettings,
        exceeded: Callable[[str, bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exceeded = exceeded
        self._clock = clock
        self._said = -math.inf
        self.reconfigure(settings)

    def reconfigure(self, settings: RateSettings) -> None:
        """Take other settings; the buckets are full again."""
        self._settings = settings
        now = self._clock()
        self._reads = _Bucket(settings.read_rate, now) if settings.read_rate >= 0 else None
        self._writes = _Bucket(settings.write_rate, now) if settings.write_rate >= 0 else None

    @property
    def active(self) -> bool:
        """Whether requests are counted."""
        return self._settings.mode != "disabled"

    def admit(self, request: Request) -> None:
        """Count a request. Raises ApiError when there are too many and that is enforced."""
        mode = self._settings.mode
        if mode == "disabled" or request.route.startswith(_EXEMPT):
            return
        reads = request.method == "GET" or request.route in _READING_POSTS
        bucket = self._reads if reads else self._writes
        now = self._clock()
        if bucket is None or bucket.take(now):
            return
        enforced, kind = mode == "enforcing", "read" if reads else "write"
        self._exceeded(kind, enforced)
        if now - self._said >= _QUIET:
            self._said = now
            log.warning("Request exceeded allowed rate limit", kind=kind, enforced=enforced)
        if enforced:
            request.answer_headers["Retry-After"] = "1"
            raise ApiError(429, _ELSEWHERE) if reads else ApiError(503, _LATER)
