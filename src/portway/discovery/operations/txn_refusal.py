"""What refuses one operation of a transaction."""

from __future__ import annotations

import json


class RefusedError(Exception):
    """The operation cannot be; the message is the documented one."""


def quoted(text: str) -> str:
    """A name in a message, as Go quotes it."""
    return json.dumps(text, ensure_ascii=False)
