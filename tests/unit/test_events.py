"""Events: whom they concern, how many are kept, and what stands for their state."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from portway.discovery.operations.events import (
    Event,
    EventError,
    EventLog,
    check,
    concerns,
    index_of,
)

SERVICES = {"web": ["v1", "public"], "db": []}


def _services() -> list[tuple[str, list[str]]]:
    return list(SERVICES.items())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"node_filter": "^alpha$"}, True),
        ({"node_filter": "lph"}, True),
        ({"node_filter": "beta"}, False),
        ({"service_filter": "^we"}, True),
        ({"service_filter": "mail"}, False),
        ({"service_filter": "web", "tag_filter": "^v\\d$"}, True),
        ({"service_filter": "db", "tag_filter": "v1"}, False),
        ({"service_filter": "web", "tag_filter": "v2"}, False),
        ({"node_filter": "beta", "service_filter": "web"}, False),
    ],
)
def test_filters(filters: dict[str, Any], expected: bool) -> None:
    assert concerns(Event(name="e", **filters), "alpha", _services) is expected


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event(), "User event missing name"),
        (
            Event(name="e", tag_filter="x"),
            "Cannot provide tag filter without service filter",
        ),
        (Event(name="e", node_filter="("), "Invalid node filter: error parsing regexp: "),
        (Event(name="e", service_filter="(?=a)"), "Invalid service filter: error parsing regexp"),
        (Event(name="e", service_filter="a", tag_filter="["), "Invalid tag filter: error"),
    ],
)
def test_what_cannot_be_fired(event: Event, message: str) -> None:
    with pytest.raises(EventError) as caught:
        check(event)
    assert str(caught.value).startswith(message)


def test_the_last_256_are_kept_oldest_first() -> None:
    log = EventLog("alpha", _services)
    for number in range(300):
        log.fire(Event(name=f"e{number % 2}", payload=str(number).encode()))
    events = log.recent()
    assert [int(event.payload or b"") for event in events] == list(range(44, 300))
    assert [event.ltime for event in events] == list(range(45, 301))
    assert len(log.recent("e1")) == 128
    assert log.recent("e2") == []


def test_an_event_of_others_is_not_kept() -> None:
    log = EventLog("alpha", _services)
    sent = log.fire(Event(name="e", node_filter="beta"))
    assert sent.id
    assert (sent.ltime, sent.version) == (0, 1)
    assert log.recent() == []
    assert log.topic.index == 0


def test_hooks_see_every_event_and_remote_execution_only_there() -> None:
    log = EventLog("alpha", _services)
    seen: list[str] = []
    stop = log.on_event(lambda event: seen.append(event.name))
    log.fire(Event(name="_rexec"))
    log.fire(Event(name="deploy"))
    stop()
    log.fire(Event(name="deploy"))
    assert seen == ["_rexec", "deploy"]
    assert [event.name for event in log.recent()] == ["deploy", "deploy"]


def test_the_index_is_both_halves_of_the_last_id() -> None:
    assert index_of([]) == 1
    event_id = "01234567-89ab-cdef-fedc-ba9876543211"
    assert uuid.UUID(event_id).hex[:16] == "0123456789abcdef"
    assert index_of([Event(id=event_id)]) == 0x0123456789ABCDEF ^ 0xFEDCBA9876543211
