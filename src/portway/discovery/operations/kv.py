"""Writes to the key-value store.

Each function takes a draft and answers whether it did what was asked; it raises ``KVError`` for
what cannot be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portway.discovery.model import KVEntry
from portway.discovery.state import Draft

if TYPE_CHECKING:
    from portway.discovery.server import Server


class KVError(Exception):
    """The request cannot be carried out; the message is the documented one."""


def put(server: Server, draft: Draft, key: str, value: bytes, flags: int) -> bool:
    """Write a key, leaving its lock alone; an equal value and flags change nothing."""
    table = server.state.kv.table
    old = draft.get(table, key)
    if old is None:
        draft.put(table, key, KVEntry(key=key, value=value, flags=flags))
    elif old.value != value or old.flags != flags:
        draft.put(table, key, _changed(old, value, flags))
    return True


def compare_and_put(
    server: Server, draft: Draft, key: str, value: bytes, flags: int, index: int
) -> bool:
    """Write a key if its ModifyIndex is ``index``; 0 means that it must not exist."""
    old = draft.get(server.state.kv.table, key)
    if (old.modify_index != index or not index) if old else index:
        return False
    return put(server, draft, key, value, flags)


def acquire(server: Server, draft: Draft, key: str, value: bytes, flags: int, session: str) -> bool:
    """Lock a key for a session and write it. Raises KVError for an unknown session."""
    _check_given(session)
    if draft.get(server.state.sessions.table, session) is None:
        raise KVError(f'invalid session "{session}"')
    table = server.state.kv.table
    old = draft.get(table, key)
    if old is not None and old.session:
        if old.session != session:
            return False
        return put(server, draft, key, value, flags)
    if server.lock_delayed(key):
        return False
    if old is None:
        new = KVEntry(key=key, value=value, flags=flags, session=session, lock_index=1)
    else:
        new = _changed(old, value, flags, session, old.lock_index + 1)
    draft.put(table, key, new)
    return True


def release(server: Server, draft: Draft, key: str, value: bytes, flags: int, session: str) -> bool:
    """Unlock a key that ``session`` holds and write it."""
    _check_given(session)
    table = server.state.kv.table
    old = draft.get(table, key)
    if old is None or old.session != session:
        return False
    draft.put(table, key, _changed(old, value, flags, ""))
    return True


def delete(server: Server, draft: Draft, key: str) -> bool:
    """Delete a key; one that does not exist is as good as deleted."""
    draft.delete(server.state.kv.table, key)
    return True


def compare_and_delete(server: Server, draft: Draft, key: str, index: int) -> bool:
    """Delete a key if its ModifyIndex is ``index``; one that does not exist is fine."""
    old = draft.get(server.state.kv.table, key)
    if old is not None and old.modify_index != index:
        return False
    return delete(server, draft, key)


def delete_tree(server: Server, draft: Draft, prefix: str) -> bool:
    """Delete every key under a prefix, those written in the same draft included."""
    kv = server.state.kv
    draft.guard(kv.table, prefix)
    for key in keys_under(server, draft, prefix):
        draft.delete(kv.table, key)
    return True


def keys_under(server: Server, draft: Draft, prefix: str) -> list[str]:
    """The keys under a prefix, those written in the same draft included, sorted."""
    kv = server.state.kv
    keys = set(kv.keys_under(prefix))
    keys.update(key for key in draft.written(kv.table) if key.startswith(prefix))
    return sorted(keys)


def _check_given(session: str) -> None:
    if not session:
        raise KVError("missing session")


def _changed(
    old: KVEntry,
    value: bytes,
    flags: int,
    session: str | None = None,
    lock_index: int | None = None,
) -> KVEntry:
    return KVEntry(
        key=old.key,
        value=value,
        flags=flags,
        session=old.session if session is None else session,
        lock_index=old.lock_index if lock_index is None else lock_index,
    )
