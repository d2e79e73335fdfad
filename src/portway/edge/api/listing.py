"""Lists of the API: filters, order and pages, with Traefik's parameters and messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from portway.edge.api.render import priority, provider_of
from portway.edge.runtime import MiddlewareInfo, RouterInfo, ServiceInfo
from portway.edge.services import kind

Item = TypeVar("Item", RouterInfo, ServiceInfo, MiddlewareInfo)
Query = Mapping[str, str]

_PER_PAGE = 100
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class Page(NamedTuple):
    """A slice of a list and the number of the page after it; 1 after the last."""

    start: int
    end: int
    following: int


class PageError(ValueError):
    """The page asked for does not exist; the text is the API's message."""


def page(query: Query, total: int) -> Page:
    """The slice of ``total`` items that ``page`` and ``per_page`` ask for.

    Raises PageError.
    """
    size = _positive(query, "per_page", _PER_PAGE)
    number = _positive(query, "page", 1)
    start = (number - 1) * size
    if start != 0 and start >= total:
        raise PageError(f"invalid request: page: {number}, per_page: {size}")
    following = number + 1 if number * size < total else 1
    return Page(start, min(start + size, total), following)


def _positive(query: Query, name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    value = int(text) if _INTEGER.fullmatch(text) else 0
    if value <= 0:
        raise PageError(f"invalid request: {name}: {value}")
    return value


def _status_fits(status: str, query: Query) -> bool:
    wanted = query.get("status", "")
    return not wanted or wanted.lower() == status


def _found(query: Query, *texts: str) -> bool:
    wanted = query.get("search", "").lower()
    return not wanted or any(wanted in text.lower() for text in texts)


def _service_fits(service: str, query: Query) -> bool:
    """A service named without provider fits ``serviceName`` whatever provider that has."""
    wanted = query.get("serviceName", "")
    return not wanted or service == (wanted if "@" in service else wanted.partition("@")[0])


def routers(infos: Mapping[str, RouterInfo], query: Query) -> list[RouterInfo]:
    """The routers a query selects, in its order."""
    wanted = query.get("middlewareName", "")
    kept = [
        info
        for info in infos.values()
        if _status_fits(info.status, query)
        and _found(query, info.config.rule, info.name)
        and _service_fits(info.config.service, query)
        and (not wanted or wanted in info.config.middlewares)
    ]
    return _sorted(kept, query, _ROUTER_ORDER)


def services(infos: Mapping[str, ServiceInfo], query: Query) -> list[ServiceInfo]:
    """The services a query selects, in its order."""
    kept = [i for i in infos.values() if _status_fits(i.status, query) and _found(query, i.name)]
    return _sorted(kept, query, _SERVICE_ORDER)


def middlewares(infos: Mapping[str, MiddlewareInfo], query: Query) -> list[MiddlewareInfo]:
    """The middlewares a query selects, in its order."""
    kept = [i for i in infos.values() if _status_fits(i.status, query) and _found(query, i.name)]
    return _sorted(kept, query, _MIDDLEWARE_ORDER)


_ROUTER_ORDER: dict[str, Callable[[RouterInfo], Any]] = {
    "provider": lambda info: provider_of(info.name),
    "priority": priority,
    "status": lambda info: info.status,
    "rule": lambda info: info.config.rule,
    "service": lambda info: info.config.service,
    "entryPoints": lambda info: len(info.config.entry_points),
}
_SERVICE_ORDER: dict[str, Callable[[ServiceInfo], Any]] = {
    "provider": lambda info: provider_of(info.name),
    "status": lambda info: info.status,
    "type": lambda info: kind(info.config).lower(),
    "servers": lambda info: (
        len(info.config.load_balancer.servers) if info.config.load_balancer else 0
    ),
}
_MIDDLEWARE_ORDER: dict[str, Callable[[MiddlewareInfo], Any]] = {
    "provider": lambda info: provider_of(info.name),
    "status": lambda info: info.status,
    "type": lambda info: info.type.lower(),
}


def _sorted(
    items: Sequence[Item], query: Query, orders: Mapping[str, Callable[[Item], Any]]
) -> list[Item]:
    """Ordered by ``sortBy`` and name; any ``direction`` but ``asc`` is descending."""
    descending = query.get("direction", "") not in ("", "asc")
    order = orders.get(query.get("sortBy", ""))
    if order is None:
        return sorted(items, key=lambda item: item.name, reverse=descending)
    return sorted(items, key=lambda item: (order(item), item.name), reverse=descending)
