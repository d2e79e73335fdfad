"""Network coordinates: written together, read, and what is near to what."""

from __future__ import annotations

from typing import Any

from portway.discovery.api import Settings
from portway.discovery.operations import coordinates
from tests.integration.discovery_rig import Discovery, running


def place(first: float, height: float = 0.0, adjustment: float = 0.0) -> dict[str, Any]:
    vec = [first, 0, 0, 0, 0, 0, 0, 0]
    return {"Vec": vec, "Error": 0.5, "Adjustment": adjustment, "Height": height}


async def test_updates_are_written_together(discovery: Discovery) -> None:
    for node in ("n1", "n2"):
        await discovery.register(Node=node, Address="10.0.0.1")
    revision = discovery.server.state.view.revision
    parked = await discovery.parked(f"/v1/coordinate/nodes?index={revision}&wait=9m")
    for node, first in (("n2", 1.0), ("n1", 2.0), ("N1", 3.0), ("unknown", 4.0)):
        reply = await discovery.put("/v1/coordinate/update", {"Node": node, "Coord": place(first)})
        assert (reply.status, reply.text) == (200, "")
    assert discovery.server.state.view.revision == revision
    await coordinates.flush(discovery.server)
    assert discovery.server.state.view.revision == revision + 1, "one commit"
    reply = await parked
    assert reply.json == [
        {"Node": "n1", "Segment": "", "Coord": place(3.0)},
        {"Node": "n2", "Segment": "", "Coord": place(1.0)},
    ]
    assert await discovery.json("/v1/coordinate/node/N2") == reply.json[1:]
    assert await discovery.json("/v1/coordinate/nodes?segment=x") == []
    missing = await discovery.get("/v1/coordinate/node/none")
    assert (missing.status, "X-Consul-Index" in missing.headers) == (404, True)
    await discovery.put("/v1/coordinate/update", {"Node": "n1", "Coord": place(3.0)})
    await coordinates.flush(discovery.server)
    assert discovery.server.state.view.revision == revision + 1, "nothing differs"


async def test_updates_that_are_refused(discovery: Discovery) -> None:
    for coord, text in (
        ({"Vec": [1.0, 2.0]}, "incompatible coordinate"),
        (None, "incompatible coordinate"),
    ):
        reply = await discovery.put("/v1/coordinate/update", {"Node": "n", "Coord": coord})
        assert (reply.status, reply.text) == (500, text)
    reply = await discovery.put("/v1/coordinate/update", b'{"Node":"n","Coord":{"Vec":[1e999]}}')
    assert reply.status == 400
    assert reply.text.startswith("Request decode failed: ")
    reply = await discovery.put("/v1/coordinate/update", {"Node": "n", "Place": 1})
    assert reply.text == 'Request decode failed: json: unknown field "Place"'


async def test_datacenters(discovery: Discovery) -> None:
    (only,) = await discovery.json("/v1/coordinate/datacenters")
    assert (only["Datacenter"], only["AreaID"]) == ("dc1", "wan")
    (server,) = only["Coordinates"]
    assert server["Coord"] == {"Vec": [0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-05}


async def test_coordinates_may_be_switched_off() -> None:
    async with running(Settings(disable_coordinates=True)) as discovery:
        for method, path in (
            ("GET", "/v1/coordinate/datacenters"),
            ("GET", "/v1/coordinate/nodes"),
            ("GET", "/v1/coordinate/node/n"),
            ("PUT", "/v1/coordinate/update"),
        ):
            reply = await discovery.call(method, path)
            assert (reply.status, reply.text) == (401, "Coordinate support disabled")


async def test_the_nearest_come_first() -> None:
    async with running(Settings(node_name="here")) as discovery:
        for node, first in (
            ("a-lost", None),
            ("b-far", 0.9),
            ("c-near", 0.1),
            ("d-lost", None),
            ("here", 0.0),
            ("z-nearest", 0.05),
        ):
            await discovery.register(
                Node=node,
                Address="10.0.0.1",
                Service={"Service": "web"},
                Check={"CheckID": "c", "ServiceID": "web"},
            )
            if first is not None:
                body = {"Node": node, "Coord": place(first)}
                await discovery.put("/v1/coordinate/update", body)
        await coordinates.flush(discovery.server)
        near = ["here", "z-nearest", "c-near", "b-far", "a-lost", "d-lost"]
        for path in (
            "/v1/catalog/nodes",
            "/v1/catalog/service/web",
            "/v1/health/checks/web",
            "/v1/health/state/any",
        ):
            for source in ("here", "HERE", "_agent"):
                rows = await discovery.json(f"{path}?near={source}")
                assert [row["Node"] for row in rows] == near, path
            for source in ("a-lost", "nobody"):
                rows = await discovery.json(f"{path}?near={source}")
                assert [row["Node"] for row in rows] == sorted(near), path
        rows = await discovery.json("/v1/health/service/web?near=c-near")
        assert [row["Node"]["Node"] for row in rows][:3] == ["c-near", "z-nearest", "here"]
