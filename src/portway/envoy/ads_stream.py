"""One Envoy's conversation: what it asked for, what it holds, and in which order it learns.

The delta xDS protocol without the network: requests come in by ``receive``, responses go
out through a function, so every rule here can be tested with plain messages.

**Make before break.** Changes are collected and sent in rounds: (1) clusters, with their
endpoints and secrets, (2) filters and listeners, (3) routes, each after the acknowledgement of
the one before, (4) removals, only when no route in force can name what goes. Changes that come
during a round wait for the next one. Endpoints and secrets that Envoy already follows need no
order and go out at once.

**Fail closed.** While Envoy lacks a wanted filter (refused, or not acknowledged), new routes are
held back: one that names a filter chain Envoy lacks would run without it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import structlog
from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, message

from portway.envoy.resource import (
    CLUSTER,
    ENDPOINTS,
    FILTER,
    LISTENER,
    ROUTES,
    SECRET,
    Key,
    Resource,
)

_log = structlog.get_logger(__name__)

_WILDCARD: Final = frozenset({CLUSTER, LISTENER})
"""Types Envoy asks for without names."""
_UNORDERED: Final = frozenset({ENDPOINTS, SECRET})
"""Types that name nothing else: a change is sent as soon as it is known."""
_ANSWERED_AT_ONCE: Final = _UNORDERED | {FILTER}
"""Types a warming cluster or listener waits for: a question is answered inside a round."""
_NAMING: Final = frozenset({ROUTES, LISTENER})
"""Types whose content in force must be known before what it could name goes."""
_NEEDED: Final = (ROUTES, FILTER)
"""Types that listeners name: an Envoy has them all only once it has asked for them."""
_INTRODUCED: Final = frozenset({CLUSTER, ENDPOINTS, LISTENER, ROUTES})
"""Types an Envoy that carries traffic names when it reconnects, as far as it has any."""
_INTRODUCTION: Final = 0.25
"""Longest wait for them, in seconds."""
_REMOVAL_ORDER: Final = (ROUTES, FILTER, CLUSTER, ENDPOINTS, SECRET)


class Store(Protocol):
    """What a stream needs to know of the wanted state."""

    def get(self, key: Key) -> Resource | None:
        """The wanted resource."""

    def all(self, type_url: str) -> Iterable[Resource]:
        """Every wanted resource of a type."""

    def last_good(self, key: Key) -> Resource | None:
        """What was in force before the wanted content, while that is unproven."""

    def accepted(self, resource: Resource) -> None:
        """An Envoy took it."""

    def refused(self, resource: Resource, message: str) -> None:
        """An Envoy refused exactly this, with its words."""


class _Subscription:
    __slots__ = ("names", "wildcard")

    def __init__(self, *, wildcard: bool) -> None:
        self.names: set[str] = set()
        self.wildcard = wildcard


class _Flight(NamedTuple):
    """A response that was not acknowledged yet."""

    type_url: str
    resources: Sequence[Resource]
    removed: Sequence[Key]


class Stream:
    """The state of one delta ADS stream.

    ``send`` takes a response and must not block; ``on_change`` is called whenever
    ``settled`` may have changed. ``patience`` is how many seconds a step waits for Envoy
    before the next one goes ahead all the same.
    """

    def __init__(
        self,
        store: Store,
        send: Callable[[discovery_pb2.DeltaDiscoveryResponse], None],
        on_change: Callable[[], None],
        *,
        patience: float,
    ) -> None:
        self._store = store
        self._out = send
        self._on_change = on_change
        self._patience = patience
        self._open = False
        self._subscriptions: dict[str, _Subscription] = {}
        self._asked: dict[str, set[str]] = {}  # questions that came before the first state
        self._sent: dict[Key, str] = {}  # version last sent, or claimed by Envoy on connect
        self._held: dict[Key, str] = {}  # version Envoy acknowledged or claimed
        self._refused: dict[Key, str] = {}  # version Envoy does not want
        self._flights: dict[str, _Flight] = {}
        self._count = 0
        self._pending: dict[Key, Resource | None] = {}  # None: removed
        self._empty_answers: set[str] = set()  # types asked for of which there is nothing
        self._leaving: dict[Key, Resource] = {}  # removed, but routes may name it still
        self._held_back: dict[Key, Resource] = {}  # routes that wait for filters
        self._deferred: set[Key] = set()  # removals that wait for routes to be accepted
        self._resumed = False  # Envoy came with a state of its own
        self._outdated: set[Key] = set()  # routes and listeners of that state, not the wanted
        self._warming: set[Key] = set()  # endpoints that clusters just sent wait for
        self._in_round = False
        self._changed = asyncio.Event()

    # What others see

    @property
    def settled(self) -> bool:
        """Everything that Envoy asked for was sent and answered by it, and it has asked for
        whatever its listeners need."""
        return (
            LISTENER in self._subscriptions
            and self._open
            and not (self._pending or self._empty_answers or self._flights or self._in_round)
            and all(t in self._subscriptions for t in _NEEDED if any(self._store.all(t)))
        )

    @property
    def in_force(self) -> bool:
        """Settled, and Envoy's filters, listeners and routes are the wanted ones: none is
        refused and no route is held back."""
        refused = {key.type_url for key in self._refused}
        return self.settled and not self._held_back and refused.isdisjoint({FILTER, *_NAMING})

    def open(self) -> None:
        """The wanted state is known from now on: answer what was asked so far."""
        self._open = True
        asked, self._asked = self._asked, {}
        for type_url, names in asked.items():
            self._answer(type_url, names)
        self._wake()

    def update(self, changed: Iterable[Resource], removed: Iterable[Resource]) -> None:
        """The wanted state changed: only the differences, already in the store."""
        at_once: dict[str, list[Resource]] = {}
        for resource in changed:
            self._leaving.pop(resource.key, None)
            self._deferred.discard(resource.key)
            if resource.version == self._held.get(resource.key):
                self._refused.pop(resource.key, None)  # what Envoy has is the wanted again
            if not self._follows(resource.key):
                self._pending.pop(resource.key, None)
            elif resource.key.type_url in _UNORDERED:
                self._pending.pop(resource.key, None)
                if self._is_news(resource):
                    at_once.setdefault(resource.key.type_url, []).append(resource)
            else:
                self._pending[resource.key] = resource
        for resource in removed:
            self._leaving[resource.key] = resource
            self._pending[resource.key] = None
        for type_url, resources in at_once.items():
            self._send(type_url, resources)
        self._wake()

    def retry(self, resources: Iterable[Resource]) -> None:
        """Offer again what Envoy refused."""
        again = list(resources)
        for resource in again:
            self._refused.pop(resource.key, None)
        self.update(again, ())

    def receive(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        """Take a request: an acknowledgement, a refusal, a change of interest, or several."""
        if request.response_nonce:
            self._acknowledge(request)
        self._subscribe(request)
        self._wake()

    async def run(self) -> None:
        """Send rounds for ever."""
        await self._until(self._has_work)
        if self._resumed:
            # Envoy tells what it has in one request per type, all at once.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTRODUCTION):
                    await self._until(lambda: self._subscriptions.keys() >= _INTRODUCED)
        while True:
            await self._until(self._has_work)
            self._in_round = True
            batch, self._pending = self._pending, {}
            empty, self._empty_answers = self._empty_answers, set()
            try:
                await self._round(batch, empty)
            finally:
                self._in_round = False
            self._on_change()

    # Questions

    def _subscribe(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        type_url = request.type_url
        names = set(request.resource_names_subscribe)
        subscription = self._subscriptions.get(type_url)
        if subscription is None:
            # A first request without names means everything; only later ones need "*".
            subscription = _Subscription(wildcard=not names and type_url in _WILDCARD)
            self._subscriptions[type_url] = subscription
            for name, version in request.initial_resource_versions.items():
                self._sent[Key(type_url, name)] = self._held[Key(type_url, name)] = version
                self._resumed = True
            if subscription.wildcard:
                names.add("*")
        else:
            # Envoy asks again for what it has dropped: what it held counts no more.
            for name in names:
                self._sent.pop(Key(type_url, name), None)
        for name in request.resource_names_unsubscribe:
            self._unsubscribe(subscription, type_url, name)
        if not names:
            return
        subscription.wildcard = subscription.wildcard or "*" in names
        subscription.names |= names - {"*"}
        if self._open:
            self._answer(type_url, names)
        else:
            self._asked.setdefault(type_url, set()).update(names)

    def _unsubscribe(self, subscription: _Subscription, type_url: str, name: str) -> None:
        if name == "*":
            subscription.wildcard = False
            return
        subscription.names.discard(name)
        if type_url in self._asked:
            self._asked[type_url].discard(name)
        key = Key(type_url, name)
        if not self._follows(key):
            for known in (self._sent, self._held, self._refused):
                known.pop(key, None)
            self._outdated.discard(key)
            self._held_back.pop(key, None)
            if self._pending.get(key) is not None:
                del self._pending[key]

    def _answer(self, type_url: str, names: set[str]) -> None:
        now: list[Resource] = []
        missing: list[Key] = []
        for name in names - {"*"}:
            key = Key(type_url, name)
            resource = self._known(key)
            if resource is not None:
                if not self._is_news(resource) and key not in self._warming:
                    continue
                self._note_outdated(key)
                if type_url in _ANSWERED_AT_ONCE:
                    now.append(resource)
                else:
                    self._pending[key] = resource
            elif key in self._sent:
                self._pending[key] = None
            else:
                missing.append(key)
        # A question without an answer would hold up what waits for it for 15 s.
        self._send(type_url, now, missing)
        if "*" in names:
            self._answer_all(type_url)

    def _answer_all(self, type_url: str) -> None:
        wanted = set()
        for resource in self._store.all(type_url):
            wanted.add(resource.key)
            if self._is_news(resource):
                self._note_outdated(resource.key)
                self._pending[resource.key] = resource
        held = {key for key in self._held if key.type_url == type_url}
        self._pending.update(dict.fromkeys(held - wanted))
        if not wanted and not held:
            self._empty_answers.add(type_url)

    def _note_outdated(self, key: Key) -> None:
        if key.type_url in _NAMING and key in self._held:
            self._outdated.add(key)

    def _follows(self, key: Key) -> bool:
        subscription = self._subscriptions.get(key.type_url)
        return subscription is not None and (
            subscription.wildcard or key.name in subscription.names
        )

    def _is_news(self, resource: Resource) -> bool:
        return resource.version not in (
            self._sent.get(resource.key),
            self._refused.get(resource.key),
        )

    # Answers

    def _send(
        self,
        type_url: str,
        resources: Sequence[Resource],
        removed: Sequence[Key] = (),
        *,
        even_empty: bool = False,
    ) -> None:
        if not (resources or removed or even_empty):
            return
        self._count += 1
        nonce = str(self._count)
        self._flights[nonce] = _Flight(type_url, resources, removed)
        for resource in resources:
            self._sent[resource.key] = resource.version
        for key in removed:
            self._sent.pop(key, None)
        self._out(
            discovery_pb2.DeltaDiscoveryResponse(
                type_url=type_url,
                nonce=nonce,
                resources=[
                    discovery_pb2.Resource(
                        name=resource.key.name,
                        version=resource.version,
                        resource=any_pb2.Any(type_url=type_url, value=resource.body),
                    )
                    for resource in resources
                ],
                removed_resources=[key.name for key in removed],
            )
        )

    def _acknowledge(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        flight = self._flights.pop(request.response_nonce, None)
        if flight is None:
            return
        if request.HasField("error_detail"):
            self._refuse(flight, request.error_detail.message)
            return
        for resource in flight.resources:
            if not self._follows(resource.key):
                continue
            self._held[resource.key] = resource.version
            self._refused.pop(resource.key, None)
            self._outdated.discard(resource.key)
            self._store.accepted(resource)
        for key in flight.removed:
            self._held.pop(key, None)
            self._outdated.discard(key)

    def _refuse(self, flight: _Flight, message: str) -> None:
        """Find what Envoy objects to by offering parts, so that the rest gets through."""
        if not flight.resources:
            _log.warning("Envoy refused a removal", type=_short(flight.type_url), reason=message)
            return
        # What was replaced meanwhile must not come back over its successor.
        live = [r for r in flight.resources if self._sent.get(r.key) == r.version]
        if len(live) > 1:
            named = [r for r in live if r.key.name in message]
            rest = [r for r in live if r.key.name not in message]
            half = len(live) // 2
            parts = (rest, named) if rest and named else (live[:half], live[half:])
            for part in parts:
                self._send(flight.type_url, part)
            return
        for culprit in live:
            self._take_back(culprit)
            self._store.refused(culprit, message)

    def _take_back(self, culprit: Resource) -> None:
        key = culprit.key
        held = self._held.get(key)
        if held is None:
            self._sent.pop(key, None)
        else:
            self._sent[key] = held
        wanted = self._store.get(key)
        if wanted is not None and wanted.version == culprit.version:
            self._refused[key] = culprit.version
            good = self._store.last_good(key)
            if good is not None and self._is_news(good):
                self._send(key.type_url, [good])

    # Rounds

    def _has_work(self) -> bool:
        return bool(
            self._pending
            or self._empty_answers
            or (self._held_back and self._may_route())
            or (self._deferred and self._may_remove())
        )

    async def _round(self, batch: dict[Key, Resource | None], empty: set[str]) -> None:
        batch = {**self._held_back, **batch}
        self._held_back = {}
        news: dict[str, list[Resource]] = {}
        for key, resource in batch.items():
            if resource is not None and self._follows(key) and self._is_news(resource):
                news.setdefault(key.type_url, []).append(resource)
        clusters = news.pop(CLUSTER, [])
        await self._make_clusters(clusters, even_empty=CLUSTER in empty)
        for type_url in (FILTER, LISTENER):
            self._send(type_url, news.pop(type_url, ()), even_empty=type_url in empty)
        await self._acknowledged(FILTER, LISTENER)
        if self._may_route():
            # Clusters that came before a reconnect may still wait for their endpoints.
            await self._acknowledged(ENDPOINTS, SECRET)
            self._send(ROUTES, news.pop(ROUTES, ()))
            await self._acknowledged(ROUTES)
        else:
            self._held_back = {each.key: each for each in news.pop(ROUTES, ())}
        for type_url, resources in news.items():
            self._send(type_url, resources)
        await self._remove(key for key, resource in batch.items() if resource is None)

    async def _make_clusters(self, clusters: Sequence[Resource], *, even_empty: bool) -> None:
        """Send clusters and wait until they are usable.

        Envoy acknowledges clusters when none is warming any more, so the answer also says
        that their endpoints, names and first health checks are there.
        """
        if self._resumed or ENDPOINTS in self._subscriptions:
            self._warming = {key for each in clusters if (key := _endpoints_of(each)) is not None}
        self._send(CLUSTER, clusters, even_empty=even_empty)
        # Envoy does not ask for endpoints it already follows, yet a cluster that changed, or
        # shares them with another one, warms for 15 s unless they are sent again.
        again = [
            present
            for key in sorted(self._warming)
            if self._follows(key)
            if (present := self._known(key)) is not None
            and present.version != self._refused.get(key)
        ]
        self._send(ENDPOINTS, again)
        await self._acknowledged(CLUSTER, ENDPOINTS, SECRET)
        self._warming = set()

    def _known(self, key: Key) -> Resource | None:
        return self._store.get(key) or self._leaving.get(key)

    async def _remove(self, keys: Iterable[Key]) -> None:
        going = {key for key in (*keys, *self._deferred) if self._store.get(key) is None}
        self._deferred.clear()
        listeners = [key for key in going if key.type_url == LISTENER]
        await self._send_removal(LISTENER, listeners)
        rest = going.difference(listeners)
        if not self._may_remove():
            # Routes that Envoy did not accept leave older ones in force: what those name stays.
            self._deferred |= rest
            return
        for type_url in _REMOVAL_ORDER:
            await self._send_removal(type_url, [key for key in rest if key.type_url == type_url])

    async def _send_removal(self, type_url: str, keys: Sequence[Key]) -> None:
        still = [key for key in keys if self._store.get(key) is None]
        for key in still:
            self._leaving.pop(key, None)
            self._refused.pop(key, None)
        known = sorted(key for key in still if key in self._sent and self._follows(key))
        self._send(type_url, [], known)
        await self._acknowledged(type_url)

    def _may_route(self) -> bool:
        """Whether Envoy has every wanted filter: a route that names a filter chain Envoy lacks
        would run without it, an access check included."""
        flying = (flight.type_url for flight in self._flights.values())
        return FILTER not in {*flying, *(key.type_url for key in self._refused)}

    def _may_remove(self) -> bool:
        """Whether routes and listeners in force are the wanted ones."""
        if self._held_back:
            return False
        if self._resumed and not self._subscriptions.keys() >= _NAMING:
            return False  # an Envoy that has routes has not told which yet
        held_up = {key.type_url for key in (*self._refused, *self._outdated)}
        held_up.update(flight.type_url for flight in self._flights.values())
        return held_up.isdisjoint(_NAMING)

    async def _acknowledged(self, *types: str) -> None:
        await self._within_patience(
            lambda: all(flight.type_url not in types for flight in self._flights.values()),
            "acknowledgements of " + " and ".join(map(_short, types)),
        )

    async def _within_patience(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._until(condition)
        except TimeoutError:
            _log.warning("Envoy is slow; going on", waiting_for=what, waited_s=self._patience)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._on_change()


def _endpoints_of(cluster: Resource) -> Key | None:
    """The endpoints an EDS cluster follows; None for a body Envoy will refuse anyway."""
    try:
        body = cluster_pb2.Cluster.FromString(cluster.body)
    except message.DecodeError:
        return None
    if body.type != cluster_pb2.Cluster.EDS:
        return None
    return Key(ENDPOINTS, body.eds_cluster_config.service_name or body.name)


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]
