"""Answers that are given again to the same bytes are those that reading anew would give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings, recall
from tests.integration.discovery_rig import MANAGEMENT, Discovery, running


class Watched:
    """Which answers were given again: they took no time."""

    def __init__(self, discovery: Discovery) -> None:
        self.again = 0
        discovery.context.observe = self._observe

    def _observe(self, method: str, route: str, seconds: float) -> None:
        self.again += seconds == 0.0


@pytest.fixture
async def discovery() -> AsyncIterator[Discovery]:
    async with running() as started:
        yield started


@pytest.fixture
async def guarded() -> AsyncIterator[Discovery]:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as started:
        yield started


async def register(discovery: Discovery, port: int, status: str = "passing") -> None:
    await discovery.register(
        Node="n",
        Address="10.0.0.1",
        Service={"Service": "web", "Port": port},
        Check={"CheckID": "c", "Name": "c", "ServiceID": "web", "Status": status},
    )


async def test_the_second_of_two_equal_requests(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/a", b"1")
    watched = Watched(discovery)
    first, second = [await discovery.get("/v1/kv/a?raw") for _ in range(2)]
    assert watched.again == 1
    assert (first.status, first.body) == (second.status, second.body) == (200, b"1")
    dated = {"date": ""}  # a second may have begun between them
    assert {**first.headers, **dated} == {**second.headers, **dated}


async def test_a_key_that_is_written_deleted_and_written_again(discovery: Discovery) -> None:
    watched = Watched(discovery)
    for value in (b"1", b"2", b"3"):
        await discovery.put("/v1/kv/a", value)
        replies = [await discovery.get("/v1/kv/a?raw") for _ in range(3)]
        assert {reply.body for reply in replies} == {value}
    assert watched.again == 6
    await discovery.call("DELETE", "/v1/kv/a")
    assert (await discovery.get("/v1/kv/a?raw")).status == 404
    await discovery.put("/v1/kv/a", b"4")
    assert (await discovery.get("/v1/kv/a?raw")).body == b"4"


async def test_an_instance_that_changes_fails_and_goes(discovery: Discovery) -> None:
    path = "/v1/health/service/web?passing"
    watched = Watched(discovery)
    for port in (80, 81):
        await register(discovery, port)
        for _ in range(2):
            (entry,) = await discovery.json(path)
            assert entry["Service"]["Port"] == port
    assert watched.again == 2
    await register(discovery, 81, "critical")
    assert await discovery.json(path) == []
    await register(discovery, 81)
    assert len(await discovery.json(path)) == 1
    await discovery.put("/v1/catalog/register", {"Node": "n", "Address": "10.0.0.2"})
    assert (await discovery.json(path))[0]["Node"]["Address"] == "10.0.0.2"
    await discovery.put("/v1/catalog/deregister", {"Node": "n"})
    assert await discovery.json(path) == []


async def test_what_others_change_does_not_matter(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/a", b"1")
    await register(discovery, 80)
    paths = ("/v1/kv/a", "/v1/health/service/web")
    for path in paths:
        await discovery.get(path)
    await discovery.put("/v1/kv/b", b"1")
    await discovery.register(Node="m", Address="10.0.0.3", Service={"Service": "db"})
    watched = Watched(discovery)
    for path in paths:
        assert (await discovery.get(path)).status == 200
    assert watched.again == 2


@pytest.mark.parametrize(
    "path",
    [
        "/v1/kv/a?consistent",
        "/v1/kv/a?index=0",
        "/v1/kv/?recurse",
        "/v1/kv/missing",
        "/v1/health/service/web?near=n",
        "/v1/health/service/missing",
        "/v1/catalog/nodes",
        "/v1/status/leader",
    ],
)
async def test_what_depends_on_more_is_read_anew(discovery: Discovery, path: str) -> None:
    await discovery.put("/v1/kv/a", b"1")
    await register(discovery, 80)
    watched = Watched(discovery)
    for _ in range(3):
        await discovery.get(path)
    assert watched.again == 0


async def test_only_the_same_bytes_have_the_same_answer(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/a", b"x" * 2000)
    watched = Watched(discovery)
    plain = await discovery.get("/v1/kv/a?raw", Accept_Encoding="identity")
    packed = await discovery.get("/v1/kv/a?raw", Accept_Encoding="gzip")
    head = await discovery.call("HEAD", "/v1/kv/a?raw", Accept_Encoding="identity")
    assert watched.again == 0
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert head.status == 405


async def test_requests_sent_ahead_and_in_pieces(discovery: Discovery) -> None:
    """Two requests in one packet, and half of one, are not taken for one that is remembered."""
    for key in ("a", "b"):
        await discovery.put(f"/v1/kv/{key}", key.encode())
    host, _, port = discovery.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def answers(number: int) -> list[bytes]:
        bodies = []
        for _ in range(number):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
            bodies.append(await reader.readexactly(1))
        return bodies

    one, other = (f"GET /v1/kv/{key}?raw HTTP/1.1\r\nHost: x\r\n\r\n".encode() for key in "ab")
    for _ in range(2):
        writer.write(one)
        assert await answers(1) == [b"a"]
        writer.write(one + other)
        assert await answers(2) == [b"a", b"b"]
        writer.write(one + other[:9])
        assert await answers(1) == [b"a"]
        writer.write(other[9:])
        assert await answers(1) == [b"b"]
    watched = Watched(discovery)
    writer.write(one)
    assert await answers(1) == [b"a"]
    assert watched.again == 1
    writer.close()


async def test_rights_that_are_taken_away(guarded: Discovery) -> None:
    manager = {"X_Consul_Token": MANAGEMENT}
    await guarded.put("/v1/kv/a", b"1", **manager)
    policy = {"Name": "p", "Rules": 'key "a" { policy = "read" }'}
    made = (await guarded.put("/v1/acl/policy", policy, **manager)).json
    token = (await guarded.put("/v1/acl/token", {"Policies": [{"Name": "p"}]}, **manager)).json
    secret = {"X_Consul_Token": token["SecretID"]}
    watched = Watched(guarded)
    assert [(await guarded.get("/v1/kv/a", **secret)).status for _ in range(2)] == [200, 200]
    assert watched.again == 1
    made["Rules"] = 'key "b" { policy = "read" }'
    await guarded.put(f"/v1/acl/policy/{made['ID']}", made, **manager)
    assert (await guarded.get("/v1/kv/a", **secret)).status == 403
    made["Rules"] = policy["Rules"]
    await guarded.put(f"/v1/acl/policy/{made['ID']}", made, **manager)
    assert [(await guarded.get("/v1/kv/a", **secret)).status for _ in range(2)] == [200, 200]
    await guarded.call("DELETE", f"/v1/acl/token/{token['AccessorID']}", **manager)
    refused = await guarded.get("/v1/kv/a", **secret)
    assert (refused.status, refused.text) == (403, "ACL not found")


async def test_another_default_token(guarded: Discovery) -> None:
    await guarded.put("/v1/kv/a", b"1", X_Consul_Token=MANAGEMENT)
    guarded.context.settings.default_token = MANAGEMENT
    assert [(await guarded.get("/v1/kv/a")).status for _ in range(2)] == [200, 200]
    guarded.context.settings.default_token = ""
    assert (await guarded.get("/v1/kv/a")).status == 403


async def test_a_state_that_is_replaced() -> None:
    async with running(Settings()) as discovery:
        await discovery.put("/v1/kv/a", b"1")
        snapshot = (await discovery.get("/v1/snapshot")).body
        await discovery.put("/v1/kv/a", b"2")
        assert {(await discovery.get("/v1/kv/a?raw")).body for _ in range(2)} == {b"2"}
        await discovery.put("/v1/snapshot", snapshot)
        assert (await discovery.get("/v1/kv/a?raw")).body == b"1"


async def test_no_more_is_kept_than_allowed(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "_MOST", 10_000)
    for number in range(20):
        await discovery.put(f"/v1/kv/{number}", b"x")
        await discovery.get(f"/v1/kv/{number}")
    watched = Watched(discovery)
    for number in (19, 0, 0):
        await discovery.get(f"/v1/kv/{number}")
    assert watched.again == 2
