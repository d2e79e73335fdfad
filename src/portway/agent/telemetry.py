"""The agent's own metrics: counted always, shown as JSON and for Prometheus.

Names are Consul's, with dots. Counters and sums grow for as long as the agent runs; the JSON
form shows the last complete interval, as Consul's in-memory sink does.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

INTERVAL = 10.0  # seconds; go-metrics' in-memory sink
OWN = "consul"  # what every name begins with here
_RECENT = 256  # values of a series of which quantiles are shown
Labels = tuple[tuple[str, str], ...]


class Gauge(NamedTuple):
    """A number as it is now."""

    name: str
    value: float
    labels: Labels = ()
    help: str = ""


class _Series:
    __slots__ = ("count", "high", "low", "recent", "square", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = self.square = 0.0
        self.low, self.high = math.inf, -math.inf
        self.recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, value: float) -> None:
        self.count += 1
        self.sum += value
        self.square += value * value
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        self.recent.append(value)


class Totals(NamedTuple):
    """One series since the start."""

    name: str
    labels: Labels
    times: int
    sum: float
    recent: Sequence[float]
    """The last values."""


class Names:
    """What metrics are called and which are kept (``telemetry.metrics_prefix`` and its filters).

    Of the filters, ``+beginning`` keeps and ``-beginning`` drops, the longest that fits counts,
    and rules that begin with neither say nothing; ``default`` is for metrics that none fits.
    """

    def __init__(
        self, prefix: str = OWN, filters: Sequence[str] = (), default: bool = True
    ) -> None:
        self._prefix = prefix
        self._filters = {rule[1:]: rule[0] == "+" for rule in filters if rule[:1] in ("+", "-")}
        self._default = default
        self._known: dict[str, str | None] = {}

    def of(self, name: str) -> str | None:
        """The name to be used, ``None`` for a metric that is not kept."""
        if name not in self._known:
            shown = self._prefix + name.removeprefix(OWN)
            fitting = [beginning for beginning in self._filters if shown.startswith(beginning)]
            kept = self._filters[max(fitting, key=len)] if fitting else self._default
            self._known[name] = shown if kept else None
        return self._known[name]


class Telemetry:
    """Counters and timings. ``gauges`` are asked when somebody looks."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.names = Names()
        """May be replaced at any time; what was measured before keeps its name."""
        self._totals: dict[tuple[str, str, Labels], _Series] = {}
        self._now: dict[tuple[str, str, Labels], _Series] = {}
        self._last: dict[tuple[str, str, Labels], _Series] = {}
        self._began = clock()
        self._last_began = self._began
        self._gauges: list[Callable[[], Iterable[Gauge]]] = []
        self.sinks: list[Callable[[str, str, float, Labels], None]] = []
        """Told of each measurement: kind (counter, sample, gauge), name, value, labels."""

    def gauges(self, source: Callable[[], Iterable[Gauge]]) -> None:
        """Add a source of gauges."""
        self._gauges.append(source)

    def count(self, name: str, value: float = 1.0, labels: Labels = ()) -> None:
        """Something happened."""
        self._add(("counter", name, labels), value)

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Something took so long; shown in milliseconds."""
        self._add(("sample", name, labels), seconds * 1000)

    def _add(self, key: tuple[str, str, Labels], value: float) -> None:
        name = self.names.of(key[1])
        if name is None:
            return
        key = (key[0], name, key[2])
        for sink in self.sinks:
            sink(*key[:2], value, key[2])
        if self._clock() - self._began >= INTERVAL:
            self._turn()
        series = self._totals.get(key)
        if series is None:
            series = self._totals[key] = _Series()
        series.add(value)
        series = self._now.get(key)
        if series is None:
            series = self._now[key] = _Series()
        series.add(value)

    def _turn(self) -> None:
        now = self._clock()
        recent = now - self._began < 2 * INTERVAL
        self._last = self._now if recent else {}
        self._last_began = self._began
        self._began = now - (now - self._began) % INTERVAL
        self._now = {}

    def all_gauges(self) -> list[Gauge]:
        """Every gauge as it is now."""
        return [
            gauge._replace(name=name)
            for source in self._gauges
            for gauge in source()
            if (name := self.names.of(gauge.name)) is not None
        ]

    def send_gauges(self) -> None:
        """Tell the sinks of every gauge as it is now."""
        for gauge in self.all_gauges() if self.sinks else ():
            for sink in self.sinks:
                sink("gauge", gauge.name, gauge.value, gauge.labels)

    def totals(self, kind: str) -> list[Totals]:
        """Every series of ``counter`` or ``sample`` since the start."""
        return [
            Totals(name, labels, series.count, series.sum, tuple(series.recent))
            for (of, name, labels), series in sorted(self._totals.items())
            if of == kind
        ]

    def summary(self) -> dict[str, Any]:
        """The last complete interval, in the form of ``/v1/agent/metrics``."""
        if self._clock() - self._began >= INTERVAL:
            self._turn()
        shown: dict[str, list[dict[str, Any]]] = {"counter": [], "sample": []}
        for (kind, name, labels), series in sorted(self._last.items()):
            shown[kind].append(_row(name, labels, series))
        began = datetime.fromtimestamp(self._last_began, UTC)
        return {
            "Timestamp": began.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
            "Gauges": [
                {"Name": gauge.name, "Value": gauge.value, "Labels": dict(gauge.labels)}
                for gauge in sorted(self.all_gauges())
            ],
            "Points": [],
            "Counters": shown["counter"],
            "Samples": shown["sample"],
        }


def _row(name: str, labels: Labels, series: _Series) -> dict[str, Any]:
    mean = series.sum / series.count
    variance = max(0.0, series.square / series.count - mean * mean)
    return {
        "Name": name,
        "Count": series.count,
        "Rate": series.sum / INTERVAL,
        "Sum": series.sum,
        "Min": series.low,
        "Max": series.high,
        "Mean": mean,
        "Stddev": math.sqrt(variance),
        "Labels": dict(labels),
    }
