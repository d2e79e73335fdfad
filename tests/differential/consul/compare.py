"""Two recordings of one scenario, compared."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from .world import Step

_MISSING = "(missing)"


def differences(real: Sequence[Step], ours: Sequence[Step], *, mixed: bool = False) -> list[str]:
    """What is wrong, a line each: facts that differ and should not, or should and do not.

    When they are ``mixed``, half of them Consul's, not all that should differ does. What the real
    one does only after a while is meant by a pattern behind a question mark: it may differ.
    """
    found: list[str] = []
    for number, (theirs, mine) in enumerate(zip(real, ours, strict=False), 1):
        where = f"step {number}, {theirs.what}"
        if theirs.what != mine.what:
            found.append(f"{where}: the scenario took another way: {mine.what}")
            break
        meant = [(row, one) for row, patterns in mine.differs.items() for one in patterns]
        unmet = {pair for pair in meant if not pair[1].startswith("?")}
        for fact in sorted({*theirs.facts, *mine.facts}):
            one, other = theirs.facts.get(fact, _MISSING), mine.facts.get(fact, _MISSING)
            if one == other:
                continue
            explained = {pair for pair in meant if fnmatchcase(fact, pair[1].removeprefix("?"))}
            unmet -= explained
            if not explained:
                found.append(f"{where}: {fact}\n    Consul  {one!r}\n    Portway {other!r}")
        found.extend(
            f"{where}: {row!r} no longer shows in {one}" for row, one in sorted(unmet) if not mixed
        )
    if len(real) != len(ours):
        found.append(f"Consul took {len(real)} steps, Portway {len(ours)}")
    return found
