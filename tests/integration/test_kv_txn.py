"""``/v1/txn`` over HTTP: every verb, every text, all or nothing."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings
from tests.integration.discovery_rig import Discovery, Reply, running


def kv(verb: str, key: str, **fields: Any) -> dict[str, Any]:
    if isinstance(fields.get("Value"), bytes):
        fields["Value"] = base64.b64encode(fields["Value"]).decode()
    return {"KV": {"Verb": verb, "Key": key, **fields}}


async def txn(d: Discovery, *operations: dict[str, Any]) -> Reply:
    return await d.put("/v1/txn", list(operations))


async def done(d: Discovery, *operations: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a transaction that must succeed."""
    reply = await txn(d, *operations)
    assert reply.status == 200, reply.text
    assert reply.json["Errors"] is None
    results: list[dict[str, Any]] = reply.json["Results"]
    return results


async def whats(d: Discovery, *operations: dict[str, Any]) -> list[tuple[int, str]]:
    """The failures of a transaction that must fail and change nothing."""
    before = d.server.state.view.revision
    reply = await txn(d, *operations)
    assert reply.status == 409, reply.text
    assert reply.json["Results"] is None
    assert d.server.state.view.revision == before
    return [(error["OpIndex"], error["What"]) for error in reply.json["Errors"]]


async def session(d: Discovery) -> str:
    await d.register(Node="alpha", Address="127.0.0.1")
    body = {"Node": "alpha", "Checks": [], "LockDelay": 0}
    session_id: str = (await d.put("/v1/session/create", body)).json["ID"]
    return session_id


async def test_writes_answer_the_entries_without_values(discovery: Discovery) -> None:
    results = await done(
        discovery,
        kv("set", "a", Value=b"1", Flags=5),
        kv("set", "b", Value=b"2"),
        kv("get", "a"),
        kv("delete", "never"),
    )
    index = (await discovery.get("/v1/kv/a")).index
    entry = {"LockIndex": 0, "Flags": 0, "Value": None}
    indexes = {"CreateIndex": index, "ModifyIndex": index}
    assert results == [
        {"KV": {**entry, "Key": "a", "Flags": 5, **indexes}},
        {"KV": {**entry, "Key": "b", **indexes}},
        {"KV": {**entry, "Key": "a", "Flags": 5, "Value": "MQ==", **indexes}},
    ]
    # One commit, one index for everything.
    assert (await discovery.get("/v1/kv/b")).index == index


async def test_reads_alone_see_one_state_and_carry_no_index(discovery: Discovery) -> None:
    await done(discovery, kv("set", "t/a", Value=b"1"), kv("set", "t/b", Value=b"2"))
    reply = await txn(discovery, kv("get", "t/a"), kv("get-tree", "t/"), kv("get-or-empty", "none"))
    assert "X-Consul-Index" not in reply.headers
    assert reply.headers["X-Consul-KnownLeader"] == "true"
    assert reply.headers["X-Consul-LastContact"] == "0"
    shown = [(row["KV"]["Key"], row["KV"]["Value"]) for row in reply.json["Results"]]
    assert shown == [("t/a", "MQ=="), ("t/a", "MQ=="), ("t/b", "Mg=="), ("none", None)]
    consistent = await discovery.put("/v1/txn?consistent", [kv("get", "t/a")])
    assert (consistent.status, consistent.json["KnownLeader"]) == (200, True)
    wrong = await discovery.put("/v1/txn?consistent&stale", [kv("get", "t/a")])
    assert wrong.status == 400


async def test_nothing_or_everything(discovery: Discovery) -> None:
    assert await whats(
        discovery,
        kv("set", "a", Value=b"1"),
        kv("get", "missing"),
        kv("delete-tree", ""),
        kv("cas", "b", Value=b"1", Index=7),
    ) == [(1, 'key "missing" doesn\'t exist'), (3, 'failed to set key "b", index is stale')]
    assert await discovery.json("/v1/kv/?keys") == []


