"""``?near=``: the nearest first, by network coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from portway.discovery.api.request import Request

T = TypeVar("T")


def sort_near(request: Request, rows: list[T], node_of: Callable[[T], str]) -> list[T]:
    """``rows`` by their distance from the node asked for; rows without a place come last.

    The order stays otherwise, and altogether when that node has no coordinate. ``_agent`` is the
    agent that was asked.
    """
    source = request.param("near")
    if not source:
        return rows
    if source == "_agent":
        source = request.context.settings.node_name
    coordinates = request.context.server.state.coordinates
    if source.lower() not in coordinates.by_node:
        return rows
    return sorted(rows, key=lambda row: coordinates.distance(source, node_of(row)))
