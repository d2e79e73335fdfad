"""Sessions in memory, by node."""

from __future__ import annotations

from portway.discovery.model import Session
from portway.discovery.state.table import Table, Touch
from portway.discovery.state.topic import Reading


class Sessions:
    """The session table and what readers ask of it. Node names are compared without case."""

    def __init__(self) -> None:
        self.table: Table[Session] = Table("session/", Session, self._changed)
        self.by_node: dict[str, dict[str, Session]] = {}

    def read(self, session_id: str) -> Reading[Session | None]:
        """One session."""
        session = self.table.get(session_id)
        index = self.table.topic.index if session is None else session.modify_index
        return Reading(session, index, (self.table.topic,), session is not None)

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
        if new is not None:
            self.by_node.setdefault(new.node.lower(), {})[key] = new
