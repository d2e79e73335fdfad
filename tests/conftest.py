"""What holds for every suite: in CI nothing is skipped because something is not installed."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

# A shell that runs the tests in the background lets them ignore interrupts, and so the programs
# they start, which are to end by one.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
