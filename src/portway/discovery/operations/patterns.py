"""Regular expressions in the dialect of Go (RE2), with bounded memory and linear time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=256)
def pattern(text: str) -> Any:
    """A compiled expression with ``search``. Raises ValueError with what is wrong."""
    import re2  # only when an expression is used: the agent starts without

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "invalid"
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"error parsing regexp: {said}") from None
    except UnicodeEncodeError:
        raise ValueError("error parsing regexp: invalid UTF-8") from None
