"""Stopping under load: requests in flight are finished, and clients know when to leave."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docker import needs_docker
from tests.docker.images import portway_image, whoami_image
from tests.integration.churn import IMAGE, Service, docker, until
from tests.integration.edge import Edge

CUSTOMERS = 16
ENTRY_POINTS = ("web", "alt", "traefik")


class Address(NamedTuple):
    host: str
    port: int


class Clients:
    """Clients that keep their connections and ask again and again, and single requests."""

    def __init__(self, address: Address) -> None:
        self.address = address
        # Statuses, "cut off" for connections that were, and "refused" for those never served:
        # the kernel resets, instead of refusing, who knocks in the moment the port closes.
        self.seen: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    async def arrive(self) -> None:
        """Start the load, and wait until everybody has had an answer."""
        self._tasks = [asyncio.create_task(self._come_and_stay()) for _ in range(CUSTOMERS)]
        await until(self._served, "the load does not get going")

    async def left(self) -> None:
        """Wait until everybody was refused."""
        await asyncio.gather(*self._tasks)

    async def _served(self) -> bool:
        return self.seen["200"] >= 5 * CUSTOMERS

    async def _come_and_stay(self) -> None:
        while True:
            answered = False
            try:
                reader, writer = await asyncio.open_connection(*self.address)
                try:
                    stays = True
                    while stays:
                        status, stays = await self._exchange(reader, writer, "/")
                        self.seen[status] += 1
                        answered = True
                finally:
                    writer.close()
            except (OSError, EOFError):
                if not answered:
                    self.seen["refused"] += 1
                    return
                self.seen["cut off"] += 1

    async def ask(self, target: str, host: str = "app.test") -> str:
        """The status of one request on a connection of its own."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            return (await self._exchange(reader, writer, target, host))[0]
        finally:
            writer.close()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: str,
        host: str = "app.test",
    ) -> tuple[str, bool]:
        """A status, and whether the connection stays."""
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        await reader.readexactly(length)
        return head.split(" ")[1], "connection: close" not in head


class Backend:
    """A server that waits as many seconds before it answers as the query says."""

    def __init__(self) -> None:
        self.waiting = 0
        self.url = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Backend]:
        """The server, on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()

    async def has_waiting(self, count: int) -> bool:
        return self.waiting == count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if seconds := float(head.partition("wait=")[2].partition(" ")[0] or 0):
                    self.waiting += 1
                    await asyncio.sleep(seconds)
                    self.waiting -= 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with Backend().serving() as backend:
        yield backend


@contextlib.asynccontextmanager
async def under_load(
    directory: Path, backend: Backend, *flags: str
) -> AsyncIterator[tuple[Edge, Clients]]:
    """A Portway under load, and its clients."""
    edge = Edge(directory, *flags)
    edge.write(
        "app.yml",
        {
            "http": {
                "routers": {"app": {"rule": "Host(`app.test`)", "service": "app"}},
                "services": {"app": {"loadBalancer": {"servers": [{"url": backend.url}]}}},
            }
        },
    )
    try:
        edge.start()
        await asyncio.to_thread(edge.wait_ready)
        clients = Clients(Address("127.0.0.1", edge.web))
        await clients.arrive()
        yield edge, clients
    finally:
        await asyncio.to_thread(edge.close)


async def test_what_is_in_flight_is_finished_and_nobody_is_cut_off(
    tmp_path: Path, backend: Backend
) -> None:
    async with under_load(tmp_path, backend) as (edge, clients):
        slow = [asyncio.create_task(clients.ask("/?wait=5")) for _ in range(CUSTOMERS)]
        await until(partial(backend.has_waiting, CUSTOMERS), "they are not in flight")
        edge.signal(signal.SIGTERM)
        assert await asyncio.gather(*slow) == ["200"] * CUSTOMERS
        await clients.left()
        assert await asyncio.to_thread(edge.exit_code) == 0
        print(clients.seen)
        assert clients.seen.keys() == {"200", "refused"}


async def test_requests_are_taken_during_the_accept_grace_while_ping_says_503(
    tmp_path: Path, backend: Backend
) -> None:
    flag = "--entrypoints.web.transport.lifecycle.requestacceptgracetimeout=12"
    async with under_load(tmp_path, backend, flag) as (edge, clients):
        ping = Clients(Address("127.0.0.1", edge.admin))
        assert await ping.ask("/ping") == "200"
        edge.signal(signal.SIGTERM)

        async def says_503() -> bool:
            return await ping.ask("/ping") == "503"

        await until(says_503, "/ping does not say that it is ending")
        before = clients.seen["200"]
        assert await clients.ask("/?wait=2") == "200", "a new connection is taken"
        assert clients.seen["200"] > before
        assert clients.seen.keys() == {"200"}
        slow = asyncio.create_task(clients.ask("/?wait=12"))  # longer than the accept grace
        await clients.left()
        assert await slow == "200"
        assert await asyncio.to_thread(edge.exit_code) == 0
        assert clients.seen.keys() == {"200", "refused"}


async def test_the_grace_timeout_cuts_off_what_takes_too_long(
    tmp_path: Path, backend: Backend
) -> None:
    flags = [f"--entrypoints.{n}.transport.lifecycle.gracetimeout=8" for n in ENTRY_POINTS]
    async with under_load(tmp_path, backend, *flags) as (edge, clients):
        endless = asyncio.create_task(clients.ask("/?wait=3600"))
        await until(partial(backend.has_waiting, 1), "it is not in flight")
        edge.signal(signal.SIGTERM)
        with pytest.raises((OSError, EOFError)):
            await endless
        assert await asyncio.to_thread(edge.exit_code) == 0
        await clients.left()
        assert clients.seen.keys() == {"200", "refused"}


@pytest.mark.docker
@needs_docker("debootstrap")
async def test_docker_stop_of_our_container_finishes_what_is_in_flight() -> None:
    whoami_image(IMAGE)
    async with Service({}).up(1) as service:
        name = f"{service.id}-portway"
        flags = [
            "--entrypoints.web.address=:80",
            "--providers.docker.exposedbydefault=false",
            f"--providers.docker.constraints=Label(`churn`, `{service.id}`)",
        ]
        options = ["--network", service.id, "--name", name, "--label", f"churn={service.id}"]
        options += ["-v", "/var/run/docker.sock:/var/run/docker.sock:ro"]
        image = await asyncio.to_thread(portway_image)
        await docker("run", "-d", *options, image, *flags)
        clients = Clients(Address(await service.address(name), 80))

        async def answers() -> bool:
            with contextlib.suppress(OSError, EOFError):
                return await clients.ask("/") == "200"
            return False

        await until(answers, "it does not serve")
        await clients.arrive()
        slow = [asyncio.create_task(clients.ask("/?wait=6")) for _ in range(CUSTOMERS)]
        await asyncio.sleep(1)
        assert not any(request.done() for request in slow), "they are in flight"
        await docker("stop", "-t", "30", name)
        assert await asyncio.gather(*slow) == ["200"] * CUSTOMERS
        await clients.left()
        assert clients.seen.keys() == {"200", "refused"}
        assert await docker("inspect", "-f", "{{.State.ExitCode}}", name) == "0"