async def test_operations_see_those_before_them(discovery: Discovery) -> None:
    await done(
        discovery,
        kv("set", "a", Value=b"1"),
        kv("delete-tree", ""),
        kv("check-not-exists", "a"),
        kv("cas", "a", Value=b"2", Index=0),
        kv("set", "b"),
        kv("delete", "b"),
    )
    assert await discovery.json("/v1/kv/?keys") == ["a"]
    index = (await discovery.get("/v1/kv/a")).index
    # What a transaction has written has no index yet: the old one no longer fits.
    assert await whats(
        discovery,
        kv("set", "a", Value=b"3"),
        kv("cas", "a", Value=b"4", Index=index),
        kv("set", "c"),
        kv("cas", "c", Index=0),
    ) == [
        (1, 'failed to set key "a", index is stale'),
        (3, 'failed to set key "c", index is stale'),
    ]


async def test_locks(discovery: Discovery) -> None:
    one, two = await session(discovery), await session(discovery)
    results = await done(discovery, kv("lock", "l", Value=b"x", Session=one))
    assert (results[0]["KV"]["LockIndex"], results[0]["KV"]["Session"]) == (1, one)
    await done(discovery, kv("check-session", "l", Session=one))
    assert await whats(
        discovery,
        kv("lock", "l", Session=two),
        kv("unlock", "l", Session=two),
        kv("check-session", "l", Session=two),
        kv("check-session", "none", Session=two),
        kv("lock", "l", Session="nope"),
        kv("lock", "l"),
    ) == [
        (0, 'failed to lock key "l", lock is already held'),
        (
            1,
            'failed to unlock key "l", lock isn\'t held, or is held by another session',
        ),
        (2, f'failed session check for key "l", current session "{one}" != "{two}"'),
        (3, 'failed to check session, key "none" doesn\'t exist'),
        (4, 'invalid session "nope"'),
        (5, "missing session"),
    ]
    results = await done(discovery, kv("unlock", "l", Session=one), kv("lock", "l", Session=two))
    assert [row["KV"].get("Session") for row in results] == [None, two]
    assert results[0]["KV"]["ModifyIndex"] == results[1]["KV"]["ModifyIndex"]
    results = await done(discovery, kv("set", "x"), kv("delete", "x"))
    assert results[0]["KV"]["ModifyIndex"] > 0


async def test_lock_delay(discovery: Discovery) -> None:
    one = await session(discovery)
    discovery.server.delay_locks(["l"], 60)
    assert await whats(discovery, kv("lock", "l", Session=one)) == [
        (0, 'failed to lock key "l" due to lock delay')
    ]


async def test_conditions(discovery: Discovery) -> None:
    await done(discovery, kv("set", "a", Value=b"1"))
    index = (await discovery.get("/v1/kv/a")).index
    await done(discovery, kv("check-index", "a", Index=index), kv("check-not-exists", "b"))
    assert await whats(
        discovery,
        kv("check-index", "a", Index=index + 1),
        kv("check-index", "b", Index=1),
        kv("check-not-exists", "a"),
        kv("delete-cas", "a", Index=index + 1),
        kv("set", ""),
        kv("set", "a/../b"),
    ) == [(5, "invalid key name, path traversal is not allowed")]
    assert await whats(discovery, kv("set", ""), kv("set", "b")) == [(0, "Must provide key")]
    assert await whats(
        discovery,
        kv("check-index", "a", Index=index + 1),
        kv("check-index", "b", Index=1),
        kv("check-not-exists", "a"),
        kv("delete-cas", "a", Index=index + 1),
    ) == [
        (
            0,
            f'failed index check for key "a", current modify index {index} != {index + 1}',
        ),
        (1, 'failed to check index, key "b" doesn\'t exist'),
        (2, 'key "a" exists'),
        (3, 'failed to delete key "a", index is stale'),
    ]
    # What is wrong with the operations themselves is told first, and alone.
    assert await whats(discovery, kv("get", "none"), kv("rename", "a")) == [
        (1, "unknown KV operation: rename")
    ]
    await done(discovery, kv("delete-cas", "a", Index=index), kv("delete-cas", "a", Index=index))
    assert (await discovery.get("/v1/kv/a")).status == 404


async def test_a_key_written_anew_keeps_what_the_store_says_of_its_creation(
    discovery: Discovery,
) -> None:
    await done(discovery, kv("set", "a", Value=b"1"))
    created = (await discovery.get("/v1/kv/a")).index
    results = await done(discovery, kv("delete", "a"), kv("set", "a", Value=b"2"))
    shown = (await discovery.json("/v1/kv/a"))[0]
    assert results[0]["KV"]["CreateIndex"] == shown["CreateIndex"] == created
    assert results[0]["KV"]["ModifyIndex"] == shown["ModifyIndex"] > created


# The catalog

