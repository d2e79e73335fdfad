"""The state of a watch between its requests, without any I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from portway.watch.plan import Plan, Query
from portway.watch.shapes import shaped

_RETRY = 5.0  # seconds; times the square of the failures in a row
_LONGEST_RETRY = 180.0  # seconds


class Request(NamedTuple):
    """What to ask next; ``path`` is below ``/v1``, not yet quoted."""

    path: str
    query: Query


@dataclass(frozen=True)
class Change:
    """What a handler gets: the view as JSON shows it, and where it was read."""

    index: int
    hash: str
    data: Any


class Follower:
    """Follows one plan: ``request`` says what to ask, ``answered`` what came of it.

    The first answer is a change; later ones are only if they differ. What it waits with after a
    failure grows as Consul's does: 5 s, 20 s, 45 s … up to 180 s.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._index = 0
        self._hash = ""
        self._started = False
        self._last: Any = None
        self._last_event = ""
        self._failures = 0

    def request(self) -> Request:
        """The next request: blocking, once there was an answer."""
        query = list(self.plan.query)
        if self._hash:
            query.append(("hash", self._hash))
        elif self._index:
            query.append(("index", str(self._index)))
        return Request(self.plan.path, tuple(query))

    def answered(self, index: int, content_hash: str, body: bytes | None) -> Change | None:
        """Take an answer; None as the body stands for a 404. The change, if it is one.

        Raises ValueError when the body is not JSON; nothing has happened then.
        """
        data = shaped(self.plan.type, None if body is None else json.loads(body))
        self._failures = 0
        moved = self._moved(index, content_hash)
        if self._started and not moved:
            return None
        if self.plan.position == "events":
            data = self._new_events(data)
            if self._started and not data:
                return None
        elif self._started and data == self._last:
            return None
        self._started = True
        self._last = None if self.plan.position == "events" else data
        return Change(index, content_hash, data)

    def failed(self) -> float:
        """Take a failure; the seconds to wait before the next request."""
        self._failures += 1
        return min(_RETRY * self._failures**2, _LONGEST_RETRY)

    def _moved(self, index: int, content_hash: str) -> bool:
        """Note the position of an answer; whether it is another than before."""
        if self.plan.position == "hash":
            moved = content_hash != self._hash
            self._hash = content_hash
            return moved
        moved = index != self._index
        backwards = index < self._index and self.plan.position == "index"
        self._index = 0 if backwards else max(1, index)
        return moved

    def _new_events(self, events: Any) -> list[dict[str, Any]]:
        """The events after the last one that was handed on."""
        found: list[dict[str, Any]] = list(events or ())
        ids = [event["ID"] for event in found]
        if self._last_event in ids:
            found = found[ids.index(self._last_event) + 1 :]
        if ids:
            self._last_event = ids[-1]
        return found
