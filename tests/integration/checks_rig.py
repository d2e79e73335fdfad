"""Real targets for health checks, and a collector of what the checks say of them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portway.discovery.model import CheckStatus
from tests.patience import until

Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[uvloop.EventLoopPolicy, asyncio.DefaultEventLoopPolicy])
def event_loop_policy(request: pytest.FixtureRequest) -> Any:
    """For modules that import it: each test on the loop the agent uses, and on asyncio's own."""
    return request.param()


on_both_loops = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")


@dataclass
class Reports:
    """What checks reported, in order."""

    log: list[tuple[str, CheckStatus, str]] = field(default_factory=list)

    def __call__(self, check_id: str, status: CheckStatus, output: str) -> None:
        self.log.append((check_id, status, output))

    def of(self, check_id: str) -> list[tuple[CheckStatus, str]]:
        """The statuses and outputs of one check."""
        return [(status, output) for one, status, output in self.log if one == check_id]

    def last(self, check_id: str) -> tuple[str, str]:
        """The last report of a check."""
        return self.of(check_id)[-1] if self.of(check_id) else ("", "")

    async def reach(self, check_id: str, status: str, containing: str = "") -> None:
        """Return when the last report of a check is a status, with a text in its output."""

        def reached() -> bool:
            last_status, output = self.last(check_id)
            return last_status == status and containing in output

        try:
            await until(reached, "")
        except AssertionError:
            raise AssertionError(
                f"{check_id} did not become {status} ({containing!r}): {self.of(check_id)}"
            ) from None


class HttpTarget:
    """An HTTP server of which each answer is written by hand. Requests are kept as text."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answer: Handler = reply("200 OK", "fine\n")
        self.port = 0
        self.open = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            body = await reader.readexactly(length)
            self.requests.append((head + body).decode())
            await self.answer(head, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


def reply(status: str, body: str = "", *headers: str) -> Handler:
    """An answer with a body of known length."""

    async def answer(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", *headers]
        writer.write("\r\n".join([*lines, "", body]).encode())
        await writer.drain()

    return answer


@contextlib.asynccontextmanager
async def http_target(
    tls: ssl.SSLContext | None = None, port: int = 0, host: str = "127.0.0.1"
) -> AsyncIterator[HttpTarget]:
    """An HTTP server for the duration of a block."""
    target = HttpTarget()
    server = await asyncio.start_server(target._serve, host, port, ssl=tls)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()


@contextlib.contextmanager
def refused_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[int]:
    """A port that nobody else gets, and that refuses."""
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_DGRAM:
            holder.connect(holder.getsockname())  # it takes nothing from anybody else
        yield holder.getsockname()[1]


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port where connections are neither taken nor refused: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def descriptors() -> int:
    """How many files this process has open."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        certificate = self._certificate(self._name, self._key, [], ca=True)
        self.file = directory / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str) -> tuple[Path, Path]:
        """A certificate for DNS names and IP addresses: paths of it and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._certificate(subject, key, list(names), ca=False)
        stem = names[0].replace("*", "star")
        paths = self._directory / f"{stem}.pem", self._directory / f"{stem}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def server(self, *names: str, alpn: str = "", client: bool = False) -> ssl.SSLContext:
        """A server's TLS, with ``client`` one that demands a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names))
        if alpn:
            context.set_alpn_protocols([alpn])
        if client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, names: list[str], *, ca: bool
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            alternatives = [_general_name(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
        return builder.sign(self._key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
