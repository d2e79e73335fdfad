"""Errors that become answers."""

from __future__ import annotations


class ApiError(Exception):
    """An answer that is not a success: a status and one plain-text message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_request(message: str) -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, message)


def not_found(message: str) -> ApiError:
    """404: what it names does not exist."""
    return ApiError(404, message)


def refused(message: str) -> ApiError:
    """500: the servers refuse it, which is how the documented API reports most such errors."""
    return ApiError(500, message)
