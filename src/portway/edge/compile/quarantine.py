"""Finding the router that Envoy refuses.

A route table is one resource, so a refusal names the entry point and not the router. The
routers that changed since the last accepted state are the suspects: half of them is withheld
and the rest offered again, until one is left and named. The innocent are released as soon as
Envoy has accepted what it was offered.
"""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    """What to do next: routers to withhold, routers to offer, and the culprit if found."""

    withhold: frozenset[str] = frozenset()
    offer: frozenset[str] = frozenset()
    culprit: str | None = None


class Quarantine:
    """The suspects of one entry point."""

    def __init__(self) -> None:
        self._fresh: list[str] = []  # offered and not yet accepted
        self._withheld: list[list[str]] = []

    def offered(self, routers: frozenset[str] | set[str]) -> None:
        """Routers that changed and are now part of what Envoy is offered."""
        self._fresh.extend(sorted(routers - set(self._fresh)))
        for group in self._withheld:
            group[:] = [name for name in group if name not in routers]

    def rejected(self) -> Verdict:
        """Envoy refused the table."""
        suspects, self._fresh = self._fresh, []
        if not suspects:
            return Verdict()
        if len(suspects) == 1:
            return Verdict(culprit=suspects[0])
        half = len(suspects) // 2
        self._withheld.append(suspects[half:])
        self._fresh = suspects[:half]
        return Verdict(withhold=frozenset(suspects[half:]))

    def accepted(self) -> Verdict:
        """Envoy took the table: everything offered is innocent."""
        self._fresh = []
        while self._withheld:
            group = self._withheld.pop()
            if group:
                self._fresh = list(group)
                return Verdict(offer=frozenset(group))
        return Verdict()
