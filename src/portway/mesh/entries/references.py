"""References from one entry to another, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from portway.discovery.model import Wire
from portway.mesh.entries.entry import EntryError


class Reference(Wire):
    """An entry by kind and name, or a section of it, such as a listener."""

    kind: str
    name: str
    section_name: str


class Condition(Wire):
    """What the servers found of an entry, or of what it refers to."""

    type: str
    status: str
    reason: str
    message: str
    resource: Reference | None
    last_transition_time: str | None


class Status(Wire):
    """Everything the servers found of an entry; what a client writes here is not kept."""

    conditions: list[Condition] | None


NO_STATUS = Status(None)


def with_kind(references: list[Reference] | None, kind: str) -> list[Reference] | None:
    """References whose missing kind is filled in."""
    return references and [
        one if one.kind else Reference(kind, one.name, one.section_name) for one in references
    ]


def check_parents(parents: Sequence[Reference]) -> None:
    """Raise EntryError unless a route's parents are different gateways or listeners."""
    seen = set()
    for parent in parents:
        if parent.kind != "api-gateway":
            raise EntryError(f"unsupported parent kind: \"{parent.kind}\", must be 'api-gateway'")
        key = (parent.name, parent.section_name)
        if key in seen:
            raise EntryError("route parents must be unique")
        seen.add(key)
