"""Metrics in the text form of Prometheus, by the names that Consul's have there.

Consul's names of counters do not end in ``_total``, which is why nothing but the plain text form
(version 0.0.4) is spoken: OpenMetrics would rename them.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterable
from pathlib import Path

from portway.agent.telemetry import Labels, Telemetry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES = (0.5, 0.9, 0.99)
"""Those that summaries show, of the last values of each."""
_FORBIDDEN = re.compile(r"[ .=\-/]")  # what Consul's names have in the place of which is _
_STATM = Path("/proc/self/statm")
_DESCRIPTORS = Path("/proc/self/fd")


def exposition(telemetry: Telemetry, started: float) -> bytes:
    """Everything measured since the start, and what the process takes; it began at ``started``."""
    families: dict[str, list[str]] = {}

    def family(name: str, kind: str, help_: str = "") -> list[str]:
        if name not in families:
            families[name] = [f"# HELP {name} {help_ or name}", f"# TYPE {name} {kind}"]
        return families[name]

    for gauge in telemetry.all_gauges():
        name = _plain(gauge.name)
        family(name, "gauge", gauge.help).append(_sample(name, gauge.labels, gauge.value))
    for totals in telemetry.totals("counter"):
        name = _plain(totals.name)
        family(name, "counter").append(_sample(name, totals.labels, totals.sum))
    for totals in telemetry.totals("sample"):
        name = _plain(totals.name)
        lines = family(name, "summary")
        for quantile, value in zip(QUANTILES, _quantiles(totals.recent), strict=True):
            labels = (*totals.labels, ("quantile", str(quantile)))
            lines.append(_sample(name, labels, value))
        lines.append(_sample(f"{name}_sum", totals.labels, totals.sum))
        lines.append(_sample(f"{name}_count", totals.labels, totals.times))
    for name, kind, value in _process(started):
        family(name, kind).append(_sample(name, (), value))
    lines = [line for name in sorted(families) for line in families[name]]
    return ("\n".join(lines) + "\n").encode()


def _sample(name: str, labels: Labels, value: float) -> str:
    shown = ",".join(f'{_plain(key)}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{shown}}} {value}" if shown else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _plain(name: str) -> str:
    return _FORBIDDEN.sub("_", name)


def _quantiles(values: Iterable[float]) -> list[float]:
    """By the nearest rank."""
    ranked = sorted(values)
    return [ranked[min(int(quantile * len(ranked)), len(ranked) - 1)] for quantile in QUANTILES]


def _process(started: float) -> list[tuple[str, str, float]]:
    """What Prometheus' own clients tell of a process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    size, resident = (int(pages) for pages in _STATM.read_text().split()[:2])
    page = resource.getpagesize()
    return [
        ("process_cpu_seconds_total", "counter", usage.ru_utime + usage.ru_stime),
        ("process_max_fds", "gauge", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        ("process_open_fds", "gauge", sum(1 for _ in _DESCRIPTORS.iterdir())),
        ("process_resident_memory_bytes", "gauge", resident * page),
        ("process_start_time_seconds", "gauge", started),
        ("process_virtual_memory_bytes", "gauge", size * page),
    ]
