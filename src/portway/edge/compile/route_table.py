"""Route tables: one per entry point, exact hosts as virtual hosts found by hash.

Within a virtual host the routes stand in order of priority. Rules that name no exact host are
repeated in every virtual host whose name they can match, so that priorities hold across hosts;
everything behind a route without conditions is unreachable and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption

from portway.edge import pipeline
from portway.edge.compile.wire import field
from portway.edge.services import retries
from portway.envoy.resource import ROUTES, Resource
from portway.rules import Alternative, is_unconditional, route_match

CATCH_ALL = "*"

# Field numbers of envoy.config.route.v3 messages.
_CONFIG_NAME, _CONFIG_VHOSTS, _CONFIG_ADDED_HEADERS, _CONFIG_REMOVED_HEADERS = 1, 2, 6, 8
_VHOST_NAME, _VHOST_DOMAINS, _VHOST_ROUTES = 1, 2, 3
_ROUTE_MATCH = 1
# ignore_port_in_host_matching = true: `Host: a.test:8080` reaches the router of a.test.
_IGNORE_PORT = b"\x70\x01"

# What never reaches a server: Envoy's own remarks on who called (Traefik's servers know
# X-Real-Ip), the hop-by-hop headers that Envoy passes on (RFC 9110 section 7.6.1), and what
# our own filters tell each other.
_REMOVED_HEADERS = b"".join(
    field(_CONFIG_REMOVED_HEADERS, name)
    for name in (
        "x-envoy-external-address",
        "x-envoy-internal",
        "proxy-authorization",
        "trailer",
        *pipeline.PRIVATE_HEADERS,
    )
)

# Any reset is a reason to try again unless something said otherwise; see services.retries.
_RETRY_HEADER = field(
    _CONFIG_ADDED_HEADERS,
    HeaderValueOption(
        header=HeaderValue(key=retries.HEADER, value=retries.REPEATABLE),
        append_action=HeaderValueOption.ADD_IF_ABSENT,
    ).SerializeToString(),
)

_SETTINGS = _RETRY_HEADER + _REMOVED_HEADERS + _IGNORE_PORT

Order = tuple[int, int, str]


class CompiledRouter(NamedTuple):
    """A router ready to be placed: its rank, its rule's alternatives and its action.

    ``route`` is a serialised ``Route`` message without a match.
    """

    order: Order
    alternatives: tuple[Alternative, ...]
    route: bytes

    def hosts(self) -> set[str | None]:
        """The exact hosts it demands; None stands for rules that demand no exact host."""
        return {alternative.host for alternative in self.alternatives}


class RouteTable:
    """The routes of one entry point, rebuilt only where routers changed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._routers: dict[str, CompiledRouter] = {}
        self._by_host: dict[str | None, dict[str, CompiledRouter]] = {None: {}}
        self._built: dict[str, bytes] = {}
        self._stale: set[str] = {CATCH_ALL}

    @property
    def routers(self) -> Mapping[str, CompiledRouter]:
        """The routers it has."""
        return self._routers

    def put(self, name: str, router: CompiledRouter | None) -> bool:
        """Place, replace or remove (None) a router; whether that changes anything."""
        old = self._routers.get(name)
        if old == router:
            return False
        if old is not None:
            for host in old.hosts():
                self._by_host[host].pop(name)
                self._touch(host)
                if host is not None and not self._by_host[host]:
                    del self._by_host[host]
        if router is None:
            del self._routers[name]
        else:
            self._routers[name] = router
            for host in router.hosts():
                self._by_host.setdefault(host, {})[name] = router
                self._touch(host)
        return True

    @property
    def changed(self) -> bool:
        """Whether :meth:`build` would differ from its last answer."""
        return bool(self._stale)

    def build(self) -> Resource:
        """The RouteConfiguration, with only the stale virtual hosts made anew."""
        for host in self._stale:
            if host == CATCH_ALL:
                self._built[host] = self._virtual_host(CATCH_ALL, None)
            elif host in self._by_host:
                self._built[host] = self._virtual_host(host, host)
            else:
                self._built.pop(host, None)
        self._stale = set()
        # In a fixed order: a control process that restarts must make the very same table.
        hosts = (self._built[host] for host in sorted(self._built))
        body = b"".join((field(_CONFIG_NAME, self.name), *hosts, _SETTINGS))
        return Resource.of(ROUTES, self.name, body)

    def _touch(self, host: str | None) -> None:
        if host is None:
            self._stale.update(h for h in self._by_host if h is not None)
            self._stale.add(CATCH_ALL)
        else:
            self._stale.add(host)

    def _virtual_host(self, name: str, host: str | None) -> bytes:
        domains = [name] if host is None else [name, f"{name}."]
        parts = [field(_VHOST_NAME, name), *(field(_VHOST_DOMAINS, d) for d in domains)]
        parts += (field(_VHOST_ROUTES, route) for route in self._routes(host))
        return field(_CONFIG_VHOSTS, b"".join(parts))

    def _routes(self, host: str | None) -> Iterator[bytes]:
        routers = dict(self._by_host[None])
        if host is not None:
            routers.update(self._by_host[host])
        for router in sorted(routers.values(), key=lambda router: router.order):
            for alternative in router.alternatives:
                if alternative.host is not None and alternative.host != host:
                    continue
                match = route_match(alternative, host)
                if match is None:
                    continue
                yield field(_ROUTE_MATCH, match.SerializeToString()) + router.route
                if is_unconditional(match):
                    return
