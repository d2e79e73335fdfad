"""The internal provider: routers, middlewares and services that follow from static options."""

from __future__ import annotations

import re

from portway.edge import services
from portway.edge.dynamic import Middleware, Router, Service
from portway.edge.middlewares import RedirectScheme
from portway.edge.providers.provider import Change, Report
from portway.edge.static import EntryPoint, Static

NAME = "internal"
MAX_PRIORITY = 2**63 - 1


def report(static: Static) -> Report:
    """The one report of the internal provider. Names and priorities are Traefik's."""
    transport = services.default_transport(static.servers_transport)
    changes = [Change("serversTransport", "default", transport), _service("noop")]
    for name, point in static.entry_points.items():
        changes += _redirection(name, point, static)
    if static.ping is not None:
        changes.append(_service("ping"))
        if not static.ping.manual_routing:
            changes.append(
                _router("ping", static.ping.entry_point, "/ping", MAX_PRIORITY, "ping@internal")
            )
    if static.api is not None:
        changes.append(_service("api"))
        if static.api.insecure:
            prefix = static.api.base_path.rstrip("/") + "/api"
            changes.append(_router("api", "traefik", prefix, MAX_PRIORITY - 1, "api@internal"))
    return Report(NAME, changes)


def _service(name: str) -> Change:
    return Change("service", name, Service())


def _router(name: str, entry_point: str, prefix: str, priority: int, service: str) -> Change:
    router = Router(
        entry_points=[entry_point],
        rule=f"PathPrefix(`{prefix}`)",
        priority=priority,
        service=service,
    )
    return Change("router", name, router)


def _redirection(name: str, point: EntryPoint, static: Static) -> list[Change]:
    redirections = point.http.redirections if point.http is not None else None
    target = redirections.entry_point if redirections is not None else None
    if target is None or not target.to:
        return []
    port = target.to.removeprefix(":")
    if not target.to.startswith(":"):
        port = str(static.entry_points[target.to].listen.port)
    redirect = RedirectScheme(scheme=target.scheme, port=port, permanent=target.permanent)
    # Traefik normalises the name: letters and digits, joined by hyphens.
    router_name = "-".join(re.findall(r"[^\W_]+", f"{name}-to-{target.to}"))
    middleware = f"redirect-{router_name}"
    router = Router(
        entry_points=[name],
        middlewares=[middleware],
        service="noop@internal",
        rule="HostRegexp(`^.+$`)",
        priority=target.priority,
    )
    return [
        Change("middleware", middleware, Middleware(redirect_scheme=redirect)),
        Change("router", router_name, router),
    ]
