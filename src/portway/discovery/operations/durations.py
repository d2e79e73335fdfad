"""Durations as the API's fields have them: Go's notation, which needs a unit."""

from __future__ import annotations

from portway.config import Duration


def go_duration(text: str) -> float:
    """Seconds of a Go duration such as ``90s``. Raises ValueError with Go's message."""
    digits = text.lstrip("+-")
    if digits.isdigit() and digits.strip("0"):
        raise ValueError(f'time: missing unit in duration "{text}"')
    try:
        return float(Duration.parse(text))
    except ValueError:
        raise ValueError(f'time: invalid duration "{text}"') from None
