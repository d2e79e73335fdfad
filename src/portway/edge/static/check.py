"""What a static configuration must satisfy beyond its types, and what is refused at start."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from portway.config import Problem, Table, Tree, nearest, place
from portway.edge.static.address import Address
from portway.edge.static.options import PRECEDENCE, EntryPoint, Static

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "PANIC")
_BASE_PATH = re.compile(r"/[a-zA-Z0-9/_.:~-]*")
_NO_TLS = "TLS on entry points is not supported yet, and plain HTTP in its place would be unsafe"

# Options without which traffic would be less protected than the user asked: the start is
# refused. ``*`` stands for any name.
_REFUSED = {
    "entrypoints.*.http.tls": _NO_TLS,
    "entrypoints.*.proxyprotocol": (
        "PROXY protocol is not supported yet, and every client address would be wrong"
    ),
    "entrypoints.*.http3": "HTTP/3 needs TLS, which is not supported yet",
}

_TRACER = "removed in v3: this tracing backend no longer exists; use tracing.otlp"
_CA_OPTIONAL = "removed in v3: it is an option of servers, not of clients; remove it"
_NAMESPACE = "removed in v3; use namespaces, a list"
_REMOVED = {
    "pilot": "removed in v3; remove it",
    "providers.marathon": "removed in v3: this provider no longer exists; remove it",
    "providers.rancher": "removed in v3: this provider no longer exists; remove it",
    "providers.docker.swarmmode": "removed in v3; use providers.swarm",
    "providers.consul.namespace": _NAMESPACE,
    "providers.consulcatalog.namespace": _NAMESPACE,
    "providers.nomad.namespace": _NAMESPACE,
    "providers.*.tls.caoptional": _CA_OPTIONAL,
    "providers.*.endpoint.tls.caoptional": _CA_OPTIONAL,
    "experimental.http3": "removed in v3: HTTP/3 is no longer experimental; remove it",
    "tracing.spannamelimit": "removed in v3: span names have a fixed length; remove it",
    "tracing.jaeger": _TRACER,
    "tracing.zipkin": _TRACER,
    "tracing.datadog": _TRACER,
    "tracing.instana": _TRACER,
    "tracing.haystack": _TRACER,
    "tracing.elastic": _TRACER,
}


class _Place(NamedTuple):
    """Turns a path into a problem at the place where the user wrote it."""

    source: str
    tree: Table

    def problem(self, path: str, message: str) -> Problem:
        return self.at(path.split("."), message)

    def at(self, path: Sequence[str], message: str) -> Problem:
        found, depth = place(self.tree, path)
        if not isinstance(found, str):
            return Problem(self.source, found, ".".join(path), message)
        # A key that was not given is not blamed on a distant relative that was.
        key = found if depth >= len(path) - 1 else ".".join(path)
        return Problem(self.source, None, key, message)


def removed(tree: Table, source: str) -> list[Problem]:
    """Options of Traefik v2 that v3 removed: Traefik refuses to start with them."""
    where = _Place(source, tree)
    return [
        where.at(path, f"incompatible deprecated install configuration option found: {message}")
        for pattern, message in _REMOVED.items()
        for path in _matches(tree, pattern.split("."))
    ]


def refused(tree: Table, source: str) -> list[Problem]:
    """Options that cannot be passed over without making the user's traffic less safe."""
    where = _Place(source, tree)
    return [
        where.at(path, message)
        for pattern, message in _REFUSED.items()
        for path in _matches(tree, pattern.split("."))
    ]


def _matches(tree: Tree, pattern: Sequence[str]) -> Iterator[tuple[str, ...]]:
    if not pattern:
        value = tree.value if isinstance(tree, Table) else tree
        if value is not None or isinstance(tree, Table):
            off = value is False or (isinstance(value, str) and value.lower() in ("false", "0"))
            if not off:
                yield ()
        return
    if not isinstance(tree, dict):
        return
    for key, child in tree.items():
        if pattern[0] in ("*", key.lower()):
            for rest in _matches(child, pattern[1:]):
                yield (key, *rest)


