"""Config entries in memory: by kind, by the services they lead to, and as intentions."""

from __future__ import annotations

from typing import TypeVar, cast

from portway.discovery.state.table import Table, Touch
from portway.discovery.state.topic import Reading, Topic, Topics
from portway.mesh.entries import KINDS, AnyEntry, Entry, ServiceIntentions, kind_name

E = TypeVar("E", bound=Entry)


def entry_key(kind: type[Entry], name: str) -> str:
    """The key of an entry in the table: names are the same in any case."""
    return f"{kind_name(kind)}/{name.lower()}"


class ConfigEntries:
    """The table of config entries and what readers ask of it."""

    def __init__(self) -> None:
        # The decoder tells the kinds apart by their tags.
        every = cast("type[Entry]", AnyEntry)
        self.table: Table[Entry] = Table("config/", every, self._changed)
        self.kinds: dict[type[Entry], Topic] = {kind: Topic() for kind in KINDS.values()}
        """What changes with every entry of a kind."""
        self._names: dict[type[Entry], set[str]] = {kind: set() for kind in KINDS.values()}
        self._leading: dict[str, set[str]] = {}
        """Service → the keys of entries from which traffic goes to it."""
        self._by_source: dict[str, set[str]] = {}
        """Source of intentions → their destinations."""
        self._by_id: dict[str, str] = {}
        """ID of an intention of the deprecated API → its destination."""
        self._entries = Topics()

    def get(self, kind: type[E], name: str) -> E | None:
        """One entry."""
        return cast("E | None", self.table.get(entry_key(kind, name)))

    def names(self, kind: type[Entry]) -> list[str]:
        """The names of a kind's entries, sorted."""
        return sorted(self._names[kind])

    def all(self, kind: type[E]) -> list[E]:
        """The entries of a kind, by name."""
        prefix = f"{kind_name(kind)}/"
        return [cast("E", self.table.rows[prefix + name]) for name in self.names(kind)]

    def leading(self, service: str) -> set[str]:
        """The keys of the entries from which traffic goes to a service."""
        return self._leading.get(service, set())

    def destinations(self, source: str) -> set[str]:
        """The destinations of a source's intentions."""
        return self._by_source.get(source, set())

    def destination_of(self, intention_id: str) -> str | None:
        """The destination of an intention of the deprecated API."""
        return self._by_id.get(intention_id)

    def read(self, kind: type[E], name: str) -> Reading[E | None]:
        """One entry; its index is its own, or the kind's when there is none."""
        entry = self.get(kind, name)
        index = self.kinds[kind].index if entry is None else entry.modify_index
        topic = self._entries.of(entry_key(kind, name))
        return Reading(entry, index, (topic,), entry is not None)

    def read_kind(self, kind: type[E]) -> Reading[list[E]]:
        """The entries of a kind, by name."""
        topic = self.kinds[kind]
        return Reading(self.all(kind), topic.index, (topic,))

    def read_all(self) -> Reading[list[Entry]]:
        """Every entry, by kind and name."""
        rows = [self.table.rows[key] for key in sorted(self.table.rows)]
        return Reading(rows, self.table.topic.index, (self.table.topic,))

    def _changed(
        self, key: str, old: Entry | None, new: Entry | None, revision: int, touch: Touch
    ) -> None:
        kind = type(new or old)
        name = key.partition("/")[2]
        assert issubclass(kind, Entry)
        touch(self.kinds[kind])
        topic = self._entries.get(key)
        if topic is not None:
            touch(topic)
        if old is not None:
            for service in old.reaches():
                _discard(self._leading, service, key)
            if isinstance(old, ServiceIntentions):
                self._forget(old)
        if new is None:
            self._names[kind].discard(name)
            return
        self._names[kind].add(name)
        for service in new.reaches():
            self._leading.setdefault(service, set()).add(key)
        if isinstance(new, ServiceIntentions):
            for source in new.sources or ():
                self._by_source.setdefault(source.name, set()).add(new.name)
                if source.legacy_id:
                    self._by_id[source.legacy_id] = new.name

    def _forget(self, entry: ServiceIntentions) -> None:
        for source in entry.sources or ():
            _discard(self._by_source, source.name, entry.name)
            if self._by_id.get(source.legacy_id) == entry.name:
                del self._by_id[source.legacy_id]


def _discard(index: dict[str, set[str]], name: str, key: str) -> None:
    keys = index.get(name)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del index[name]
