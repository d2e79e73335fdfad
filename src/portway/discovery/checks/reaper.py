"""``deregister_critical_service_after``: services that stay critical are removed.

The time counts from the first critical result of this agent's run, so that a restart of the
agent gives a service its whole time again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SWEEP_INTERVAL = 30.0
"""Seconds between two looks."""


class Critical(NamedTuple):
    """A check that may be the end of its service. Moments are of a monotonic clock, in seconds."""

    check_id: str
    since: float | None
    """When it became critical; None while it is not."""
    after: float
    """Seconds it may be; 0 for ever."""


def overdue(checks: Iterable[Critical], now: float) -> list[str]:
    """The IDs of checks that have been critical for too long."""
    return [
        check.check_id
        for check in checks
        if check.after > 0 and check.since is not None and now - check.since > check.after
    ]
