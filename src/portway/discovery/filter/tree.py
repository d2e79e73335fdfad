"""What a filter says, as a tree."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Operator(Enum):
    """How a field is compared. The values are the names that errors use."""

    EQUAL = "Equal"
    IN = "In"
    EMPTY = "Is Empty"
    MATCHES = "Matches"


class Match(NamedTuple):
    """One comparison. ``value`` is as written; empty for ``is empty``."""

    selector: tuple[str, ...]
    operator: Operator
    negated: bool
    value: str

    @property
    def selector_text(self) -> str:
        """The selector as errors show it: map keys are joined by dots like fields."""
        return ".".join(self.selector)

    @property
    def operator_text(self) -> str:
        """The operator as errors show it."""
        if self.operator is Operator.EMPTY and self.negated:
            return "Is Not Empty"
        return f"Not {self.operator.value}" if self.negated else self.operator.value


class Not(NamedTuple):
    """The opposite of a condition."""

    term: Expression


class And(NamedTuple):
    """All conditions."""

    terms: tuple[Expression, ...]


class Or(NamedTuple):
    """Any condition."""

    terms: tuple[Expression, ...]


Expression = Match | Not | And | Or
