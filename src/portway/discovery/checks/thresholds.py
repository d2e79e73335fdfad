"""How many results in a row change the status of a check.

``SuccessBeforePassing`` results that are not critical lead out of critical,
``FailuresBeforeCritical`` critical ones lead into it, and from ``FailuresBeforeWarning`` of
them (by default as many as make it critical) until then the check is in warning. The counters
start satisfied, so that the first result counts as it is. TTL and alias checks have no
thresholds.
"""

from __future__ import annotations

from typing import NamedTuple

from portway.discovery.model import CRITICAL, WARNING, CheckDefinition, CheckStatus


class Thresholds(NamedTuple):
    """Numbers of results in a row."""

    passing: int
    warning: int
    critical: int


class Counters(NamedTuple):
    """Results in a row so far."""

    successes: int
    failures: int


def thresholds_of(definition: CheckDefinition) -> Thresholds:
    """The thresholds a definition asks for."""
    return Thresholds(
        passing=definition.success_before_passing,
        warning=definition.failures_before_warning or definition.failures_before_critical,
        critical=definition.failures_before_critical,
    )


def satisfied(thresholds: Thresholds) -> Counters:
    """Where the counters start."""
    return Counters(thresholds.passing, thresholds.critical)


def step(
    thresholds: Thresholds, counters: Counters, status: CheckStatus
) -> tuple[Counters, CheckStatus | None]:
    """Count one result. Returns the status to take with its output, or None to keep the last."""
    if status != CRITICAL:
        counters = Counters(counters.successes + 1, 0)
        return counters, status if counters.successes >= thresholds.passing else None
    counters = Counters(0, counters.failures + 1)
    if counters.failures >= thresholds.critical:
        return counters, CRITICAL
    return counters, WARNING if counters.failures >= thresholds.warning else None