ALPHA = {"Node": "alpha", "Address": "127.0.0.1"}
WEB = {"ID": "web-1", "Service": "web", "Port": 80}
PING = {"Node": "alpha", "CheckID": "ping", "Name": "ping", "Status": "passing"}


async def test_a_node_with_a_service_and_a_check_in_one_step(discovery: Discovery) -> None:
    results = await done(
        discovery,
        {"Node": {"Verb": "set", "Node": ALPHA}},
        {"Service": {"Verb": "set", "Node": "alpha", "Service": WEB}},
        {"Check": {"Verb": "set", "Check": {**PING, "ServiceID": "web-1"}}},
        {"Node": {"Verb": "get", "Node": {"Node": "alpha"}}},
        {"Service": {"Verb": "get", "Node": "alpha", "Service": {"ID": "web-1"}}},
        {"Check": {"Verb": "get", "Check": {"Node": "alpha", "CheckID": "ping"}}},
        kv("set", "deployed", Value=b"web"),
    )
    assert [next(iter(row)) for row in results] == [
        *("Node", "Service", "Check", "Node", "Service", "Check", "KV"),
    ]
    node, service, check = (results[n][k] for n, k in enumerate(("Node", "Service", "Check")))
    assert (node["Node"], node["Datacenter"]) == ("alpha", "dc1")
    assert (service["ID"], service["Port"]) == ("web-1", 80)
    assert (check["ServiceName"], check["Status"]) == ("web", "passing")
    assert node["ModifyIndex"] == service["ModifyIndex"] == check["ModifyIndex"] > 0
    entries = await discovery.json("/v1/health/service/web?passing")
    assert entries[0]["Service"]["ID"] == "web-1"


async def test_compare_and_set_in_the_catalog(discovery: Discovery) -> None:
    def ops(verb: str, index: int) -> list[dict[str, Any]]:
        at = {"ModifyIndex": index}
        return [
            {"Node": {"Verb": verb, "Node": {**ALPHA, "Meta": {"a": str(index)}, **at}}},
            {"Service": {"Verb": verb, "Node": "alpha", "Service": {**WEB, "Port": index, **at}}},
            {"Check": {"Verb": verb, "Check": {**PING, "Output": str(index), **at}}},
        ]

    await done(discovery, *ops("cas", 0))
    stale = [
        (0, 'failed to set node "alpha", index is stale'),
        (1, 'failed to set service "web-1" on node "alpha", index is stale'),
        (2, 'failed to set check "ping" on node "alpha", index is stale'),
    ]
    assert await whats(discovery, *ops("cas", 0)) == stale
    assert await whats(discovery, *ops("cas", 99)) == stale
    index = (await discovery.get("/v1/catalog/nodes")).json[0]["ModifyIndex"]
    results = await done(discovery, *ops("cas", index))
    assert await whats(discovery, *ops("delete-cas", index)) == [
        (n, what.replace("to set", "to delete")) for n, (_, what) in enumerate(stale)
    ]
    index = results[0]["Node"]["ModifyIndex"]
    assert await done(discovery, *reversed(ops("delete-cas", index))) == []
    assert await discovery.json("/v1/catalog/nodes") == []


async def test_what_the_catalog_refuses(discovery: Discovery) -> None:
    await done(discovery, {"Node": {"Verb": "set", "Node": ALPHA}})
    assert await whats(
        discovery,
        {"Node": {"Verb": "get", "Node": {"Node": "beta"}}},
        {"Service": {"Verb": "set", "Node": "beta", "Service": WEB}},
        {"Service": {"Verb": "get", "Node": "alpha", "Service": {"ID": "x"}}},
        {"Check": {"Verb": "set", "Check": {**PING, "Node": "beta"}}},
        {"Check": {"Verb": "set", "Check": {**PING, "ServiceID": "x"}}},
        {"Check": {"Verb": "get", "Check": {"Node": "alpha", "CheckID": "x"}}},
    ) == [
        (0, 'node "beta" doesn\'t exist'),
        (1, "Missing node registration"),
        (2, 'service "x" on node "alpha" doesn\'t exist'),
        (3, "Missing node registration"),
        (4, "Missing service registration"),
        (5, 'check "x" on node "alpha" doesn\'t exist'),
    ]
    assert await whats(
        discovery,
        {"Node": {"Verb": "get", "Node": {"Node": "beta"}}},
        {"Node": {"Verb": "paint", "Node": ALPHA}},
        {"Service": {"Verb": "paint", "Node": "alpha", "Service": WEB}},
        {"Check": {"Verb": "paint", "Check": PING}},
    ) == [
        (1, "unknown node operation: paint"),
        (2, "unknown service operation: paint"),
        (3, "unknown check operation: paint"),
    ]


