"""Prepared queries: creating, changing and deleting them. Texts are the documented ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portway.discovery.acl import Authorizer
from portway.discovery.model.acl import HIDDEN
from portway.discovery.model.queries import PreparedQuery, ServiceQuery
from portway.discovery.operations.durations import go_duration
from portway.discovery.queries.template import TemplateError, check_template
from portway.discovery.state import Draft

if TYPE_CHECKING:
    from portway.discovery.server import Server

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MOST_META = 64
_LONGEST_KEY = 128
_LONGEST_VALUE = 512


UUID_LENGTH = 36
NO_UUID = "failed prepared query lookup: index error: UUID must be 36 characters"
_NOT_APPLIED = "raft apply failed: "  # before what is told of queries that could be


class QueryError(Exception):
    """The query cannot be; the message is the documented one."""


def check_query(query: PreparedQuery) -> None:
    """Raise QueryError unless the query's own fields are right."""
    problem = _problem(query)
    if problem:
        raise QueryError(f"Invalid prepared query: {problem}")


def _problem(query: PreparedQuery) -> str:
    if not (query.name or query.template.type or query.session):
        return "Must be bound to a session"
    if query.token == HIDDEN:
        return (
            f"Bad Token '{query.token}', it looks like a query definition with a redacted token "
            "was submitted"
        )
    if query.service.sameness_group:
        return "SamenessGroup is a Consul Enterprise feature"
    return _service_problem(query.service) or _ttl_problem(query.dns.ttl)


def _service_problem(service: ServiceQuery) -> str:
    if not service.service:
        return "Must provide a Service name to query"
    failover = service.failover
    if failover.nearest_n < 0:
        return f"Bad NearestN '{failover.nearest_n}', must be >= 0"
    if failover.targets and (failover.nearest_n or failover.datacenters):
        return "Targets cannot be populated with NearestN or Datacenters"
    return _meta_problem(service.node_meta or {})


def _meta_problem(meta: dict[str, str]) -> str:
    if len(meta) > _MOST_META:
        return f"Node metadata cannot contain more than {_MOST_META} key/value pairs"
    for key, value in meta.items():
        if not key:
            problem = "Key cannot be blank"
        elif len(key) > _LONGEST_KEY:
            problem = f"Key is too long (limit: {_LONGEST_KEY} characters)"
        elif len(value) > _LONGEST_VALUE:
            problem = f"Value is too long (limit: {_LONGEST_VALUE} characters)"
        else:
            continue
        return f"Couldn't load metadata pair ('{key}', '{value}'): {problem}"
    return ""


def _ttl_problem(ttl: str) -> str:
    try:
        seconds = go_duration(ttl) if ttl else 0.0
    except ValueError as error:
        return f"Bad DNS TTL '{ttl}': {error}"
    return f"DNS TTL '{round(seconds * 1e9)}', must be >=0" if seconds < 0 else ""


def put(server: Server, draft: Draft, query: PreparedQuery, authorizer: Authorizer) -> None:
    """Create a query, or replace the one of its ID. Raises QueryError, PermissionDeniedError."""
    permit(query, authorizer)
    check_query(query)
    queries = server.state.queries
    draft.guard(queries.table)  # names are unique
    if query.name:
        named = queries.named(query.name)
        if named is not None and named.id != query.id:
            raise QueryError(f"{_NOT_APPLIED}name '{query.name}' aliases an existing query name")
    elif query.is_template:
        other = queries.catch_all()
        if other is not None and other.id != query.id:
            raise QueryError(f"{_NOT_APPLIED}a query template with an empty name already exists")
    if _UUID.fullmatch(query.name) and queries.table.get(query.name.lower()) is not None:
        raise QueryError(f"{_NOT_APPLIED}name '{query.name}' aliases an existing query ID")
    if query.session and draft.get(server.state.sessions.table, query.session) is None:
        raise QueryError(f'{_NOT_APPLIED}invalid session "{query.session}"')
    if query.is_template:
        try:
            check_template(query)
        except TemplateError as error:
            raise QueryError(f"{_NOT_APPLIED}failed compiling template: {error}") from None
    draft.put(queries.table, query.id, query)


def known(server: Server, draft: Draft, query_id: str, authorizer: Authorizer) -> PreparedQuery:
    """The query to change. Raises QueryError when there is none, PermissionDeniedError."""
    if len(query_id) != UUID_LENGTH:
        raise QueryError(f"Prepared Query lookup failed: {NO_UUID}")
    query = draft.get(server.state.queries.table, query_id)
    if query is None:
        raise QueryError(f"Cannot modify non-existent prepared query: '{query_id}'")
    permit(query, authorizer)
    return query


def delete(server: Server, draft: Draft, query_id: str, authorizer: Authorizer) -> None:
    """Delete a query. Raises as ``known``."""
    known(server, draft, query_id, authorizer)
    draft.delete(server.state.queries.table, query_id)


def has_rule(query: PreparedQuery) -> bool:
    """Whether rules of ``query`` apply: to what has a name. Of the others the ID is the secret."""
    return bool(query.name) or query.is_template


def permit(query: PreparedQuery, authorizer: Authorizer) -> None:
    """Raise PermissionDeniedError unless a query of this name may be written."""
    if has_rule(query):
        authorizer.require("query", "write", query.name)
