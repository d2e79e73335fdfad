"""Regular expressions in the dialect of Go (RE2), with bounded memory and linear time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_IN_GO = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}
"""What Go's package calls an error, by what RE2 calls it, where that differs."""


@lru_cache(maxsize=256)
def pattern(text: str) -> Any:
    """A compiled expression with ``search``. Raises ValueError in the words of Go's package."""
    import re2  # only when an expression is used: the agent starts without

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "invalid"
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"error parsing regexp: {_in_go(said)}") from None
    except UnicodeEncodeError:
        raise ValueError("error parsing regexp: invalid UTF-8") from None


def _in_go(said: str) -> str:
    name, _, where = said.partition(": ")
    name = _IN_GO.get(name, name)
    return f"{name}: `{where}`"
