"""What the state counts of itself: the gauges of a server agent."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable
from pathlib import Path

from portway.agent.telemetry import Gauge
from portway.discovery.model import CRITICAL, PASSING, WARNING
from portway.discovery.state import State

_KILO = 1024
_STATM = Path("/proc/self/statm")


def state_gauges(state: State, datacenter: str) -> Iterable[Gauge]:
    """Sizes of the state."""
    labels = (("datacenter", datacenter),)
    catalog = state.catalog
    sizes = {
        "consul.state.nodes": len(catalog.hosts),
        "consul.state.services": len(catalog.by_name),
        "consul.state.service_instances": len(catalog.services.rows),
        "consul.state.kv_entries": len(state.kv.table.rows),
        "consul.state.sessions": len(state.sessions.table.rows),
    }
    for name, size in sizes.items():
        yield Gauge(name, float(size), labels)
    statuses = dict.fromkeys((PASSING, WARNING, CRITICAL), 0)
    for check in catalog.checks.rows.values():
        statuses[check.status] += 1
    for status, count in statuses.items():
        yield Gauge("consul.state.checks", float(count), (*labels, ("status", status)))
    yield Gauge("consul.raft.applied_index", float(state.view.revision))
    yield Gauge("consul.server.isLeader", 1.0)


def process_gauges(started: float) -> Iterable[Gauge]:
    """What the process takes."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(_STATM.read_text().split()[1])
    yield Gauge("consul.runtime.alloc_bytes", float(pages * resource.getpagesize()))
    yield Gauge("consul.runtime.max_rss_bytes", float(usage.ru_maxrss * _KILO))
    yield Gauge("consul.runtime.cpu_seconds", usage.ru_utime + usage.ru_stime)
    yield Gauge("consul.runtime.uptime_seconds", time.time() - started)
