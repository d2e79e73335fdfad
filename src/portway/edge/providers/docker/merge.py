"""Merging: what several containers say about one object becomes that object.

Each container contributes a share to the objects its labels name. Equal shares merge; a
service's servers are the union of those that are ready. Unequal ones are a conflict: the
object is disabled for everybody, as in Traefik, but shown with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from portway.edge.dynamic import LoadBalancer, Server, Service
from portway.edge.providers.docker.address import Address
from portway.edge.providers.provider import Change, Kind, Object

_WORDS: Mapping[Kind, str] = {
    "router": "HTTP router",
    "service": "HTTP service",
    "middleware": "HTTP middleware",
    "serversTransport": "HTTP serversTransport",
}


class Ref(NamedTuple):
    """An object by kind and name (without @provider)."""

    kind: Kind
    name: str


class Share(NamedTuple):
    """One container's definition of an object.

    ``value`` of a service has no servers: its own is ``server``, which joins when ``address``
    accepts connections, or at once when there is no address to wait for.
    """

    value: Object
    errors: tuple[str, ...] = ()
    server: Server | None = None
    address: Address | None = None


class Contributor(NamedTuple):
    """A container's share with what is known of the container."""

    container: str  # its name, for messages
    share: Share
    ready: bool = True  # whether its server takes traffic
    leaving: bool = False  # it got its stop signal, or is paused


class Index:
    """Shares by object name and container."""

    def __init__(self) -> None:
        self._shares: dict[Ref, dict[str, Share]] = {}
        self._refs: dict[str, frozenset[Ref]] = {}

    def put(self, container: str, shares: Mapping[Ref, Share]) -> set[Ref]:
        """Replace all shares of a container (id); returns the objects this touched."""
        touched: set[Ref] = set()
        for ref in self._refs.get(container, frozenset()) - shares.keys():
            del self._shares[ref][container]
            if not self._shares[ref]:
                del self._shares[ref]
            touched.add(ref)
        for ref, share in shares.items():
            of_ref = self._shares.setdefault(ref, {})
            if of_ref.get(container) != share:
                of_ref[container] = share
                touched.add(ref)
        if shares:
            self._refs[container] = frozenset(shares)
        else:
            self._refs.pop(container, None)
        return touched

    def refs(self) -> list[Ref]:
        """All objects that have a share."""
        return list(self._shares)

    def of_object(self, ref: Ref) -> Mapping[str, Share]:
        """The shares of one object by container id."""
        return self._shares.get(ref, {})

    def of_container(self, container: str) -> frozenset[Ref]:
        """The objects a container has a share of."""
        return self._refs.get(container, frozenset())


def merge(ref: Ref, contributors: Iterable[Contributor]) -> tuple[Change, tuple[str, ...]]:
    """The object that ``contributors``, in a stable order, describe together.

    Returns the change and problems that do not disable it: errors of single containers
    while others define the object well. Containers that are leaving count only when no
    other defines the object, so that a replacement may bring new labels.
    """
    everyone = list(contributors)
    if not everyone:
        return Change(ref.kind, ref.name, None), ()
    staying = [c for c in everyone if not c.leaving] or everyone
    good = [c for c in staying if not c.share.errors]
    if not good:
        errors = dict.fromkeys(error for c in staying for error in c.share.errors)
        return Change(ref.kind, ref.name, staying[0].share.value, tuple(errors)), ()
    problems = tuple(
        f"container {c.container!r}: {_WORDS[ref.kind]} {ref.name!r}: {error}"
        for c in staying
        for error in c.share.errors
    )
    first = good[0]
    for other in good[1:]:
        if other.share.value != first.share.value:
            error = _conflict(ref, first, other)
            return Change(ref.kind, ref.name, first.share.value, (error,)), problems
    value = first.share.value
    if isinstance(value, Service) and value.load_balancer is not None:
        ready = [c for c in good if c.ready and not c.leaving]
        value = msgspec.structs.replace(
            value, load_balancer=_with_servers(value.load_balancer, ready)
        )
    return Change(ref.kind, ref.name, value), problems


def _with_servers(balancer: LoadBalancer, ready: Iterable[Contributor]) -> LoadBalancer:
    servers: dict[str, Server] = {}
    for contributor in ready:
        if server := contributor.share.server:
            servers.setdefault(server.url, server)
    return msgspec.structs.replace(balancer, servers=[*servers.values()])


def _conflict(ref: Ref, one: Contributor, other: Contributor) -> str:
    a, b = msgspec.to_builtins(one.share.value), msgspec.to_builtins(other.share.value)
    where = f"containers {one.container!r} and {other.container!r} differ"
    return (
        f"{_WORDS[ref.kind]} defined multiple times with different configurations: "
        f"{where} in {', '.join(_differences(a, b)[:5])}"
    )


def _differences(a: object, b: object, path: str = "") -> list[str]:
    """Dotted paths at which two plain values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            found
            for key in sorted(a.keys() | b.keys())
            for found in _differences(a.get(key), b.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if a == b else [path or "value"]
