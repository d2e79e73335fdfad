"""Durations as the API's fields have them: Go's notation, which needs a unit."""

from __future__ import annotations

import re

from portway.config import Duration

_KNOWN = r"(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)"
_UNKNOWN_UNIT = re.compile(rf"[+-]?(?:{_KNOWN})*(?:\d+\.?\d*|\.\d+)([^\d.]+)", re.ASCII)


def go_duration(text: str) -> float:
    """Seconds of a Go duration such as ``90s``. Raises ValueError with Go's message."""
    digits = text.lstrip("+-")
    if digits.isdigit() and digits.strip("0"):
        raise ValueError(f'time: missing unit in duration "{text}"')
    try:
        return float(Duration.parse(text))
    except ValueError:
        unknown = _UNKNOWN_UNIT.match(text)
        if unknown is not None:
            raise ValueError(f'time: unknown unit "{unknown[1]}" in duration "{text}"') from None
        raise ValueError(f'time: invalid duration "{text}"') from None
