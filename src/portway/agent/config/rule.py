"""Rules and words that several checks share."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from portway.config import Duration

AT_LEAST_ZERO = "Must be greater than or equal to zero"


def not_negative(key: str, value: Duration) -> Iterator[str]:
    """A problem when the duration is negative."""
    if value < 0:
        yield f"{key} cannot be {value}. {AT_LEAST_ZERO}"


def one_of(key: str, value: str, *choices: str) -> str:
    """What is said of a value that is none of the choices."""
    return f'{key}: "{value}" is not valid; write one of {", ".join(choices)}'


def is_url(text: str) -> bool:
    """Whether it is an absolute URL of http or https."""
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.netloc)
