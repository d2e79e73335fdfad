"""The catalog's indexes: kept up change by change they are those of a fresh start."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from portway.discovery.model import Check, CheckStatus, Connect, Node, Service
from portway.discovery.operations.catalog import (
    CatalogError,
    Registration,
    Removal,
    deregister,
    register,
)
from portway.discovery.server import Server
from portway.discovery.state import Catalog, Draft, State
from portway.store.sqlite import open_sqlite
from tests.unit.test_catalog_operations import A, B, check, node, service

NODES = st.sampled_from(["n1", "N1", "n2", "n3"])
IDS = st.sampled_from(["", A, B])
SERVICES = st.sampled_from(["web", "Web", "db"])
CHECKS = st.sampled_from(["c1", "c2", "serfHealth"])
STATUSES: st.SearchStrategy[CheckStatus] = st.sampled_from(get_args(CheckStatus))


@st.composite
def a_service(draw: st.DrawFn) -> Service:
    name = draw(SERVICES)
    made = replace(
        service(name, draw(st.sampled_from(["", "one"])), draw(st.lists(st.sampled_from("ab")))),
        connect=Connect(native=draw(st.booleans())),
    )
    if draw(st.booleans()):
        proxy = replace(made.proxy, destination_service_name=draw(SERVICES))
        made = replace(made, kind="connect-proxy", proxy=proxy, connect=Connect())
    return made


@st.composite
def a_registration(draw: st.DrawFn) -> Registration:
    where: Node = node(draw(NODES), draw(IDS), draw(st.sampled_from(["10.0.0.1", "::1"])))
    what = draw(st.none() | a_service())
    checks: list[Check] = [
        check(draw(CHECKS), draw(STATUSES), draw(st.sampled_from(["", "web", "one"])))
        for _ in range(draw(st.integers(0, 2)))
    ]
    return Registration(where, what, checks, draw(st.booleans()))


removals = st.builds(
    Removal,
    NODES,
    st.sampled_from(["", "web", "one"]),
    st.sampled_from(["", "c1", "c2"]),
)


def shown(catalog: Catalog) -> dict[str, Any]:
    """Everything a catalog says."""

    def sides(names: dict[str, Any]) -> dict[str, Any]:
        return {
            key: (
                [
                    (one.node, one.service, one.all_checks(), one.status())
                    for one in named.ordered()
                ],
                named.tags(),
            )
            for key, named in names.items()
        }

    return {
        "hosts": {
            key: (
                host.node,
                {name: one.service for name, one in host.instances.items()},
                host.checks,
                host.own_checks,
            )
            for key, host in catalog.hosts.items()
        },
        "names": sides(catalog.by_name),
        "destinations": sides(catalog.by_destination),
        "statuses": {status: group.checks for status, group in catalog.by_status.items()},
        "ids": ({key: row.node.lower() for key, row in catalog.ids.rows.items()}),
        "node ids": catalog.node_ids,
    }


def _register(server: Server, step: Registration, draft: Draft) -> None:
    register(server, draft, step)


def _deregister(server: Server, step: Removal, draft: Draft) -> None:
    deregister(server, draft, step)


async def _play(steps: list[Registration | Removal]) -> None:
    store = await open_sqlite(None)
    server = Server(store)
    await server.start()
    try:
        for step in steps:
            try:
                if isinstance(step, Registration):
                    await server.transact(partial(_register, server, step))
                else:
                    await server.transact(partial(_deregister, server, step))
            except CatalogError:
                continue
        fresh = State()
        await fresh.view.follow(store)
        fresh.view.stop()
        assert shown(server.state.catalog) == shown(fresh.catalog)
        catalog = server.state.catalog
        by_id = {host.node.id: key for key, host in catalog.hosts.items() if host.node.id}
        assert catalog.node_ids == by_id, "an ID belongs to one node"
        for host in catalog.hosts.values():
            for row in host.checks.values():
                assert not row.service_id or row.service_id in host.instances
    finally:
        server.stop()
        await store.close()


@settings(max_examples=60)
@given(st.lists(a_registration() | removals, max_size=12))
def test_indexes_are_those_of_a_fresh_start(steps: list[Registration | Removal]) -> None:
    asyncio.run(_play(steps))
