"""Discovery over real HTTP, in this process: a store in memory, the server, the API.

``discovery`` is the fixture, without access control; ``running`` starts one with settings of
the test's own. ``parked`` starts a blocking read, ``waits`` counts how often such were woken.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest

from portway.discovery.acl import AclSettings, Resolver
from portway.discovery.acl.resolve import utc_now
from portway.discovery.acl.tokens import seed
from portway.discovery.api import App, Context, Limit, Settings, all_routes, blocking, serve
from portway.discovery.server import Server
from portway.discovery.state import Topic, any_change
from portway.store.sqlite import open_sqlite
from tests.patience import PATIENCE

MANAGEMENT = "11111111-2222-4333-8444-555555555555"
"""The secret of the management token, where access control is on."""


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def index(self) -> int:
        return int(self.headers["X-Consul-Index"])


@dataclass
class Waits:
    """What blocked readers do."""

    now: int = 0
    """Readers that wait."""
    wakes: int = 0
    """How often a reader was woken to run its query again."""

    async def __call__(self, topics: Iterable[Topic], seconds: float) -> bool:
        self.now += 1
        try:
            changed = await any_change(topics, seconds)
        finally:
            self.now -= 1
        self.wakes += changed
        return changed


@dataclass
class Discovery:
    """A running API and its parts."""

    url: str
    server: Server
    context: Context
    http: aiohttp.ClientSession
    waits: Waits
    _tasks: list[asyncio.Task[Reply]] = field(default_factory=list)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request; a body that is not bytes is sent as JSON. Header ``X_Y`` is ``X-Y``."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(
            method, self.url + path, data=data, headers=names, allow_redirects=False
        ) as response:
            read = await response.read()
            return Reply(response.status, response.headers, read)

    async def get(self, path: str, **headers: str) -> Reply:
        """A GET."""
        return await self.call("GET", path, **headers)

    async def put(self, path: str, body: Any = None, **headers: str) -> Reply:
        """A PUT."""
        return await self.call("PUT", path, body, **headers)

    async def json(self, path: str, **headers: str) -> Any:
        """The JSON of a GET that must succeed."""
        reply = await self.get(path, **headers)
        assert reply.status == 200, reply.text
        return reply.json

    async def register(self, **registration: Any) -> None:
        """A catalog registration that must succeed."""
        reply = await self.put("/v1/catalog/register", registration)
        assert (reply.status, reply.text) == (200, "true"), reply.text

    async def parked(self, path: str, **headers: str) -> asyncio.Task[Reply]:
        """Start a blocking GET and return once it is waiting on the server."""
        before = self.waits.now
        task = asyncio.create_task(self.get(path, **headers))
        self._tasks.append(task)
        async with asyncio.timeout(PATIENCE):
            while self.waits.now == before:
                assert not task.done(), f"{path} answered at once: {task.result()}"
                await asyncio.sleep(0.001)
        return task

    async def stop(self) -> None:
        """Give up what still waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def running(
    settings: Settings | None = None, acl: AclSettings | None = None
) -> AsyncIterator[Discovery]:
    """Discovery with these settings, on a free port; with ``acl``, MANAGEMENT may do all."""
    store = await open_sqlite(None, keep_versions={"kv/": 64})
    server = Server(store)
    await server.start()
    tokens = Resolver(server.state.acl, acl or AclSettings())
    if tokens.enabled:
        await server.transact(lambda draft: seed(server.state.acl, draft, utc_now(), MANAGEMENT))
    context = Context(server, tokens, settings or Settings())
    # With the protocol named asyncio turns off Nagle's algorithm, as uvloop always does.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    port = listening.getsockname()[1]
    listener = serve(App(all_routes(), context), listening, Limit(0))
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector) as http:
            waits = Waits()
            discovery = Discovery(f"http://127.0.0.1:{port}", server, context, http, waits)
            try:
                with patch.object(blocking, "any_change", waits):
                    yield discovery
            finally:
                await discovery.stop()
    finally:
        await listener.stop()
        server.stop()
        await store.close()


@pytest.fixture
async def discovery() -> AsyncIterator[Discovery]:
    """Discovery with default settings."""
    async with running() as started:
        yield started