async def test_a_critical_check_in_a_transaction_ends_sessions(discovery: Discovery) -> None:
    await done(
        discovery,
        {"Node": {"Verb": "set", "Node": ALPHA}},
        {"Check": {"Verb": "set", "Check": PING}},
    )
    body = {"Node": "alpha", "NodeChecks": ["ping"]}
    session_id = (await discovery.put("/v1/session/create", body)).json["ID"]
    await discovery.put(f"/v1/kv/l?acquire={session_id}")
    await done(discovery, {"Check": {"Verb": "set", "Check": {**PING, "Status": "critical"}}})
    assert await discovery.json("/v1/session/list") == []
    assert "Session" not in (await discovery.json("/v1/kv/l"))[0]
    other = await session(discovery)
    assert (await discovery.put(f"/v1/kv/l?acquire={other}")).text == "false"  # lock-delay


# Limits and permissions


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "Failed to parse body: EOF"),
        (b"{", 400, None),
        (b"{}", 400, None),
        (
            [{"KV": {"Verb": "set", "Key": "a", "Nope": 1}}],
            400,
            'Failed to parse body: json: unknown field "Nope"',
        ),
        (
            [{}],
            400,
            "Failed to parse body: operation 0 has none of KV, Node, Service and Check",
        ),
        ([{"KV": {"Verb": "set", "Key": "a", "Value": "%"}}], 400, None),
        ([{"KV": {"Verb": "set", "Key": "a", "Flags": -1}}], 400, None),
        (
            [kv("set", "a")] * 129,
            413,
            "Transaction contains too many operations (129 > 128)",
        ),
    ],
)
async def test_wrong_bodies(discovery: Discovery, body: Any, status: int, text: str | None) -> None:
    reply = await discovery.put("/v1/txn", body)
    assert reply.status == status, reply.text
    assert text is None or reply.text == text


async def test_names_of_fields_are_without_case_and_128_operations_are_fine(
    discovery: Discovery,
) -> None:
    reply = await discovery.put(
        "/v1/txn", [{"kv": {"verb": "set", "key": f"k{n}", "value": "MQ=="}} for n in range(128)]
    )
    assert len(reply.json["Results"]) == 128
    assert await done(discovery) == []


async def test_sizes() -> None:
    async with running(Settings(kv_max_value_size=1000, txn_max_req_len=3000)) as d:
        assert (await txn(d, kv("set", "a", Value=b"x" * 1000))).status == 200
        reply = await txn(d, kv("set", "a", Value=b"x" * 1001))
        assert (reply.status, reply.text) == (
            413,
            'Value for key "a" is too large (1001 > 1000 bytes)',
        )
        reply = await txn(d, *[kv("set", "a", Value=b"x" * 1000)] * 3)
        assert reply.status == 413
        assert "too large, max size: 3000 bytes" in reply.text
    async with running(Settings(kv_max_value_size=4000, txn_max_req_len=100)) as d:
        assert (await txn(d, kv("set", "a", Value=b"x" * 1000))).status == 200


async def test_each_operation_needs_its_permission() -> None:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as d:
        reply = await txn(
            d,
            kv("set", "a"),
            kv("check-index", "a", Index=1),
            kv("get", "a"),
            {"Node": {"Verb": "set", "Node": ALPHA}},
            {"Service": {"Verb": "set", "Node": "alpha", "Service": WEB}},
            {"Check": {"Verb": "set", "Check": PING}},
        )
        assert reply.status == 409
        errors = reply.json["Errors"]
        assert [error["OpIndex"] for error in errors] == [0, 1, 3, 4, 5]
        wanted = ("key:write", "key:read", "node:write", "service:write", "node:write")
        for error, permission in zip(errors, wanted, strict=True):
            assert error["What"].startswith(
                f"Permission denied: anonymous token lacks permission '{permission}' on "
            )
        # Reads are left out of the results.
        reply = await txn(d, kv("get-or-empty", "a"), kv("get-tree", "a"))
        assert (reply.json["Results"], reply.json["Errors"]) == ([], None)
