"""The control loop's hands: applies reports to the runtime objects and tells Envoy.

What Envoy refuses comes back as an error on the object that caused it; everything else stays
live. While the cause is searched, Envoy keeps the route table or the filters it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig as Filter

from portway.edge import services
from portway.edge.aggregate import Aggregator, Dirty
from portway.edge.compile.compiler import Compiler, Delta
from portway.edge.compile.quarantine import culprits
from portway.edge.compile.route_table import RouteTable
from portway.edge.providers.provider import Kind, Report
from portway.envoy.messages import composite_extension
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
from portway.envoy.trial import brief

log = structlog.get_logger()

Push = Callable[[Iterable[Resource], Iterable[Key]], None]
Refusal = Callable[[Resource], Awaitable[str | None]]


class DataPlane:
    """Turns reports into pushes. ``push`` is the ADS server's ``update``; nothing is pushed
    before :meth:`open`. ``refusal`` says why Envoy would refuse a resource, or None.
    ``listener_refused`` is told when Envoy cannot open a listener."""

    def __init__(
        self,
        aggregator: Aggregator,
        compiler: Compiler,
        push: Push,
        refusal: Refusal,
        listener_refused: Callable[[str, str], None],
    ) -> None:
        self._aggregator = aggregator
        self._compiler = compiler
        self._push = push
        self._refusal = refusal
        self._listener_refused = listener_refused
        self._waiting = Dirty.none()
        self._open = False
        self._searches: dict[Key, asyncio.Task[None]] = {}
        self._refused_again: set[Key] = set()

    def apply(self, reports: Iterable[Report]) -> Dirty:
        """Apply a batch of reports, push what it changed and return that."""
        dirty = self._aggregator.apply(reports)
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
        self._send(self._compiler.settled())

    def rejected(self, rejection: Rejection) -> None:
        """Envoy refused resources."""
        reason = brief(rejection.message)
        if rejection.type_url != LISTENER:
            log.error("envoy refused configuration", names=rejection.names, reason=reason)
        for name in rejection.names:
            key = Key(rejection.type_url, name)
            match rejection.type_url:
                case t if t in (CLUSTER, ENDPOINTS):
                    self._refuse("service", {services.of_cluster(name): reason})
                case t if t == LISTENER:
                    self._listener_refused(name, rejection.message)
                case t if t in (ROUTES, FILTER) and key in self._searches:
                    self._refused_again.add(key)
                case t if t in (ROUTES, FILTER):
                    self._searches[key] = asyncio.create_task(self._search(key))

    async def close(self) -> None:
        """Give up searching."""
        for task in self._searches.values():
            task.cancel()
        await asyncio.gather(*self._searches.values(), return_exceptions=True)

    async def _search(self, key: Key) -> None:
        """Find and disable what Envoy refuses in a route table or among a slot's filters."""
        search = self._search_routers if key.type_url == ROUTES else self._search_filters
        try:
            done = False
            while not done:
                self._refused_again.discard(key)
                done = await search(key.name)
                if not done and key not in self._refused_again:
                    log.error("no cause of a refusal; the last good state stays", of=key.name)
                    break
        except Exception:
            log.exception("what envoy refuses cannot be found; the last good state stays")
        finally:
            del self._searches[key]

    async def _search_routers(self, entry_point: str) -> bool:
        """Whether any was found and disabled."""
        routers = dict(self._compiler.routers(entry_point))
        fresh = self._compiler.fresh[entry_point] & routers.keys()
        suspects = sorted(fresh or routers.keys())
        table = RouteTable(entry_point)
        for name in routers.keys() - set(suspects):
            table.put(name, routers[name])

        async def refusal(group: Sequence[str]) -> str | None:
            for name in table.routers.keys() & set(suspects) - set(group):
                table.put(name, None)
            for name in group:
                table.put(name, routers[name])
            return await self._refusal(table.build())

        found = await culprits(suspects, refusal)
        # What was replaced meanwhile has been offered anew.
        now = self._compiler.routers(entry_point)
        found = {name: why for name, why in found.items() if now.get(name) is routers[name]}
        self._refuse("router", found)
        return bool(found)

    async def _search_filters(self, slot: str) -> bool:
        """Whether any was found; it is expelled and its middlewares are disabled."""

        async def refusal(group: Sequence[int]) -> str | None:
            chains = {str(number): [suspects[number]] for number in group}
            return await self._refusal(Resource.of(FILTER, slot, composite_extension(slot, chains)))

        suspects: list[Filter] = self._compiler.suspects(slot)
        found = await culprits(range(len(suspects)), refusal)
        why = "; ".join(dict.fromkeys(found.values()))
        blamed = self._compiler.expel(slot, [suspects[number] for number in found])
        self._refuse("middleware", dict.fromkeys(sorted(blamed), why))
        return bool(found)

    def _refuse(self, kind: Kind, reasons: dict[str, str]) -> None:
        dirty = Dirty.none()
        for name, reason in reasons.items():
            dirty.add(self._aggregator.refuse(kind, name, reason))
        self._offer(dirty)

    def _offer(self, dirty: Dirty) -> None:
        if self._open:
            self._send(self._compiler.update(dirty))
        else:
            self._waiting.add(dirty)

    def _send(self, delta: Delta) -> None:
        if delta.changed or delta.removed:
            self._push(delta.changed, delta.removed)
