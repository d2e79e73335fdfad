"""The Docker daemon's API: the few calls the provider makes.

``GET version``, ``containers/json``, ``containers/{id}/json`` and ``events``: what a read-only
socket proxy allows. Podman's compatible socket answers them too.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

import msgspec

from portway.edge.providers.docker.container import Container, parse_container

if TYPE_CHECKING:
    import aiodocker
    import aiohttp

CALL_TIMEOUT: Final = 30.0  # seconds one call may take when the options say nothing
MAX_LINE: Final = 2**20  # bytes of one event; it holds all labels of a container


class EndpointError(ValueError):
    """An endpoint or its TLS material that cannot be used; the text says what would be valid."""


class DaemonError(Exception):
    """The daemon did not answer, or not as it should."""


class TLSFiles(NamedTuple):
    """Paths (or PEM text) for a TLS connection to the daemon."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    insecure_skip_verify: bool = False


class Endpoint(NamedTuple):
    """Where the daemon listens and how to log in there."""

    url: str = "unix:///var/run/docker.sock"
    username: str = ""
    password: str = ""
    timeout: float = 0.0  # seconds; 0 means CALL_TIMEOUT
    tls: TLSFiles | None = None


class Listed(NamedTuple):
    """A container as the list call shows it."""

    id: str
    name: str
    labels: Mapping[str, str]
    alive: bool  # running or paused


class Event(NamedTuple):
    """Something that happened to a container."""

    action: str  # start, die, kill, health_status, …
    container: str  # id
    attributes: Mapping[str, str]  # labels, and signal for kill


