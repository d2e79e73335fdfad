"""TCP, UDP, gRPC and H2PING checks against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc as grpcio
import pytest

from portway.config import Duration
from portway.discovery.checks import Result, Settings, TLSFiles, grpc, h2ping, tcp, udp
from portway.discovery.checks.context import Context
from portway.discovery.model import CheckDefinition
from tests.patience import PATIENCE, until

from .checks_rig import (
    Authority,
    descriptors,
    event_loop_policy,  # noqa: F401
    http_target,
    on_both_loops,
    refused_port,
    silent_port,
)

pytestmark = on_both_loops

SHORT = Duration(0.2)
LONG = Duration(30)


def context(authority: Authority | None = None) -> Context:
    files = TLSFiles(ca_file=str(authority.file)) if authority else None
    return Context(Settings(agent_tls=files))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


# TCP


async def check_tcp(
    target: str, within: Duration = LONG, using: Authority | None = None, **options: Any
) -> Result:
    definition = CheckDefinition(tcp=target, timeout=within, **options)
    return await tcp.run_once(definition, context(using))


async def test_tcp() -> None:
    async with http_target() as target:
        where = f"127.0.0.1:{target.port}"
        assert await check_tcp(where) == ("passing", f"TCP connect {where}: Success")
        named = f"localhost:{target.port}"
        assert await check_tcp(named) == ("passing", f"TCP connect {named}: Success")
        await until(lambda: target.open == 0, "the connections are closed")
    with refused_port() as port:
        assert await check_tcp(f"127.0.0.1:{port}") == (
            "critical",
            f"dial tcp 127.0.0.1:{port}: connect: connection refused",
        )
    with silent_port() as port:
        assert await check_tcp(f"127.0.0.1:{port}", SHORT) == (
            "critical",
            f"dial tcp 127.0.0.1:{port}: i/o timeout",
        )


async def test_tcp_over_ipv6() -> None:
    try:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with server:
        where = f"[::1]:{server.sockets[0].getsockname()[1]}"
        assert await check_tcp(where) == ("passing", f"TCP connect {where}: Success")
    result = await check_tcp(where)
    assert result == ("critical", f"dial tcp {where}: connect: connection refused")


@pytest.mark.parametrize(
    ("target", "output"),
    [
        ("nothing", "dial tcp: address nothing: missing port in address"),
        ("127.0.0.1:no-such-service", "dial tcp: lookup tcp/no-such-service: unknown port"),
        ("127.0.0.1:70000", "dial tcp: address 70000: invalid port"),
        ("nowhere.invalid:80", "dial tcp: lookup nowhere.invalid: "),
        (f"{'x' * 70}.example:80", "dial tcp: lookup xxx"),
    ],
)
async def test_tcp_to_nowhere(target: str, output: str) -> None:
    result = await check_tcp(target)
    assert result.status == "critical"
    assert result.output.startswith(output)


async def test_tcp_with_tls(authority: Authority) -> None:
    async with http_target(authority.server("web.internal")) as target:
        where = f"127.0.0.1:{target.port}"
        good = await check_tcp(
            where, using=authority, tcp_use_tls=True, tls_server_name="web.internal"
        )
        assert good == ("passing", f"TCP+TLS connect {where}: Success")
        unverified = await check_tcp(where, tcp_use_tls=True, tls_skip_verify=True)
        assert unverified.status == "passing"
        unknown = await check_tcp(where, tcp_use_tls=True, tls_server_name="web.internal")
        assert unknown.output == (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
    async with http_target() as plain:
        # The server waits for a request that never comes: the handshake does not end.
        result = await check_tcp(f"127.0.0.1:{plain.port}", SHORT, tcp_use_tls=True)
        assert result.status == "critical"


# UDP


class Echo(asyncio.DatagramProtocol):
    """Answers each datagram, or only takes them."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.received: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received.append(data)
        if self.answer is not None:
            self.transport.sendto(self.answer, addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def udp_target(answer: bytes | None) -> AsyncIterator[tuple[Echo, int]]:
    loop = asyncio.get_running_loop()
    transport, echo = await loop.create_datagram_endpoint(
        lambda: Echo(answer), local_addr=("127.0.0.1", 0)
    )
    try:
        yield echo, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def check_udp(target: str, within: Duration = LONG) -> Result:
    return await udp.run_once(CheckDefinition(udp=target, timeout=within), context())


async def test_udp() -> None:
    async with udp_target(b"pong") as (echo, port):
        where = f"127.0.0.1:{port}"
        assert await check_udp(where) == ("passing", f"UDP connect {where}: Success")
        assert echo.received == [b""]
    async with udp_target(None) as (echo, port):
        where = f"127.0.0.1:{port}"
        assert await check_udp(where, SHORT) == ("passing", f"UDP connect {where}: Success")
        await until(lambda: echo.received == [b""], "the datagram came")
    with refused_port(socket.SOCK_DGRAM) as port:
        refused = await check_udp(f"127.0.0.1:{port}")
        assert refused == (
            "critical",
            f"read udp 127.0.0.1:{port}: read: connection refused",
        )
    assert await check_udp("nothing") == (
        "critical",
        "dial udp: address nothing: missing port in address",
    )
    nowhere = await check_udp("nowhere.invalid:53")
    assert nowhere.status == "critical"
    assert nowhere.output.startswith("dial udp: lookup nowhere.invalid: ")


# gRPC


class Health:
    """What a gRPC server says: a status per service, and an error if one is set."""

    def __init__(self) -> None:
        self.statuses = {"": 1}
        self.error: tuple[Any, str] | None = None
        self.port = 0

    def check(self, request: bytes, call: Any) -> bytes:
        service = request[2:].decode()
        if self.error is not None:
            call.abort(*self.error)
        if service not in self.statuses:
            call.abort(grpcio.StatusCode.NOT_FOUND, "unknown service")
        status = self.statuses[service]
        return b"\x08" + bytes([status]) if status else b""


@contextlib.contextmanager
def grpc_target(credentials: Any = None) -> Iterator[Health]:
    """A server of grpcio with the health service."""
    health = Health()
    handler = grpcio.unary_unary_rpc_method_handler(health.check)
    service = grpcio.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
    with ThreadPoolExecutor(4) as pool:
        server = grpcio.server(pool)
        server.add_generic_rpc_handlers((service,))
        if credentials is None:
            health.port = server.add_insecure_port("127.0.0.1:0")
        else:
            health.port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield health
        finally:
            server.stop(None).wait()


async def check_grpc(
    target: str, within: Duration = LONG, using: Authority | None = None, **options: Any
) -> Result:
    definition = CheckDefinition(grpc=target, timeout=within, **options)
    return await grpc.run_once(definition, context(using))


async def test_grpc() -> None:
    with grpc_target() as health:
        where = f"127.0.0.1:{health.port}"
        success = Result("passing", f"gRPC check {where}: success")
        assert await check_grpc(where) == success
        health.statuses[""] = 2
        stopped = Result("critical", f"gRPC {where} serving status: NOT_SERVING")
        assert await check_grpc(where) == stopped
        health.statuses[""] = 0
        unknown = Result("critical", f"gRPC {where} serving status: UNKNOWN")
        assert await check_grpc(where) == unknown
        health.statuses["shop.Cart"] = 1
        one = await check_grpc(f"{where}/shop.Cart")
        assert one == ("passing", f"gRPC check {where}/shop.Cart: success")
        other = await check_grpc(f"{where}/shop.Other")
        assert other == ("critical", "rpc error: code = NotFound desc = unknown service")
        health.error = grpcio.StatusCode.UNAVAILABLE, "starting, 50% done"
        error = await check_grpc(where)
        assert error == ("critical", "rpc error: code = Unavailable desc = starting, 50% done")
    with refused_port() as port:
        assert await check_grpc(f"127.0.0.1:{port}") == (
            "critical",
            'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while'
            f' dialing: dial tcp 127.0.0.1:{port}: connect: connection refused"',
        )


async def test_grpc_with_tls(authority: Authority) -> None:
    certificate, key = (path.read_bytes() for path in authority.issue("grpc.internal"))
    credentials = grpcio.ssl_server_credentials([(key, certificate)])
    with grpc_target(credentials) as health:
        where = f"127.0.0.1:{health.port}"
        good = await check_grpc(
            where, using=authority, grpc_use_tls=True, tls_server_name="grpc.internal"
        )
        assert good == ("passing", f"gRPC check {where}: success")
        unverified = await check_grpc(where, grpc_use_tls=True, tls_skip_verify=True)
        assert unverified.status == "passing"
        unknown = await check_grpc(where, grpc_use_tls=True)
        assert unknown.status == "critical"
        assert "certificate signed by unknown authority" in unknown.output
        plain = await check_grpc(where)
        assert plain.status == "critical"


async def test_grpc_to_what_is_none() -> None:
    async with http_target() as target:
        result = await check_grpc(f"127.0.0.1:{target.port}", SHORT)
        assert result.status == "critical"
        assert result.output.startswith("rpc error: code = Unavailable desc = ")

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0) as server:
        where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await check_grpc(where, SHORT) == (
            "critical",
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
        )


