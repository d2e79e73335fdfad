"""Sessions: how they begin and how they end.

A session ends when it is destroyed, when its time is over, when a check it is bound to turns
critical or is deleted, and when its node is. With it go, in the same commit, the locks it holds
(released, or their keys deleted) and the prepared queries bound to it: a commit that would miss
some of them, because they came meanwhile, fails and is repeated. Expiry and lock-delay are the
business of ``SessionKeeper``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portway.config import Duration
from portway.discovery.model import CRITICAL, Session
from portway.discovery.operations import kv
from portway.discovery.operations.durations import go_duration
from portway.discovery.state import Draft, check_key, node_key

if TYPE_CHECKING:
    from portway.discovery.server import Server

TTL_MAX = 24 * 3600.0  # seconds
_BEHAVIORS = ("release", "delete")


class SessionError(Exception):
    """The session cannot be; the message is the documented one."""


def behavior_of(text: str) -> Any:
    """A behavior, ``release`` when none is given. Raises SessionError."""
    if text and text not in _BEHAVIORS:
        raise SessionError(f"Invalid Behavior setting '{text}'")
    return text or "release"


def check_ttl(text: str, shortest: float) -> None:
    """Raise SessionError unless ``text`` is a TTL between ``shortest`` seconds and a day.

    No TTL, and one of zero, are fine: such a session does not expire.
    """
    if not text:
        return
    try:
        seconds = go_duration(text)
    except ValueError as error:
        raise SessionError(f"Session TTL '{text}' invalid: {error}") from None
    if seconds and not shortest <= seconds <= TTL_MAX:
        between = f"[{Duration(shortest)}={Duration(TTL_MAX)}]"
        raise SessionError(
            f"Invalid Session TTL '{round(seconds * 1e9)}', must be between {between}"
        )


def ttl_of(session: Session) -> float:
    """The TTL of a stored session in seconds, 0 without one."""
    return go_duration(session.ttl) if session.ttl else 0.0


def create(server: Server, draft: Draft, session: Session) -> Session:
    """Begin a session, which must have its final ID; returns it as it is stored.

    Raises SessionError when its node or a check it names does not exist, or the check is
    critical.
    """
    catalog = server.state.catalog
    if not session.node:
        raise SessionError("Must provide Node")
    node = draft.get(catalog.nodes, node_key(session.node))
    if node is None:
        raise SessionError("Missing node registration")
    for check_id in session.check_ids():
        check = draft.get(catalog.checks, check_key(session.node, check_id))
        if check is None:
            raise SessionError(f"Missing check '{check_id}' registration")
        if check.status == CRITICAL:
            raise SessionError(f"Check '{check_id}' is in {check.status} state")
    draft.put(server.state.sessions.table, session.id, session)
    return session


def invalidate(server: Server, draft: Draft, session_id: str) -> bool:
    """End a session with everything that hangs on it; false when there is none."""
    session = draft.delete(server.state.sessions.table, session_id)
    if session is None:
        return False
    let_go(server, draft, session_id, keep=session.behavior == "release")
    return True


def invalidate_bound(server: Server, draft: Draft, node: str, check_id: str) -> None:
    """End the sessions bound to a check that turned critical or is being deleted.

    The commit fails, and the draft is repeated, when a session is created meanwhile.
    """
    sessions = server.state.sessions
    draft.guard(sessions.table)
    for session_id in sessions.bound_to(node, check_id):
        invalidate(server, draft, session_id)


def invalidate_node(server: Server, draft: Draft, node: str) -> None:
    """End the sessions of a node that is being deleted; guarded as ``invalidate_bound``."""
    sessions = server.state.sessions
    draft.guard(sessions.table)
    for session_id in sessions.on_node(node):
        invalidate(server, draft, session_id)


def let_go(server: Server, draft: Draft, session_id: str, keep: bool) -> None:
    """Release the locks of a session that is over, or delete their keys; delete its queries."""
    kv.let_go(server, draft, session_id, keep)
    queries = server.state.queries
    draft.guard(queries.table)
    for query_id in sorted(queries.by_session.get(session_id, ())):
        draft.delete(queries.table, query_id)
