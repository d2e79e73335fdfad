"""Keys and entries, as the ``kv`` commands take and show them."""

from __future__ import annotations

import base64
from typing import Any

_LABEL = 17  # columns before the value
_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


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
    """All of an entry, one field a line, the value last."""
    return f"{about(entry)}{'Value':<{_LABEL}}".encode() + shown(entry, as_base64)


def about(entry: dict[str, Any]) -> str:
    """All of an entry but its value, one field a line, each with its end."""
    rows = [
        ("CreateIndex", entry["CreateIndex"]),
        ("Flags", entry["Flags"]),
        ("Key", entry["Key"]),
        ("LockIndex", entry["LockIndex"]),
        ("ModifyIndex", entry["ModifyIndex"]),
        ("Session", entry.get("Session") or "-"),
    ]
    return "".join(f"{label:<{_LABEL}}{field}\n" for label, field in rows)


def decoded(text: bytes | str) -> bytes:
    """What base64 text stands for; ends of lines count for nothing.

    Raises ValueError on any other text, saying at which byte it goes wrong.
    """
    content = text if isinstance(text, bytes) else text.encode()
    if (wrong := _illegal(content)) is not None:
        raise ValueError(f"illegal base64 data at input byte {wrong}")
    return base64.b64decode(content)


def _illegal(text: bytes) -> int | None:
    """The byte where ``text`` stops to be padded base64, counted as Go counts it."""
    letters = [(at, byte) for at, byte in enumerate(text) if byte not in b"\r\n"]
    for number, (at, byte) in enumerate(letters):
        if byte in _ALPHABET:
            continue
        if byte != ord("=") or number % 4 < 2:
            return at
        padding = 4 - number % 4
        found = letters[number : number + padding]
        if len(found) < padding:
            return len(text)
        if found[-1][1] != ord("="):
            return found[-1][0] - 1
        after = letters[number + padding :]
        return after[0][0] if after else None
    return len(text) - len(letters) % 4 if len(letters) % 4 else None
