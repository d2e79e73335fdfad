"""What the state counts of itself: the gauges of a server agent."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable
from pathlib import Path

from portway.agent.telemetry import Gauge
from portway.discovery import version
from portway.discovery.model import CRITICAL, PASSING, WARNING
from portway.discovery.state import State
from portway.mesh.entries import KINDS, kind_name

_KILO = 1024
_NATIVE = "connect-native"
_OF_THE_MESH = (
    *("connect-proxy", "ingress-gateway", "mesh-gateway", "terminating-gateway", "api-gateway"),
    _NATIVE,
)
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
    for kind, count in _connect_instances(state).items():
        yield Gauge("consul.state.connect_instances", float(count), (*labels, ("kind", kind)))
    billable = sum(
        service.kind == "" and service.service != "consul"
        for service in catalog.services.rows.values()
    )
    yield Gauge("consul.state.billable_service_instances", float(billable), labels)
    yield Gauge("consul.state.peerings", 0.0, labels)
    for entries in KINDS.values():
        of_kind = (*labels, ("kind", kind_name(entries)))
        yield Gauge("consul.state.config_entries", float(len(state.config.names(entries))), of_kind)
    ttls = sum(bool(session.ttl) for session in state.sessions.table.rows.values())
    yield Gauge("consul.session_ttl.active", float(ttls))
    revision = float(state.view.revision)
    yield Gauge("consul.raft.applied_index", revision)
    yield Gauge("consul.raft.last_index", revision)


def server_gauges(datacenter: str) -> Iterable[Gauge]:
    """What is so of a server that is alone: it leads, and cannot be spared."""
    labels = (("datacenter", datacenter),)
    yield Gauge("consul.server.isLeader", 1.0)
    yield Gauge("consul.raft.peers", 1.0)
    yield Gauge("consul.autopilot.healthy", 1.0)
    yield Gauge("consul.autopilot.failure_tolerance", 0.0)
    yield Gauge("consul.members.servers", 1.0, labels)
    yield Gauge("consul.members.clients", 0.0, labels)
    yield Gauge("consul.version", 1.0, (("version", version.CONSUL), ("pre_release", "")))


def _connect_instances(state: State) -> dict[str, int]:
    """How many instances are part of the mesh, by what they are to it."""
    found = dict.fromkeys(_OF_THE_MESH, 0)
    for service in state.catalog.services.rows.values():
        if service.kind in found:
            found[service.kind] += 1
        elif service.connect is not None and service.connect.native:
            found[_NATIVE] += 1
    return found


def process_gauges(started: float) -> Iterable[Gauge]:
    """What the process takes."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(_STATM.read_text().split()[1])
    yield Gauge("consul.runtime.alloc_bytes", float(pages * resource.getpagesize()))
    yield Gauge("consul.runtime.sys_bytes", float(usage.ru_maxrss * _KILO))
    yield Gauge("consul.runtime.max_rss_bytes", float(usage.ru_maxrss * _KILO))
    yield Gauge("consul.runtime.cpu_seconds", usage.ru_utime + usage.ru_stime)
    yield Gauge("consul.runtime.uptime_seconds", time.time() - started)
