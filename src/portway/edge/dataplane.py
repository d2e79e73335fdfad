"""The control loop's hands: applies reports to the runtime objects and tells Envoy.

What Envoy refuses comes back as an error on the object that caused it; everything else stays
live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from portway.edge import services
from portway.edge.aggregate import Aggregator, Dirty
from portway.edge.compile.compiler import Compiler, Delta
from portway.edge.compile.quarantine import Quarantine
from portway.edge.providers.provider import Kind, Report
from portway.envoy.resource import (
    CLUSTER,
    ENDPOINTS,
    FILTER,
    LISTENER,
    ROUTES,
    Key,
    Rejection,
    Resource,
)

log = structlog.get_logger()

Push = Callable[[Iterable[Resource], Iterable[Key]], None]


class DataPlane:
    """Turns reports into pushes. ``push`` is the ADS server's ``update``; nothing is pushed
    before :meth:`open`. ``listener_refused`` is told when Envoy cannot open a listener."""

    def __init__(
        self,
        aggregator: Aggregator,
        compiler: Compiler,
        push: Push,
        listener_refused: Callable[[str, str], None],
    ) -> None:
        self._aggregator = aggregator
        self._compiler = compiler
        self._push = push
        self._listener_refused = listener_refused
        self._quarantines = {name: Quarantine() for name in compiler.entry_points}
        self._waiting = Dirty.none()
        self._open = False

    def apply(self, reports: Iterable[Report]) -> Dirty:
        """Apply a batch of reports, push what it changed and return that."""
        dirty = self._aggregator.apply(reports)
        self._compiler.withheld -= dirty.routers
        self._offer(dirty)
        return dirty

    def open(self, listeners: Iterable[Resource]) -> None:
        """Push everything known so far, listeners included, and every change from now on."""
        self._open = True
        dirty, self._waiting = self._waiting, Dirty.none()
        delta = self._compiler.update(dirty)
        self._push([*delta.changed, *listeners], delta.removed)

    def refresh(self, routers: set[str]) -> None:
        """Compile routers again whose definition did not change."""
        self._offer(Dirty(routers, set(), set()))

    def settled(self) -> None:
        """Envoy has accepted all it was sent."""
        for quarantine in self._quarantines.values():
            released = quarantine.accepted().offer
            if released:
                self._compiler.withheld -= released
                self.refresh(set(released))
        self._send(self._compiler.settled())

    def rejected(self, rejection: Rejection) -> None:
        """Envoy refused resources."""
        log.error("envoy refused configuration", names=rejection.names, reason=rejection.message)
        for name in rejection.names:
            match rejection.type_url:
                case t if t in (CLUSTER, ENDPOINTS):
                    self._refuse("service", services.of_cluster(name), rejection.message)
                case t if t == LISTENER:
                    self._listener_refused(name, rejection.message)
                case t if t == ROUTES:
                    self._suspect(name, rejection.message)
                case t if t == FILTER:
                    for router in self._compiler.fresh_users(name):
                        self._refuse("router", router, rejection.message)

    def _suspect(self, entry_point: str, message: str) -> None:
        verdict = self._quarantines[entry_point].rejected()
        if verdict.culprit:
            self._refuse("router", verdict.culprit, message)
        elif verdict.withhold:
            self._compiler.withheld |= verdict.withhold
            self.refresh(set(verdict.withhold))

    def _refuse(self, kind: Kind, name: str, reason: str) -> None:
        self._offer(self._aggregator.refuse(kind, name, reason))

    def _offer(self, dirty: Dirty) -> None:
        if not self._open:
            self._waiting.add(dirty)
            return
        self._send(self._compiler.update(dirty))
        for point, quarantine in self._quarantines.items():
            quarantine.offered(
                {name for name in dirty.routers if self._compiler.attached(name, point)}
            )

    def _send(self, delta: Delta) -> None:
        if delta.changed or delta.removed:
            self._push(delta.changed, delta.removed)
