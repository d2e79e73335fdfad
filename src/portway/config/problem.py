"""A problem in a configuration: where it is, which key it concerns, what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong, in words a user can act on.

    ``source`` is the file, ``flags`` or ``environment``, or empty where the key alone says it
    (labels). ``key`` is spelled as the user spelled it: ``entryPoints.web.adress`` in a file,
    ``--entrypoints.web.adress`` on the command line, ``TRAEFIK_LOG_LEVL``, a whole label.
    """

    source: str
    line: int | None  # counted from 1
    key: str
    message: str

    def __str__(self) -> str:
        """One line: ``traefik.yml:12: entryPoints.web.adress: field not found, ...``."""
        place = f"{self.source}:{self.line}" if self.source and self.line else self.source
        parts = (place, short(self.key, 200), short(self.message, 600))
        return ": ".join(part for part in parts if part)


def short(text: str, most: int) -> str:
    """The text, cut, and with control characters escaped: input never moves the cursor."""
    if len(text) > most:
        text = text[:most] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean x?`` for the closest known name, else the names that are valid."""
    names = sorted(known)
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower()[:80], by_lower, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {by_lower[close[0]]}?"
    if not names:
        return ""
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; valid here: {listed}"
