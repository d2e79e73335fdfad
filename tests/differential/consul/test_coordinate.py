"""Coordinates and who leads."""

from __future__ import annotations

from typing import Any

from .conftest import Play
from .world import World

_NO_COORDINATES = {"A node without coordinates": ["header.x-consul-*"]}


def test_coordinates(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.get("coordinate/datacenters")
        ask.get("coordinate/node/nope", differs=_NO_COORDINATES)
        for path in ("nodes?segment=x", "nodes?dc=nope", "nodes?index=abc"):
            ask.get(f"coordinate/{path}")
        ask.put("catalog/register", {"Node": "co-n", "Address": "192.0.2.1"}, record=False)
        place = {"Vec": [0.1] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-5}
        bodies: tuple[Any, ...] = (
            *(None, ""),
            *({"Node": node, "Coord": place} for node in ("co-n", "nope")),
            *({"Node": "co-n", "Coord": {**place, "Vec": vec}} for vec in ([1], [])),
            {"Node": "co-n", "Coord": place, "Datacenter": "dc1"},
            {"Node": "co-n", "Coord": place, "Datacenter": "nope"},
            {"Node": "co-n", "Coord": place, "Foo": 1},
            {"node": "co-n", "coord": place},
        )
        for body in bodies:
            ask.put("coordinate/update", body)
        path = "coordinate/node/co-n"
        ask.until(lambda: ask.get(path, record=False).status == 200, "the node's coordinate")
        for query in ("", "?segment=", "?stale", "?pretty"):
            ask.get(path + query)
        ask.get(f"{path}?segment=x", differs=_NO_COORDINATES)
        listed = ask.get("coordinate/nodes", record=False).json
        ask.note("nodes", {"rows": [row for row in listed if row["Node"] == "co-n"]})
        for method in ("GET", "POST", "DELETE"):
            ask.ask(method, "coordinate/update")
        for method in ("PUT", "POST"):
            ask.ask(method, "coordinate/nodes")
            ask.ask(method, "coordinate/datacenters")
        ask.put("catalog/deregister", {"Node": "co-n"})
        ask.get(path, differs=_NO_COORDINATES)

    play(scenario)


def test_who_leads(play: Play) -> None:
    def scenario(ask: World) -> None:
        for query in ("", "?dc=nope", "?dc=dc1", "?stale", "?index=abc", "?pretty"):
            for path in ("leader", "peers"):
                ask.get(f"status/{path}{query}")
        for method in ("PUT", "POST", "DELETE"):
            ask.ask(method, "status/leader")
            ask.ask(method, "status/peers")

    play(scenario)
