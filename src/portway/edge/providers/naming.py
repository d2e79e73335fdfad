"""How names found in a source become names of objects and hosts."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[\W_]+")


def normalize(name: str) -> str:
    """``name`` with every run of characters that are no letter or digit turned into ``-``.

    Leading and trailing runs vanish, case is kept: ``/api_My_Proj`` → ``api-My-Proj``.
    """
    return "-".join(part for part in _SEPARATORS.split(name) if part)