class Daemon:
    """A connection to the daemon. Every call raises DaemonError when it fails."""

    def __init__(self, docker: aiodocker.Docker, timeout: float) -> None:
        self._docker = docker
        self._timeout = timeout

    @classmethod
    async def connect(cls, endpoint: Endpoint) -> Self:
        """Connect and agree on an API version.

        Raises EndpointError for an endpoint that can never work, DaemonError otherwise.
        """
        import aiodocker
        import aiohttp

        timeout = endpoint.timeout or CALL_TIMEOUT
        connector, url = _connector(endpoint)
        login = b64encode(f"{endpoint.username}:{endpoint.password}".encode()).decode()
        session = aiohttp.ClientSession(
            connector=connector,
            headers={"Authorization": f"Basic {login}"} if endpoint.username else None,
            read_bufsize=MAX_LINE,
            trust_env=False,
        )
        docker = aiodocker.Docker(url=url, connector=connector, session=session)
        daemon = cls(docker, timeout)
        try:
            async with daemon._call():
                await docker.version()
        except BaseException:
            await daemon.close()
            raise
        return daemon

    async def close(self) -> None:
        """Hang up."""
        await self._docker.close()
        await self._docker.session.close()

    async def list(self) -> list[Listed]:
        """All containers, stopped ones included."""
        async with self._call():
            return [
                Listed(
                    id=c["Id"],
                    name=next(iter(c["Names"] or ()), c["Id"][:12]).removeprefix("/"),
                    labels=c["Labels"] or {},
                    alive=c["State"] in ("running", "paused"),
                )
                for c in await self._docker.containers.list(all=True)
            ]

    async def inspect(self, container: str) -> Container | None:
        """One container by id or name; None when there is none."""
        import aiodocker

        async with self._call():
            try:
                return parse_container(await self._docker.containers.container(container).show())
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return None
                raise

    @asynccontextmanager
    async def events(self) -> AsyncGenerator[AsyncGenerator[Event, None], None]:
        """Subscribe: on entry the daemon has confirmed, so nothing later is missed."""
        import aiohttp

        docker = self._docker
        filters = {"type": ["container", "network"]}
        async with self._call():
            response = await docker.session.get(
                f"{docker.docker_host}/{docker.api_version}/events",
                params={"filters": msgspec.json.encode(filters).decode()},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        try:
            if response.status != 200:
                raise DaemonError(f"events: status {response.status} {await response.text()}")
            yield _events(response)
        finally:
            response.close()

    @asynccontextmanager
    async def _call(self) -> AsyncGenerator[None, None]:
        import aiodocker
        import aiohttp

        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            raise DaemonError(f"no answer within {self._timeout:g} s") from error
        except aiodocker.DockerError as error:
            raise DaemonError(str(error.message)) from error
        except (OSError, aiohttp.ClientError, ValueError, KeyError) as error:
            raise DaemonError(str(error) or type(error).__name__) from error


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[Event, None]:
    import aiohttp

    try:
        async for line in response.content:
            if event := parse_event(line):
                yield event
    except (OSError, aiohttp.ClientError, ValueError) as error:
        raise DaemonError(f"the event stream broke: {error or type(error).__name__}") from error
    raise DaemonError("the daemon closed the event stream")


def parse_event(line: bytes) -> Event | None:
    """One line of the event stream; None for what concerns no container.

    Raises ValueError for anything but a JSON object.
    """
    event: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    actor = event.get("Actor") or {}
    attributes: Mapping[str, str] = actor.get("Attributes") or {}
    action = str(event.get("Action") or event.get("status") or "")
    if event.get("Type") == "network":
        container = attributes.get("container", "")
        return Event(f"network {action}", container, attributes) if container else None
    if event.get("Type") not in (None, "", "container"):
        return None
    container = actor.get("ID") or event.get("id") or ""
    # "health_status: healthy" and "exec_start: sh" carry more after the colon.
    return Event(action.partition(":")[0], container, attributes) if container else None


def _connector(endpoint: Endpoint) -> tuple[aiohttp.BaseConnector, str]:
    """The connector for an endpoint and the base URL to use with it."""
    import aiohttp

    parts = urlsplit(endpoint.url)
    if parts.scheme == "unix":
        path = parts.netloc + parts.path
        if not path:
            raise EndpointError(f"{endpoint.url!r} names no socket; write unix:///path/to.sock")
        return aiohttp.UnixConnector(path), "unix://localhost"
    if parts.scheme == "ssh":
        raise EndpointError(
            f"{endpoint.url!r}: ssh endpoints are not supported; forward the socket "
            "(ssh -L /run/docker-remote.sock:/var/run/docker.sock host) and write "
            "unix:///run/docker-remote.sock"
        )
    if parts.scheme not in ("tcp", "http", "https") or not parts.hostname:
        raise EndpointError(
            f"{endpoint.url!r} is no Docker endpoint; write unix:///path, tcp://host:port "
            "or https://host:port"
        )
    secure = parts.scheme == "https" or endpoint.tls is not None
    port = parts.port or (2376 if secure else 2375)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    context = _tls(endpoint.tls or TLSFiles()) if secure else False
    scheme = "https" if secure else "http"
    return aiohttp.TCPConnector(ssl=context), f"{scheme}://{host}:{port}"


def _tls(files: TLSFiles) -> ssl.SSLContext:
    try:
        if "-----BEGIN" in files.ca:
            context = ssl.create_default_context(cadata=files.ca)
        else:
            context = ssl.create_default_context(cafile=files.ca or None)
        if files.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if files.cert:
            with _file(files.cert) as cert, _file(files.key or files.cert) as key:
                context.load_cert_chain(cert, key)
    except OSError as error:  # ssl.SSLError is one
        raise EndpointError(f"the TLS files of the Docker endpoint: {error}") from error
    return context


@contextmanager
def _file(path_or_pem: str) -> Generator[str, None, None]:
    """A path that holds the PEM text, for an API that only reads files."""
    if "-----BEGIN" not in path_or_pem:
        yield path_or_pem
        return
    with NamedTemporaryFile("w", suffix=".pem") as file:  # readable by the owner only
        file.write(path_or_pem)
        file.flush()
        yield file.name
