"""Bodies and parameters that were made to break what comes after them."""

from __future__ import annotations

from typing import Any

import pytest

from portway.discovery.acl import AclSettings
from tests.integration.discovery_rig import MANAGEMENT, Discovery, running

HUGE = b"9" * 25
NUMBER = "index=" + "9" * 5000


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def registration(config: bytes) -> bytes:
    return (
        b'{"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "web", "Proxy": '
        b'{"Config": {"a": %s}}}}' % config
    )


@pytest.mark.parametrize("depth", [100, 900, 975, 980, 985, 100_000])
async def test_what_is_nested_too_deep_to_be_shown_again_is_refused(
    discovery: Discovery, depth: int
) -> None:
    operation = b'[{"Service": {"Verb": "set", "Node": "n1", "Service": {"Service": "web", '
    operation += b'"Proxy": {"Config": {"a": %s}}}}}]' % nested(depth)
    entry = b'{"Kind": "proxy-defaults", "Name": "global", "Config": {"a": %s}}' % nested(depth)
    await discovery.register(Node="n1", Address="10.0.0.1")
    for path, body in (
        ("/v1/catalog/register", registration(nested(depth))),
        ("/v1/txn", operation),
        ("/v1/config", entry),
    ):
        reply = await discovery.put(path, body)
        assert reply.status == 400, reply.text
    for path in ("/v1/health/service/web", "/v1/internal/ui/nodes", "/v1/config/proxy-defaults"):
        assert (await discovery.get(path)).status == 200


async def test_what_is_nested_as_deep_as_it_may_be_is_shown(discovery: Discovery) -> None:
    reply = await discovery.put("/v1/catalog/register", registration(nested(58)))
    assert (reply.status, reply.text) == (200, "true")
    for path in ("/v1/health/service/web", "/v1/internal/ui/nodes", "/v1/catalog/node/n1"):
        assert nested(58) in (await discovery.get(path)).body


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", f"/v1/kv/k?{NUMBER}", None, 400),
        ("GET", f"/v1/event/list?{NUMBER}", None, 400),
        ("GET", f"/v1/catalog/nodes?{NUMBER}", None, 400),
        ("PUT", f"/v1/kv/k?cas={'9' * 5000}", b"v", 500),
        ("PUT", f"/v1/kv/k?flags={'9' * 5000}", b"v", 500),
        ("GET", f"/v1/kv/k?history&limit={'9' * 5000}", None, 400),
        ("PUT", "/v1/catalog/register", registration(HUGE), 400),
        ("PUT", "/v1/config", b'{"Kind": "proxy-defaults", "Config": {"a": %s}}' % HUGE, 400),
        ("PUT", "/v1/acl/token", {"ExpirationTime": "0001-01-01T00:00:00+14:00"}, 500),
        ("PUT", "/v1/acl/token", {"ExpirationTime": "9999-12-31T23:59:59-14:00"}, 500),
    ],
)
async def test_numbers_and_times_that_nothing_can_hold(
    method: str, path: str, body: Any, status: int
) -> None:
    async with running(acl=AclSettings(enabled=True)) as discovery:
        reply = await discovery.call(method, path, body, X_Consul_Token=MANAGEMENT)
        assert (reply.status, "internal error" in reply.text) == (status, False), reply.text


async def test_leading_zeros_are_no_reason(discovery: Discovery) -> None:
    await discovery.put("/v1/kv/k", b"v")
    reply = await discovery.get(f"/v1/kv/k?index={'0' * 100}1&wait=1ms")
    assert reply.status == 200
