"""What one run of a check says, and the errors of definitions."""

from __future__ import annotations

from typing import NamedTuple

from portway.discovery.model import CRITICAL, PASSING, WARNING, CheckStatus


class CheckError(Exception):
    """A definition that cannot be honoured; the message is what users see."""


class CheckRefusedError(CheckError):
    """A valid definition of a kind that this agent does not run."""


class Result(NamedTuple):
    """The outcome of one run."""

    status: CheckStatus
    output: str


def passing(output: str) -> Result:
    """The target is healthy."""
    return Result(PASSING, output)


def warning(output: str) -> Result:
    """The target works, but says that something is wrong."""
    return Result(WARNING, output)


def critical(output: str) -> Result:
    """The target does not work, or could not be asked."""
    return Result(CRITICAL, output)
