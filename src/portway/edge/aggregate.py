"""Aggregation: provider reports become runtime objects, touching only what a change touches.

Every object is known as ``name@provider``. References between objects are indexed both ways,
unresolved ones included, so that a change re-resolves exactly its users: a middleware that
appears mends the routers that were waiting for it, and nobody else is looked at.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from portway.edge import services
from portway.edge.dynamic import Middleware, Observability, Router, ServersTransport, Service
from portway.edge.middlewares import registry
from portway.edge.providers.provider import Kind, Object, Report
from portway.edge.runtime import (
    MiddlewareInfo,
    RouterInfo,
    Runtime,
    ServiceInfo,
    Status,
    TransportInfo,
)
from portway.rules import RuleError, parse

log = structlog.get_logger()

MAX_PRIORITY = 2**63 - 1
MAX_USER_PRIORITY = MAX_PRIORITY - 1000  # what Traefik leaves to users


class Ref(NamedTuple):
    """An object of some kind by its qualified name."""

    kind: Kind
    name: str


class EntryPointModel(NamedTuple):
    """What an entry point contributes to the routers attached to it."""

    name: str
    as_default: bool = False
    middlewares: Sequence[str] = ()
    tcp: bool = True
    has_model: bool = False  # it has options that change its routers


class Definition(NamedTuple):
    """An object as its provider defined it."""

    value: Object
    errors: tuple[str, ...]


class Dirty(NamedTuple):
    """Names (qualified) whose runtime object changed, appeared or vanished."""

    routers: set[str]
    services: set[str]
    middlewares: set[str]

    @classmethod
    def none(cls) -> Dirty:
        """Nothing changed."""
        return cls(set(), set(), set())

    def add(self, other: Dirty) -> None:
        """Take over the names of another set."""
        for mine, theirs in zip(self, other, strict=True):
            mine.update(theirs)


def qualify(name: str, provider: str) -> str:
    """``name`` as seen from an object of ``provider``."""
    return name if "@" in name else f"{name}@{provider}"


def provider_of(name: str) -> str:
    """The provider part of a qualified name."""
    return name.rpartition("@")[2]


class Aggregator:
    """Owns the :class:`Runtime` and keeps it true to what the providers reported."""

    def __init__(
        self,
        entry_points: Iterable[EntryPointModel],
        precedence: Sequence[str] = (),
    ) -> None:
        self.runtime = Runtime(routers={}, services={}, middlewares={}, transports={}, problems={})
        self._entry_points = {model.name: model for model in entry_points}
        order = ("internal", *precedence)  # strongest first: it breaks ties of priority
        self._rank = {provider: rank for rank, provider in enumerate(order)}
        self._definitions: dict[Ref, Definition] = {}
        self._references: dict[Ref, tuple[Ref, ...]] = {}
        self._users: dict[Ref, set[Ref]] = {}
        self._refused: dict[Ref, str] = {}  # what the data plane said
        self._copies: dict[str, list[str]] = {}  # defined router -> runtime router names
        self._origin: dict[str, str] = {}  # runtime router -> defined router
        self._faces: dict[str, object] = {}  # what routers to a service depend on

    def order(self, router: RouterInfo) -> tuple[int, int, str]:
        """The sort key of routers: highest priority first, then provider precedence, name."""
        rank = self._rank.get(provider_of(router.name), len(self._rank))
        return (-router.priority, rank, router.name)

    def apply(self, reports: Iterable[Report]) -> Dirty:
        """Take over a batch of reports and return what it changed, users included."""
        changed: set[Ref] = set()
        for report in reports:
            if report.problems is not None:
                self.runtime.problems[report.provider] = list(report.problems)
            for change in report.changes:
                ref = Ref(change.kind, f"{change.name}@{report.provider}")
                definition = (
                    Definition(change.value, change.errors) if change.value is not None else None
                )
                if definition != self._definitions.get(ref):
                    self._define(ref, definition)
                    changed.add(ref)
        return self._resolve(changed)

    def refuse(self, kind: Kind, name: str, reason: str) -> Dirty:
        """Disable an object that the data plane rejected, until its definition or that of an
        object it uses changes. Routers go by their runtime name."""
        defined = Ref(kind, self._origin.get(name, name) if kind == "router" else name)
        if defined not in self._definitions:
            return Dirty.none()
        self._refused[Ref(kind, name)] = reason
        return self._resolve({defined}, forgive=False)

    def _define(self, ref: Ref, definition: Definition | None) -> None:
        for used in self._references.pop(ref, ()):
            self._users[used].discard(ref)
            if not self._users[used]:
                del self._users[used]
        if definition is None:
            self._definitions.pop(ref, None)
            return
        self._definitions[ref] = definition
        references = tuple(dict.fromkeys(self._references_of(ref, definition.value)))
        self._references[ref] = references
        for used in references:
            self._users.setdefault(used, set()).add(ref)

    def _references_of(self, ref: Ref, value: Object) -> tuple[Ref, ...]:
        provider = provider_of(ref.name)
        match value:
            case Router():
                points = (self._entry_points.get(p) for p in self._attached(value))
                inherited = [m for point in points if point for m in point.middlewares]
                return (
                    Ref("service", qualify(value.service, provider)),
                    *(Ref("middleware", qualify(m, provider)) for m in value.middlewares),
                    *(Ref("middleware", qualify(m, provider)) for m in inherited),
                    *(Ref("router", f"{point}-{ref.name}") for point in self._own(value)),
                )
            case Middleware():
                names = registry.references(value)
                return tuple(Ref("middleware", qualify(name, provider)) for name in names)
            case Service():
                balancer = value.load_balancer
                if balancer is None:
                    return ()
                transport = balancer.servers_transport or services.DEFAULT_TRANSPORT
                return (Ref("serversTransport", qualify(transport, provider)),)
            case _:
                return ()

    def routers_to(self, service: str) -> set[str]:
        """Names of the runtime routers that send requests to a service."""
        info = self.runtime.services.get(service)
        return set(info.used_by) if info is not None else set()

    def _refusal(self, ref: Ref) -> list[str]:
        reason = self._refused.get(ref)
        return [f"refused by Envoy: {reason}"] if reason else []

    def _with_users(self, refs: Iterable[Ref], kind: Kind) -> set[Ref]:
        """These objects and those of a kind that use them, directly or through others of it."""
        found = set(refs)
        queue = list(found)
        while queue:
            for user in self._users.get(queue.pop(), ()):
                if user.kind == kind and user not in found:
                    found.add(user)
                    queue.append(user)
        return found

    def _resolve(self, changed: set[Ref], *, forgive: bool = True) -> Dirty:
        """Bring the runtime objects of definitions, and of what uses them, up to date.

        Routers are looked at only when something that they depend on is different, not each
        time a server of their service comes or goes. With ``forgive`` the data plane's
        refusals are forgotten, as what it refused is made anew.
        """
        of_kind = {kind: {ref for ref in changed if ref.kind == kind} for kind in _KINDS}
        middlewares = self._with_users(of_kind["middleware"], "middleware")
        touched = self._with_users(of_kind["serversTransport"], "service")
        touched = (touched - of_kind["serversTransport"]) | of_kind["service"]
        if forgive:
            self._forgive(middlewares | touched)
        for ref in of_kind["serversTransport"]:
            self._resolve_transport(ref.name)
        for ref in middlewares:
            self._resolve_middleware(ref.name)
        different = {ref for ref in touched if self._resolve_service(ref.name)}
        causes = middlewares | different | of_kind["router"]
        routers = self._with_users(causes, "router") - middlewares - different
        if forgive:
            self._forgive(
                Ref("router", copy) for ref in routers for copy in self._copies.get(ref.name, ())
            )
        return Dirty(
            self._resolve_routers(sorted(ref.name for ref in routers)),
            {ref.name for ref in touched},
            {ref.name for ref in middlewares},
        )

    def _forgive(self, refs: Iterable[Ref]) -> None:
        if self._refused:
            for ref in refs:
                self._refused.pop(ref, None)

    def _resolve_transport(self, name: str) -> None:
        definition = self._definitions.get(Ref("serversTransport", name))
        if definition is None:
            self.runtime.transports.pop(name, None)
            return
        assert isinstance(definition.value, ServersTransport)
        problems = services.transport_problems(definition.value)
        self.runtime.transports[name] = TransportInfo(
            name, definition.value, [*definition.errors, *problems]
        )

    def _resolve_middleware(self, name: str) -> None:
        definition = self._definitions.get(Ref("middleware", name))
        if definition is None:
            self.runtime.middlewares.pop(name, None)
            return
        assert isinstance(definition.value, Middleware)
        middleware = definition.value
        kind, problems = _contained(lambda: registry.check(middleware), lambda text: ("", [text]))
        # What is wrong with what is left of a definition is a mere consequence.
        errors = [*definition.errors, *self._refusal(Ref("middleware", name))] or problems
        members = self._references[Ref("middleware", name)]
        missing = [member.name for member in members if member not in self._definitions]
        errors += [f'middleware "{member}" does not exist' for member in missing]
        warnings = [] if errors else registry.notices(middleware)
        self.runtime.middlewares[name] = MiddlewareInfo(
            name,
            middleware,
            type=kind,
            status=_status(errors, warnings),
            errors=[*errors, *warnings],
        )

    def _resolve_service(self, name: str) -> bool:
        """Rebuild a runtime service; whether routers to it must be looked at again."""
        definition = self._definitions.get(Ref("service", name))
        old = self.runtime.services.pop(name, None)
        if definition is None:
            return self._faces.pop(name, None) is not None
        assert isinstance(definition.value, Service)
        service = definition.value
        errors = [*definition.errors, *self._refusal(Ref("service", name))]
        warnings: list[str] = []
        if provider_of(name) != "internal":
            errors = errors or _contained(lambda: services.problems(service), lambda text: [text])
            warnings += services.warnings(service)
        for ref in self._references[Ref("service", name)]:
            transport = self.runtime.transports.get(ref.name)
            if transport is None and ref.name == services.DEFAULT_TRANSPORT:
                continue
            if transport is None:
                errors.append(f'the servers transport "{ref.name}" does not exist')
            else:
                errors += transport.errors
                warnings += services.transport_warnings(transport.config)
        self.runtime.services[name] = ServiceInfo(
            name,
            service,
            status=_status(errors, warnings),
            errors=[*errors, *warnings],
            used_by=old.used_by if old is not None else [],
        )
        before = self._faces.get(name)
        self._faces[name] = face = tuple(errors) or self._needs(name, service)
        return face != before

    def _needs(self, name: str, service: Service) -> services.RouteNeeds:
        transport = services.transport_of(name, service, self.runtime.transports)
        return services.route_needs(service, transport)

    def _attached(self, router: Router) -> list[str]:
        """The entry points a router asks for, defaults applied; unknown names included."""
        if router.entry_points:
            return list(dict.fromkeys(router.entry_points))
        flagged = sorted(p.name for p in self._entry_points.values() if p.as_default)
        if flagged:
            return flagged
        return sorted(p.name for p in self._entry_points.values() if p.tcp and p.name != "traefik")

    def _own(self, router: Router) -> list[str]:
        """The entry points for which a router gets a copy of its own: those that have options
        for their routers, when there are others beside."""
        known = [p for p in self._attached(router) if p in self._entry_points]
        return [p for p in known if len(known) > 1 and self._entry_points[p].has_model]

    def _resolve_routers(self, names: Sequence[str]) -> set[str]:
        """Rebuild the runtime routers of defined routers; returns every name concerned."""
        touched: set[str] = set()
        for name in names:
            for copy in self._copies.pop(name, ()):
                self._unlink(self.runtime.routers.pop(copy))
                del self._origin[copy]
                touched.add(copy)
        for name in names:
            definition = self._definitions.get(Ref("router", name))
            if definition is None:
                continue
            assert isinstance(definition.value, Router)
            infos = self._router_infos(name, definition.value, definition.errors)
            self._copies[name] = [info.name for info in infos]
            for info in infos:
                self.runtime.routers[info.name] = info
                self._origin[info.name] = name
                self._link(info)
                touched.add(info.name)
        return touched

    def _copy(self, point: str, name: str) -> str:
        """The name of a router's copy for an entry point: Traefik's, unless it is taken."""
        copy = f"{point}-{name}"
        if Ref("router", copy) in self._definitions or copy in self._origin:
            base, _, provider = name.rpartition("@")
            return f"{base}~{point}@{provider}"
        return copy

    def _used_by(self, router: RouterInfo) -> Iterator[list[str]]:
        """The sorted used-by lists a router appears in."""
        if router.service in self.runtime.services:
            yield self.runtime.services[router.service].used_by
        for name in dict.fromkeys(router.config.middlewares):
            if name in self.runtime.middlewares:
                yield self.runtime.middlewares[name].used_by

    def _link(self, router: RouterInfo) -> None:
        for users in self._used_by(router):
            insort(users, router.name)

    def _unlink(self, router: RouterInfo) -> None:
        for users in self._used_by(router):
            at = bisect_left(users, router.name)
            if users[at : at + 1] == [router.name]:
                del users[at]

    def _router_infos(
        self, name: str, router: Router, provider_errors: Sequence[str]
    ) -> list[RouterInfo]:
        """One runtime router, or one per entry point that has options of its own.

        As in Traefik, a router on several entry points gets a copy ``<ep>-<router>`` for each
        that has a model, and the others share the plain name.
        """
        attached = self._attached(router)
        known = [p for p in attached if p in self._entry_points]
        unknown = [p for p in attached if p not in self._entry_points]
        own = self._own(router)
        groups: dict[str, list[str]] = {}
        for point in known:
            groups.setdefault(self._copy(point, name) if point in own else name, []).append(point)
        infos = []
        for copy, points in groups.items() or [(name, [])]:
            inherited = self._entry_points[points[0]].middlewares if points else ()
            infos.append(self._router_info(copy, router, points, inherited, provider_errors))
        for point in unknown:
            text = f'entryPoint "{point}" doesn\'t exist'
            infos[0].errors.append(text)
            infos[0].status = "warning" if infos[0].status == "enabled" else infos[0].status
        if unknown:  # they stay visible where they were asked for
            shown = [p for p in attached if p in unknown or p in infos[0].using]
            infos[0].config = msgspec.structs.replace(infos[0].config, entry_points=shown)
        if not known:
            infos[0].errors.append("no valid entryPoint for this router")
            infos[0].status = "disabled"
        return infos

    def _router_info(
        self,
        name: str,
        router: Router,
        points: list[str],
        inherited: Sequence[str],
        provider_errors: Sequence[str],
    ) -> RouterInfo:
        provider = provider_of(name)
        errors = [*provider_errors, *self._refusal(Ref("router", name))]
        middlewares = [qualify(m, provider) for m in (*inherited, *router.middlewares)]
        service = qualify(router.service, provider)
        priority = router.priority or len(router.rule.encode(errors="replace"))
        if router.rule or not errors:  # else there is none because it could not be made
            errors += _contained(lambda: _rule_problems(router.rule), lambda text: [text])
        if priority > MAX_USER_PRIORITY and provider != "internal":
            errors.append(
                f"the router priority {priority} exceeds the max user-defined priority"
                f" {MAX_USER_PRIORITY}"
            )
        errors += _unsupported(router)
        _, problems = self.flatten(middlewares)
        errors += problems
        target = self.runtime.services.get(service)
        if not router.service:
            errors.append("the service is missing on the router")
        elif target is None:
            errors.append(f'the service "{service}" does not exist')
        elif target.status == "disabled":
            errors += target.errors
        status: Status = "disabled" if errors else "enabled"
        config = msgspec.structs.replace(
            router,
            entry_points=points,
            middlewares=middlewares,
            observability=router.observability or Observability(),
        )
        return RouterInfo(name, config, priority, status, errors, sorted(points), service)

    def flatten(self, names: Iterable[str]) -> tuple[list[MiddlewareInfo], list[str]]:
        """Middlewares in running order with chains replaced by their members.

        Returns them with what is wrong: missing, disabled or recursive ones.
        """
        flat: list[MiddlewareInfo] = []
        problems: list[str] = []

        def visit(name: str, path: tuple[str, ...]) -> None:
            info = self.runtime.middlewares.get(name)
            if name in path:
                problems.append(
                    f"could not instantiate middleware {name}: recursion detected in "
                    + "->".join((*path, name))
                )
            elif info is None:
                problems.append(f'middleware "{name}" does not exist')
            elif info.status == "disabled":
                problems.extend(f'invalid middleware "{name}": {text}' for text in info.errors)
            elif info.type == "chain":
                for member in registry.references(info.config):
                    visit(qualify(member, provider_of(name)), (*path, name))
            else:
                flat.append(info)

        for name in names:
            visit(name, ())
        return flat, problems


_KINDS: Sequence[Kind] = ("serversTransport", "middleware", "service", "router")

T = TypeVar("T")


def _contained(check: Callable[[], T], report: Callable[[str], T]) -> T:
    """The result of a check. One that fails by a mistake of ours disables its object only."""
    try:
        return check()
    except Exception as error:
        log.exception("a check failed")
        return report(f"cannot be checked, please report this: {error!r}")


def _status(errors: Sequence[str], warnings: Sequence[str]) -> Status:
    return "disabled" if errors else "warning" if warnings else "enabled"


def _rule_problems(rule: str) -> list[str]:
    if not rule:
        return ["empty rule: write one such as Host(`example.com`)"]
    try:
        parse(rule)
    except RuleError as error:
        return [f"invalid rule {rule!r}: {error}"]
    return []


def _unsupported(router: Router) -> list[str]:
    """Options of a router that Traefik knows and that cannot be left out of the routing."""
    errors = []
    if router.tls is not None:
        errors.append("tls: TLS routers are not supported yet; remove tls to serve plain HTTP")
    if router.parent_refs is not None:
        errors.append("parentRefs: multi-layer routing is not supported yet")
    if router.rule_syntax not in ("", "v3", "default"):
        errors.append(
            f"ruleSyntax {router.rule_syntax!r} is not supported; write the rule in v3 syntax"
        )
    return errors