def check(static: Static, tree: Table, source: str) -> list[Problem]:
    """Every fatal problem of a configuration that decoded without one."""
    where = _Place(source, tree)
    problems = _entry_points(static, where)
    for name in static.providers.precedence:
        if name not in PRECEDENCE:
            message = f'provider "{name}" is not a valid provider name{nearest(name, PRECEDENCE)}'
            problems.append(where.problem("providers.precedence", message))
    syntax = static.core.default_rule_syntax
    if syntax not in ("v2", "v3"):
        message = f"unsupported default rule syntax configuration: {syntax!r}; write v3"
        problems.append(where.problem("core.defaultRuleSyntax", message))
    if static.api is not None and not _BASE_PATH.fullmatch(static.api.base_path):
        message = (
            f"API basePath must be a valid absolute URL path, not {static.api.base_path!r}; "
            "begin it with / and use letters, digits and / _ . : ~ -"
        )
        problems.append(where.problem("api.basePath", message))
    file = static.providers.file
    if file is not None and bool(file.directory) == bool(file.filename):
        message = "set either filename or directory"
        problems.append(where.problem("providers.file", message))
    return problems


def _entry_points(static: Static, where: _Place) -> list[Problem]:
    problems: list[Problem] = []
    taken: dict[str, Address] = {}
    for name, point in static.entry_points.items():
        path = f"entryPoints.{name}.address"
        if not point.address:
            problems.append(where.problem(path, "the address is missing; write [host]:port"))
            continue
        try:
            address = point.listen
        except ValueError as error:
            problems.append(where.problem(path, str(error)))
            continue
        if address.protocol == "udp":
            problems.append(where.problem(path, "UDP entry points are not supported yet"))
        for other, listen in taken.items():
            both = point.reuse_port and static.entry_points[other].reuse_port
            if address.clashes(listen) and not both:
                message = f"address {address} is already taken by entry point {other} ({listen})"
                if place(where.tree, ("entryPoints", name))[1] < 2:
                    message += f"; {name} is there for api.insecure or ping, move one of them"
                problems.append(where.problem(path, message))
        taken[name] = address
        problems += _entry_point_options(name, point, static, where)
    return problems


def _entry_point_options(
    name: str, point: EntryPoint, static: Static, where: _Place
) -> Iterator[Problem]:
    base = f"entryPoints.{name}"
    for trusted in point.forwarded_headers.trusted_ips:
        try:
            ipaddress.ip_network(trusted, strict=False)
        except ValueError:
            yield where.problem(
                f"{base}.forwardedHeaders.trustedIPs",
                f"{trusted!r} is not an address or network; write 10.0.0.1 or 10.0.0.0/8",
            )
    redirections = point.http.redirections
    target = redirections.entry_point if redirections is not None else None
    if target is not None:
        yield from _redirection(f"{base}.http.redirections.entryPoint", target.to, static, where)
    for option, strategy in (
        ("underscoreHeadersStrategy", point.http.underscore_headers_strategy),
        ("aliasHeadersStrategy", point.http.alias_headers_strategy),
    ):
        if strategy not in ("", "keep"):
            yield where.problem(
                f"{base}.http.{option}",
                f"{strategy!r} is not supported yet, and headers would pass that it stops; "
                "write keep",
            )
    characters = point.http.encoded_characters
    if characters is not None and not all(msgspec.structs.astuple(characters)):
        yield where.problem(
            f"{base}.http.encodedCharacters",
            "refusing encoded characters is not supported yet, and they would pass",
        )


def _redirection(path: str, to: str, static: Static, where: _Place) -> Iterator[Problem]:
    if not to:
        message = "the entry point or the port is missing; set to=websecure or to=:443"
        yield where.problem(path, message)
    elif to.startswith(":"):
        try:
            Address.parse(to)
        except ValueError as error:
            yield where.problem(f"{path}.to", str(error))
    elif to not in static.entry_points:
        hint = nearest(to, static.entry_points)
        message = f"'to' references a non-existing entry point: {to}{hint}"
        yield where.problem(f"{path}.to", message)
