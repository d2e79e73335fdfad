"""The compiler: keeps Envoy's resources true to the runtime objects, change by change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from portway.edge import pipeline, services
from portway.edge.aggregate import Aggregator, Dirty, provider_of
from portway.edge.compile.route_table import RouteTable
from portway.edge.compile.router import Compiled, compile_router
from portway.edge.dynamic import Middleware
from portway.edge.middlewares import AddPrefix, registry
from portway.edge.middlewares.step import Place, Step
from portway.edge.runtime import RouterInfo
from portway.envoy.resource import Key, Resource
from portway.rules import RuleError


class Delta(NamedTuple):
    """What changed for Envoy: resources to set and keys to remove."""

    changed: list[Resource]
    removed: list[Key]


class Compiler:
    """Compiles dirty objects, remembers the rest.

    ``ping_status`` is what ``ping@internal`` answers. Routers in ``withheld`` are left out
    while Envoy is asked which of them it refuses.
    """

    def __init__(self, aggregator: Aggregator, entry_points: Mapping[str, bool]) -> None:
        """``entry_points`` says of each whether it appends the peer to X-Forwarded-For."""
        self.ping_status = 200
        self.withheld: set[str] = set()
        self.entry_points = tuple(entry_points)
        self._appends_peer = entry_points
        self._aggregator = aggregator
        self._runtime = aggregator.runtime
        self._tables = {name: RouteTable(name) for name in self.entry_points}
        self._services: dict[str, services.Compiled] = {}
        self._provisional: set[str] = set()  # services Envoy holds in their first form
        self._chains: dict[str, dict[str, pipeline.Chain]] = {}
        self._chain_users: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._chains_of: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}
        self._fresh_chains: set[tuple[str, str]] = set()  # not yet accepted by Envoy
        self._unused_chains: set[tuple[str, str]] = set()
        self._chains_changed = True

    @property
    def chains(self) -> Mapping[str, Mapping[str, pipeline.Chain]]:
        """The named filter chains Envoy is offered, by slot."""
        return self._chains

    def inherit(self, chains: Mapping[str, Mapping[str, pipeline.Chain]]) -> None:
        """Keep offering the chains of a predecessor until Envoy has accepted new routes. To be
        called before the first update."""
        for slot, named in chains.items():
            self._chains[slot] = dict(named)
            for name in named:
                self._chain_users[slot, name] = set()
                self._unused_chains.add((slot, name))

    def update(self, dirty: Dirty) -> Delta:
        """Compile what is dirty and return what Envoy must be told."""
        delta = Delta([], [])
        for name in dirty.services:
            self._update_service(name, delta)
        for name in dirty.routers:
            self._update_router(name)
        delta.changed.extend(self._chain_resources())
        delta.changed.extend(table.build() for table in self._tables.values() if table.changed)
        return delta

    def attached(self, router: str, entry_point: str) -> bool:
        """Whether a router in force carries traffic of an entry point."""
        info = self._runtime.routers.get(router)
        return info is not None and info.status != "disabled" and entry_point in info.using

    def fresh_users(self, slot: str) -> set[str]:
        """The routers that use a chain Envoy has not accepted in a slot yet."""
        fresh = (key for key in self._fresh_chains if key[0] == slot)
        return {router for key in fresh for _, router in self._chain_users.get(key, ())}

    def settled(self) -> Delta:
        """Envoy has accepted everything: drop the filter chains no route names, and give
        clusters that serve by now their active health checks."""
        self._fresh_chains.clear()
        for slot, chain in self._unused_chains:
            if not self._chain_users[slot, chain]:
                del self._chain_users[slot, chain]
                del self._chains[slot][chain]
                self._chains_changed = True
        self._unused_chains.clear()
        delta = Delta(list(self._chain_resources()), [])
        settled, self._provisional = self._provisional, set()
        for name in settled:
            self._update_service(name, delta)
        return delta

    def _update_service(self, name: str, delta: Delta) -> None:
        before = self._services.pop(name, None)
        info = self._runtime.services.get(name)
        after = None
        if info is not None and info.status != "disabled" and provider_of(name) != "internal":
            after = services.compile_service(info, self._runtime.transports)
        if (
            after is not None
            and after.provisional
            and (before is None or name in self._provisional)
        ):
            # Envoy serves a new cluster only after its first probes: start without them.
            self._provisional.add(name)
            after = after._replace(cluster=after.provisional)
        else:
            self._provisional.discard(name)
        self._replace_service(name, before, after, delta)

    def _replace_service(
        self,
        name: str,
        before: services.Compiled | None,
        after: services.Compiled | None,
        delta: Delta,
    ) -> None:
        old, new = _by_key(before), _by_key(after)
        delta.changed.extend(r for key, r in new.items() if old.get(key) != r)
        delta.removed.extend(key for key in old if key not in new)
        if after is not None:
            self._services[name] = after

    def _update_router(self, name: str) -> None:
        info = self._runtime.routers.get(name)
        for point, table in self._tables.items():
            compiled = None
            if info is not None and self.attached(name, point) and name not in self.withheld:
                compiled = self._compile(info, point)
            self._use_chains((point, name), compiled.chains if compiled else {})
            table.put(name, compiled.router if compiled else None)

    def _compile(self, info: RouterInfo, point: str) -> Compiled | None:
        middlewares, _ = self._aggregator.flatten(info.config.middlewares)
        steps: list[Step] = []
        for middleware in middlewares:
            place = Place(middleware.name, info.name, point, False, self._appends_peer[point])
            steps.extend(registry.steps(middleware.config, place))
        target = self._runtime.services[info.service].config
        transport = services.transport_of(info.service, target, self._runtime.transports)
        needs = services.route_needs(target, transport)
        if needs.path_prefix:
            prefix = Middleware(add_prefix=AddPrefix(prefix=needs.path_prefix))
            place = Place(f"{info.service}#path", info.name, point, tls=False)
            steps.extend(registry.steps(prefix, place))
        try:
            return compile_router(
                info, self._aggregator.order(info), steps, needs, self.ping_status
            )
        except (RuleError, pipeline.TooManySteps) as error:
            info.status = "disabled"
            info.errors.append(str(error))
            return None

    def _use_chains(
        self, user: tuple[str, str], chains: Mapping[str, Mapping[str, pipeline.Chain]]
    ) -> None:
        """Record which named chains a router on an entry point uses now."""
        names = frozenset((slot, name) for slot, named in chains.items() for name in named)
        before = self._chains_of.pop(user, frozenset())
        for key in before - names:
            self._chain_users[key].discard(user)
            if not self._chain_users[key]:
                self._unused_chains.add(key)
        for slot, name in names:
            if name not in self._chains.setdefault(slot, {}):
                self._chains[slot][name] = chains[slot][name]
                self._fresh_chains.add((slot, name))
                self._chains_changed = True
            self._chain_users.setdefault((slot, name), set()).add(user)
        if names:
            self._chains_of[user] = names

    def _chain_resources(self) -> Iterable[Resource]:
        if not self._chains_changed:
            return ()
        self._chains_changed = False
        return pipeline.chain_resources(self._chains)


def _by_key(compiled: services.Compiled | None) -> dict[Key, Resource]:
    if compiled is None:
        return {}
    resources = (compiled.cluster, compiled.endpoints, compiled.upgrades)
    return {resource.key: resource for resource in resources if resource is not None}
