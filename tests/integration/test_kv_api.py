"""The key-value API over HTTP, call by call."""

from __future__ import annotations

import base64

import pytest
from yarl import URL

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings
from tests.integration.discovery_rig import Discovery, running


async def test_a_key_is_written_read_and_deleted(discovery: Discovery) -> None:
    missing = await discovery.get("/v1/kv/a/b")
    assert (missing.status, missing.body) == (404, b"")
    assert missing.index >= 1
    assert missing.headers["X-Consul-KnownLeader"] == "true"
    assert missing.headers["X-Consul-LastContact"] == "0"

    put = await discovery.put("/v1/kv/a/b?flags=18446744073709551615", b"\x00value<>")
    assert (put.status, put.body, put.headers["Content-Type"]) == (
        200,
        b"true",
        "application/json",
    )
    reply = await discovery.get("/v1/kv/a/b")
    index = reply.index
    assert reply.json == [
        {
            "LockIndex": 0,
            "Key": "a/b",
            "Flags": 18446744073709551615,
            "Value": base64.b64encode(b"\x00value<>").decode(),
            "CreateIndex": index,
            "ModifyIndex": index,
        }
    ]
    deleted = await discovery.call("DELETE", "/v1/kv/a/b")
    assert (deleted.status, deleted.body) == (200, b"true")
    assert (await discovery.call("DELETE", "/v1/kv/a/b")).body == b"true"
    gone = await discovery.get("/v1/kv/a/b")
    assert gone.status == 404
    assert gone.index > index


