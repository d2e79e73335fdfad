"""Execution: from the name of a prepared query to the instances it finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from portway.discovery.acl import Authorizer
from portway.discovery.model import CRITICAL, PASSING
from portway.discovery.model.queries import PreparedQuery, ServiceQuery
from portway.discovery.queries.template import TemplateError, render
from portway.discovery.state import Host, Instance

if TYPE_CHECKING:
    from portway.discovery.server import Server

_NEAREST_WITHIN = 10  # how deep the node that was asked for is looked for after sorting


class QueryNotFoundError(Exception):
    """No query answers to this name."""

    def __init__(self) -> None:
        super().__init__("Query not found")


class Source(NamedTuple):
    """Who asks, for sorting by distance."""

    agent: str
    """The node of the agent that was asked."""
    near: str = ""
    """The node asked for: a name, ``_agent``, ``_ip``, or none for what the query says."""
    ip: str = ""
    """The client's address, for ``_ip``."""
    segment: str = ""


class Execution(NamedTuple):
    """What was found."""

    query: PreparedQuery
    """The query, rendered."""
    instances: list[Instance]
    """In random order, or the nearest first; as many as asked for."""
    failovers: int
    """How many other places were looked at. There are none to look at yet."""
    filtered: bool
    """Whether the caller may not see all of them."""


def resolve(server: Server, id_or_name: str, segment: str = "") -> PreparedQuery:
    """The query that answers to an ID or a name, a template rendered.

    Raises QueryNotFoundError, and TemplateError for a template that is asked for by its ID.
    """
    query = server.state.queries.resolve(id_or_name)
    if query is None:
        raise QueryNotFoundError
    if not query.is_template:
        return query
    if query.id == id_or_name.lower():
        raise TemplateError("prepared query templates can only be resolved up by name, not by ID")
    return render(query, id_or_name, segment)


def execute(
    server: Server,
    id_or_name: str,
    source: Source,
    limit: int = 0,
    *,
    resolve_token: Callable[[str], Authorizer],
    token: str = "",
    connect: bool = False,
) -> Execution:
    """Execute a query. ``limit`` 0 is none; ``connect`` asks for what speaks for the service.

    The instances are those the query's own token may see, or without one the caller's ``token``.
    Raises QueryNotFoundError and TemplateError, and AclNotFoundError for an unknown token.
    """
    query = resolve(server, id_or_name, source.segment)
    wanted = query.service
    authorizer = resolve_token(query.token or token)
    found = [] if wanted.peer else _find(server, wanted, connect)
    visible = [one for one in found if _may_see(one, wanted, authorizer)]
    random.shuffle(visible)
    ordered = _sorted(server, visible, wanted, source)
    # Other datacenters and peers, which Failover may name, are not known: they are skipped, as
    # unknown ones always are.
    return Execution(query, ordered[:limit] if limit > 0 else ordered, 0, len(visible) < len(found))


def _find(server: Server, wanted: ServiceQuery, connect: bool) -> list[Instance]:
    catalog = server.state.catalog
    proxied = wanted.connect or connect
    read = catalog.read_connect if proxied else catalog.read_service
    matches = _matcher(wanted)
    return [instance for instance in read(wanted.service).value if matches(instance)]


def _matcher(wanted: ServiceQuery) -> Callable[[Instance], bool]:
    required = {tag.lower() for tag in wanted.tags or () if not tag.startswith("!")}
    excluded = {tag[1:].lower() for tag in wanted.tags or () if tag.startswith("!")}
    ignored = frozenset(wanted.ignore_check_ids or ())
    node_meta, service_meta = wanted.node_meta or {}, wanted.service_meta or {}

    def matches(instance: Instance) -> bool:
        for check in instance.all_checks():
            if check.check_id not in ignored and (
                check.status == CRITICAL or (wanted.only_passing and check.status != PASSING)
            ):
                return False
        if required or excluded:
            tags = {tag.lower() for tag in instance.service.tags}
            if not required <= tags or excluded & tags:
                return False
        return _has(instance.node.meta, node_meta) and _has(instance.service.meta, service_meta)

    return matches


def _has(meta: Mapping[str, str] | None, wanted: Mapping[str, str]) -> bool:
    return all((meta or {}).get(key) == value for key, value in wanted.items())


def _may_see(instance: Instance, wanted: ServiceQuery, authorizer: Authorizer) -> bool:
    if authorizer.unrestricted:
        return True
    names = {instance.service.service, wanted.service}
    return authorizer.allows("node", "read", instance.node.node) and all(
        authorizer.allows("service", "read", name) for name in names
    )


def _sorted(
    server: Server, instances: list[Instance], wanted: ServiceQuery, source: Source
) -> list[Instance]:
    """The nearest first, and before all others those on the very node asked for."""
    node = _near(server, source.near or wanted.near, source)
    if not node:
        return instances
    coordinates = server.state.coordinates
    if node.lower() in coordinates.by_node:
        instances = sorted(instances, key=lambda one: coordinates.distance(node, one.node.node))
    return _first(instances, node)


def _first(instances: list[Instance], node: str) -> list[Instance]:
    for index, instance in enumerate(instances[:_NEAREST_WITHIN]):
        if instance.node.node.lower() == node.lower():
            instances[0], instances[index] = instances[index], instances[0]
            break
    return instances


def _near(server: Server, near: str, source: Source) -> str:
    if near == "_agent":
        return source.agent
    if near == "_ip":
        return _node_at(server.state.catalog.hosts.values(), source.ip) if source.ip else ""
    return near


def _node_at(hosts: Iterable[Host], address: str) -> str:
    return next((host.node.node for host in hosts if host.node.address == address), "")
