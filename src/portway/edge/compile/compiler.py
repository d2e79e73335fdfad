"""The compiler: keeps Envoy's resources true to the runtime objects, change by change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import structlog
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig as Filter

from portway.edge import pipeline, services
from portway.edge.aggregate import Aggregator, Dirty, provider_of
from portway.edge.compile.route_table import CompiledRouter, RouteTable
from portway.edge.compile.router import Compiled, compile_router
from portway.edge.dynamic import Middleware
from portway.edge.middlewares import AddPrefix, registry
from portway.edge.middlewares.step import Native, Place, Step
from portway.edge.runtime import RouterInfo, ServiceInfo
from portway.envoy.resource import Key, Resource
from portway.rules import RuleError

log = structlog.get_logger()


class Delta(NamedTuple):
    """What changed for Envoy: resources to set and keys to remove."""

    changed: list[Resource]
    removed: list[Key]


class Compiler:
    """Compiles dirty objects, remembers the rest.

    ``ping_status`` is what ``ping@internal`` answers. ``fresh`` names the routers of each entry
    point whose routes changed since Envoy last accepted everything. An object that cannot be
    compiled is disabled, the others are not concerned.
    """

    def __init__(self, aggregator: Aggregator, entry_points: Mapping[str, bool]) -> None:
        """``entry_points`` says of each whether it appends the peer to X-Forwarded-For."""
        self.ping_status = 200
        self.fresh: dict[str, set[str]] = {name: set() for name in entry_points}
        self._appends_peer = entry_points
        self._aggregator = aggregator
        self._runtime = aggregator.runtime
        self._tables = {name: RouteTable(name) for name in entry_points}
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

    def routers(self, entry_point: str) -> Mapping[str, CompiledRouter]:
        """The compiled routers of an entry point."""
        return self._tables[entry_point].routers

    def suspects(self, slot: str) -> list[Filter]:
        """The filters of a slot in chains Envoy has not accepted yet, or of all its chains."""
        named = self._chains.get(slot, {})
        fresh = [name for name in named if (slot, name) in self._fresh_chains]
        return list({_text(f): f for name in fresh or named for f in named[name]}.values())

    def expel(self, slot: str, filters: Collection[Filter]) -> set[str]:
        """Drop the chains of a slot with filters that Envoy refuses: no route that it has
        accepted can name them. Returns the middlewares these filters come from."""
        texts = {_text(each) for each in filters}
        blamed = set()
        for name, chain in list(self._chains.get(slot, {}).items()):
            if texts.isdisjoint(map(_text, chain)):
                continue
            for point, router in self._chain_users.get((slot, name), ()):
                for middleware, step in self._steps(self._runtime.routers[router], point):
                    if isinstance(step, Native) and _text(pipeline.native_filter(step)) in texts:
                        blamed.add(middleware)
            self._drop_chain(slot, name)
        return blamed

    def _drop_chain(self, slot: str, name: str) -> None:
        self._chains_changed |= self._chains[slot].pop(name, None) is not None

    def settled(self) -> Delta:
        """Envoy has accepted everything: drop the filter chains no route names, and give
        clusters that serve by now their active health checks."""
        for fresh in self.fresh.values():
            fresh.clear()
        self._fresh_chains.clear()
        for slot, chain in self._unused_chains:
            if not self._chain_users[slot, chain]:
                del self._chain_users[slot, chain]
                self._drop_chain(slot, chain)
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
            try:
                after = services.compile_service(info, self._runtime.transports)
            except Exception as error:
                log.exception("a service cannot be compiled", service=name)
                _disable(info, f"cannot be compiled, please report this: {error!r}")
        if (
            after is not None
            and after.provisional
            and (before is None or name in self._provisional)
        ):
            # Envoy serves a new cluster only after its first probes: start without them.
            self._provisional.add(name)
            first_upgrades = after.provisional_upgrades or after.upgrades
            after = after._replace(cluster=after.provisional, upgrades=first_upgrades)
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
        compiled: dict[str, Compiled] = {}
        if info is not None and info.status != "disabled":
            try:
                compiled = {point: self._compile(info, point) for point in info.using}
            except (RuleError, pipeline.TooManySteps) as error:
                _disable(info, str(error))
            except Exception as error:
                log.exception("a router cannot be compiled", router=name)
                _disable(info, f"cannot be compiled, please report this: {error!r}")
        for point, table in self._tables.items():
            found = compiled.get(point)
            self._use_chains((point, name), found.chains if found else {})
            if table.put(name, found.router if found else None):
                self.fresh[point].add(name)

    def _compile(self, info: RouterInfo, point: str) -> Compiled:
        steps = [step for _, step in self._steps(info, point)]
        order = self._aggregator.order(info)
        return compile_router(info, order, steps, self._needs(info), self.ping_status)

    def _needs(self, info: RouterInfo) -> services.RouteNeeds:
        target = self._runtime.services[info.service].config
        transport = services.transport_of(info.service, target, self._runtime.transports)
        return services.route_needs(target, transport)

    def _steps(self, info: RouterInfo, point: str) -> Iterator[tuple[str, Step]]:
        """The steps of a router, each with the middleware it comes from."""
        middlewares, _ = self._aggregator.flatten(info.config.middlewares)
        for middleware in middlewares:
            place = Place(middleware.name, info.name, point, False, self._appends_peer[point])
            for step in registry.steps(middleware.config, place):
                yield middleware.name, step
        if prefix := self._needs(info).path_prefix:
            place = Place(f"{info.service}#path", info.name, point, tls=False)
            for step in registry.steps(Middleware(add_prefix=AddPrefix(prefix=prefix)), place):
                yield place.middleware, step

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


def _disable(info: RouterInfo | ServiceInfo, reason: str) -> None:
    info.status = "disabled"
    info.errors.append(reason)


def _text(each: Filter) -> bytes:
    return bytes(each.SerializeToString(deterministic=True))


def _by_key(compiled: services.Compiled | None) -> dict[Key, Resource]:
    if compiled is None:
        return {}
    resources = (compiled.cluster, compiled.endpoints, compiled.upgrades)
    return {resource.key: resource for resource in resources if resource is not None}
