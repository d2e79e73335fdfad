"""What access control refuses, in the words clients know."""

from __future__ import annotations

ANONYMOUS_ID = "00000000-0000-0000-0000-000000000002"
"""The accessor of the token that stands for requests without one."""


class AclError(Exception):
    """Refused. The text is the whole answer and ``status`` its HTTP status.

    By itself: a change to tokens, policies and the like that is not valid.
    """

    status = 500


class PermissionDeniedError(AclError):
    """The token may not do this."""

    status = 403

    def __init__(self, cause: str = "") -> None:
        super().__init__(f"Permission denied: {cause}" if cause else "Permission denied")


class AclNotFoundError(AclError):
    """The caller's token is unknown or has expired."""

    status = 403

    def __init__(self) -> None:
        super().__init__("ACL not found")


class AclDisabledError(AclError):
    """Access control is off on this agent."""

    status = 401

    def __init__(self) -> None:
        super().__init__("ACL support disabled")


def lacks(accessor: str, resource: str, access: str, name: str = "") -> PermissionDeniedError:
    """The refusal of one permission, naming the token by its accessor, never by its secret."""
    anonymous = accessor == ANONYMOUS_ID
    who = "anonymous token" if anonymous else f"token with AccessorID '{accessor}'"
    what = f"{who} lacks permission '{resource}:{access}'"
    if name:
        what += f' on "{name}"'
    if anonymous:
        what += ". The anonymous token is used implicitly when a request does not specify a token."
    return PermissionDeniedError(what)
