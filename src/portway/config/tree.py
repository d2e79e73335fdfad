"""The untyped form every source is read into, and the reading of dotted keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from portway.config.problem import Problem

MAX_DEPTH = 64  # levels of a dotted key or of a nested file

Tree: TypeAlias = "str | bool | int | float | list[Tree] | dict[str, Tree] | None"
At: TypeAlias = int | str | None
"""Where a key was written: a line of a file (from 1), a flat key as the user spelled it."""


class Table(dict[str, Tree]):
    """A mapping that remembers where its keys were written.

    ``at`` maps a key to its place. ``value`` is the text a flat key gives to the node itself
    when it has children too (``--api=true --api.insecure=true``).
    """

    __slots__ = ("at", "value")

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, At] = {}
        self.value: str | None = None


class Flat(NamedTuple):
    """One dotted key: ``path`` without its prefix, ``shown`` as the user spelled it."""

    path: str
    value: str
    shown: str


class _Node:
    __slots__ = ("children", "name", "shown", "value")

    def __init__(self, name: str, shown: str) -> None:
        self.name = name
        self.shown = shown
        self.value: str | None = None
        self.children: dict[str, _Node] = {}


def grow(flats: Iterable[Flat], source: str = "") -> tuple[Table, list[Problem]]:
    """The tree that dotted keys describe, and the keys that describe none.

    Names that differ only by case are one name, spelled as in the first key. ``name[0].x``
    makes a child ``[0]``; children keep the order of the keys, so callers sort the keys as
    strings, as Traefik does: ``[10]`` comes before ``[2]``.
    """
    root = _Node("", "")
    problems: list[Problem] = []
    for flat in flats:
        try:
            segments = _segments(flat.path)
        except ValueError as error:
            problems.append(Problem(source, None, flat.shown, str(error)))
            continue
        node = root
        for name in segments:
            lower = name.lower()
            child = node.children.get(lower)
            if child is None:
                child = node.children[lower] = _Node(name, flat.shown)
            node = child
        node.value = flat.value
        node.shown = flat.shown
    return _table(root), problems


def _segments(path: str) -> list[str]:
    segments: list[str] = []
    for part in path.split("."):
        name, bracket, index = part.partition("[")
        if not name:
            raise ValueError("invalid element: a name between two dots is missing")
        segments.append(name)
        if bracket:
            if not index.endswith("]") or not index[:-1].isdigit():
                raise ValueError(f"invalid element: {part!r}; write an index as {name}[0]")
            segments.append(bracket + index)
    if len(segments) > MAX_DEPTH:
        raise ValueError(f"invalid element: more than {MAX_DEPTH} levels")
    return segments


def _table(node: _Node) -> Table:
    table = Table()
    table.value = node.value
    for child in node.children.values():
        table[child.name] = _table(child) if child.children else child.value
        table.at[child.name] = child.shown
    return table


def place(tree: Tree, path: Iterable[str]) -> tuple[At, int]:
    """Where the deepest part of ``path`` that exists was written, and how deep that is.

    Names match in any case.
    """
    found: At = None
    depth = 0
    for name in path:
        if not isinstance(tree, dict):
            break
        key = next((key for key in tree if key.lower() == name.lower()), None)
        if key is None:
            break
        found = tree.at.get(key, found) if isinstance(tree, Table) else found
        tree = tree[key]
        depth += 1
    return found, depth
