"""The materialised view: tables in memory, fed by the store's watch, read without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from portway.discovery.state.table import Table, Touch
from portway.discovery.state.topic import Topic
from portway.store import Batch, Record, Snapshot, Store, Watch

log = structlog.get_logger("state")
_SLICE = 1000  # records loaded at a stretch


class View:
    """Tables that follow a store.

    ``revision`` is the last revision that is visible. ``epoch`` counts replacements of the whole
    state, after which indexes may have gone back and every blocked reader returns.
    """

    def __init__(self, tables: Sequence[Table[Any]], every_topic: Sequence[Topic] = ()) -> None:
        self.tables = {table.prefix: table for table in tables}
        self.revision = 0
        self.epoch = 0
        self.ended = False
        """Whether nothing will change any more, so that nobody should wait."""
        self.replacement = Topic()
        """Touched when the whole state is replaced; every blocked reader waits for it too."""
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._watch: Watch | None = None
        # Topics that exist beside the tables' own and must have an index from the start.
        self._standing = [*every_topic, *(table.topic for table in tables)]

    async def follow(self, store: Store) -> None:
        """Load everything and keep up with every commit. Raises StoreError."""
        snapshot = await store.read()
        await self._load(snapshot)
        self._watch = await store.watch("", snapshot.revision, self.apply)

    def stop(self) -> None:
        """Follow no more."""
        if self._watch is not None:
            self._watch.cancel()

    async def _load(self, snapshot: Snapshot) -> None:
        groups: dict[str, list[Any]] = {prefix: [] for prefix in self.tables}
        for record in snapshot.records:
            head, _, _ = record.key.partition("/")
            group = groups.get(head + "/")
            if group is not None:
                group.append(record)

        def touch(topic: Topic) -> None:
            topic.index = snapshot.revision

        # Deletions leave no trace in a snapshot; the current revision is a safe upper bound for
        # the index of all that can lose a part of it.
        for prefix, records in groups.items():  # in the order of the tables: nodes come first
            table = self.tables[prefix]
            for position, record in enumerate(records):
                self._applied(table, record.key[len(prefix) :], record, record.mod_revision, touch)
                if position % _SLICE == 0:
                    await asyncio.sleep(0)  # who asks meanwhile hears that there is no leader yet
        self.revision = snapshot.revision
        for topic in self._standing:
            touch(topic)

    def apply(self, batches: Sequence[Batch]) -> None:
        """Apply commits in order, then wake those who waited for what they changed."""
        touched: dict[Topic, int] = {}
        for revision, events in batches:

            def touch(topic: Topic, revision: int = revision) -> None:
                touched[topic] = revision

            for key, record in events:
                head, _, rest = key.partition("/")
                table = self.tables.get(head + "/")
                if table is not None:
                    self._applied(table, rest, record, revision, touch)
            self.revision = revision
        for topic, index in touched.items():
            topic.touch(index)
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for wanted, future in waiting:
                if wanted > self.revision:
                    self._waiting.append((wanted, future))
                elif not future.done():
                    future.set_result(None)

    @staticmethod
    def _applied(
        table: Table[Any], key: str, record: Record | None, revision: int, touch: Touch
    ) -> None:
        try:
            table.apply(key, record, revision, touch)
        except Exception:
            # One record that cannot be read must not stop everything that comes after it.
            log.exception("A record was left out", table=table.prefix, key=key)

    def replaced(self) -> None:
        """The whole state has been replaced: blocked readers return."""
        self.epoch += 1
        self.replacement.touch(self.revision)

    def end(self) -> None:
        """Nothing will change any more: blocked readers return."""
        self.ended = True
        self.replacement.touch(self.revision)

    async def reached(self, revision: int) -> None:
        """Wait until ``revision`` is visible."""
        if revision > self.revision:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((revision, future))
            await future
