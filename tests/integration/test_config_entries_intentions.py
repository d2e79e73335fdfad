"""Intentions over HTTP: by source and destination, by ID, matches, decisions, permissions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings
from tests.integration.discovery_rig import MANAGEMENT, Discovery, discovery, running
from tests.patience import PATIENCE

__all__ = ["discovery"]

PATH = "/v1/connect/intentions"


def exact(source: str, destination: str) -> str:
    return f"{PATH}/exact?source={source}&destination={destination}"


async def intend(discovery: Discovery, source: str, destination: str, action: str) -> None:
    reply = await discovery.put(exact(source, destination), {"Action": action})
    assert (reply.status, reply.text) == (200, "true"), reply.text


async def test_an_intention_is_a_source_of_a_config_entry(discovery: Discovery) -> None:
    await intend(discovery, "web", "db", "allow")
    await intend(discovery, "*", "db", "deny")
    entry = await discovery.json("/v1/config/service-intentions/db")
    assert [(one["Name"], one["Action"], one["Precedence"]) for one in entry["Sources"]] == [
        ("web", "allow", 9),
        ("*", "deny", 8),
    ]
    assert entry["Sources"][0]["Type"] == "consul"
    intention = await discovery.json(exact("web", "db"))
    assert intention == {
        "SourceNS": "default",
        "SourceName": "web",
        "DestinationNS": "default",
        "DestinationName": "db",
        "SourceType": "consul",
        "Action": "allow",
        "Precedence": 9,
        "CreateIndex": entry["CreateIndex"],
        "ModifyIndex": entry["ModifyIndex"],
    }
    reply = await discovery.call("DELETE", exact("web", "db"))
    assert (reply.status, reply.text) == (200, "true")
    reply = await discovery.get(exact("web", "db"))
    assert (reply.status, reply.text) == (404, "Intention not found")
    await discovery.call("DELETE", exact("*", "db"))
    assert (await discovery.get("/v1/config/service-intentions/db")).status == 404


async def test_lists_and_matches_are_by_precedence(discovery: Discovery) -> None:
    for source, destination in (("*", "*"), ("web", "*"), ("*", "db"), ("web", "db")):
        await intend(discovery, source, destination, "allow")
    await intend(discovery, "api", "cache", "deny")

    def pairs(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
        return [(row["SourceName"], row["DestinationName"], row["Precedence"]) for row in rows]

    rows = await discovery.json(PATH)
    assert pairs(rows) == [
        ("api", "cache", 9),
        ("web", "db", 9),
        ("*", "db", 8),
        ("web", "*", 6),
        ("*", "*", 5),
    ]
    found = await discovery.json(f"{PATH}/match?by=destination&name=db&name=default/cache")
    assert pairs(found["db"]) == [
        ("web", "db", 9), ("*", "db", 8), ("web", "*", 6), ("*", "*", 5)
    ]  # fmt: skip
    assert pairs(found["default/cache"]) == [("api", "cache", 9), ("web", "*", 6), ("*", "*", 5)]
    found = await discovery.json(f"{PATH}/match?by=source&name=api")
    assert pairs(found["api"]) == [("api", "cache", 9), ("*", "db", 8), ("*", "*", 5)]
    rows = await discovery.json(f'{PATH}?filter=SourceName+==+"api"')
    assert pairs(rows) == [("api", "cache", 9)]


@pytest.mark.parametrize("default", [True, False])
async def test_the_first_that_matches_decides(default: bool) -> None:
    async with running(Settings(default_intention_allow=default)) as discovery:

        async def allowed(source: str, destination: str) -> bool:
            path = f"{PATH}/check?source={source}&destination={destination}"
            return bool((await discovery.json(path))["Allowed"])

        assert await allowed("web", "db") is default
        await intend(discovery, "*", "*", "deny")
        assert not await allowed("web", "db")
        await intend(discovery, "web", "*", "allow")
        assert await allowed("web", "db")
        await intend(discovery, "*", "db", "deny")
        assert not await allowed("web", "db")
        await intend(discovery, "web", "db", "allow")
        assert await allowed("web", "db")
        http = {"Kind": "service-defaults", "Name": "db", "Protocol": "http"}
        await discovery.put("/v1/config", http)
        permissions = [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]
        reply = await discovery.put(exact("web", "db"), {"Permissions": permissions})
        assert reply.status == 200, reply.text
        assert not await allowed("web", "db")  # a connection has no path


async def test_permissions_need_a_protocol_with_requests(discovery: Discovery) -> None:
    permissions = [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]
    reply = await discovery.put(exact("web", "db"), {"Permissions": permissions})
    assert (reply.status, reply.text) == (
        500,
        'service "db" has protocol "tcp", which is incompatible with L7 intentions permissions',
    )


async def test_the_deprecated_api_by_id(discovery: Discovery) -> None:
    body = {
        "SourceName": "web",
        "DestinationName": "db",
        "Action": "allow",
        "Meta": {"a": "b"},
        "Description": "why",
    }
    reply = await discovery.call("POST", PATH, body)
    assert reply.status == 200, reply.text
    path = f"{PATH}/{reply.json['ID']}"
    intention = await discovery.json(path)
    assert intention["ID"] == reply.json["ID"]
    assert (intention["Meta"], intention["Description"]) == ({"a": "b"}, "why")
    assert intention["CreatedAt"] == intention["UpdatedAt"]
    assert intention["Hash"]
    again = await discovery.call("POST", PATH, body)
    assert again.status == 500 and again.text == 'Sources[1] defines "web" more than once'
    reply = await discovery.put(path, body | {"Action": "deny", "Meta": {}})
    assert reply.status == 200, reply.text
    changed = await discovery.json(path)
    assert changed["Action"] == "deny" and changed["CreatedAt"] == intention["CreatedAt"]
    assert changed["UpdatedAt"].rstrip("Z") > intention["UpdatedAt"].rstrip("Z")
    assert "Meta" not in changed
    reply = await discovery.put(path, body | {"DestinationName": "other"})
    assert reply.status == 500 and reply.text.startswith("Cannot modify Destination partition")
    # Written as a config entry its intentions have no IDs any more.
    sources = [{"Name": "web", "Action": "allow"}]
    entry = {"Kind": "service-intentions", "Name": "db", "Sources": sources}
    assert (await discovery.put("/v1/config", entry)).text == "true"
    assert (await discovery.get(path)).status == 404
    reply = await discovery.call("POST", PATH, body | {"SourceName": "api"})
    assert reply.status == 500
    assert reply.text.startswith("cannot use legacy intention API to edit intentions with a")
    reply = await discovery.put(path, body)
    assert reply.status == 500
    assert reply.text.startswith("Cannot modify non-existent intention: '")
    reply = await discovery.get(f"{PATH}/nope")
    assert reply.status == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/exact", None, 500, "required query parameter 'source' not set"),
        ("GET", "/exact?source=a", None, 500, "required query parameter 'destination' not set"),
        ("GET", "/exact?source=a&destination=b", None, 404, "Intention not found"),
        ("GET", "/exact?source=x/a&destination=b", None, 400, "Namespaces is a Consul Enterprise"),
        ("GET", "/exact?source=a/b/c/d&destination=b", None, 500, "at most two '/'"),
        ("GET", "/match", None, 500, "required query parameter 'by' not set"),
        ("GET", "/match?by=x&name=a", None, 500, "'by' parameter must be one of 'source' or"),
        ("GET", "/match?by=source", None, 500, "required query parameter 'name' not set"),
        ("GET", "/check?source=a", None, 500, "required query parameter 'destination' not set"),
        (
            "GET",
            "/check?source=a&destination=b&source-type=x",
            None,
            500,
            'unsupported SourceType: "x"',
        ),
        (
            "PUT",
            "/exact?source=a&destination=b",
            {"Action": "maybe"},
            500,
            "Sources[0].Action must be set to 'allow' or 'deny'",
        ),
        ("PUT", "/exact?source=a&destination=b", {"Nope": 1}, 400, 'json: unknown field "Nope"'),
        (
            "PUT",
            "/exact?source=a&destination=b",
            {"Action": "allow", "Meta": {"a": "b"}},
            500,
            "Meta must not be specified",
        ),
        (
            "PUT",
            "/exact?source=a&destination=b",
            {"Action": "allow", "SourceNS": "x"},
            400,
            "Namespaces is a Consul Enterprise feature",
        ),
        (
            "PUT",
            "/exact?source=we*&destination=b",
            {"Action": "allow"},
            500,
            "Sources[0].Name: wildcard character '*' cannot be used with partial values",
        ),
        (
            "POST",
            "",
            {"ID": "x", "DestinationName": "b"},
            500,
            "ID must be empty when creating a new intention",
        ),
    ],
)
async def test_wrong_requests(
    discovery: Discovery, method: str, path: str, body: Any, status: int, text: str
) -> None:
    reply = await discovery.call(method, PATH + path, body)
    assert reply.status == status
    assert text in reply.text


async def test_readers_wake_when_intentions_of_their_service_change(discovery: Discovery) -> None:
    await intend(discovery, "web", "db", "allow")
    match = f"{PATH}/match?by=destination&name=db"
    index = (await discovery.get(match)).index
    reader = await discovery.parked(f"{match}&index={index}")
    before = discovery.waits.wakes
    await intend(discovery, "web", "cache", "allow")
    assert discovery.waits.wakes == before and not reader.done()
    await intend(discovery, "*", "*", "deny")
    reply = await asyncio.wait_for(reader, PATIENCE)
    assert [row["DestinationName"] for row in reply.json["db"]] == ["db", "*"]


async def test_who_may_see_and_write_intentions() -> None:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as discovery:

        async def token(rules: str) -> str:
            name = f"p{len(rules)}"
            body = {"Name": name, "Rules": rules}
            await discovery.put("/v1/acl/policy", body, X_Consul_Token=MANAGEMENT)
            reply = await discovery.put(
                "/v1/acl/token", {"Policies": [{"Name": name}]}, X_Consul_Token=MANAGEMENT
            )
            return str(reply.json["SecretID"])

        writer = await token('service "db" { policy = "read" intentions = "write" }')
        reader = await token('service "db" { policy = "read" }')
        other = await token('service "web" { policy = "write" }')
        stranger = await token('service "elsewhere" { policy = "write" }')
        allow = {"Action": "allow"}
        for refused in (reader, other):
            reply = await discovery.put(exact("web", "db"), allow, X_Consul_Token=refused)
            assert reply.status == 403 and "intention:write" in reply.text
        made = await discovery.put(exact("web", "db"), allow, X_Consul_Token=writer)
        assert made.status == 200, made.text
        match = f"{PATH}/match?by=destination&name=db"
        # Either side sees the intention: it is why something does not work.
        for secret, *statuses in ((reader, 200, 200), (other, 200, 403), (stranger, 403, 403)):
            replies = [
                await discovery.get(path, X_Consul_Token=secret)
                for path in (exact("web", "db"), match)
            ]
            assert [reply.status for reply in replies] == statuses
        for secret in (reader, other):
            assert (await discovery.get(PATH, X_Consul_Token=secret)).json
        hidden = await discovery.get(PATH, X_Consul_Token=stranger)
        assert hidden.json == []
        assert hidden.headers["X-Consul-Results-Filtered-By-ACLs"] == "true"
        check = f"{PATH}/check?source=web&destination=db"
        assert (await discovery.get(check, X_Consul_Token=reader)).json == {"Allowed": True}
        assert (await discovery.get(check, X_Consul_Token=other)).status == 403
