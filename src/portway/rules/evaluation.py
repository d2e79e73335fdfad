"""Rules decided in Python: for the route explainer, and to check Envoy's matchers against."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote_to_bytes

import msgspec

from portway.rules.host import canonical_host, host_matches
from portway.rules.path import routing_path
from portway.rules.pattern import compile_pattern
from portway.rules.tree import And, Matcher, Node, Not, Or, Rule

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
UNSEEN = frozenset({"host", "transfer-encoding"})
"""Headers that no header matcher ever sees: Go's server takes them out."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Request(msgspec.Struct, frozen=True, dict=True):
    """A request as it stands on the wire, before anything is normalised."""

    method: str = "GET"
    host: str = ""  # as sent, with a port if there was one
    path: str = "/"  # as sent, without the query
    query: str = ""  # as sent, without the question mark
    headers: tuple[tuple[str, str], ...] = ()
    client_ip: str = "127.0.0.1"  # the peer of the connection

    @cached_property
    def canonical_host(self) -> str:
        """The host that host matchers see."""
        return canonical_host(self.host)

    @cached_property
    def routing_path(self) -> bytes:
        """The path that path matchers see."""
        return routing_path(self.path)

    @cached_property
    def parameters(self) -> dict[bytes, list[bytes]]:
        """The query's parameters, decoded; broken ones left out; ``;`` separates like ``&``."""
        found: dict[bytes, list[bytes]] = {}
        for pair in self.query.replace(";", "&").split("&"):
            if pair and not _BROKEN_ESCAPE.search(pair):
                name, _, value = pair.partition("=")
                found.setdefault(_unquote(name), []).append(_unquote(value))
        return found

    def header(self, name: str) -> list[str]:
        """All values of a header, without the white space around them."""
        wanted = name.lower()
        return [value.strip(" \t") for key, value in self.headers if key.lower() == wanted]


def _unquote(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " "))


def evaluate(rule: Rule, request: Request) -> bool:
    """Whether the rule matches the request, as in Traefik."""
    return node_holds(rule.tree, request)


def explain(rule: Rule, request: Request) -> str | None:
    """Why the rule does not match: the matcher that failed and what it saw. None if it matches."""
    return _failure(rule.tree, request, negated=False)


def node_holds(node: Node, request: Request) -> bool:
    """Whether a part of a rule matches."""
    match node:
        case And():
            return all(node_holds(term, request) for term in node.terms)
        case Or():
            return any(node_holds(term, request) for term in node.terms)
        case Not():
            return not node_holds(node.term, request)
        case Matcher():
            return matcher_holds(node.name, node.args, request)


def _failure(node: Node, request: Request, *, negated: bool) -> str | None:
    match node:
        case Not():
            return _failure(node.term, request, negated=not negated)
        case Matcher():
            if matcher_holds(node.name, node.args, request) != negated:
                return None
            return f"{'!' if negated else ''}{node} did not match {_seen(node, request)}"
        case _:
            reasons = [_failure(term, request, negated=negated) for term in node.terms]
    if isinstance(node, And) != negated:  # all terms are needed: the first that failed says why
        return next((reason for reason in reasons if reason), None)
    return None if None in reasons else "; ".join(filter(None, reasons))


def _seen(matcher: Matcher, request: Request) -> str:
    match matcher.name:
        case "Host" | "HostRegexp":
            return f"host {request.canonical_host}" if request.host else "a request without host"
        case "Path" | "PathPrefix" | "PathRegexp":
            return f"path {request.routing_path.decode(errors='backslashreplace')}"
        case "Method":
            return f"method {request.method}"
        case "Header" | "HeaderRegexp":
            values = request.header(matcher.args[0])
            shown = ", ".join(values) if values else "which is not there"
            return f"header {matcher.args[0]}{':' if values else ','} {shown}"
        case "Query" | "QueryRegexp":
            return f"query {request.query}" if request.query else "a request without query"
        case _:
            return f"client {request.client_ip}"


def matcher_holds(name: str, args: tuple[str, ...], request: Request) -> bool:
    """Whether one matcher matches."""
    return _HOLDS[name](args, request)


def _header_holds(args: tuple[str, ...], request: Request) -> bool:
    return header_is_seen(args[0]) and args[1] in request.header(args[0])


def _header_regexp_holds(args: tuple[str, ...], request: Request) -> bool:
    values = request.header(args[0]) if header_is_seen(args[0]) else []
    return any(found(args[1], value.encode(errors="surrogateescape")) for value in values)


def _query_holds(args: tuple[str, ...], request: Request) -> bool:
    # With one argument: the parameter is there and empty.
    return "".join(args[1:]).encode() in request.parameters.get(args[0].encode(), [])


def _query_regexp_holds(args: tuple[str, ...], request: Request) -> bool:
    if len(args) == 1:
        return _query_holds(args, request)
    return any(found(args[1], value) for value in request.parameters.get(args[0].encode(), []))


def _client_ip_holds(args: tuple[str, ...], request: Request) -> bool:
    peer = ip_address(request.client_ip.partition("%")[0])
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return peer in network_of(args[0])


_HOLDS: dict[str, Callable[[tuple[str, ...], Request], bool]] = {
    "Host": lambda args, request: host_matches(args[0], request.canonical_host),
    "HostRegexp": lambda args, request: host_pattern_holds(args[0], request.canonical_host),
    "Path": lambda args, request: request.routing_path == args[0].encode(),
    "PathPrefix": lambda args, request: request.routing_path.startswith(args[0].encode()),
    "PathRegexp": lambda args, request: found(args[0], request.routing_path),
    "Method": lambda args, request: request.method == args[0].upper(),
    "Header": _header_holds,
    "HeaderRegexp": _header_regexp_holds,
    "Query": _query_holds,
    "QueryRegexp": _query_regexp_holds,
    "ClientIP": _client_ip_holds,
}


def found(pattern: str, value: bytes) -> bool:
    """Whether a Go expression, which is not anchored, matches somewhere in the value."""
    return compile_pattern(pattern).search(value) is not None


def host_pattern_holds(pattern: str, host: str) -> bool:
    """Whether ``HostRegexp`` matches. Traefik also tries the host that CNAME flattening found,
    which is empty without it: a pattern that matches the empty string matches every host."""
    return found(pattern, host.encode(errors="surrogateescape")) or found(pattern, b"")


def header_is_seen(name: str) -> bool:
    """Whether a request can have a header of this name that matchers see."""
    return name.lower() not in UNSEEN and _TOKEN.fullmatch(name) is not None


def network_of(text: str) -> IPv4Network | IPv6Network:
    """The network of a ``ClientIP``; IPv4 addresses in IPv6 form count as IPv4."""
    network = ip_network(text, strict=False)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network
