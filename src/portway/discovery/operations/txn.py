"""Transactions: several operations on keys, nodes, services and checks, all or nothing.

Every operation runs on one draft and sees what those before it did. All are tried, so that all
that is wrong with a transaction is told at once; if anything is, nothing is applied. Verbs and
texts are the documented ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from portway.discovery.acl import Authorizer, PermissionDeniedError
from portway.discovery.model import Check, KVEntry, Node, Service
from portway.discovery.operations import txn_catalog, txn_kv
from portway.discovery.operations.kv import KVError
from portway.discovery.operations.nodes import CatalogError
from portway.discovery.operations.txn_catalog import CheckOp, NodeOp, ServiceOp
from portway.discovery.operations.txn_kv import KVOp
from portway.discovery.operations.txn_refusal import RefusedError
from portway.discovery.state import Draft

if TYPE_CHECKING:
    from portway.discovery.server import Server

MAX_OPERATIONS = 128
MAX_RESULTS = 200_000
"""Rows of an answer."""
Operation = KVOp | NodeOp | ServiceOp | CheckOp
Row = KVEntry | Node | Service | Check


class Result(NamedTuple):
    """What an operation answers. The row has its indexes once the transaction is committed."""

    row: Row
    with_value: bool = True
    """Whether the value of a key is shown: only reads do."""


class Failure(NamedTuple):
    """Why an operation cannot be."""

    op_index: int
    what: str


class Outcome(NamedTuple):
    """What a transaction answers."""

    results: list[Result]
    filtered: bool
    """Whether rows were left out that the caller may not read."""


class ConflictError(Exception):
    """The transaction cannot be; nothing was applied."""

    def __init__(self, failures: list[Failure], tried: bool) -> None:
        super().__init__("; ".join(failure.what for failure in failures))
        self.failures = failures
        self.tried = tried
        """Whether any operation was, or what they say was wrong already."""


def writes(operation: Operation) -> bool:
    """Whether an operation may change something."""
    return (
        operation.verb in txn_kv.WRITES
        if isinstance(operation, KVOp)
        else (operation.verb != "get")
    )


def run(
    server: Server, draft: Draft, operations: Sequence[Operation], authorizer: Authorizer
) -> Outcome:
    """Try all operations; rows the caller may not read are left out. Raises ConflictError."""
    _each(operations, lambda operation: _permit(server, draft, operation, authorizer), tried=False)
    results: list[Result] = []

    def apply(operation: Operation) -> None:
        if len(results) > MAX_RESULTS:
            raise RefusedError(f"a transaction answers at most {MAX_RESULTS} rows")
        if isinstance(operation, KVOp):
            shown = operation.verb in txn_kv.READS
            results.extend(Result(row, shown) for row in txn_kv.apply(server, draft, operation))
        else:
            rows = txn_catalog.apply(server, draft, operation)
            results.extend(Result(row) for row in rows)

    _each(operations, apply, tried=True)
    visible = [result for result in results if _visible(result.row, authorizer)]
    return Outcome(visible, len(visible) < len(results))


def _each(
    operations: Sequence[Operation], step: Callable[[Operation], None], *, tried: bool
) -> None:
    failures = []
    for index, operation in enumerate(operations):
        try:
            step(operation)
        except (RefusedError, KVError, CatalogError, PermissionDeniedError) as error:
            failures.append(Failure(index, str(error)))
    if failures:
        raise ConflictError(failures, tried)


def _permit(server: Server, draft: Draft, operation: Operation, authorizer: Authorizer) -> None:
    if isinstance(operation, KVOp):
        txn_kv.permit(server, operation, authorizer)
    else:
        txn_catalog.permit(server, draft, operation, authorizer)


def _visible(row: Row, authorizer: Authorizer) -> bool:
    if isinstance(row, KVEntry):
        return authorizer.allows("key", "read", row.key)
    if isinstance(row, Node):
        return authorizer.allows("node", "read", row.node)
    if isinstance(row, Service):
        return authorizer.allows("service", "read", row.service)
    if row.service_name:
        return authorizer.allows("service", "read", row.service_name)
    return authorizer.allows("node", "read", row.node)
