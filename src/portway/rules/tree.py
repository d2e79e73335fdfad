"""The syntax tree of a rule."""

from __future__ import annotations

import msgspec


class Matcher(msgspec.Struct, frozen=True):
    """One matcher: canonical name, arguments as written, 1-based column of the name."""

    name: str
    args: tuple[str, ...]
    column: int = 1

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(_quote, self.args))})"


class Not(msgspec.Struct, frozen=True):
    """Negation."""

    term: Node

    def __str__(self) -> str:
        return f"!{_grouped(self.term)}"


class And(msgspec.Struct, frozen=True):
    """Conjunction of two or more terms."""

    terms: tuple[Node, ...]

    def __str__(self) -> str:
        return " && ".join(map(_grouped, self.terms))


class Or(msgspec.Struct, frozen=True):
    """Disjunction of two or more terms."""

    terms: tuple[Node, ...]

    def __str__(self) -> str:
        return " || ".join(map(_grouped, self.terms))


Node = And | Or | Not | Matcher


class Rule(msgspec.Struct, frozen=True):
    """A rule that parsed: its text and its tree."""

    text: str
    tree: Node

    @property
    def priority(self) -> int:
        """What Traefik gives a router without a priority: the bytes of the rule's text."""
        return len(self.text.encode())

    @property
    def domains(self) -> tuple[str, ...]:
        """Hosts named by ``Host`` matchers that are not negated, lower-case, in order."""
        return tuple(dict.fromkeys(_positive_hosts(self.tree, positive=True)))


def _positive_hosts(node: Node, *, positive: bool) -> list[str]:
    match node:
        case Matcher(name="Host"):
            return [node.args[0].lower()] if positive else []
        case Matcher():
            return []
        case Not():
            return _positive_hosts(node.term, positive=not positive)
        case _:
            return [h for term in node.terms for h in _positive_hosts(term, positive=positive)]


def _grouped(node: Node) -> str:
    return f"({node})" if isinstance(node, And | Or) else str(node)


def _quote(text: str) -> str:
    if "`" not in text and "\r" not in text:
        return f"`{text}`"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r") + '"'
