"""Keys and entries, as the ``kv`` commands take and show them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

_LABEL = 17  # columns before the value


def path(key: str) -> str:
    """The key a user means: a leading slash is a habit from file systems."""
    return key.removeprefix("/")


def value(entry: dict[str, Any]) -> bytes:
    """The value of an entry of the API."""
    return base64.b64decode(entry.get("Value") or "")


def shown(entry: dict[str, Any], as_base64: bool) -> bytes:
    """The value as it is, or in base64."""
    content = value(entry)
    return base64.b64encode(content) if as_base64 else content


def detailed(entry: dict[str, Any], as_base64: bool) -> bytes:
    """All of an entry, one field a line."""
    rows = [
        ("CreateIndex", entry["CreateIndex"]),
        ("Flags", entry["Flags"]),
        ("Key", entry["Key"]),
        ("LockIndex", entry["LockIndex"]),
        ("ModifyIndex", entry["ModifyIndex"]),
        ("Session", entry.get("Session") or "-"),
        ("Value", ""),
    ]
    text = "\n".join(f"{label:<{_LABEL}}{field}" for label, field in rows)
    return text.encode() + shown(entry, as_base64)


def decoded(text: bytes | str) -> bytes:
    """What base64 text stands for. Raises ValueError on any other text."""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
