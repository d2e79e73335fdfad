"""``/v1/txn``: several operations, all or nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import field

from portway.discovery.api.answer import JSON, Answer, encode
from portway.discovery.api.blocking import check_read, consistency_of
from portway.discovery.api.decode import decode
from portway.discovery.api.error import ApiError, bad_request
from portway.discovery.api.kv import render
from portway.discovery.api.registration import (
    CheckBody,
    NodeBody,
    ServiceBody,
    check_of,
    node_of,
    service_of,
)
from portway.discovery.api.render import node_row
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model import Check, KVEntry, Node, Wire
from portway.discovery.operations import txn as operations
from portway.discovery.operations.kv_keys import clean, key_problem
from portway.discovery.operations.txn import (
    MAX_OPERATIONS,
    ConflictError,
    Failure,
    Operation,
    Outcome,
    Result,
)
from portway.discovery.operations.txn_catalog import CheckOp, NodeOp, ServiceOp
from portway.discovery.operations.txn_kv import KVOp
from portway.discovery.state import Draft

_NOT_PARSED = "Failed to parse body: "
_SLICE = 10_000  # rows rendered at once


class _KV(Wire):
    verb: str = ""
    key: str = ""
    value: bytes = b""
    flags: int = 0
    index: int = 0
    session: str = ""


class _Node(Wire):
    verb: str = ""
    node: NodeBody = field(default_factory=NodeBody)


class _Service(Wire):
    verb: str = ""
    node: str = ""
    service: ServiceBody = field(default_factory=ServiceBody)


class _Check(Wire):
    verb: str = ""
    check: CheckBody = field(default_factory=CheckBody)


class _Operation(Wire):
    kv: _KV | None = field(name="KV", default=None)
    node: _Node | None = None
    service: _Service | None = None
    check: _Check | None = None


async def put(request: Request) -> Answer:
    """Apply a transaction. One that only reads sees one state of everything."""
    request.datacenter()
    settings = request.context.settings
    body = await request.body(max(settings.txn_max_req_len, settings.kv_max_value_size))
    given = decode(body, list[_Operation], prefix=_NOT_PARSED)
    if len(given) > MAX_OPERATIONS:
        raise ApiError(
            413, f"Transaction contains too many operations ({len(given)} > {MAX_OPERATIONS})"
        )
    batch = [_operation(request, index, one) for index, one in enumerate(given)]
    server, authorizer = request.context.server, request.authorizer
    reads_only = not any(map(operations.writes, batch))
    if reads_only:
        check_read(request)
        await consistency_of(request)
    failures, tried = _wrong_keys(request, batch), False
    outcome = Outcome([], False)

    def run(draft: Draft) -> Outcome:
        return operations.run(server, draft, batch, authorizer)

    if not failures:
        tried = True
        try:
            if reads_only:
                outcome = run(Draft(server.state.view.revision))
            else:
                outcome = await server.transact(run, _turn(batch))
        except ConflictError as error:
            failures, tried = error.failures, error.tried
    meta = _meta(tried, outcome.filtered and bool(request.token)) if reads_only else {}
    if reads_only:
        request.answer_headers["X-Consul-KnownLeader"] = "true" if tried else "false"
        request.answer_headers["X-Consul-LastContact"] = "0"
    return _conflict(failures, meta) if failures else await _done(request, outcome.results, meta)


def _meta(tried: bool, filtered: bool) -> dict[str, Any]:
    """What the answer to a transaction that reads tells of it besides."""
    return {
        "Index": int(tried),
        "LastContact": 0,
        "KnownLeader": tried,
        "ConsistencyLevel": "",
        "NotModified": False,
        "Backend": 0,
        "ResultsFilteredByACLs": filtered,
    }


def _turn(batch: Sequence[Operation]) -> str:
    """Writers of one key take turns, with those of the key-value API too."""
    keys = {operation.key if isinstance(operation, KVOp) else "" for operation in batch}
    return f"kv/{keys.pop()}" if len(keys) == 1 and "" not in keys else ""


def _operation(request: Request, index: int, given: _Operation) -> Operation:
    named = [one for one in (given.kv, given.node, given.service, given.check) if one is not None]
    if len(named) != 1:
        how = "more than one" if named else "none"
        raise bad_request(
            f"{_NOT_PARSED}operation {index} has {how} of KV, Node, Service and Check"
        )
    if given.kv is not None:
        return _kv(request, given.kv)
    if given.node is not None:
        node = given.node.node
        _check_datacenter(request, node.datacenter)
        return NodeOp(given.node.verb, node_of(node), node.modify_index)
    if given.service is not None:
        service = given.service.service
        _check_datacenter(request, service.datacenter)
        return ServiceOp(
            given.service.verb, given.service.node, service_of(service), service.modify_index
        )
    assert given.check is not None
    check = given.check.check
    return CheckOp(given.check.verb, check_of(check), check.modify_index)


def _check_datacenter(request: Request, named: str) -> None:
    if named and named != request.datacenter():
        raise ApiError(500, "No path to datacenter")


def _kv(request: Request, given: _KV) -> KVOp:
    limit = request.context.settings.kv_max_value_size
    if len(given.value) > limit:
        raise ApiError(
            413,
            f"Value for key {json.dumps(given.key)} is too large "
            f"({len(given.value)} > {limit} bytes)",
        )
    for name, value in (("Flags", given.flags), ("Index", given.index)):
        if not 0 <= value < 1 << 64:
            raise bad_request(f"{_NOT_PARSED}{name} must be an unsigned 64-bit number: {value}")
    key = given.key if key_problem(given.key) else clean(given.key)
    return KVOp(given.verb, key, given.value, given.flags, given.index, given.session)


def _wrong_keys(request: Request, batch: Iterable[Operation]) -> list[Failure]:
    """The operations that would write keys which may not be."""
    if request.context.settings.disable_kv_key_validation:
        return []
    return [
        Failure(index, problem)
        for index, operation in enumerate(batch)
        if isinstance(operation, KVOp)
        and operations.writes(operation)
        and operation.verb != "delete-tree"
        and (problem := key_problem(operation.key))
    ]


async def _done(request: Request, results: Sequence[Result], meta: dict[str, Any]) -> Answer:
    datacenter = request.context.settings.datacenter
    rows: list[bytes] = []
    for at in range(0, len(results), _SLICE):
        if at:
            await asyncio.sleep(0)  # others have their turn
        rows += [_row(result, datacenter) for result in results[at : at + _SLICE]]
    rest = encode({"Errors": None, **meta})
    return Answer(b'{"Results":[' + b",".join(rows) + b"]," + rest[1:], 200, JSON)


def _row(result: Result, datacenter: str) -> bytes:
    row, with_value = result
    if isinstance(row, KVEntry):
        return b'{"KV":' + render([row], with_value) + b"}"
    if isinstance(row, Node):
        return encode({"Node": node_row(row, datacenter)})
    kind, tags = ("Check", b'"ServiceTags":') if isinstance(row, Check) else ("Service", b'"Tags":')
    return encode({kind: row}).replace(tags + b"[]", tags + b"null")  # here, no tags are null


def _conflict(failures: Iterable[Failure], meta: dict[str, Any]) -> Answer:
    errors: list[dict[str, Any]] = [{"OpIndex": index, "What": what} for index, what in failures]
    body = encode({"Results": None, "Errors": errors})
    if meta:
        body = body[:-1] + b"," + encode(meta)[1:]
    return Answer(body, 409, JSON)


ROUTES = (
    Route(
        "/v1/txn",
        {"PUT": put},
        access="of each operation: key:read, key:list or key:write, node:write, service:write; "
        "what is read without permission is left out",
    ),
)
