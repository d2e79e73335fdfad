"""Prepared queries in memory: by name, by the session they are bound to, templates by prefix."""

from __future__ import annotations

from portway.discovery.model.queries import PreparedQuery
from portway.discovery.state.table import Table, Touch
from portway.discovery.state.topic import Reading, Topics


class Queries:
    """The table of prepared queries and what readers ask of it. Names are without case."""

    def __init__(self) -> None:
        self.table: Table[PreparedQuery] = Table("query/", PreparedQuery, self._changed)
        self.by_session: dict[str, set[str]] = {}
        self._names: dict[str, str] = {}
        """Name in lower case → ID, templates and the others."""
        self._templates: dict[str, str] = {}
        """The same for templates only, the one without a name included."""
        self._queries = Topics()

    def named(self, name: str) -> PreparedQuery | None:
        """The query of exactly this name."""
        return self.table.get(self._names.get(name.lower(), ""))

    def catch_all(self) -> PreparedQuery | None:
        """The template without a name."""
        return self.table.get(self._templates.get("", ""))

    def resolve(self, id_or_name: str) -> PreparedQuery | None:
        """The query that answers: by ID, by name, or the template with the longest prefix."""
        if not id_or_name:
            return None
        name = id_or_name.lower()
        query = self.table.get(name) or self.named(name)
        if query is not None or not self._templates:
            return query
        for length in sorted({len(prefix) for prefix in self._templates}, reverse=True):
            found = self._templates.get(name[:length]) if length <= len(name) else None
            if found is not None:
                return self.table.get(found)
        return None

    def read(self, query_id: str) -> Reading[PreparedQuery | None]:
        """One query by its ID."""
        query = self.table.get(query_id)
        index = self.table.topic.index if query is None else query.modify_index
        return Reading(query, index, (self._queries.of(query_id),), query is not None)

    def read_all(self) -> Reading[list[PreparedQuery]]:
        """Every query, by ID."""
        rows = [self.table.rows[key] for key in sorted(self.table.rows)]
        return Reading(rows, self.table.topic.index, (self.table.topic,))

    def _changed(
        self,
        key: str,
        old: PreparedQuery | None,
        new: PreparedQuery | None,
        revision: int,
        touch: Touch,
    ) -> None:
        if old is not None:
            for names in (self._names, self._templates):
                if names.get(old.name.lower()) == key:
                    del names[old.name.lower()]
            if old.session:
                queries = self.by_session[old.session]
                queries.discard(key)
                if not queries:
                    del self.by_session[old.session]
        if new is not None:
            if new.name:
                self._names[new.name.lower()] = key
            if new.is_template:
                self._templates[new.name.lower()] = key
            if new.session:
                self.by_session.setdefault(new.session, set()).add(key)
        topic = self._queries.get(key)
        if topic is not None:
            touch(topic)
