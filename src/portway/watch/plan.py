"""What a watch asks for: its type and parameters, as a path and query of the HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Query = tuple[tuple[str, str], ...]
Position = Literal["index", "events", "hash"]


class WatchError(ValueError):
    """A watch that cannot be: an unknown type, or parameters that it does not take."""


@dataclass(frozen=True)
class Plan:
    """A watch that is understood.

    ``path`` is below ``/v1``, not yet quoted. ``position`` says how a blocking query goes on: by
    ``X-Consul-Index``; by the index of events, which does not grow; by ``X-Consul-ContentHash``.
    """

    type: str
    path: str
    query: Query = ()
    position: Position = "index"
    may_miss: bool = False
    """Whether a 404 is an answer: there is nothing."""


def plan(kind: str, parameters: Mapping[str, Any]) -> Plan:
    """The plan of a watch of type ``kind``; parameters have the names of the configuration.

    Every type takes ``datacenter`` and ``stale``. Raises WatchError on an unknown type, and on a
    parameter that lacks, is of another type, or is not one of the type's.
    """
    if not kind:
        raise WatchError("Watch type must be specified")
    make = TYPES.get(kind)
    if make is None:
        raise WatchError(f"Unsupported watch type: {kind}; valid: {', '.join(TYPES)}")
    given = _Parameters(parameters)
    common = _said(("dc", given.text("datacenter")))
    stale: Query = (("stale", ""),) if given.switch("stale") else ()
    made = make(given)
    given.nothing_else()
    return replace(made, type=kind, query=(*common, *made.query, *stale))


class _Parameters:
    """Parameters, taken one by one; what nobody took is wrong."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._left = {name: value for name, value in given.items() if value is not None}

    def text(self, name: str) -> str:
        value = self._left.pop(name, "")
        if not isinstance(value, str):
            raise WatchError(f"Expecting {name} to be a string, not {value!r}")
        return value

    def needed(self, name: str, message: str) -> str:
        value = self.text(name)
        if not value:
            raise WatchError(message)
        return value

    def switch(self, name: str) -> bool:
        value = self._left.pop(name, False)
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise WatchError(f"Expecting {name} to be a boolean, not {value!r}")
        return value

    def texts(self, name: str) -> list[str]:
        value = self._left.pop(name, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            raise WatchError(f"Expecting {name} to be a string or a list of strings, not {value!r}")
        return values

    def nothing_else(self) -> None:
        if self._left:
            raise WatchError(f"Invalid parameters: {', '.join(sorted(self._left))}")


def _said(*pairs: tuple[str, str]) -> Query:
    return tuple(pair for pair in pairs if pair[1])


def _key(given: _Parameters) -> Plan:
    key = given.needed("key", "Must specify a single key to watch")
    return Plan("", f"kv/{key}", may_miss=True)


def _keyprefix(given: _Parameters) -> Plan:
    prefix = given.needed("prefix", "Must specify a single prefix to watch")
    return Plan("", f"kv/{prefix}", (("recurse", ""),), may_miss=True)


def _services(given: _Parameters) -> Plan:
    return Plan("", "catalog/services", _said(("filter", given.text("filter"))))


def _nodes(given: _Parameters) -> Plan:
    return Plan("", "catalog/nodes", _said(("filter", given.text("filter"))))


def _service(given: _Parameters) -> Plan:
    name = given.needed("service", "Must specify a single service to watch")
    tags = [("tag", tag) for tag in given.texts("tag")]
    passing = [("passing", "1")] if given.switch("passingonly") else []
    query = (*tags, *passing, *_said(("filter", given.text("filter"))))
    return Plan("", f"health/service/{name}", query)


def _checks(given: _Parameters) -> Plan:
    service, state = given.text("service"), given.text("state")
    if service and state:
        raise WatchError("Cannot specify service and state")
    path = f"health/checks/{service}" if service else f"health/state/{state or 'any'}"
    return Plan("", path, _said(("filter", given.text("filter"))))


def _event(given: _Parameters) -> Plan:
    return Plan("", "event/list", _said(("name", given.text("name"))), "events")


def _connect_roots(given: _Parameters) -> Plan:
    del given
    return Plan("", "agent/connect/ca/roots")


def _connect_leaf(given: _Parameters) -> Plan:
    name = given.needed("service", "Must specify a single service to watch")
    return Plan("", f"agent/connect/ca/leaf/{name}")


def _agent_service(given: _Parameters) -> Plan:
    name = given.needed("service_id", "Must specify a single service ID to watch")
    return Plan("", f"agent/service/{name}", position="hash")


TYPES: dict[str, Callable[[_Parameters], Plan]] = {
    "key": _key,
    "keyprefix": _keyprefix,
    "services": _services,
    "nodes": _nodes,
    "service": _service,
    "checks": _checks,
    "event": _event,
    "connect_roots": _connect_roots,
    "connect_leaf": _connect_leaf,
    "agent_service": _agent_service,
}
