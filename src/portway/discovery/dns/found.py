"""What a question is asked of, and what is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from portway.discovery.acl import Authorizer
from portway.discovery.dns.records import Group, Record
from portway.discovery.dns.settings import DnsSettings, Labels
from portway.discovery.state import Catalog, Instance, Reading, Topic


class Executed(NamedTuple):
    """What a prepared query found, in the order to be answered."""

    instances: list[Instance]
    ttl: int | None
    """Seconds, when the query sets them."""


class Queries(Protocol):
    """Where prepared queries are executed."""

    def execute(self, name: str, source: str, authorizer: Authorizer) -> Executed | None:
        """Execute a query by name or ID for a client's address; ``None`` when there is none."""


class World(NamedTuple):
    """All an answer depends on."""

    catalog: Catalog
    settings: DnsSettings
    authorizer: Authorizer
    queries: Queries | None
    now: int
    """Unix time in seconds."""


class Question(NamedTuple):
    """What is asked. ``labels`` are in lower case."""

    labels: Labels
    kind: int
    source: str = ""
    """The client's address, for prepared queries."""


@dataclass(slots=True)
class Found:
    """The records of an answer, and what they were read from."""

    domain: Labels
    """Ours that the name is in; its SOA record says so when there is nothing."""
    groups: list[Group] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    glue: list[Record] = field(default_factory=list)
    """Additional records that belong to no record of the answer."""
    code: int = 0
    shuffled: bool = True
    """The order means nothing: it is to be another one every time."""
    most: int = 0
    """Most groups of an answer; 0 is no limit."""
    fixed: bool = True
    """Everybody gets the same until one of the topics changes."""
    topics: list[tuple[Topic, int]] = field(default_factory=list)
    """Each with its index at the time of reading."""
    elsewhere: bool = False
    """Recursors may know better."""

    def read(self, reading: Reading[list[Instance]]) -> list[Instance]:
        """Remember what was read."""
        self.watch(*reading.topics)
        return reading.value

    def watch(self, *topics: Topic) -> None:
        """Remember that the answer depends on topics."""
        self.topics += [(topic, topic.index) for topic in topics]


class Ask(NamedTuple):
    """A question on its way to an answer. At most ``depth`` names that stand for others follow."""

    question: Question
    world: World
    found: Found
    depth: int

    @property
    def settings(self) -> DnsSettings:
        """The settings of the interface."""
        return self.world.settings

    @property
    def kind(self) -> int:
        """The type asked for."""
        return self.question.kind
