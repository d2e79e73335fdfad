"""Churn: after a great deal of coming and going nothing is left of what has gone."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest

from portway.discovery.acl import AclSettings, Resolver
from portway.discovery.api import App, Context, Settings, all_routes
from portway.discovery.model import Check, CheckRun, Node, Service, Session
from portway.discovery.model.catalog import Connect, Weights, plain_proxy
from portway.discovery.operations import kv, sessions
from portway.discovery.operations.catalog import Registration, Removal, deregister, register
from portway.discovery.server import Server
from portway.discovery.state import Draft
from portway.discovery.state.kv import MAX_TOMBSTONES
from portway.store.sqlite import open_sqlite
from tests.integration.discovery_rig import Reply

pytestmark = pytest.mark.slow
_SLACK = 3000  # objects: caches of the interpreter, of regular expressions and the like


class World:
    """A server whose clock the test sets, and its API without sockets."""

    def __init__(self) -> None:
        self.now = 0.0

    async def start(self) -> None:
        self.store = await open_sqlite(None, keep_versions={"kv/": 64})
        self.server = Server(self.store, lambda: self.now)
        await self.server.start()
        tokens = Resolver(self.server.state.acl, AclSettings())
        self.app = App(all_routes(), Context(self.server, tokens, Settings()))

    async def stop(self) -> None:
        self.server.stop()
        await self.store.close()

    async def ask(self, method: str, target: str, body: bytes = b"") -> Reply:
        path, _, query = target.partition("?")
        sent: list[dict[str, object]] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [],
            "client": ("127.0.0.1", 1),
        }
        await self.app(scope, receive, send)
        return Reply(sent[0]["status"], {}, sent[1]["body"])  # type: ignore[arg-type]

    def sizes(self) -> dict[str, int]:
        """How much is in everything that grows with what is registered."""
        server, state = self.server, self.server.state
        catalog = state.catalog
        return {
            **{table.prefix: len(table.rows) for table in state.view.tables.values()},
            "hosts": len(catalog.hosts),
            "names": len(catalog.by_name),
            "destinations": len(catalog.by_destination),
            "held": len(state.kv.held),
            "keys": len(state.kv._keys),
            "prefixes": len(state.kv._prefixes),
            "sessions by node": len(state.sessions.by_node),
            "sessions by check": len(state.sessions.by_check),
            "deadlines": len(server.sessions.timers),
            "ending": len(server.sessions._ending),
            "expiring": len(server.sessions._tasks),
            "turns": len(server._turns._locks) + len(server._turns._groups),
            "leading": len(server._turns._leading),
            "waiting": len(state.view._waiting),
        }


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.start()
    yield world
    await world.stop()


@contextmanager
def nothing_left(world: World) -> Iterator[None]:
    """What is inside leaves as much as there was before."""
    gc.collect()
    before, objects = world.sizes(), len(gc.get_objects())
    yield
    gc.collect()
    assert world.sizes() == before
    assert len(gc.get_objects()) < objects + _SLACK


async def repeated(world: World, times: int, *steps: Callable[[Draft], object]) -> None:
    for _ in range(times):
        for step in steps:
            await world.server.transact(step)


def node(name: str) -> Node:
    return Node(id=str(uuid.uuid4()), node=name, address="10.0.0.1", tagged_addresses=None, meta={})


def service(name: str) -> Service:
    return Service(
        id=name,
        service=name,
        tags=["a", name],
        address="",
        meta={},
        port=80,
        weights=Weights(),
        enable_tag_override=False,
        proxy=plain_proxy(),
        connect=Connect(),
        peer_name="",
    )


def check(host: str, owner: str) -> Check:
    return Check(
        node=host,
        check_id=f"c-{owner}",
        name="c",
        status="passing",
        notes="",
        output="",
        service_id=owner,
        service_name="",
        service_tags=[],
        type="ttl",
        interval="",
        timeout="",
        exposed_port=0,
        definition=CheckRun(),
    )


async def test_a_hundred_thousand_registrations_and_removals(world: World) -> None:
    batch, rounds = 250, 200

    async def churn(number: int) -> None:
        names = [f"n{number}-{one}" for one in range(batch)]

        def come(draft: Draft) -> None:
            for name in names:
                owner = service(f"s{name}")
                registration = Registration(node(name), owner, [check(name, owner.id)])
                register(world.server, draft, registration)

        def go(draft: Draft) -> None:
            for name in names:
                deregister(world.server, draft, Removal(name))

        await repeated(world, 1, come, go)

    await churn(0)
    with nothing_left(world):
        for number in range(1, rounds):
            await churn(number)


async def test_a_million_writes_of_keys(world: World) -> None:
    batch, rounds = 1000, 500

    async def churn(number: int) -> None:
        prefix = f"t{number}/"

        def put(draft: Draft) -> None:
            for one in range(batch):
                kv.put(world.server, draft, f"{prefix}{one}", b"v", 0)

        await repeated(world, 1, put, lambda draft: kv.delete_tree(world.server, draft, prefix))

    for number in range(2 * MAX_TOMBSTONES // batch):  # as many deletions as are remembered
        await churn(-number)
    with nothing_left(world):
        for number in range(1, rounds):
            await churn(number)
        assert len(world.server.state.kv._tombstones) <= MAX_TOMBSTONES


async def test_a_hundred_thousand_beginnings_and_ends_of_sessions(world: World) -> None:
    """Half of them hold a lock when their time is over."""
    await world.server.transact(
        lambda draft: register(world.server, draft, Registration(node("n")))
    )
    batch, rounds = 500, 100

    async def churn(number: int) -> None:
        made = [
            Session(
                id=str(uuid.uuid4()),
                name="",
                node="n",
                lock_delay=15_000_000_000,
                behavior="delete",
                ttl="10s",
                node_checks=[],
                service_checks=None,
            )
            for _ in range(batch)
        ]

        def begin(draft: Draft) -> None:
            for session in made:
                sessions.create(world.server, draft, session)
            for session in made[::2]:
                kv.acquire(world.server, draft, f"lock/{session.id}", b"", 0, session.id)

        await world.server.transact(begin)
        world.now += 60
        world.server.sessions.timers.look()
        await world.server.sessions.settled()

    for number in range(10):
        await churn(number)
    with nothing_left(world):
        for number in range(rounds):
            await churn(number)
        assert len(world.server.lock_delays) < 4 * batch + 2000


async def test_twenty_thousand_readers_that_wait(world: World) -> None:
    """Half are woken, half give up."""
    server = world.server

    async def churn(number: int) -> None:
        def index() -> int:
            return server.state.view.revision

        targets = (
            f"/v1/kv/k{number}?index={index()}",
            f"/v1/kv/p{number}/?recurse&index={index()}",
            f"/v1/health/service/s{number}?index={index()}",
            f"/v1/catalog/nodes?index={index()}",
        )
        readers = [
            asyncio.create_task(world.ask("GET", f"{target}&wait=600s"))
            for target in targets
            for _ in range(50)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for reader in readers[::2]:
            reader.cancel()
        await world.ask("PUT", f"/v1/kv/k{number}", b"v")
        await world.ask("PUT", f"/v1/kv/p{number}/x", b"v")
        body = b'{"Node": "n%d", "Address": "1.1.1.1", "Service": {"Service": "s%d"}}'
        await world.ask("PUT", "/v1/catalog/register", body % (number, number))
        await asyncio.gather(*readers, return_exceptions=True)
        await world.ask("PUT", "/v1/catalog/deregister", b'{"Node": "n%d"}' % number)
        await world.ask("DELETE", f"/v1/kv/k{number}")
        await world.ask("DELETE", f"/v1/kv/p{number}/?recurse")

    await churn(0)
    with nothing_left(world):
        for number in range(1, 100):
            await churn(number)
