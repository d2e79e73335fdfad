"""Log lines that strangers can cause must not come as often as they like."""

from __future__ import annotations

import time

_PAUSE = 10.0  # seconds


class Seldom:
    """Says yes at most once in a while."""

    def __init__(self, pause: float = _PAUSE) -> None:
        self._pause = pause
        self._next = 0.0

    def __call__(self) -> bool:
        """Whether it is time again."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._pause
        return True
