"""IDs that users write: whole, by the beginning, or by a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portway.cli.client import ApiError, Client

ANONYMOUS = "00000000-0000-0000-0000-000000000002"
_MANAGEMENT = "00000000-0000-0000-0000-000000000001"
_WHOLE = 36  # characters of a UUID
_MISSING = "No such {what} ID with prefix: {text}"


def token_id(client: Client, text: str) -> str:
    """The accessor ID of a token. Raises ApiError."""
    if text == "anonymous":
        return ANONYMOUS
    return _by_beginning(client, "acl/tokens", "AccessorID", "token", text)


def policy_id(client: Client, text: str) -> str:
    """The ID of a policy. Raises ApiError."""
    if text == "global-management":
        return _MANAGEMENT
    return _by_beginning(client, "acl/policies", "ID", "policy", text)


def role_id(client: Client, text: str) -> str:
    """The ID of a role. Raises ApiError."""
    return _by_beginning(client, "acl/roles", "ID", "role", text)


def rule_id(client: Client, text: str) -> str:
    """The ID of a binding rule. Raises ApiError."""
    missing = "no such {what} ID with prefix: {text}: ACL not found"
    return _by_beginning(client, "acl/binding-rules", "ID", "rule", text, missing)


def _by_beginning(
    client: Client, path: str, field: str, what: str, text: str, missing: str = _MISSING
) -> str:
    if len(text) == _WHOLE:
        return text
    rows: Sequence[dict[str, Any]] = client.get(path).json() or ()
    found = [str(row[field]) for row in rows if str(row[field]).startswith(text)]
    if not found:
        raise ApiError(missing.format(what=what, text=text))
    if len(found) > 1:
        raise ApiError(f"Partial {what} ID is not unique")
    return found[0]
