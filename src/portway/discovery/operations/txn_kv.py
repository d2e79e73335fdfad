"""The verbs of transactions on keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portway.discovery.acl import Authorizer
from portway.discovery.model import KVEntry
from portway.discovery.operations import kv
from portway.discovery.operations.txn_refusal import RefusedError, quoted
from portway.discovery.state import Draft

if TYPE_CHECKING:
    from portway.discovery.server import Server

WRITES = frozenset(("set", "cas", "lock", "unlock", "delete", "delete-cas", "delete-tree"))
READS = frozenset(("get", "get-or-empty", "get-tree"))
CHECKS = frozenset(("check-session", "check-index", "check-not-exists"))
MAX_TREE = 100_000
"""Keys that one operation reads: nothing else happens meanwhile."""


class KVOp(NamedTuple):
    """One operation on a key, or on all under a prefix."""

    verb: str
    key: str
    value: bytes = b""
    flags: int = 0
    modified: int = 0
    session: str = ""


def permit(server: Server, op: KVOp, authorizer: Authorizer) -> None:
    """Raise PermissionDeniedError, or RefusedError, unless the operation may be tried."""
    if not op.key and op.verb != "delete-tree":
        raise RefusedError("Must provide key")
    if op.verb not in WRITES | READS | CHECKS:
        raise RefusedError(f"unknown KV operation: {op.verb}")
    if op.verb == "delete-tree":
        authorizer.require("key_prefix", "write", op.key)
    elif op.verb == "get-tree":
        authorizer.require("key_list", "list", op.key)
    elif op.verb in CHECKS and op.verb != "check-not-exists":
        # Whether the transaction succeeds tells something about the key.
        authorizer.require("key", "read", op.key)
    elif op.verb not in READS:  # what those find is filtered instead
        authorizer.require("key", "write", op.key)
    if op.verb == "lock" and server.lock_delayed(op.key):
        raise RefusedError(f"failed to lock key {quoted(op.key)} due to lock delay")


def apply(server: Server, draft: Draft, op: KVOp) -> list[KVEntry]:
    """Do it and return what it answers. Raises RefusedError or KVError."""
    if op.verb in WRITES:
        return _write(server, draft, op)
    table = server.state.kv.table
    key = quoted(op.key)
    if op.verb == "get-tree":
        draft.guard(table, op.key)
        keys = kv.keys_under(server, draft, op.key)
        if len(keys) > MAX_TREE:
            raise RefusedError(
                f"there are {len(keys)} keys under {key}, a transaction reads {MAX_TREE} at most"
            )
        return [row for one in keys if (row := draft.get(table, one)) is not None]
    entry = draft.get(table, op.key)
    match op.verb:
        case "get":
            if entry is None:
                raise RefusedError(f"key {key} doesn't exist")
        case "get-or-empty":
            if entry is None:  # as the operation describes it
                entry = KVEntry(
                    key=op.key,
                    value=b"",
                    flags=op.flags,
                    session=op.session,
                    modify_index=op.modified,
                )
        case "check-not-exists":
            if entry is not None:
                raise RefusedError(f"key {key} exists")
        case "check-session":
            _check_session(op, entry)
        case "check-index":
            _check_index(op, entry)
    return [] if entry is None else [entry]


def _check_session(op: KVOp, entry: KVEntry | None) -> None:
    key = quoted(op.key)
    if entry is None:
        raise RefusedError(f"failed to check session, key {key} doesn't exist")
    if entry.session != op.session:
        raise RefusedError(
            f"failed session check for key {key}, current session "
            f"{quoted(entry.session)} != {quoted(op.session)}"
        )


def _check_index(op: KVOp, entry: KVEntry | None) -> None:
    key = quoted(op.key)
    if entry is None:
        raise RefusedError(f"failed to check index, key {key} doesn't exist")
    if entry.modify_index != op.modified:
        raise RefusedError(
            f"failed index check for key {key}, current modify index "
            f"{entry.modify_index} != {op.modified}"
        )


def _write(server: Server, draft: Draft, op: KVOp) -> list[KVEntry]:
    verb, key, value, flags, modified, session = op
    name = quoted(key)
    match verb:
        case "delete":
            kv.delete(server, draft, key)
            return []
        case "delete-tree":
            kv.delete_tree(server, draft, key)
            return []
        case "delete-cas":
            if not kv.compare_and_delete(server, draft, key, modified):
                raise RefusedError(f"failed to delete key {name}, index is stale")
            return []
        case "set":
            kv.put(server, draft, key, value, flags)
        case "cas":
            if not kv.compare_and_put(server, draft, key, value, flags, modified):
                raise RefusedError(f"failed to set key {name}, index is stale")
        case "lock":
            if not kv.acquire(server, draft, key, value, flags, session):
                raise RefusedError(f"failed to lock key {name}, lock is already held")
        case "unlock":
            if not kv.release(server, draft, key, value, flags, session):
                raise RefusedError(
                    f"failed to unlock key {name}, lock isn't held, or is held by another session"
                )
    entry = draft.get(server.state.kv.table, key)
    return [] if entry is None else [entry]