async def test_raw_is_the_value_alone_and_harmless_to_browsers(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/page", b"<script>")
    reply = await discovery.get("/v1/kv/page?raw")
    assert reply.body == b"<script>"
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Security-Policy"] == "sandbox"


async def test_an_empty_value_is_null(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/empty")
    assert (await discovery.json("/v1/kv/empty"))[0]["Value"] is None


async def test_an_equal_write_changes_no_index(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/k?flags=1", b"v")
    before = (await discovery.get("/v1/kv/k")).index
    assert (await discovery.put("/v1/kv/k?flags=1", b"v")).body == b"true"
    assert (await discovery.get("/v1/kv/k")).index == before
    await discovery.put("/v1/kv/k?flags=2", b"v")
    assert (await discovery.get("/v1/kv/k")).index > before


async def test_lists_by_prefix(discovery: Discovery) -> None:
    for key in ("web/b", "web/a/1", "web/a/2", "webb", "x"):
        await discovery.put(f"/v1/kv/{key}", key.encode())
    entries = await discovery.json("/v1/kv/web?recurse")
    assert [entry["Key"] for entry in entries] == ["web/a/1", "web/a/2", "web/b", "webb"]
    assert (await discovery.get("/v1/kv/nope?recurse")).status == 404
    for query, names in {
        "web/?keys": ["web/a/1", "web/a/2", "web/b"],
        "web/?keys&separator=/": ["web/a/", "web/b"],
        "web/?keys&seperator=/": ["web/a/", "web/b"],
        "?keys&separator=/": ["web/", "webb", "x"],
        "?keys": ["web/a/1", "web/a/2", "web/b", "webb", "x"],
    }.items():
        assert await discovery.json(f"/v1/kv/{query}") == names
    assert (await discovery.get("/v1/kv/nope?keys")).status == 404
    assert len(await discovery.json("/v1/kv/?recurse")) == 5


async def test_without_keys_the_empty_prefix_lists_nothing(discovery: Discovery) -> None:
    assert await discovery.json("/v1/kv/?keys") == []
    assert (await discovery.get("/v1/kv/?recurse")).status == 404


async def test_compare_and_set(discovery: Discovery) -> None:
    assert (await discovery.put("/v1/kv/c?cas=0", b"1")).body == b"true"
    assert (await discovery.put("/v1/kv/c?cas=0", b"2")).body == b"false"
    index = (await discovery.get("/v1/kv/c")).index
    assert (await discovery.put(f"/v1/kv/c?cas={index + 1}", b"2")).body == b"false"
    assert (await discovery.put(f"/v1/kv/c?cas={index}", b"2")).body == b"true"
    assert (await discovery.call("DELETE", f"/v1/kv/c?cas={index}")).body == b"false"
    index = (await discovery.get("/v1/kv/c")).index
    assert (await discovery.call("DELETE", f"/v1/kv/c?cas={index}")).body == b"true"
    assert (await discovery.call("DELETE", f"/v1/kv/c?cas={index}")).body == b"true"


async def test_delete_of_a_tree(discovery: Discovery) -> None:
    for key in ("a/1", "a/2", "ab", "b"):
        await discovery.put(f"/v1/kv/{key}", b"v")
    assert (await discovery.call("DELETE", "/v1/kv/a/?recurse")).body == b"true"
    assert await discovery.json("/v1/kv/?keys") == ["ab", "b"]
    assert (await discovery.call("DELETE", "/v1/kv/?recurse")).body == b"true"
    assert await discovery.json("/v1/kv/?keys") == []


async def test_keys_are_cleaned_the_same_for_writers_and_readers(discovery: Discovery) -> None:
    await discovery.put("/v1/kv//a//./b/", b"v")
    assert await discovery.json("/v1/kv/?keys") == ["a/b/"]
    assert (await discovery.get("/v1/kv/a//b/?raw")).body == b"v"
    assert (await discovery.call("DELETE", "/v1/kv/a//b/")).body == b"true"
    assert await discovery.json("/v1/kv/?keys") == []


TRAVERSAL = "invalid key name, path traversal is not allowed"
SPACES = "invalid key name, leading/trailing spaces are not allowed"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "", 400, "Missing key name"),
        ("PUT", "", 400, "Missing key name"),
        ("DELETE", "", 400, "Missing key name"),
        ("PUT", "/", 400, "Missing key name"),
        ("PUT", "a/%2e%2e/b", 500, TRAVERSAL),
        ("DELETE", "a/%2e%2e/b", 500, TRAVERSAL),
        ("PUT", "%20a", 500, SPACES),
        ("PUT", "a%20", 500, SPACES),
        ("PUT", "a?cas=1&acquire=s", 400, "Conflicting flags: acquire=s&cas=1\n"),
        ("PUT", "a?release=s&acquire=s", 400, "Conflicting flags: acquire=s&release=s\n"),
        ("DELETE", "a?recurse&cas=1", 400, "Conflicting flags: cas=1&recurse=\n"),
        ("PUT", "a?acquire=nope", 500, 'raft apply failed: invalid session "nope"'),
        ("PUT", "a?acquire", 500, "raft apply failed: missing session"),
        ("GET", "a?index=x", 400, "Invalid index"),
        ("GET", "a?index=-1", 400, "Invalid index"),
        ("GET", "a?index=1&wait=x", 400, "Invalid wait time"),
        (
            "GET",
            "a?stale&consistent",
            400,
            "Cannot specify ?stale with ?consistent, conflicting semantics.",
        ),
        ("GET", "a?dc=moon", 500, "No path to datacenter"),
        ("PUT", "a?dc=moon", 500, "No path to datacenter"),
        ("DELETE", "a?dc=dc1&datacenter=moon", 500, "No path to datacenter"),
        (
            "PUT",
            "a?flags=-1",
            500,
            'strconv.ParseUint: parsing "-1": invalid syntax',
        ),
        (
            "PUT",
            "a?flags=18446744073709551616",
            500,
            'strconv.ParseUint: parsing "18446744073709551616": value out of range',
        ),
        ("PUT", "a?cas=", 500, 'strconv.ParseUint: parsing "": invalid syntax'),
        ("HEAD", "a", 405, None),
        ("POST", "a", 405, "method POST not allowed"),
        (
            "GET",
            "a?ns=x",
            400,
            'Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature',
        ),
    ],
)
async def test_wrong_requests(
    discovery: Discovery, method: str, path: str, status: int, text: str | None
) -> None:
    before = discovery.server.state.view.revision
    url = URL(f"{discovery.url}/v1/kv/{path}", encoded=True)  # as it is, dots and all
    async with discovery.http.request(method, url) as reply:
        body = await reply.text()
        assert reply.status == status, body
        if text is not None:
            assert body == text
            assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert discovery.server.state.view.revision == before  # nothing was written


async def test_a_value_may_be_as_large_as_the_limit(discovery: Discovery) -> None:
    limit = 512 * 1024
    assert (await discovery.put("/v1/kv/a", b"x" * limit)).body == b"true"
    reply = await discovery.put("/v1/kv/a", b"x" * (limit + 1))
    assert reply.status == 413
    assert reply.text.startswith(
        "Request body(524289 bytes) too large, max size: 524288 bytes. See "
    )


