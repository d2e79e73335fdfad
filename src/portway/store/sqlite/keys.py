"""Ranges of keys: the order is that of code points, which is also the order of UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_HIGHEST = 0x10FFFF
_BEFORE_SURROGATES = 0xD7FF
_AFTER_SURROGATES = 0xE000


def prefix_end(prefix: str) -> str | None:
    """The smallest key after all keys that begin with ``prefix``; ``None`` when there is none."""
    stem = prefix.rstrip(chr(_HIGHEST))
    if not stem:
        return None
    last = ord(stem[-1])
    following = _AFTER_SURROGATES if last == _BEFORE_SURROGATES else last + 1
    return stem[:-1] + chr(following)


def in_range(prefix: str, column: str = "key") -> tuple[str, tuple[str, ...]]:
    """An SQL condition, with its parameters, for the keys that begin with ``prefix``."""
    end = prefix_end(prefix)
    if end is None:
        return f"{column} >= ?", (prefix,)
    return f"{column} >= ? AND {column} < ?", (prefix, end)


def number_kept(keep_versions: Mapping[str, int]) -> Callable[[str], int]:
    """How many versions of a key are kept, 0 for none; the longest prefix decides."""
    rules = sorted(keep_versions.items(), reverse=True)  # of two that match, the longer is first

    def kept(key: str) -> int:
        for prefix, number in rules:
            if key.startswith(prefix):
                return number
        return 0

    return kept