# H2PING


@contextlib.asynccontextmanager
async def nghttpd(*arguments: str) -> AsyncIterator[str]:
    """A real HTTP/2 server; yields its address."""
    with refused_port() as port:
        pass
    process = await asyncio.create_subprocess_exec(
        "nghttpd", "-a", "127.0.0.1", *arguments[:1], str(port), *arguments[1:]
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while (await check_tcp(f"127.0.0.1:{port}")).status != "passing":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


needs_nghttpd = pytest.mark.skipif(not shutil.which("nghttpd"), reason="needs nghttpd")


async def check_h2ping(
    target: str, within: Duration = LONG, using: Authority | None = None, **options: Any
) -> Result:
    definition = CheckDefinition(h2ping=target, timeout=within, **options)
    return await h2ping.run_once(definition, context(using))


@needs_nghttpd
async def test_h2ping() -> None:
    async with nghttpd("--no-tls") as where:
        result = await check_h2ping(where, h2ping_use_tls=False)
        assert result == ("passing", "HTTP2 ping was successful")
        with_tls = await check_h2ping(where)
        assert with_tls.status == "critical"
        assert with_tls.output.startswith(f"Failed to dial to {where}: tls: ")
    result = await check_h2ping(where, h2ping_use_tls=False)
    assert result == (
        "critical",
        f"Failed to dial to {where}: dial tcp {where}: connect: connection refused",
    )


@needs_nghttpd
async def test_h2ping_with_tls(authority: Authority) -> None:
    certificate, key = (str(path) for path in authority.issue("h2.internal"))
    async with nghttpd("-v", key, certificate) as where:
        good = await check_h2ping(where, using=authority, tls_server_name="h2.internal")
        assert good == ("passing", "HTTP2 ping was successful")
        assert (await check_h2ping(where, tls_skip_verify=True)).status == "passing"
        unknown = await check_h2ping(where, h2ping_use_tls=True)
        assert unknown == (
            "critical",
            f"Failed to dial to {where}: tls: failed to verify certificate:"
            " x509: certificate signed by unknown authority",
        )


async def test_h2ping_to_what_is_none() -> None:
    async with http_target() as target:
        result = await check_h2ping(f"127.0.0.1:{target.port}", SHORT, h2ping_use_tls=False)
        assert result.status == "critical"
        assert result.output.startswith("HTTP2 ping failed: ")

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0) as server:
        where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        before = descriptors()
        assert await check_h2ping(where, SHORT, h2ping_use_tls=False) == (
            "critical",
            "HTTP2 ping failed: context deadline exceeded",
        )
        await until(lambda: descriptors() <= before, "no descriptor is left")
