"""Writes to the key-value store.

Each function takes a draft and answers whether it did what was asked; it raises ``KVError`` for
what cannot be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portway.discovery.model import KVEntry, Lock
from portway.discovery.state import Draft, lock_key

if TYPE_CHECKING:
    from portway.discovery.server import Server


class KVError(Exception):
    """The request cannot be carried out; the message is the documented one."""


def put(server: Server, draft: Draft, key: str, value: bytes, flags: int) -> bool:
    """Write a key, leaving its lock alone; an equal value and flags change nothing."""
    old = draft.get(server.state.kv.table, key)
    if old is None:
        _write(server, draft, KVEntry(key=key, value=value, flags=flags))
    elif old.value != value or old.flags != flags:
        _write(server, draft, _changed(old, value, flags))
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
    old = draft.get(server.state.kv.table, key)
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
    _write(server, draft, new)
    return True


def release(server: Server, draft: Draft, key: str, value: bytes, flags: int, session: str) -> bool:
    """Unlock a key that ``session`` holds and write it."""
    _check_given(session)
    old = draft.get(server.state.kv.table, key)
    if old is None or old.session != session:
        return False
    _write(server, draft, _changed(old, value, flags, ""))
    return True


def let_go(server: Server, draft: Draft, session: str, keep: bool) -> None:
    """Unlock all that a session holds, or delete it unless ``keep``.

    The commit fails, and the draft is repeated, when the session acquires more meanwhile.
    """
    kv = server.state.kv
    draft.guard(kv.locks, lock_key(session, ""))
    keys = set(kv.held.get(session, ()))
    keys.update(key for key, row in draft.written(kv.table).items() if row is not None)
    for key in sorted(keys):
        old = draft.get(kv.table, key)
        if old is None or old.session != session:
            continue
        if keep:
            _write(server, draft, _changed(old, old.value, old.flags, ""))
        else:
            delete(server, draft, key)


def delete(server: Server, draft: Draft, key: str) -> bool:
    """Delete a key; one that does not exist is as good as deleted."""
    kv = server.state.kv
    old = draft.delete(kv.table, key)
    if old is not None and old.session:
        draft.delete(kv.locks, lock_key(old.session, key))
    return True


def compare_and_delete(server: Server, draft: Draft, key: str, index: int) -> bool:
    """Delete a key if its ModifyIndex is ``index``; one that does not exist is fine."""
    old = draft.get(server.state.kv.table, key)
    if old is not None and old.modify_index != index:
        return False
    return delete(server, draft, key)


def delete_tree(server: Server, draft: Draft, prefix: str) -> bool:
    """Delete every key under a prefix, those written in the same draft included."""
    draft.guard(server.state.kv.table, prefix)
    for key in keys_under(server, draft, prefix):
        delete(server, draft, key)
    return True


def keys_under(server: Server, draft: Draft, prefix: str) -> list[str]:
    """The keys under a prefix, those written in the same draft included, sorted."""
    kv = server.state.kv
    keys = set(kv.keys_under(prefix))
    keys.update(key for key in draft.written(kv.table) if key.startswith(prefix))
    return sorted(keys)


def _write(server: Server, draft: Draft, new: KVEntry) -> None:
    """Write a key, and the row of its lock as that changes hands."""
    kv = server.state.kv
    old = draft.get(kv.table, new.key)
    before, after = "" if old is None else old.session, new.session
    if before != after:
        if before:
            draft.delete(kv.locks, lock_key(before, new.key))
        if after:
            draft.put(kv.locks, lock_key(after, new.key), Lock())
    draft.put(kv.table, new.key, new)


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
