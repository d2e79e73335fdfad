"""Tables: the records under one prefix of the store, decoded and indexed."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from portway.discovery.state.topic import Topic
from portway.store import Record


class Row(Protocol):
    """What tables hold: a struct with the revisions of its creation and last change."""

    create_index: int
    modify_index: int


R = TypeVar("R", bound=Row)
Touch = Callable[[Topic], None]
OnChange = Callable[[str, R | None, R | None, int, Touch], None]
_encoder = msgspec.msgpack.Encoder()


class Table(Generic[R]):
    """Rows of one kind by key. The table's topic changes with every row.

    ``prefix`` ends with ``/`` and is unique in the store. ``on_change(key, old, new, revision,
    touch)`` keeps further indexes and touches further topics.
    """

    def __init__(
        self,
        prefix: str,
        kind: type[R],
        on_change: OnChange[R] | None = None,
        rows: MutableMapping[str, R] | None = None,
    ) -> None:
        self.prefix = prefix
        self.kind = kind
        self.topic = Topic()
        self.rows: MutableMapping[str, R] = {} if rows is None else rows
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._on_change = on_change

    def get(self, key: str) -> R | None:
        """The row, or ``None``."""
        return self.rows.get(key)

    def encode(self, row: R) -> bytes:
        """The stored form of a row; indexes are the store's business and left out."""
        created, modified = row.create_index, row.modify_index
        row.create_index = row.modify_index = 0
        try:
            return _encoder.encode(row)
        finally:
            row.create_index, row.modify_index = created, modified

    def decode(self, value: bytes) -> R:
        """A row from its stored form, without indexes."""
        return self._decoder.decode(value)

    def apply(self, key: str, record: Record | None, revision: int, touch: Touch) -> None:
        """Take over what the store says of ``key`` (without the prefix)."""
        old = self.rows.get(key)
        new: Any = None
        if record is None:
            if old is None:
                return
            del self.rows[key]
        else:
            new = self.decode(record.value)
            new.create_index = record.create_revision
            new.modify_index = record.mod_revision
            self.rows[key] = new
        touch(self.topic)
        if self._on_change is not None:
            self._on_change(key, old, new, revision, touch)
