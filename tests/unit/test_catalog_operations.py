"""Registration as a transaction: identity of nodes, what is not written, what goes along."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from portway.discovery.acl import Authorizer, PermissionDeniedError, Permissions, parse_rules
from portway.discovery.model import (
    Check,
    CheckRun,
    CheckStatus,
    Connect,
    Coordinate,
    Node,
    NodeCoordinate,
    Service,
    Session,
    Weights,
    plain_proxy,
)
from portway.discovery.operations import sessions
from portway.discovery.operations.catalog import (
    CatalogError,
    Registration,
    Removal,
    deregister,
    register,
)
from portway.discovery.operations.nodes import put_node, put_service, remove_node
from portway.discovery.server import Server
from portway.discovery.state import Draft, coordinate_key
from portway.store.sqlite import open_sqlite

A = "aaaaaaaa-0000-0000-0000-000000000000"
B = "bbbbbbbb-0000-0000-0000-000000000000"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    store = await open_sqlite(None)
    started = Server(store)
    await started.start()
    yield started
    started.stop()
    await store.close()


def node(name: str = "n", node_id: str = "", address: str = "10.0.0.1") -> Node:
    return Node(id=node_id, node=name, address=address, tagged_addresses=None, meta=None)


def service(name: str = "web", service_id: str = "", tags: list[str] | None = None) -> Service:
    return Service(
        id=service_id,
        service=name,
        tags=tags or [],
        address="",
        meta=None,
        port=80,
        weights=Weights(),
        enable_tag_override=False,
        proxy=plain_proxy(),
        connect=Connect(),
        peer_name="",
    )


def check(check_id: str, status: CheckStatus = "passing", service_id: str = "") -> Check:
    return Check(
        node="",
        check_id=check_id,
        name=check_id,
        status=status,
        notes="",
        output="",
        service_id=service_id,
        service_name="",
        service_tags=[],
        type="",
        interval="",
        timeout="",
        exposed_port=0,
        definition=CheckRun(),
    )


async def put(server: Server, *args: Any, **kwargs: Any) -> None:
    registration = Registration(*args, **kwargs)
    await server.transact(lambda draft: register(server, draft, registration))


async def take(server: Server, *args: str) -> None:
    await server.transact(lambda draft: deregister(server, draft, Removal(*args)))


async def session_on(server: Server, name: str, *checks: str) -> str:
    session = Session(
        id=f"s-{name}",
        name="",
        node=name,
        lock_delay=0,
        behavior="release",
        ttl="",
        node_checks=list(checks),
        service_checks=None,
    )
    await server.transact(lambda draft: sessions.create(server, draft, session))
    return session.id


def names(server: Server) -> dict[str, str]:
    return {host.node.node: host.node.id for host in server.state.catalog.hosts.values()}


# Identity of nodes


async def test_a_known_id_under_another_name_renames_the_node(server: Server) -> None:
    await put(server, node("old", A), service(), [check("serfHealth")])
    await put(server, node("new", A))
    assert names(server) == {"new": A}
    assert server.state.catalog.by_name == {}
    await put(server, node("old", B))
    assert names(server) == {"new": A, "old": B}


async def test_the_name_of_a_living_node_is_not_taken(server: Server) -> None:
    await put(server, node("n", A), None, [check("serfHealth")])
    with pytest.raises(CatalogError) as refused:
        await put(server, node("N", B, "10.0.0.9"))
    assert str(refused.value) == (
        f'failed inserting node: Error while renaming Node ID: "{B}": '
        f"Node name N is reserved by node {A} with name n (10.0.0.1)"
    )
    assert names(server) == {"n": A}


async def test_the_name_of_a_failed_node_may_be_taken(server: Server) -> None:
    await put(server, node("n", A), None, [check("serfHealth", "critical")])
    await put(server, node("n", B))
    assert names(server) == {"n": B}
    await put(server, node("other", A))  # the ID of the failed node is free again
    assert names(server) == {"n": B, "other": A}


async def test_a_node_is_not_renamed_to_the_name_of_a_living_one(server: Server) -> None:
    await put(server, node("a", A), None, [check("serfHealth")])
    await put(server, node("b", B), None, [check("serfHealth")])
    with pytest.raises(CatalogError, match=rf'"{A}" \(10.0.0.1\): Node name b is reserved'):
        await put(server, node("b", A))
    assert names(server) == {"a": A, "b": B}


async def test_a_node_without_an_id_may_be_given_one(server: Server) -> None:
    await put(server, node("n"), service(), [check("serfHealth")])
    await put(server, node("n", A))
    assert names(server) == {"n": A}
    assert list(server.state.catalog.by_name) == ["web"]


async def test_a_node_keeps_its_id_when_none_is_given(server: Server) -> None:
    await put(server, node("n", A))
    await put(server, node("n", address="10.0.0.2"), service())
    host = server.state.catalog.host("n")
    assert host is not None
    assert (host.node.id, host.node.address) == (A, "10.0.0.2")


async def test_of_two_nodes_that_claim_an_id_at_once_one_renames_the_other(
    server: Server,
) -> None:
    await asyncio.gather(put(server, node("one", A)), put(server, node("two", A)))
    assert list(names(server).values()) == [A]


async def test_skip_node_update_leaves_the_node_alone(server: Server) -> None:
    await put(server, node("n", address=""), service(), skip_node_update=True)
    await put(server, node("n", A, "10.0.0.2"), service("db"), skip_node_update=True)
    host = server.state.catalog.host("n")
    assert host is not None
    assert (host.node.id, host.node.address, sorted(host.instances)) == ("", "", ["db", "web"])


# What is not written


async def test_what_is_equal_is_not_written(server: Server) -> None:
    registration = (node("n", A), service(tags=["a"]), [check("c", service_id="web")])
    await put(server, *registration)
    revision = server.state.view.revision
    for _ in range(3):
        await put(server, *registration)
    assert server.state.view.revision == revision


async def test_the_case_of_a_name_is_no_difference(server: Server) -> None:
    await put(server, node("Host", A), service(), [check("c", service_id="web")])
    revision = server.state.view.revision
    await put(server, node("hOST", A), service(), [check("c", service_id="web")])
    assert server.state.view.revision == revision
    await put(server, node("host", A, "10.0.0.2"))
    assert names(server) == {"host": A}


async def test_only_what_differs_is_written(server: Server) -> None:
    await put(server, node(), service(), [check("c", service_id="web")])
    await put(server, node(), service(), [check("c", "warning", "web")])
    catalog = server.state.catalog
    (instance,) = catalog.by_name["web"].ordered()
    assert instance.node.modify_index == 2
    assert instance.service.modify_index == 2
    (row,) = instance.all_checks()
    assert (row.create_index, row.modify_index) == (2, 3)


async def test_what_is_handed_in_stays_the_callers(server: Server) -> None:
    registration = (node("n", A), service(), [check("c")])
    await put(server, *registration)
    assert registration == (node("n", A), service(), [check("c")])


# What goes along


async def test_checks_follow_the_name_and_tags_of_their_service(server: Server) -> None:
    await put(server, node(), service("web", "id", ["a"]), [check("c", service_id="id")])
    await put(server, node(), service("app", "id", ["b"]))
    (row,) = server.state.catalog.checks.rows.values()
    assert (row.service_name, row.service_tags) == ("app", ["b"])
    assert list(server.state.catalog.by_name) == ["app"]


async def test_a_service_goes_with_its_checks(server: Server) -> None:
    await put(server, node(), service(), [check("c", service_id="web"), check("disk")])
    await take(server, "n", "web")
    assert [row.check_id for row in server.state.catalog.checks.rows.values()] == ["disk"]


async def test_a_node_goes_with_everything_on_it(server: Server) -> None:
    await put(server, node("n", A), service(), [check("c", service_id="web"), check("disk")])
    await put(server, node("other"), service())
    session = await session_on(server, "n")
    place = NodeCoordinate("n", "", Coordinate([0.0], 1.0, 0.0, 0.0))
    table = server.state.coordinates.table
    await server.transact(lambda draft: draft.put(table, coordinate_key("n", ""), place))
    revision = server.state.view.revision
    await take(server, "N")
    assert server.state.view.revision == revision + 1, "one commit"
    assert list(server.state.catalog.hosts) == ["other"]
    assert len(server.state.catalog.by_name["web"].instances) == 1
    assert server.state.catalog.checks.rows == {}
    assert server.state.catalog.ids.rows == {}
    assert server.state.coordinates.by_node == {}
    assert server.state.sessions.table.get(session) is None


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        (lambda s: put(s, node(), None, [check("c", "critical")]), True),
        (lambda s: put(s, node(), None, [check("c", "warning")]), False),
        (lambda s: put(s, node(), None, [check("other", "critical")]), False),
        (lambda s: take(s, "n", "", "c"), True),
        (lambda s: take(s, "n", "", "other"), False),
        (lambda s: take(s, "n"), True),
    ],
)
async def test_a_session_ends_with_its_check(
    server: Server, change: Callable[[Server], Any], ends: bool
) -> None:
    await put(server, node(), None, [check("c"), check("other")])
    session = await session_on(server, "n", "c")
    revision = server.state.view.revision
    await change(server)
    assert server.state.view.revision == revision + 1, "in the same commit"
    assert (server.state.sessions.table.get(session) is None) is ends


async def test_a_node_removed_while_something_is_registered_on_it(server: Server) -> None:
    """Whatever comes first, nothing is left hanging in the air."""
    await put(server, node())
    for round_ in range(20):
        await asyncio.gather(
            put(server, node(), service(f"s{round_}"), [check(f"c{round_}")]),
            take(server, "n"),
            put(server, node(), None, [check(f"d{round_}")]),
        )
        catalog = server.state.catalog
        on_nodes = {
            key.partition("\0")[0] for key in (*catalog.services.rows, *catalog.checks.rows)
        }
        assert on_nodes <= set(catalog.hosts)


async def test_steps_of_one_transaction_see_each_other(server: Server) -> None:
    await put(server, node(), service())

    def steps(draft: Draft) -> None:
        remove_node(server, draft, "n")
        put_node(server, draft, node("n", A))
        put_service(server, draft, "n", service("db", "db"))
        put_node(server, draft, node("m"))
        put_service(server, draft, "m", service("db", "db"))
        put_node(server, draft, node("m", address="10.0.0.3"))
        remove_node(server, draft, "m")

    await server.transact(steps)
    assert names(server) == {"n": A}
    assert list(server.state.catalog.by_name) == ["db"]


async def test_nothing_is_put_on_a_node_that_does_not_exist(server: Server) -> None:
    with pytest.raises(CatalogError, match="Missing node registration"):
        await server.transact(lambda draft: put_service(server, draft, "n", service("a", "a")))


# Who may


def authorizer(rules: str) -> Authorizer:
    return Authorizer(Permissions((parse_rules(rules),)), "me", default_allow=False)


NODE = 'node "n" { policy = "write" }'
WEB = 'service "web" { policy = "write" }'


@pytest.mark.parametrize(
    ("rules", "registration", "allowed"),
    [
        (NODE + WEB, (node("m"), None), False),
        (NODE, (node(), None, [check("c")]), True),
        (WEB, (node(), None, [check("c")]), False),
        (NODE, (node(), service()), False),
        (NODE + WEB, (node(), service()), True),
        (WEB, (node(), service()), True),
        (WEB, (node(address="10.0.0.9"), service()), False),
        (WEB, (node(address="10.0.0.9"), service(), (), True), True),
        (WEB, (node(), service("web", "db")), False),
        (WEB, (node(), None, [check("c", service_id="db")]), False),
        ('service "db" { policy = "write" }', (node(), None, [check("c", service_id="db")]), True),
    ],
)
async def test_who_may_register(
    server: Server, rules: str, registration: tuple[Any, ...], allowed: bool
) -> None:
    await put(server, node(), service("db"))
    mine = authorizer(rules)

    async def attempt() -> None:
        await server.transact(
            lambda draft: register(server, draft, Registration(*registration), mine)
        )

    revision = server.state.view.revision
    if allowed:
        await attempt()
    else:
        with pytest.raises(PermissionDeniedError):
            await attempt()
        assert server.state.view.revision == revision


@pytest.mark.parametrize(
    ("rules", "removal", "refusal"),
    [
        (NODE, ("n",), ""),
        (NODE, ("n", "web"), ""),
        (NODE, ("n", "", "c"), ""),
        (WEB, ("n",), "'node:write' on \"n\""),
        (WEB, ("n", "web"), ""),
        (WEB, ("n", "", "c"), ""),
        (WEB, ("n", "", "disk"), "'node:write' on \"n\""),
        (WEB, ("n", "db"), "'service:write' on \"db\""),
        (WEB, ("n", "what"), "Unknown service ID 'what'"),
        (WEB, ("n", "", "what"), "Unknown check ID 'what'"),
    ],
)
async def test_who_may_deregister(
    server: Server, rules: str, removal: tuple[str, ...], refusal: str
) -> None:
    await put(server, node(), service(), [check("c", service_id="web"), check("disk")])
    await put(server, node(), service("db"))
    mine = authorizer(rules)

    async def attempt() -> None:
        await server.transact(lambda draft: deregister(server, draft, Removal(*removal), mine))

    if refusal:
        with pytest.raises((PermissionDeniedError, CatalogError), match=refusal):
            await attempt()
    else:
        revision = server.state.view.revision
        await attempt()
        assert server.state.view.revision == revision + 1


async def test_the_catalog_is_replaced_by_another(server: Server) -> None:
    """As a restored snapshot does: indexes by name, status and ID follow."""
    await put(server, node("kept", A), service(), [check("c", service_id="web")])
    saved = [(record.key, record.value) for record in (await server.store.read()).records]
    await put(server, node("gone", B), service("db"), [check("d", "critical", "db"), check("e")])
    await put(server, node("kept", address="10.0.0.9"), service(tags=["x"]))
    await server.replace(saved)
    catalog = server.state.catalog
    assert names(server) == {"kept": A}
    assert list(catalog.by_name) == ["web"]
    assert {status: len(group.checks) for status, group in catalog.by_status.items()} == {
        "passing": 1,
        "warning": 0,
        "critical": 0,
    }
    (instance,) = catalog.by_name["web"].ordered()
    assert (instance.node.address, instance.service.tags) == ("10.0.0.1", [])
    assert [row.check_id for row in instance.all_checks()] == ["c"]
    assert list(catalog.ids.rows) == [A]
    await server.replace([])
    assert (catalog.hosts, catalog.by_name, catalog.checks.rows) == ({}, {}, {})
