"""Network coordinates in memory, by node and segment, and the round-trip times they predict."""

from __future__ import annotations

import math

from portway.discovery.model import Coordinate, NodeCoordinate
from portway.discovery.state.table import Table, Touch
from portway.discovery.state.topic import Reading

SEPARATOR = "\0"  # between the node and the segment in keys


def coordinate_key(node: str, segment: str) -> str:
    """The key of a node's coordinate in a segment."""
    return f"{node.lower()}{SEPARATOR}{segment}"


class Coordinates:
    """The coordinate table and what readers ask of it."""

    def __init__(self) -> None:
        self.table: Table[NodeCoordinate] = Table("coordinate/", NodeCoordinate, self._changed)
        self.by_node: dict[str, dict[str, NodeCoordinate]] = {}
        """Node key → coordinate by segment."""
        self.pending: dict[tuple[str, str], NodeCoordinate] = {}
        """Updates, the last of each (node key, segment), that wait for the next write."""

    def read_all(self) -> Reading[list[NodeCoordinate]]:
        """Every coordinate, by node and segment."""
        rows = [self.table.rows[key] for key in sorted(self.table.rows)]
        return Reading(rows, self.table.topic.index, (self.table.topic,))

    def read_node(self, node: str) -> Reading[list[NodeCoordinate]]:
        """The coordinates of a node, by segment."""
        rows = self.by_node.get(node.lower(), {})
        ordered = [rows[segment] for segment in sorted(rows)]
        return Reading(ordered, self.table.topic.index, (self.table.topic,))

    def distance(self, one: str, other: str) -> float:
        """The predicted round-trip time between two nodes in seconds.

        Infinite when there is no telling: a coordinate is missing, or they share no segment.
        """
        others = self.by_node.get(other.lower(), {})
        for segment, row in self.by_node.get(one.lower(), {}).items():
            if segment in others:
                return round_trip(row.coord, others[segment].coord)
        return math.inf

    def _changed(
        self,
        key: str,
        old: NodeCoordinate | None,
        new: NodeCoordinate | None,
        revision: int,
        touch: Touch,
    ) -> None:
        node, _, segment = key.partition(SEPARATOR)
        if new is not None:
            self.by_node.setdefault(node, {})[segment] = new
            return
        segments = self.by_node[node]
        del segments[segment]
        if not segments:
            del self.by_node[node]


def round_trip(one: Coordinate, other: Coordinate) -> float:
    """The round-trip time two Vivaldi coordinates predict, in seconds.

    The Euclidean distance plus both heights (the access links), corrected by both adjustments
    as long as that leaves a positive time. Infinite for coordinates of different dimensions.
    """
    if len(one.vec) != len(other.vec):
        return math.inf
    time = math.dist(one.vec, other.vec) + one.height + other.height
    adjusted = time + one.adjustment + other.adjustment
    return adjusted if adjusted > 0 else time
