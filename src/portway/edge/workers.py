"""How many worker threads Envoy gets.

One for each CPU this process may use, less one that the control process, the Docker daemon and
the containers need. A proxied request costs least when every thread is busy: on two CPUs one worker
serves as many requests as two, for three quarters of the CPU time (``bench/edge.py``).
``PORTWAY_WORKERS`` sets another number.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "PORTWAY_WORKERS"
MOST = 1024


def workers(environ: Mapping[str, str], cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """The number of worker threads. Raises ValueError when the variable is no such number."""
    wish = environ.get(VARIABLE, "")
    if wish:
        if not (wish.isascii() and wish.isdigit() and 1 <= int(wish[:9]) <= MOST):
            raise ValueError(f"{VARIABLE}: {wish!r} is not a number from 1 to {MOST}")
        return int(wish)
    return max(1, min(len(os.sched_getaffinity(0)), quota(cgroup) or MOST) - 1)


def quota(cgroup: Path) -> int | None:
    """The whole CPUs a container is limited to (cgroup v2 ``cpu.max``, v1 ``cfs_quota_us``),
    rounded up; None without a limit."""
    try:
        allowed, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            allowed = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (allowed.isdigit() and period.isdigit() and int(period)):
        return None  # "max", or -1
    return max(1, math.ceil(int(allowed) / int(period)))
