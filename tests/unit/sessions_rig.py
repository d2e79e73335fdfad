"""A server on a store in memory, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from portway.discovery.model import CRITICAL, PASSING, Check, CheckRun, CheckStatus, Node, Session
from portway.discovery.operations import kv, sessions
from portway.discovery.server import Server
from portway.discovery.state import check_key, node_key
from portway.store import Batch, Store
from portway.store.sqlite import open_sqlite


class Clock:
    """Monotonic seconds under the test's control."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """The server with the node ``alpha``, whose check ``serfHealth`` passes."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self.server = server
        self.clock = clock

    async def node(self, name: str) -> None:
        node = Node(id="", node=name, address="127.0.0.1", tagged_addresses={}, meta={})
        nodes = self.server.state.catalog.nodes
        await self.server.transact(lambda draft: draft.put(nodes, node_key(name), node))

    async def check(self, check_id: str, status: CheckStatus = PASSING) -> None:
        """Write a check as the catalog does: sessions bound to it end when it turns critical."""
        check = Check(
            node="alpha",
            check_id=check_id,
            name=check_id,
            status=status,
            notes="",
            output="",
            service_id="",
            service_name="",
            service_tags=[],
            type="",
            interval="",
            timeout="",
            exposed_port=0,
            definition=CheckRun(),
        )

        def write(draft):  # type: ignore[no-untyped-def]
            draft.put(self.server.state.catalog.checks, check_key("alpha", check_id), check)
            if status == CRITICAL:
                sessions.invalidate_bound(self.server, draft, "alpha", check_id)

        await self.server.transact(write)

    async def session(self, session_id: str = "s1", **fields: object) -> Session:
        values: dict[str, object] = {
            "id": session_id,
            "name": "",
            "node": "alpha",
            "lock_delay": 15_000_000_000,
            "behavior": "release",
            "ttl": "",
            "node_checks": ["serfHealth"],
            "service_checks": None,
        }
        session = Session(**{**values, **fields})  # type: ignore[arg-type]
        server = self.server
        return await server.transact(lambda draft: sessions.create(server, draft, session))

    async def destroy(self, session_id: str) -> bool:
        server = self.server
        ended = await server.transact(lambda d: sessions.invalidate(server, d, session_id))
        await server.sessions.settled()
        return ended

    async def acquire(self, key: str, session_id: str, value: bytes = b"") -> bool:
        server = self.server
        return await server.transact(
            lambda draft: kv.acquire(server, draft, key, value, 0, session_id)
        )

    def holder(self, key: str) -> str | None:
        """Who holds a key; ``None`` when it does not exist."""
        entry = self.server.state.kv.table.get(key)
        return None if entry is None else entry.session

    def alive(self, session_id: str = "s1") -> bool:
        return session_id in self.server.state.sessions.table.rows

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.server.sessions.timers.look()
        await self.server.sessions.settled()


def _watch_invariant(server: Server) -> None:
    """After every commit that becomes visible, who holds a lock exists."""
    view, state = server.state.view, server.state
    apply = view.apply

    def checked(batches: Sequence[Batch]) -> None:
        apply(batches)
        assert set(state.kv.held) <= set(state.sessions.table.rows)
        held = {f"{row.session}/{key}" for key, row in state.kv.table.rows.items() if row.session}
        assert set(state.kv.locks.rows) == held

    view.apply = checked  # type: ignore[method-assign]


@asynccontextmanager
async def rig(store: Store | None = None) -> AsyncIterator[Rig]:
    clock = Clock()
    own = store is None
    store = store or await open_sqlite(None)
    server = Server(store, clock)
    _watch_invariant(server)
    await server.start()
    try:
        made = Rig(server, clock)
        if server.state.catalog.host("alpha") is None:
            await made.node("alpha")
            await made.check("serfHealth")
        yield made
    finally:
        server.stop()
        if own:
            await store.close()
