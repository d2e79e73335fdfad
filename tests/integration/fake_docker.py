"""A small Docker daemon on a Unix socket, for tests: containers and events under control.

It answers the calls that Traefik, aiodocker and the Docker client make to watch containers:
``_ping``, ``version``, ``containers/json``, ``containers/{id}/json`` and ``events``, each with
or without a version prefix, so that API version negotiation works.

    async with FakeDocker(path) as docker:
        web = docker.run("web", {"traefik.enable": "true"}, ip="172.17.0.2", ports=["80/tcp"])
        docker.stop(web)

Containers are records only: nothing runs behind their addresses. ``python -m
tests.integration.fake_docker SOCKET FILE`` serves the containers of a JSON file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

API_VERSION = "1.43"
MIN_API_VERSION = "1.24"


class FakeContainer:
    """A container record; change it through :class:`FakeDocker` to send events as well."""

    def __init__(
        self,
        name: str,
        labels: Mapping[str, str],
        *,
        ip: str = "172.17.0.2",
        networks: Mapping[str, str] | None = None,
        ports: Sequence[str] = ("80/tcp",),
        bindings: Mapping[str, tuple[str, str]] | None = None,
        network_mode: str = "bridge",
        health: str = "",
        status: str = "running",
        stop_signal: str = "",
        stop_timeout: int | None = None,
    ) -> None:
        self.id = hashlib.sha256(name.encode()).hexdigest()
        self.name = name
        self.labels = dict(labels)
        self.networks = dict(networks) if networks is not None else {"bridge": ip}
        self.ports = list(ports)
        self.bindings = dict(bindings or {})
        self.network_mode = network_mode
        self.health = health
        self.status = status
        self.stop_signal = stop_signal
        self.stop_timeout = stop_timeout
        self.started_at = _now()

    def inspected(self) -> dict[str, Any]:
        """The answer of ``GET /containers/{id}/json``."""
        alive = self.status in ("running", "paused")
        state: dict[str, Any] = {
            "Status": self.status,
            "Running": alive,
            "Paused": self.status == "paused",
            "Restarting": False,
            "OOMKilled": False,
            "Dead": False,
            "Pid": 4242 if alive else 0,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": self.started_at,
            "FinishedAt": "0001-01-01T00:00:00Z",
        }
        if self.health:
            state["Health"] = {"Status": self.health, "FailingStreak": 0, "Log": []}
        config: dict[str, Any] = {
            "Hostname": self.id[:12],
            "Image": "fake:latest",
            "Labels": self.labels,
            "ExposedPorts": {port: {} for port in self.ports},
        }
        if self.stop_signal:
            config["StopSignal"] = self.stop_signal
        if self.stop_timeout is not None:
            config["StopTimeout"] = self.stop_timeout
        return {
            "Id": self.id,
            "Created": self.started_at,
            "Name": f"/{self.name}",
            "Image": "sha256:" + "0" * 64,
            "State": state,
            "Config": config,
            "HostConfig": {"NetworkMode": self.network_mode},
            "NetworkSettings": {
                "Ports": self._ports() if alive else {},
                "Networks": self._networks(alive),
            },
        }

    def listed(self) -> dict[str, Any]:
        """Its entry in ``GET /containers/json``."""
        alive = self.status in ("running", "paused")
        health = f" ({self.health})" if self.health else ""
        return {
            "Id": self.id,
            "Names": [f"/{self.name}"],
            "Image": "fake:latest",
            "ImageID": "sha256:" + "0" * 64,
            "Command": "fake",
            "Created": int(time.time()),
            "Ports": [],
            "Labels": self.labels,
            "State": self.status,
            "Status": f"Up 1 second{health}" if alive else "Exited (0) 1 second ago",
            "HostConfig": {"NetworkMode": self.network_mode},
            "NetworkSettings": {"Networks": self._networks(alive)},
            "Mounts": [],
        }

    def _ports(self) -> dict[str, Any]:
        return {
            port: [{"HostIp": self.bindings[port][0], "HostPort": self.bindings[port][1]}]
            if port in self.bindings
            else None
            for port in self.ports
        }

    def _networks(self, alive: bool) -> dict[str, Any]:
        return {
            name: {
                "NetworkID": hashlib.sha256(name.encode()).hexdigest(),
                "IPAddress": ip if alive and ":" not in ip else "",
                "GlobalIPv6Address": ip if alive and ":" in ip else "",
            }
            for name, ip in self.networks.items()
        }


class FakeDocker:
    """The daemon. ``requests`` lists the paths it was asked for, without version prefix."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers: dict[str, FakeContainer] = {}
        self.requests: list[str] = []
        self._server: asyncio.Server | None = None
        self._listeners: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._more: list[asyncio.Server] = []
        self.logins: set[str] = set()  # values of the Authorization header
        self._following = asyncio.Condition()
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def endpoint(self) -> str:
        """The URL for ``providers.docker.endpoint``."""
        return f"unix://{self.path}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut_down()

    # ---- the daemon itself

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def listen_tcp(self, context: ssl.SSLContext | None = None) -> int:
        """Listen on a port of 127.0.0.1 as well, which is returned."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self._more.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def shut_down(self) -> None:
        """Vanish: the socket is gone and every connection is cut."""
        if self._server is None:
            return
        for server in (self._server, *self._more):
            server.close()
        for listener in self._listeners:
            listener.put_nowait(None)
        for writer in list(self._connections):
            writer.close()
        self._server = None
        self.path.unlink(missing_ok=True)

    async def followed(self, listeners: int = 1) -> None:
        """Wait until somebody listens to events."""
        async with self._following:
            await self._following.wait_for(lambda: len(self._listeners) >= listeners)

    # ---- containers

    def add(self, container: FakeContainer) -> FakeContainer:
        """Put a container there without an event."""
        self.containers[container.id] = container
        return container

    def run(self, name: str, labels: Mapping[str, str], **options: Any) -> FakeContainer:
        """Create and start a container."""
        container = self.add(FakeContainer(name, labels, **options))
        self.event(container, "create")
        if container.status == "running":
            self.event(container, "start")
        return container

    def start_again(self, container: FakeContainer) -> None:
        """``docker start`` of a stopped container."""
        container.status, container.started_at = "running", _now()
        self.event(container, "start")

    def kill(self, container: FakeContainer, signal: int) -> None:
        """``docker kill -s``; the container ignores the signal."""
        self.event(container, "kill", signal=str(signal))

    def die(self, container: FakeContainer) -> None:
        """The container's main process ends."""
        container.status = "exited"
        self.event(container, "die", exitCode="0")

    def stop(self, container: FakeContainer) -> None:
        """``docker stop`` of a container that obeys at once."""
        self.kill(container, 15)
        self.die(container)
        self.event(container, "stop")

    def remove(self, container: FakeContainer) -> None:
        """``docker rm``."""
        del self.containers[container.id]
        self.event(container, "destroy")

    def set_health(self, container: FakeContainer, health: str) -> None:
        """The health check's verdict."""
        container.health = health
        self.event(container, f"health_status: {health}")

    def set_paused(self, container: FakeContainer, paused: bool) -> None:
        """``docker pause`` and ``unpause``."""
        container.status = "paused" if paused else "running"
        self.event(container, "pause" if paused else "unpause")

    def rename(self, container: FakeContainer, name: str) -> None:
        """``docker rename``."""
        old, container.name = container.name, name
        self.event(container, "rename", oldName=f"/{old}")

    def connect(self, container: FakeContainer, network: str, ip: str) -> None:
        """``docker network connect``."""
        container.networks[network] = ip
        self._send("network", "connect", "n" * 64, {"container": container.id, "name": network})

    def event(self, container: FakeContainer, action: str, **attributes: str) -> None:
        """Send an event about a container to everybody who listens."""
        known = {**container.labels, "image": "fake:latest", "name": container.name}
        self._send("container", action, container.id, {**known, **attributes})

    def _send(self, kind: str, action: str, actor: str, attributes: Mapping[str, str]) -> None:
        now = time.time_ns()
        event = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": actor, "Attributes": attributes},
            "scope": "local",
            "time": now // 10**9,
            "timeNano": now,
        }
        if kind == "container":
            event |= {"status": action, "id": actor, "from": "fake:latest"}
        for listener in self._listeners:
            listener.put_nowait(event)

    # ---- HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
                length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
                if login := re.search(rb"(?im)^authorization:\s*(.*?)\r$", head):
                    self.logins.add(login[1].decode())
                if length:
                    await reader.readexactly(int(length[1]))
                await self._answer(method, target, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer(
        self, method: str, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        parts = urlsplit(target)
        path = re.sub(r"^/v\d+\.\d+(?=/)", "", unquote(parts.path))
        self.requests.append(path)
        if path == "/_ping":
            await _reply(writer, 200, "OK", head_only=method == "HEAD")
        elif path == "/version":
            await _reply(writer, 200, _VERSION)
        elif path == "/containers/json":
            alone = parse_qs(parts.query).get("all", ["0"])[0].lower() not in ("1", "true")
            found = [
                c.listed() for c in self.containers.values() if c.status == "running" or not alone
            ]
            await _reply(writer, 200, found)
        elif match := re.fullmatch(r"/containers/([^/]+)/json", path):
            container = self._find(match[1])
            if container is None:
                await _reply(writer, 404, {"message": f"No such container: {match[1]}"})
            else:
                await _reply(writer, 200, container.inspected())
        elif path == "/events":
            await self._stream(reader, writer)
        else:
            await _reply(writer, 404, {"message": "page not found"})

    def _find(self, name: str) -> FakeContainer | None:
        found = self.containers.get(name)
        return found or next(
            (c for c in self.containers.values() if c.name == name or c.id.startswith(name)), None
        )

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        async with self._following:
            self._listeners.add(queue)
            self._following.notify_all()
        hung_up = asyncio.create_task(reader.read())
        hung_up.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            writer.write(_head(200, "application/json", "Transfer-Encoding: chunked"))
            await writer.drain()
            while (event := await queue.get()) is not None:
                line = json.dumps(event).encode() + b"\n"
                writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                await writer.drain()
            raise ConnectionResetError
        finally:
            self._listeners.discard(queue)
            hung_up.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await hung_up


_VERSION = {
    "Version": "24.0.0",
    "ApiVersion": API_VERSION,
    "MinAPIVersion": MIN_API_VERSION,
    "Os": "linux",
    "Arch": "amd64",
    "GitCommit": "fake",
    "GoVersion": "go1.24",
    "KernelVersion": "6.0",
    "Platform": {"Name": "fake"},
    "Components": [],
}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _head(status: int, content_type: str, framing: str) -> bytes:
    reason = {200: "OK", 404: "Not Found"}[status]
    lines = [
        f"HTTP/1.1 {status} {reason}",
        f"Api-Version: {API_VERSION}",
        "Ostype: linux",
        "Server: Docker/24.0.0 (linux)",
        f"Content-Type: {content_type}",
        framing,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def _reply(
    writer: asyncio.StreamWriter, status: int, body: object, head_only: bool = False
) -> None:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/plain" if isinstance(body, str) else "application/json"
    head = _head(status, kind, f"Content-Length: {len(data)}")
    writer.write(head if head_only else head + data)
    await writer.drain()


async def _main(path: str, file: str) -> None:
    async with FakeDocker(Path(path)) as docker:
        for options in json.loads(await asyncio.to_thread(Path(file).read_text)):
            docker.add(FakeContainer(**options))
        await asyncio.Event().wait()


if __name__ == "__main__":
    import sys

    asyncio.run(_main(sys.argv[1], sys.argv[2]))
