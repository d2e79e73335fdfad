"""Bodies of registrations: whatever comes in, it is registered or refused with a message."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portway.discovery.api.error import ApiError
from portway.discovery.api.registration import registration_of, removal_of
from portway.discovery.operations.catalog import CatalogError, Removal, deregister, register
from portway.discovery.server import Server
from portway.discovery.state import Draft
from portway.store.sqlite import open_sqlite

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["10s", "web", "passing", "n", "10.0.0.1", "connect-proxy", "\0"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def fields(*names: str, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, values) | known)


proxies = fields(
    "Config",
    "Mode",
    "Upstreams",
    "Expose",
    "MeshGateway",
    "LocalServicePort",
    "EnvoyExtensions",
    DestinationServiceName=st.just("web"),
)
services = fields(
    "ID", "Tags", "Address", "Meta", "Port", "Ports", "Weights", "TaggedAddresses",
    "SocketPath", "Kind", "Locality", "EnableTagOverride", "Connect", "CreateIndex",
    Service=st.just("web"), Proxy=proxies,
)  # fmt: skip
checks = fields(
    "Name", "Status", "Output", "ServiceID", "ExposedPort", "Type", "Notes",
    CheckID=st.just("c"),
    Definition=fields("HTTP", "Interval", "Header", "ScriptArgs", "OutputMaxSize", "TTL"),
)  # fmt: skip
bodies = fields(
    "ID", "TaggedAddresses", "NodeMeta", "SkipNodeUpdate", "Locality", "Checks",
    Node=st.just("n") | values, Address=st.just("10.0.0.1"),
    Service=services | values, Check=checks | values,
)  # fmt: skip


async def _register(tree: Any) -> None:
    store = await open_sqlite(None)
    server = Server(store)
    await server.start()
    try:
        registration, _ = registration_of(json.dumps(tree).encode())
        await server.transact(lambda draft: register(server, draft, registration))
        assert server.state.catalog.hosts
    except (ApiError, CatalogError) as error:
        assert str(error)
    finally:
        server.stop()
        await store.close()


def _deregister(server: Server, removal: Removal, draft: Draft) -> None:
    deregister(server, draft, removal)


@settings(max_examples=150)
@given(bodies)
def test_a_registration_is_taken_or_refused(body: Any) -> None:
    asyncio.run(_register(body))


@settings(max_examples=100)
@given(st.binary(max_size=40) | values.map(lambda tree: json.dumps(tree).encode()))
def test_what_is_no_registration_is_refused(body: bytes) -> None:
    for read in (registration_of, removal_of):
        try:
            read(body)
        except ApiError as error:
            assert error.status == 400
            assert error.message


@pytest.mark.parametrize(
    "place",
    [
        '"Check":{"CheckID":"c","ExposedPort":%s}',
        '"Service":{"Service":"w","Proxy":{"Config":{"a":[{"b":%s}]}}}',
        '"Service":{"Service":"w","TaggedAddresses":{"lan":{"Address":"a","Port":%s}}}',
    ],
)
def test_numbers_that_cannot_be_stored_are_refused(place: str) -> None:
    def body(number: int) -> bytes:
        return f'{{"Node":"n","Address":"a",{place % number}}}'.encode()

    for number in (2**64, -(2**63) - 1, 10**30):
        with pytest.raises(ApiError, match=f"cannot unmarshal number {number}"):
            registration_of(body(number))
    registration_of(body(2**64 - 1))


async def test_removals_of_anything() -> None:
    store = await open_sqlite(None)
    server = Server(store)
    await server.start()
    for body in (b'{"Node":"\\u0000"}', b'{"Node":"a/b","ServiceID":"\\u0000"}'):
        removal, _ = removal_of(body)
        await server.transact(partial(_deregister, server, removal))
    server.stop()
    await store.close()
