"""``/v1/query``: prepared queries."""

from __future__ import annotations

import uuid
from typing import Any

from msgspec.structs import replace

from portway.discovery.acl import PermissionDeniedError
from portway.discovery.api import selection
from portway.discovery.api.answer import EMPTY, Answer, encode, json_answer, raw_json
from portway.discovery.api.blocking import (
    check_read,
    consistency_of,
    note_filtered,
    read,
    set_read_headers,
)
from portway.discovery.api.decode import decode
from portway.discovery.api.error import ApiError, not_found, refused
from portway.discovery.api.render import json_list, render_entry
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model.acl import HIDDEN
from portway.discovery.model.queries import PreparedQuery
from portway.discovery.operations import queries as operations
from portway.discovery.operations.queries import NO_UUID, UUID_LENGTH, QueryError
from portway.discovery.queries import (
    QueryNotFoundError,
    Source,
    TemplateError,
    execute,
    resolve,
)
from portway.discovery.state import Draft

_MAX_BODY = 1 << 20  # bytes


async def create(request: Request) -> Answer:
    """Create a query and answer its ID."""
    request.datacenter()
    given = decode(await request.body(_MAX_BODY), PreparedQuery)
    if given.id:
        raise refused("ID must be empty when creating a new prepared query")
    query = replace(given, id=str(uuid.uuid4()))
    server, authorizer = request.context.server, request.authorizer
    try:
        await server.transact(lambda draft: operations.put(server, draft, query, authorizer))
    except QueryError as error:
        raise refused(str(error)) from None
    return json_answer({"ID": query.id})


async def list_all(request: Request) -> Answer:
    """The queries the caller may see."""
    queries = request.context.server.state.queries
    found = (await read(request, queries.read_all)).value
    manages = request.allows("acl", "write")
    visible = [
        query
        for query in found
        if manages or (operations.has_rule(query) and request.allows("query", "read", query.name))
    ]
    note_filtered(request, len(visible) < len(found))
    return json_answer([_shown(request, query) for query in visible])


async def get(request: Request) -> Answer:
    """One query; or, by the path's end, its execution or explanation."""
    name, slash, action = request.rest.rpartition("/")
    if slash and action == "execute":
        return await _execute(request, name)
    if slash and action == "explain":
        return await _explain(request, name)
    query_id = request.rest.lower()
    if len(query_id) != UUID_LENGTH:
        raise ApiError(500, NO_UUID)
    queries = request.context.server.state.queries
    query = (await read(request, lambda: queries.read(query_id))).value
    if query is None:
        raise not_found("Query not found")
    _require_read(request, query)
    return json_answer([_shown(request, query)])


async def update(request: Request) -> Answer:
    """Replace a query."""
    _refuse_action(request)
    request.datacenter()
    content = await request.body(_MAX_BODY)
    given = decode(content, PreparedQuery) if content else PreparedQuery()
    query = replace(given, id=request.rest.lower())
    server, authorizer = request.context.server, request.authorizer

    def write(draft: Draft) -> None:
        operations.permit(query, authorizer)
        operations.known(server, draft, query.id, authorizer)
        operations.put(server, draft, query, authorizer)

    try:
        await server.transact(write)
    except QueryError as error:
        raise refused(str(error)) from None
    return EMPTY


async def delete(request: Request) -> Answer:
    """Delete a query."""
    _refuse_action(request)
    request.datacenter()
    query_id = request.rest.lower()
    server, authorizer = request.context.server, request.authorizer
    try:
        await server.transact(lambda draft: operations.delete(server, draft, query_id, authorizer))
    except QueryError as error:
        raise refused(str(error)) from None
    return EMPTY


async def _execute(request: Request, name: str) -> Answer:
    check_read(request)
    datacenter = request.datacenter()
    consistency = await consistency_of(request)
    selection.set_cache_headers(request)
    try:
        found = execute(
            request.context.server,
            name,
            _source(request),
            _limit(request),
            resolve_token=request.context.tokens.resolve,
            token=request.token,
            connect=_connect(request),
        )
    except QueryNotFoundError as error:
        raise not_found(str(error)) from None
    except TemplateError as error:
        raise refused(str(error)) from None
    note_filtered(request, found.filtered)
    set_read_headers(request, 0, consistency)
    nodes = json_list(render_entry(instance, datacenter) for instance in found.instances)
    head = encode({"Service": found.query.service.service})[:-1]
    rest = encode(
        {
            "DNS": found.query.dns,
            "Datacenter": datacenter,
            "PeerName": "",
            "Failovers": found.failovers,
            **_meta(consistency, found.filtered and bool(request.token)),
        }
    )
    return raw_json(head + b',"Nodes":' + nodes + b"," + rest[1:])


async def _explain(request: Request, name: str) -> Answer:
    check_read(request)
    request.datacenter()
    consistency = await consistency_of(request)
    _limit(request)
    try:
        query = resolve(request.context.server, name)
    except QueryNotFoundError as error:
        raise not_found(str(error)) from None
    except TemplateError as error:
        raise refused(str(error)) from None
    _require_read(request, query)
    if not operations.has_rule(query) and not request.allows("acl", "write"):
        raise PermissionDeniedError
    set_read_headers(request, 0, consistency)
    return json_answer({"Query": _shown(request, query), **_meta(consistency, False)})


def _meta(consistency: str, filtered: bool) -> dict[str, Any]:
    """What both results say of the read they are."""
    return {
        "Index": 1,
        "LastContact": 0,
        "KnownLeader": True,
        "ConsistencyLevel": consistency,
        "NotModified": False,
        "Backend": 0,
        "ResultsFilteredByACLs": filtered,
    }


def _source(request: Request) -> Source:
    client = request.scope.get("client")
    return Source(
        request.context.settings.node_name, request.param("near"), client[0] if client else ""
    )


def _limit(request: Request) -> int:
    given = request.param("limit")
    try:
        return int(given) if given else 0
    except ValueError:
        raise refused(f'Bad limit: strconv.Atoi: parsing "{given}": invalid syntax') from None


def _connect(request: Request) -> bool:
    given = request.param("connect")
    wanted = request.boolean("connect") if given else False
    if wanted is None:
        raise refused(
            f"Error parsing 'connect' value: strconv.ParseBool: parsing \"{given}\": invalid syntax"
        )
    return wanted


def _shown(request: Request, query: PreparedQuery) -> PreparedQuery:
    """The query as the caller may see it: its token only who manages access control."""
    if query.token and not request.allows("acl", "write"):
        return replace(query, token=HIDDEN)
    return query


def _require_read(request: Request, query: PreparedQuery) -> None:
    """Raises PermissionDeniedError, which names no query."""
    if operations.has_rule(query) and not (
        request.allows("acl", "write") or request.allows("query", "read", query.name)
    ):
        raise PermissionDeniedError


def _refuse_action(request: Request) -> None:
    """Executions and explanations can only be read. Raises ApiError (405)."""
    if request.rest.endswith(("/execute", "/explain")):
        request.answer_headers["Allow"] = "GET"
        raise ApiError(405, f"method {request.method} not allowed")


ROUTES = (
    Route(
        "/v1/query",
        {"GET": list_all, "POST": create},
        access="GET query:read on the name, else left out; POST query:write on the name; "
        "without a name none to create, acl:write to list",
    ),
    Route(
        "/v1/query/",
        {"GET": get, "PUT": update, "DELETE": delete},
        access="GET query:read and PUT, DELETE query:write on the name, nothing but the ID without "
        "one; execution leaves out what the query's token, or else the caller's, may not read",
    ),
)
