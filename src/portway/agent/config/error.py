"""What is wrong with a configuration, in one message."""

from __future__ import annotations

from collections.abc import Sequence


class ConfigError(Exception):
    """The agent cannot start with this configuration; the text says everything about it."""


def listed(problems: Sequence[str]) -> str:
    """Several problems in the layout of Go's multierror, one a line."""
    count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    return f"{count} occurred:\n" + "\n".join(f"\t* {problem}" for problem in problems)


class Findings:
    """Problems and warnings, in the order they were found."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
