"""Events: short messages to all agents, of which each keeps the last 256 that concern it.

Nothing of it is stored. An event is fired at one agent and received by every agent, the firing
one included; what an agent receives passes the event's filters or is ignored.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from msgspec import field

from portway.discovery.model import Wire
from portway.discovery.operations.patterns import pattern
from portway.discovery.state import Topic

KEPT = 256
MAX_PAYLOAD = 300  # bytes
REMOTE_EXEC = "_rexec"
"""The name of the events of remote execution, which are not kept."""


class EventError(Exception):
    """The event cannot be fired; the message is the documented one."""


class Event(Wire, omit_defaults=False):
    """One event. The filters are regular expressions; empty ones let everybody pass."""

    id: str = ""
    name: str = ""
    payload: bytes | None = None
    node_filter: str = ""
    service_filter: str = ""
    tag_filter: str = ""
    version: int = 1
    ltime: int = field(name="LTime", default=0)
    """Lamport time: how many events the receiving agent had seen."""


Services = Callable[[], Iterable[tuple[str, Sequence[str]]]]


class EventLog:
    """The events of one agent. ``services`` yields name and tags of its services."""

    def __init__(self, node: str, services: Services) -> None:
        self.topic = Topic()
        """Changes with every event that is kept."""
        self._node = node
        self._services = services
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._hooks: list[Callable[[Event], None]] = []
        self._time = 0

    def on_event(self, hook: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``hook`` with every event that concerns this agent; returns how to stop that.

        Those of remote execution are among them.
        """
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    def fire(self, event: Event) -> Event:
        """Send an event; returns it with its ID. Raises EventError."""
        check(event)
        sent = Event(
            id=str(uuid.uuid4()),
            name=event.name,
            payload=event.payload or None,
            node_filter=event.node_filter,
            service_filter=event.service_filter,
            tag_filter=event.tag_filter,
        )
        self.receive(sent)
        return sent

    def receive(self, event: Event) -> None:
        """Take in an event that somebody fired."""
        self._time += 1
        if not concerns(event, self._node, self._services):
            return
        seen = Event(
            id=event.id,
            name=event.name,
            payload=event.payload,
            node_filter=event.node_filter,
            service_filter=event.service_filter,
            tag_filter=event.tag_filter,
            version=event.version,
            ltime=self._time,
        )
        if event.name != REMOTE_EXEC:
            self._events.append(seen)
            self.topic.touch(self.topic.index + 1)
        for hook in tuple(self._hooks):
            hook(seen)

    def recent(self, name: str = "") -> list[Event]:
        """The kept events, the oldest first; those of one name if that is given."""
        return [event for event in self._events if not name or event.name == name]


def check(event: Event) -> None:
    """Raise EventError unless the event may be fired."""
    if not event.name:
        raise EventError("User event missing name")
    if event.tag_filter and not event.service_filter:
        raise EventError("Cannot provide tag filter without service filter")
    for what, text in (
        ("node", event.node_filter),
        ("service", event.service_filter),
        ("tag", event.tag_filter),
    ):
        try:
            if text:
                pattern(text)
        except ValueError as error:
            raise EventError(f"Invalid {what} filter: {error}") from None


def concerns(event: Event, node: str, services: Services) -> bool:
    """Whether an event's filters let the agent of ``node`` pass."""
    if event.node_filter and not pattern(event.node_filter).search(node):
        return False
    if not event.service_filter:
        return True
    named = pattern(event.service_filter)
    tagged = pattern(event.tag_filter) if event.tag_filter else None
    return any(
        named.search(name) and (tagged is None or any(tagged.search(tag) for tag in tags))
        for name, tags in services()
    )


def index_of(events: Sequence[Event]) -> int:
    """What stands for the state of a list of events: both halves of the last ID, XORed.

    It says only whether something has changed; later ones are not greater.
    """
    if not events:
        return 1
    number = uuid.UUID(events[-1].id).int
    return ((number >> 64) ^ (number & ((1 << 64) - 1))) or 1
