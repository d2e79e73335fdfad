"""Whether config entries are right together.

What is walked here is the way of a request through the entries, router, then splitters, then
resolvers, as the discovery chain has it. Nothing is compiled: only that it can be is checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

from portway.mesh.entries.entry import WILDCARD, Entry, EntryError, listed
from portway.mesh.entries.http import HTTP_LIKE
from portway.mesh.entries.ingress_gateway import IngressGateway
from portway.mesh.entries.jwt_provider import JWTProvider
from portway.mesh.entries.mesh import MESH, Mesh
from portway.mesh.entries.proxy_defaults import GLOBAL, ProxyDefaults
from portway.mesh.entries.service_defaults import ServiceDefaults
from portway.mesh.entries.service_intentions import ServiceIntentions
from portway.mesh.entries.service_resolver import ANY_SUBSET, ServiceResolver
from portway.mesh.entries.service_router import ServiceRouter
from portway.mesh.entries.service_splitter import ServiceSplitter

E = TypeVar("E", bound=Entry)
_LONGEST_PATH = 256
TCP = "tcp"
"""The protocol of services of which no entry says anything."""


class Lookup(Protocol):
    """Where entries are looked up."""

    def get(self, kind: type[E], name: str) -> E | None:
        """The entry of a kind and name."""


class Entries(Lookup, Protocol):
    """The entries as they are to be."""

    def all(self, kind: type[E]) -> Iterable[E]:
        """Every entry of a kind."""

    def reaching(self, service: str) -> Iterable[str]:
        """Names of the entries from which traffic goes to ``service`` directly."""


class _Target(NamedTuple):
    """Instances that are asked for."""

    service: str
    subset: str = ""
    datacenter: str = ""

    def __str__(self) -> str:
        subset = f"{self.subset}." if self.subset else ""
        return f"{subset}{self.service}.default.default.{self.datacenter or 'local'}"


def protocol_of(entries: Lookup, service: str) -> str:
    """The protocol of a service: its own, else that of proxy-defaults, else tcp."""
    own = entries.get(ServiceDefaults, service)
    if own is not None and own.protocol:
        return own.protocol
    defaults = entries.get(ProxyDefaults, GLOBAL)
    return (defaults.protocol if defaults is not None else "") or TCP


def check_graph(entries: Entries, kind: type[Entry], name: str) -> None:
    """Raise EntryError if the entries do not go together since this one changed."""
    if kind in (ServiceDefaults, ProxyDefaults, Mesh):
        _check_permissive(entries, kind, name)
    if kind in (ServiceIntentions, JWTProvider):
        _check_providers(entries, kind, name)
    for service in sorted(_concerned(entries, kind, name), key=lambda one: (one != name, one)):
        protocol = check_chain(entries, service)
        _check_intentions(entries, service, protocol)
    for gateway in _gateways(entries, kind, name):
        _check_gateway(entries, gateway)


def check_chain(entries: Entries, service: str) -> str:
    """Raise EntryError unless requests to a service find their way; returns its protocol."""
    return _Chain(entries, service).check()


class _Chain:
    def __init__(self, entries: Entries, service: str) -> None:
        self._entries = entries
        self._service = service
        self._protocol = ""
        self._advanced = False
        self._resolved: set[_Target] = set()
        self._split: set[str] = set()

    def check(self) -> str:
        router = self._entries.get(ServiceRouter, self._service)
        if router is not None:
            self._advanced = True
            self._record(self._service)
            for route in router.routes or ():
                destination = route.destination
                if destination is None:
                    continue
                service = destination.service or self._service
                if destination.service_subset:
                    self._resolve(_Target(service, destination.service_subset))
                else:
                    self._follow(service, ())
        self._follow(self._service, ())
        if self._advanced and self._protocol not in HTTP_LIKE:
            raise EntryError(
                f'discovery chain "{self._service}" uses a protocol "{self._protocol}" that does '
                "not permit advanced routing or splitting behavior"
            )
        return self._protocol

    def _follow(self, service: str, path: tuple[str, ...]) -> None:
        """A splitter and all behind it, or without one the resolver."""
        splitter = self._entries.get(ServiceSplitter, service)
        if splitter is None:
            self._resolve(_Target(service))
            return
        if service in path:
            names = [f"splitter:{name}.default.default" for name in (*path, service)]
            raise EntryError(f"detected circular reference: [{' -> '.join(names)}]")
        if service in self._split:
            return
        if len(path) > _LONGEST_PATH:
            raise EntryError(
                f'discovery chain "{self._service}" has more than {_LONGEST_PATH} splitters one '
                "after the other"
            )
        self._advanced = True
        for split in splitter.splits or ():
            target = split.service or service
            if split.service_subset or target == service:
                self._resolve(_Target(target, split.service_subset))
            else:
                self._follow(target, (*path, service))
        self._split.add(service)

    def _resolve(self, target: _Target, *, for_failover: bool = False) -> None:
        history: list[_Target] = []
        while target not in self._resolved:
            self._record(target.service)
            if target in history:
                names = ", ".join(map(str, (*history, target))).replace(", ", " -> ")
                raise EntryError(f"detected circular resolver redirect: [{names}]")
            history.append(target)
            resolver = self._entries.get(ServiceResolver, target.service)
            if resolver is None:
                resolver = ServiceResolver(name=target.service)
            redirect = resolver.redirect
            if redirect is not None:
                if redirect.peer:
                    break  # its entries are the peer's
                redirected = _rewritten(
                    target, redirect.service, redirect.service_subset, redirect.datacenter
                )
                if redirected != target:
                    target = redirected
                    continue
            if not target.subset and resolver.default_subset:
                target = target._replace(subset=resolver.default_subset)
                continue
            self._check_resolver(target, resolver)
            self._resolved.add(target)
            if not for_failover:
                self._fail_over(target, resolver)
        self._resolved.update(history)

    def _check_resolver(self, target: _Target, resolver: ServiceResolver) -> None:
        if target.subset and target.subset not in resolver.subsets:
            raise EntryError(
                f'service "{target.service}" does not have a subset named "{target.subset}"'
            )
        defaults = self._entries.get(ServiceDefaults, target.service)
        if defaults is None or not defaults.external_sni:
            return
        for what, given in (
            ("redirects", resolver.redirect is not None),
            ("subsets", bool(resolver.subsets)),
            ("failover", bool(resolver.failover)),
        ):
            if given:
                raise EntryError(
                    f'service "{target.service}" has an external SNI set; cannot define {what} '
                    "for external services"
                )

    def _fail_over(self, target: _Target, resolver: ServiceResolver) -> None:
        failover = resolver.failover.get(target.subset) or resolver.failover.get(ANY_SUBSET)
        if failover is None:
            return
        if failover.targets:
            targets = [
                _rewritten(target, one.service, one.service_subset, one.datacenter)
                for one in failover.targets
                if not one.peer
            ]
        else:
            targets = [
                _rewritten(target, failover.service, failover.service_subset, datacenter)
                for datacenter in failover.datacenters or [""]
            ]
        for one in targets:
            if one != target:
                self._resolve(one, for_failover=True)

    def _record(self, service: str) -> None:
        """All services of a chain have one protocol."""
        protocol = protocol_of(self._entries, service)
        if not self._protocol:
            self._protocol = protocol
        elif protocol != self._protocol:
            raise EntryError(
                f'discovery chain "{self._service}" uses inconsistent protocols; service '
                f'"{service}" has "{protocol}" which is not "{self._protocol}"'
            )


def _rewritten(target: _Target, service: str, subset: str, datacenter: str) -> _Target:
    if service and service != target.service:
        target = target._replace(service=service, subset="")
    return target._replace(
        subset=subset or target.subset, datacenter=datacenter or target.datacenter
    )


_OF_CHAINS = (ServiceRouter, ServiceSplitter, ServiceResolver)


def _concerned(entries: Entries, kind: type[Entry], name: str) -> set[str]:
    """The services whose ways the change of an entry may have changed."""
    if kind is ProxyDefaults:
        every = {entry.name for one in _OF_CHAINS for entry in entries.all(one)}
        every |= {entry.name for entry in entries.all(ServiceIntentions) if entry.has_permissions}
        return every - {WILDCARD}
    if kind is ServiceIntentions:
        entry = entries.get(ServiceIntentions, name)
        return {name} if entry is not None and entry.has_permissions else set()
    if kind is not ServiceDefaults and kind not in _OF_CHAINS:
        return set()
    found, new = {name}, [name]
    while new:
        for other in entries.reaching(new.pop()):
            if other not in found:
                found.add(other)
                new.append(other)
    return found


def _gateways(entries: Entries, kind: type[Entry], name: str) -> list[IngressGateway]:
    """The ingress gateways whose services the change of an entry may have changed."""
    if kind is IngressGateway:
        entry = entries.get(IngressGateway, name)
        return [] if entry is None else [entry]
    concerned = _concerned(entries, kind, name)
    return [
        gateway
        for gateway in entries.all(IngressGateway)
        if not concerned.isdisjoint(gateway.reaches()) or kind is ProxyDefaults
    ]


def _check_gateway(entries: Entries, gateway: IngressGateway) -> None:
    for listener in gateway.listeners or ():
        for service in listener.services or ():
            if service.name == WILDCARD:
                continue
            protocol = check_chain(entries, service.name)
            if protocol != listener.protocol:
                raise EntryError(
                    f'service "{service.name}" has protocol "{protocol}", which does not match '
                    f'defined listener protocol "{listener.protocol}"'
                )


def _check_intentions(entries: Entries, service: str, protocol: str) -> None:
    intentions = entries.get(ServiceIntentions, service)
    if intentions is not None and intentions.has_permissions and protocol not in HTTP_LIKE:
        raise EntryError(
            f'service "{service}" has protocol "{protocol}", which is incompatible with L7 '
            "intentions permissions"
        )


def _check_permissive(entries: Entries, kind: type[Entry], name: str) -> None:
    mesh = entries.get(Mesh, MESH)
    if mesh is not None and mesh.allow_enabling_permissive_mutual_tls:
        return
    if kind is Mesh:
        return  # what is permissive already stays so
    services = entries.get(ServiceDefaults, name) if kind is ServiceDefaults else None
    proxies = entries.get(ProxyDefaults, name) if kind is ProxyDefaults else None
    changed = services or proxies
    if changed is not None and changed.mutual_tls_mode == "permissive":
        raise EntryError(
            "cannot set MutualTLSMode=permissive because AllowEnablingPermissiveMutualTLS=false "
            "in the mesh config entry"
        )


def _check_providers(entries: Entries, kind: type[Entry], name: str) -> None:
    if kind is ServiceIntentions:
        intentions = entries.get(ServiceIntentions, name)
        missing = [
            f"Referenced JWT Provider does not exist. Provider Name: {provider}"
            for provider in sorted(intentions.providers if intentions else ())
            if entries.get(JWTProvider, provider) is None
        ]
        if missing:
            raise EntryError(listed(missing))
    elif entries.get(JWTProvider, name) is None:
        for one in entries.all(ServiceIntentions):
            if name in one.providers:
                raise EntryError(
                    "cannot delete jwt provider config entry referenced by an intention. "
                    f"Provider name: {name}, intention name: {one.name}"
                )
