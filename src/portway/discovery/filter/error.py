"""The one error of the filter language."""

from __future__ import annotations


class FilterError(ValueError):
    """A filter that cannot be used. The text is complete: the API answers 500 with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to create boolean expression evaluator: {reason}")
        self.reason = reason