async def test_validation_of_keys_can_be_off() -> None:
    async with running(Settings(disable_kv_key_validation=True)) as d:
        reply = await d.put("/v1/kv/%20a", b"v")
        assert reply.body == b"true"
        assert reply.headers["X-Consul-KV-Warning"] == SPACES
        assert (await d.get("/v1/kv/%20a?raw")).body == b"v"


async def test_locks(discovery: Discovery) -> None:
    await discovery.register(Node="alpha", Address="127.0.0.1")
    ids = []
    for _ in range(2):
        reply = await discovery.put(
            "/v1/session/create", {"Node": "alpha", "NodeChecks": [], "LockDelay": 0}
        )
        ids.append(reply.json["ID"])
    one, two = ids
    assert (await discovery.put(f"/v1/kv/l?acquire={one}&flags=3", b"1")).body == b"true"
    entry = (await discovery.json("/v1/kv/l"))[0]
    assert (entry["LockIndex"], entry["Session"], entry["Flags"]) == (1, one, 3)
    # Again by the holder: written, but no new acquisition.
    assert (await discovery.put(f"/v1/kv/l?acquire={one}", b"2")).body == b"true"
    entry = (await discovery.json("/v1/kv/l"))[0]
    assert (entry["LockIndex"], entry["Flags"]) == (1, 0)
    assert (await discovery.put(f"/v1/kv/l?acquire={two}", b"3")).body == b"false"
    assert (await discovery.put(f"/v1/kv/l?release={two}", b"3")).body == b"false"
    # A plain write keeps the lock.
    assert (await discovery.put("/v1/kv/l", b"4")).body == b"true"
    assert (await discovery.json("/v1/kv/l"))[0]["Session"] == one
    assert (await discovery.put(f"/v1/kv/l?release={one}", b"5")).body == b"true"
    entry = (await discovery.json("/v1/kv/l"))[0]
    assert "Session" not in entry
    assert (entry["LockIndex"], base64.b64decode(entry["Value"])) == (1, b"5")
    assert (await discovery.put(f"/v1/kv/l?release={one}", b"5")).body == b"false"
    assert (await discovery.put(f"/v1/kv/l?acquire={two}", b"6")).body == b"true"
    assert (await discovery.json("/v1/kv/l"))[0]["LockIndex"] == 2


async def test_history(discovery: Discovery) -> None:
    for value in (b"one", b"two"):
        await discovery.put("/v1/kv/h?flags=7", value)
    await discovery.call("DELETE", "/v1/kv/h")
    await discovery.put("/v1/kv/h", b"three")
    reply = await discovery.get("/v1/kv/h?history")
    rows = reply.json
    assert [row.get("Deleted", False) for row in rows] == [False, True, False, False]
    assert [base64.b64decode(row["Value"]) for row in rows if "Value" in row] == [
        b"three",
        b"two",
        b"one",
    ]
    indexes = [row["ModifyIndex"] for row in rows]
    assert indexes == sorted(indexes, reverse=True)
    assert reply.index == indexes[0]
    assert (rows[0]["CreateIndex"], rows[2]["Flags"]) == (indexes[0], 7)
    two = await discovery.json("/v1/kv/h?history&version=2")
    assert [base64.b64decode(row["Value"]) for row in two] == [b"two"]
    assert len(await discovery.json("/v1/kv/h?history&limit=2")) == 2
    assert (await discovery.get("/v1/kv/h?history&version=9")).status == 404
    assert (await discovery.get("/v1/kv/never?history")).status == 404
    assert (await discovery.get("/v1/kv/h?history&limit=x")).status == 400


async def test_history_keeps_the_last_64_versions(discovery: Discovery) -> None:
    for number in range(70):
        await discovery.put("/v1/kv/h", str(number).encode())
    rows = await discovery.json("/v1/kv/h?history&limit=1000")
    assert [row["Version"] for row in rows][:2] == [70, 69]
    assert len(rows) >= 64


async def test_without_permission() -> None:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as d:
        for method, path in (
            ("GET", "a"),
            ("PUT", "a"),
            ("DELETE", "a"),
            ("DELETE", "a?recurse"),
            ("GET", "a?history"),
        ):
            reply = await d.call(method, f"/v1/kv/{path}")
            assert reply.status == 403, (method, path)
            assert reply.text.startswith("Permission denied: anonymous token lacks permission")
        # Lists are filtered instead.
        assert (await d.get("/v1/kv/?keys")).json == []
        assert (await d.get("/v1/kv/?recurse")).status == 404
