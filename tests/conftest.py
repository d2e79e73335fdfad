"""What holds for every suite.

Nothing is skipped in CI because something is not installed, and no property fails by the clock.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# A shell that runs the tests in the background lets them ignore interrupts, and so the programs
# they start, which are to end by one.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine may stall for seconds; and what fails in CI is to fail on every machine.
settings.register_profile(
    "portway", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("portway")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if os.environ.get("CI") and report.skipped and ("need" in reason or "not installed" in reason):
        report.outcome = "failed"
        report.longrepr = f"not to be skipped in CI: {reason}"
    return report
