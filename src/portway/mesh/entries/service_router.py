"""``service-router``: which requests to a service go to which service."""

from __future__ import annotations

from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.mesh.entries.entry import Entry, EntryError, GoDuration, check_meta, require_name
from portway.mesh.entries.http import (
    HeaderMatch,
    HeaderModifiers,
    check_headers,
    check_methods,
    check_path,
    check_regex,
    upper,
)

RETRY_CONDITIONS = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
)
"""Of Envoy, for HTTP and gRPC."""


class QueryParamMatch(Wire):
    """What a query parameter must be: exactly one of present, exact or regex."""

    name: str
    present: bool = False
    exact: str = ""
    regex: str = ""


class HTTPMatch(Wire):
    """What a request must be to take a route; all of it must hold."""

    path_exact: str = ""
    path_prefix: str = ""
    path_regex: str = ""
    case_insensitive: bool = False
    header: list[HeaderMatch] = []
    query_param: list[QueryParamMatch] = []
    methods: list[str] = []

    def check(self, where: str) -> None:
        """Raise EntryError unless each part can match."""
        check_path(self, where)
        check_headers(self.header, f"{where} ")
        for index, parameter in enumerate(self.query_param):
            here = f"{where} QueryParam[{index}]"
            if not parameter.name:
                raise EntryError(f"{here} missing required Name field")
            if sum(map(bool, (parameter.present, parameter.exact, parameter.regex))) != 1:
                raise EntryError(f"{here} should only contain one of Present, Exact, or Regex")
            check_regex(parameter.regex, f"{here}.Regex")
        check_methods(self.methods, f"{where} ")


class RouteMatch(Wire):
    """The match of a route, by protocol."""

    http: HTTPMatch | None = None


class RouteDestination(Wire):
    """Where the requests of a route go, and how; no service is the router's own."""

    service: str = ""
    service_subset: str = ""
    prefix_rewrite: str = ""
    request_timeout: GoDuration = GoDuration("")
    idle_timeout: GoDuration = GoDuration("")
    num_retries: int = 0
    retry_on_connect_failure: bool = False
    retry_on: list[str] = []
    retry_on_status_codes: list[int] = []
    request_headers: HeaderModifiers | None = None
    response_headers: HeaderModifiers | None = None


class Route(Wire):
    """One route; without a match it takes every request."""

    match: RouteMatch | None = None
    destination: RouteDestination | None = None


class ServiceRouter(Entry, tag="service-router"):
    """Routes of a service, tried in order; what none takes goes to the service itself."""

    name: str
    routes: list[Route] | None

    def normalized(self) -> ServiceRouter:
        return replace(self, routes=self.routes and [_normalized(route) for route in self.routes])

    def check(self) -> None:
        require_name(self.name)
        check_meta(self.meta)
        for index, route in enumerate(self.routes or ()):
            _check(route, f"Route[{index}]")

    def reaches(self) -> list[str]:
        destinations = [route.destination for route in self.routes or ()]
        names = {one.service for one in destinations if one and one.service}
        return sorted(names - {self.name})


def _normalized(route: Route) -> Route:
    http = route.match and route.match.http
    if not http:
        return route
    return replace(route, match=RouteMatch(replace(http, methods=upper(http.methods))))


def _check(route: Route, where: str) -> None:
    http = route.match and route.match.http
    if http:
        http.check(where)
    destination = route.destination
    if destination is None:
        return
    if destination.prefix_rewrite and not (http and (http.path_exact or http.path_prefix)):
        raise EntryError(
            f"{where} cannot make use of PrefixRewrite without configuring either PathExact or "
            "PathPrefix"
        )
    for condition in destination.retry_on:
        if condition not in RETRY_CONDITIONS:
            raise EntryError(f'{where} contains an invalid retry condition: "{condition}"')
    for field in ("request_timeout", "idle_timeout"):
        if getattr(destination, field).startswith("-"):
            raise EntryError(f"{where} has a negative {field}")
    if destination.num_retries < 0:
        raise EntryError(f"{where} has a negative num_retries")
