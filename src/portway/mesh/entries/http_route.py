"""``http-route``: which requests at API gateways go to which services."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.mesh.entries.entry import WILDCARD, Entry, EntryError, Nanoseconds, check_meta
from portway.mesh.entries.hostname import is_hostname
from portway.mesh.entries.http import METHODS, check_regex
from portway.mesh.entries.references import (
    NO_STATUS,
    Reference,
    Status,
    check_parents,
    with_kind,
)

_PATHS = ("exact", "prefix", "regex")
_QUERIES = ("exact", "present", "regex")
_HEADERS = ("exact", "prefix", "present", "regex", "suffix")


class NamedMatch(Wire):
    """What a header or query parameter must be."""

    match: str
    name: str
    value: str


class PathMatch(Wire):
    """What the path must be."""

    match: str
    value: str


class HTTPMatch(Wire):
    """What a request must be; all of it must hold. No method is any."""

    headers: list[NamedMatch] | None
    method: str
    path: PathMatch
    query: list[NamedMatch] | None


class HeaderFilter(Wire):
    """Headers to add, to remove, and to put in the place of others."""

    add: dict[str, str] | None
    remove: list[str] | None
    set: dict[str, str] | None


class URLRewrite(Wire):
    """What takes the place of the part of the path that matched."""

    path: str


class RetryFilter(Wire):
    """Which requests are sent again."""

    num_retries: int | None
    retry_on: list[str] | None
    retry_on_status_codes: list[int] | None
    retry_on_connect_failure: bool | None


class TimeoutFilter(Wire):
    """How long a request may take, and be silent."""

    request_timeout: Nanoseconds
    idle_timeout: Nanoseconds


class Filters(Wire):
    """What is done to requests on their way."""

    headers: list[HeaderFilter] | None
    url_rewrite: URLRewrite | None
    retry_filter: RetryFilter | None
    timeout_filter: TimeoutFilter | None
    jwt: dict[str, Any] | None


class ResponseFilters(Wire):
    """What is done to answers on their way."""

    headers: list[HeaderFilter] | None


class HTTPService(Wire):
    """A service with its share of the requests, in relation to the others'."""

    name: str
    weight: int
    filters: Filters
    response_filters: ResponseFilters


class Rule(Wire):
    """Requests that match one of some matches, and where they go."""

    filters: Filters
    response_filters: ResponseFilters
    matches: list[HTTPMatch] | None
    services: list[HTTPService] | None


class HTTPRoute(Entry, tag="http-route"):
    """Rules for some hosts, at the gateways or listeners that are its parents."""

    read_access = "mesh"
    write_access = "mesh"

    name: str
    parents: list[Reference] | None
    rules: list[Rule] | None
    hostnames: list[str] | None
    status: Status

    def normalized(self) -> HTTPRoute:
        return replace(
            self,
            parents=with_kind(self.parents, "api-gateway"),
            rules=self.rules and [_normalized(rule) for rule in self.rules],
            status=NO_STATUS,
        )

    def check(self) -> None:
        for host in self.hostnames or ():
            if not is_hostname(host):
                raise EntryError(f'host "{host}" must be a valid DNS hostname')
            if WILDCARD in host:
                raise EntryError(f'host "{host}" must not be a wildcard')
        check_parents(self.parents or ())
        check_meta(self.meta)
        for index, rule in enumerate(self.rules or ()):
            if any(one.jwt for one in (rule.filters, *(to.filters for to in rule.services or ()))):
                raise EntryError(
                    f"Rule[{index}], Filters, JWT: api-gateway jwt validation is a consul "
                    "enterprise feature"
                )
            for position, match in enumerate(rule.matches or ()):
                _check_match(match, f"Rule[{index}], Match[{position}]")


def _normalized(rule: Rule) -> Rule:
    matches = rule.matches and [
        replace(
            match,
            method=match.method.upper(),
            path=match.path if match.path.match else PathMatch("prefix", "/"),
        )
        for match in rule.matches
    ]
    services = rule.services and [
        replace(service, weight=service.weight if service.weight > 0 else 1)
        for service in rule.services
    ]
    return replace(rule, matches=matches, services=services)


def _check_match(match: HTTPMatch, where: str) -> None:
    if match.method and match.method not in METHODS:
        raise EntryError(f'{where}, Method contains an invalid method "{match.method}"')
    for index, query in enumerate(match.query or ()):
        here = f"{where}, Query[{index}]"
        _check_named(query, _QUERIES, "present, exact, or regex", here)
    for index, header in enumerate(match.headers or ()):
        here = f"{where}, Headers[{index}]"
        _check_named(header, _HEADERS, "present, exact, prefix, suffix, or regex", here)
    path = match.path
    if path.match not in _PATHS:
        raise EntryError(f"{where}, Path, match type should be one of exact, prefix, or regex")
    if path.match == "regex":
        check_regex(path.value, f"{where}, Path")
    elif not path.value.startswith("/"):
        raise EntryError(
            f"{where}, Path, {path.match} type match doesn't start with '/': \"{path.value}\""
        )


def _check_named(match: NamedMatch, valid: tuple[str, ...], listed: str, where: str) -> None:
    if not match.name:
        raise EntryError(f"{where}, missing required Name field")
    if match.match not in valid:
        raise EntryError(f"{where}, match type should be one of {listed}")
    if match.match == "regex":
        check_regex(match.value, where)
