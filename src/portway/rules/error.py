"""The one error of the rule language."""

from __future__ import annotations


class RuleError(ValueError):
    """A rule that cannot be used: what is wrong and the 1-based column (characters)."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column
