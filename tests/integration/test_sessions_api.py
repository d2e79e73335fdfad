"""The endpoints of sessions and events over HTTP."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings
from tests.integration.discovery_rig import Discovery, running


async def node(d: Discovery) -> None:
    await d.register(
        Node="localhost",
        Address="127.0.0.1",
        Checks=[
            {"CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing"},
            {"CheckID": "disk", "Name": "disk", "Status": "passing"},
            {"CheckID": "broken", "Name": "broken", "Status": "critical"},
        ],
    )


async def create(d: Discovery, body: Any = None) -> str:
    reply = await d.put("/v1/session/create", body)
    assert reply.status == 200, reply.text
    session_id: str = reply.json["ID"]
    return session_id


async def test_defaults(discovery: Discovery) -> None:
    await node(discovery)
    session_id = await create(discovery)
    reply = await discovery.get(f"/v1/session/info/{session_id}")
    assert reply.json == [
        {
            "ID": session_id,
            "Name": "",
            "Node": "localhost",
            "LockDelay": 15_000_000_000,
            "Behavior": "release",
            "TTL": "",
            "NodeChecks": ["serfHealth"],
            "ServiceChecks": None,
            "CreateIndex": reply.index,
            "ModifyIndex": reply.index,
        }
    ]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"LockDelay": "30s"}, {"LockDelay": 30_000_000_000}),
        ({"LockDelay": 20}, {"LockDelay": 20_000_000_000}),
        ({"LockDelay": 5_000_000_000}, {"LockDelay": 5_000_000_000}),
        ({"lockdelay": 0}, {"LockDelay": 0}),
        ({"Checks": []}, {"NodeChecks": []}),
        ({"Checks": None}, {"NodeChecks": []}),
        ({"NodeChecks": ["disk"]}, {"NodeChecks": ["disk"]}),
        (
            {"Checks": ["disk"], "NodeChecks": ["disk"]},
            {"NodeChecks": ["disk"], "Checks": ["disk"]},
        ),
        ({"Checks": ["disk"], "NodeChecks": []}, {"NodeChecks": []}),
        (
            {"ServiceChecks": [{"ID": "disk"}]},
            {"ServiceChecks": [{"ID": "disk", "Namespace": ""}]},
        ),
        ({"Nope": 1, "Namespace": "x", "Name": "n"}, {"Name": "n"}),
        ({"name": "n", "TTL": "30s", "Behavior": "delete"}, {"Name": "n", "TTL": "30s"}),
        ({"Node": "LOCALHOST"}, {"Node": "LOCALHOST"}),
    ],
)
async def test_what_may_be_given(
    discovery: Discovery, body: dict[str, Any], shown: dict[str, Any]
) -> None:
    await node(discovery)
    session = (await discovery.json(f"/v1/session/info/{await create(discovery, body)}"))[0]
    assert {name: session[name] for name in shown} == shown


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"Node": "nope"}, 500, "apply failed: Missing node registration"),
        ({"Node": ""}, 500, "Must provide Node"),
        ({"NodeChecks": ["nope"]}, 500, "apply failed: Missing check 'nope' registration"),
        ({"NodeChecks": ["broken"]}, 500, "apply failed: Check 'broken' is in critical state"),
        ({"Behavior": "x"}, 500, "Invalid Behavior setting 'x'"),
        (
            {"TTL": "5s"},
            500,
            "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]",
        ),
        ({"TTL": "5"}, 500, "Session TTL '5' invalid: time: missing unit in duration \"5\""),
        ({"LockDelay": "x"}, 400, 'Request decode failed: time: invalid duration "x"'),
        ({"LockDelay": -1}, 400, None),
        ({"LockDelay": 1e300}, 400, None),
        (b"[]", 400, None),
        (b"{", 400, None),
    ],
)
async def test_what_may_not_be_given(
    discovery: Discovery, body: Any, status: int, text: str | None
) -> None:
    await node(discovery)
    before = discovery.server.state.view.revision
    reply = await discovery.put("/v1/session/create", body)
    assert reply.status == status, reply.text
    if text is not None:
        assert reply.text == text
    assert discovery.server.state.view.revision == before


async def test_lists_renewal_and_end(discovery: Discovery) -> None:
    await node(discovery)
    await discovery.register(Node="other", Address="127.0.0.2")
    one = await create(discovery, {"TTL": "30s"})
    two = await create(discovery, {"Node": "other", "Checks": []})
    assert {row["ID"] for row in await discovery.json("/v1/session/list")} == {one, two}
    assert [row["ID"] for row in await discovery.json("/v1/session/node/other")] == [two]
    assert await discovery.json("/v1/session/node/nope") == []
    renewed = await discovery.put(f"/v1/session/renew/{one}")
    assert [row["ID"] for row in renewed.json] == [one]
    for _ in range(2):
        assert (await discovery.put(f"/v1/session/destroy/{one}")).text == "true"
    gone = await discovery.put(f"/v1/session/renew/{one}")
    assert (gone.status, gone.text) == (404, f"Session id '{one}' not found")
    assert await discovery.json(f"/v1/session/info/{one}") == []
    for path, text in {
        "destroy/": "Missing session",
        "renew/": "Missing session",
    }.items():
        reply = await discovery.put(f"/v1/session/{path}")
        assert (reply.status, reply.text) == (400, text)
    assert (await discovery.get("/v1/session/info/")).text == "Missing session"
    assert (await discovery.get("/v1/session/node/")).text == "Missing node name"


async def test_destroying_releases_at_once(discovery: Discovery) -> None:
    await node(discovery)
    session_id = await create(discovery, {"LockDelay": 0})
    await discovery.put(f"/v1/kv/lock?acquire={session_id}", b"me")
    parked = await discovery.parked(
        f"/v1/kv/lock?index={(await discovery.get('/v1/kv/lock')).index}"
    )
    await discovery.put(f"/v1/session/destroy/{session_id}")
    assert "Session" not in (await parked).json[0]


@pytest.mark.parametrize("end", ["critical", "check", "node"])
async def test_the_catalog_ends_sessions(discovery: Discovery, end: str) -> None:
    await node(discovery)
    session_id = await create(discovery, {"Checks": ["disk"], "LockDelay": 0})
    other = await create(discovery)
    await discovery.put(f"/v1/kv/lock?acquire={session_id}", b"me")
    parked = await discovery.parked(
        f"/v1/session/info/{session_id}"
        f"?index={(await discovery.get(f'/v1/session/info/{session_id}')).index}"
    )
    if end == "critical":
        await discovery.register(
            Node="localhost",
            Address="127.0.0.1",
            Check={"CheckID": "disk", "Name": "disk", "Status": "critical"},
        )
    elif end == "check":
        await discovery.put("/v1/catalog/deregister", {"Node": "localhost", "CheckID": "disk"})
    else:
        await discovery.put("/v1/catalog/deregister", {"Node": "localhost"})
    assert (await parked).json == []
    assert "Session" not in (await discovery.json("/v1/kv/lock"))[0]
    assert len(await discovery.json(f"/v1/session/info/{other}")) == (end != "node")


async def test_sessions_are_filtered_by_node() -> None:
    settings = Settings(default_token="")
    async with running(settings, AclSettings(enabled=True, default_allow=False)) as d:
        for path in ("list", "node/localhost", "info/x"):
            assert await d.json(f"/v1/session/{path}") == []
        reply = await d.put("/v1/session/create")
        assert reply.status == 403
        assert "lacks permission 'session:write' on \"localhost\"" in reply.text


# Events


async def test_an_event_is_fired_and_listed(discovery: Discovery) -> None:
    empty = await discovery.get("/v1/event/list")
    assert (empty.json, empty.index) == ([], 1)
    parked = await discovery.parked("/v1/event/list?index=1")
    fired = (await discovery.put("/v1/event/fire/deploy?node=local", b"payload")).json
    assert fired == {
        "ID": fired["ID"],
        "Name": "deploy",
        "Payload": base64.b64encode(b"payload").decode(),
        "NodeFilter": "local",
        "ServiceFilter": "",
        "TagFilter": "",
        "Version": 1,
        "LTime": 0,
    }
    reply = await parked
    assert reply.json == [{**fired, "LTime": 1}]
    assert reply.index not in (0, 1)
    await discovery.put("/v1/event/fire/other")
    assert [row["Name"] for row in await discovery.json("/v1/event/list?name=deploy")] == ["deploy"]
    assert (await discovery.json("/v1/event/list"))[1]["Payload"] is None


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("fire/", 400, "Missing name"),
        ("fire/e?tag=x", 500, "Cannot provide tag filter without service filter"),
        ("fire/e?node=(", 500, None),
        ("fire/e?dc=moon", 500, "No path to datacenter"),
    ],
)
async def test_wrong_events(discovery: Discovery, path: str, status: int, text: str | None) -> None:
    reply = await discovery.put(f"/v1/event/{path}")
    assert reply.status == status
    assert text is None or reply.text == text


async def test_a_payload_has_at_most_300_bytes(discovery: Discovery) -> None:
    assert (await discovery.put("/v1/event/fire/e", b"x" * 300)).status == 200
    reply = await discovery.put("/v1/event/fire/e", b"x" * 301)
    assert (reply.status, reply.text) == (
        413,
        "Event payload (301 bytes) too large, max size: 300 bytes",
    )


async def test_events_need_permission() -> None:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as d:
        reply = await d.put("/v1/event/fire/e")
        assert (reply.status, reply.text) == (403, "Permission denied")
        assert await d.json("/v1/event/list") == []
