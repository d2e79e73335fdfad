"""Sessions in memory: by node, and by the checks they are bound to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from portway.discovery.model import Session
from portway.discovery.state.table import Table, Touch
from portway.discovery.state.topic import Reading, Topics

Watcher = Callable[[Session | None, Session | None], None]


class Sessions:
    """The session table and what readers ask of it. Node names are compared without case."""

    def __init__(self) -> None:
        self.table: Table[Session] = Table("session/", Session, self._changed)
        self.by_node: dict[str, dict[str, Session]] = {}
        self.by_check: dict[tuple[str, str], set[str]] = {}
        """Node key and check ID → the sessions that end with that check."""
        self.watchers: list[Watcher] = []
        """Called with (old, new) as a session comes or goes, before anything else of the same
        commit that comes after it."""
        self._sessions = Topics()

    def bound_to(self, node: str, check_id: str) -> list[str]:
        """The IDs of the sessions bound to a check."""
        return sorted(self.by_check.get((node.lower(), check_id), ()))

    def on_node(self, node: str) -> list[str]:
        """The IDs of the sessions of a node."""
        return sorted(self.by_node.get(node.lower(), ()))

    def read(self, session_id: str) -> Reading[Session | None]:
        """One session."""
        session = self.table.get(session_id)
        index = self.table.topic.index if session is None else session.modify_index
        return Reading(session, index, (self._sessions.of(session_id),), session is not None)

    def read_all(self) -> Reading[list[Session]]:
        """Every session, by ID."""
        rows = [self.table.rows[key] for key in sorted(self.table.rows)]
        return Reading(rows, self.table.topic.index, (self.table.topic,))

    def read_node(self, node: str) -> Reading[list[Session]]:
        """The sessions of a node, by ID."""
        rows = self.by_node.get(node.lower(), {})
        ordered = [rows[key] for key in sorted(rows)]
        return Reading(ordered, self.table.topic.index, (self.table.topic,))

    def _changed(
        self, key: str, old: Session | None, new: Session | None, revision: int, touch: Touch
    ) -> None:
        if old is not None:
            rows = self.by_node[old.node.lower()]
            del rows[key]
            if not rows:
                del self.by_node[old.node.lower()]
            for check in check_keys(old):
                sessions = self.by_check[check]
                sessions.discard(key)
                if not sessions:
                    del self.by_check[check]
        if new is not None:
            self.by_node.setdefault(new.node.lower(), {})[key] = new
            for check in check_keys(new):
                self.by_check.setdefault(check, set()).add(key)
        topic = self._sessions.get(key)
        if topic is not None:
            touch(topic)
        for watcher in self.watchers:
            watcher(old, new)


def check_keys(session: Session) -> Iterator[tuple[str, str]]:
    """Node key and ID of every check the session is bound to, each once."""
    node = session.node.lower()
    for check_id in session.check_ids():
        yield node, check_id
