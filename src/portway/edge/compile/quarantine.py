"""Finding what Envoy refuses among many things that it was offered at once.

A route table is one resource, and so are all filter chains of a slot: a refusal does not say
which router or which middleware it is about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def culprits(
    suspects: Sequence[T], refusal: Callable[[Sequence[T]], Awaitable[str | None]]
) -> dict[T, str]:
    """The suspects without which the others are accepted, each with the words of its refusal.

    ``refusal`` says why a group of suspects is refused, or None. Halves of refused groups are
    tried, together with all that was accepted so far, until single culprits are left: of two
    that are refused only together it is the later one. About 2·k·log2(n) trials for k culprits
    among n suspects.
    """
    found: dict[T, str] = {}
    accepted: list[T] = []
    groups = [list(suspects)]
    while groups:
        group = groups.pop()
        if not group:
            continue
        reason = await refusal([*accepted, *group])
        if reason is None:
            accepted += group
        elif len(group) == 1:
            found[group[0]] = reason
        else:
            half = len(group) // 2
            groups += (group[half:], group[:half])
    return found
