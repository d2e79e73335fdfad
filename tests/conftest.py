"""What holds for every suite: in CI nothing is skipped because something is not installed."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


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
