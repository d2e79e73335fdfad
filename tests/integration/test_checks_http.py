"""HTTP checks against real servers: statuses, bodies, redirects, TLS, deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from portway.config import Duration
from portway.discovery.checks import Result, Settings, TLSFiles, dial
from portway.discovery.checks.context import Context
from portway.discovery.checks.http import prepare
from portway.discovery.model import CheckDefinition
from tests.patience import PATIENCE, until

from .checks_rig import (
    Authority,
    HttpTarget,
    descriptors,
    http_target,
    on_both_loops,
    refused_port,
    reply,
    silent_port,
)

pytestmark = on_both_loops


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as one:
        yield one


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def check(url: str, settings: Settings | None = None, **options: Any) -> Result:
    """One run of a check."""
    options = {"timeout": Duration(30)} | options
    context = Context(settings or Settings())
    return await prepare(CheckDefinition(http=url, **options), context)()


async def test_statuses_bodies_and_the_request(target: HttpTarget) -> None:
    url = f"http://127.0.0.1:{target.port}/health"
    assert await check(url) == ("passing", f"HTTP GET {url}: 200 OK Output: fine\n")
    target.answer = reply("429 Too Many Requests", "slow down")
    assert await check(url) == (
        "warning",
        f"HTTP GET {url}: 429 Too Many Requests Output: slow down",
    )
    target.answer = reply("503 Service Unavailable")
    assert await check(url) == ("critical", f"HTTP GET {url}: 503 Service Unavailable Output: ")
    assert set(target.requests) == {
        f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        "User-Agent: Consul Health Check\r\nAccept: text/plain, text/*, */*\r\n"
        "Connection: close\r\n\r\n"
    }


async def test_method_body_and_headers(target: HttpTarget) -> None:
    url = f"http://127.0.0.1:{target.port}/"
    header = {"Host": ["virtual.example"], "X-Probe": ["a", "b"]}
    result = await check(url, method="POST", body='{"deep": true}', header=header)
    assert result == ("passing", f"HTTP POST {url}: 200 OK Output: fine\n")
    head, _, body = target.requests[0].partition("\r\n\r\n")
    assert body == '{"deep": true}'
    assert head.startswith("POST / HTTP/1.1\r\nHost: virtual.example\r\n")
    assert "\r\nX-Probe: a\r\nX-Probe: b\r\n" in head


async def test_a_name_is_resolved(target: HttpTarget) -> None:
    result = await check(f"http://localhost:{target.port}/")
    assert result.status == "passing"
    result = await check("http://nowhere.invalid/")
    assert result.status == "critical"
    assert result.output.startswith('Get "http://nowhere.invalid/": dial tcp: lookup nowhere')


async def test_redirects(target: HttpTarget) -> None:
    url = f"http://127.0.0.1:{target.port}/0"

    async def count_down(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        number = int(head.split(b" ")[1][1:])
        if number < hops:
            await reply("302 Found", "", f"Location: /{number + 1}")(head, reader, writer)
        else:
            await reply("200 OK", f"after {number}")(head, reader, writer)

    target.answer = count_down
    hops = 9
    assert await check(url) == ("passing", f"HTTP GET {url}: 200 OK Output: after 9")
    hops = 10
    assert await check(url) == ("critical", 'Get "/10": stopped after 10 redirects')
    target.requests.clear()
    assert await check(url, disable_redirects=True) == (
        "critical",
        f"HTTP GET {url}: 302 Found Output: ",
    )
    assert len(target.requests) == 1


async def test_a_redirect_to_another_server_leaves_credentials_behind(target: HttpTarget) -> None:
    async with http_target() as other:
        target.answer = reply("307 x", "", f"Location: http://localhost:{other.port}/there")
        header = {"Authorization": ["Bearer s3cret"], "X-Other": ["kept"]}
        result = await check(
            f"http://127.0.0.1:{target.port}/", method="PUT", body="data", header=header
        )
        assert result.status == "passing"
        assert "s3cret" in target.requests[0]
        assert "s3cret" not in other.requests[0]
        assert other.requests[0].startswith("PUT /there ")
        assert other.requests[0].endswith("\r\n\r\ndata")
        assert "X-Other: kept" in other.requests[0]


async def test_a_huge_body_is_not_read(target: HttpTarget) -> None:
    sent = 0
    ended = asyncio.Event()

    async def endless(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal sent
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        finally:
            ended.set()

    target.answer = endless
    url = f"http://127.0.0.1:{target.port}/"
    result = await check(url)
    assert result == ("passing", f"HTTP GET {url}: 200 OK Output: " + "x" * 4096)
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert sent < 100_000_000
    result = await check(url, output_max_size=10)
    assert result.output.endswith("Output: " + "x" * 10)


async def test_what_is_expected_of_an_answer(target: HttpTarget) -> None:
    url = f"http://127.0.0.1:{target.port}/"
    target.answer = reply("401 Unauthorized", "x" * 20000 + "the end")
    result = await check(url, expect_status=[401, 403], expect_body="the end$")
    assert result == ("passing", f"HTTP GET {url}: 401 Unauthorized Output: " + "x" * 4096)
    result = await check(url, expect_body="the end$")
    assert result.status == "critical"
    target.answer = reply("200 OK", "degraded")
    result = await check(url, expect_body="^fine")
    assert result == (
        "critical",
        f'HTTP GET {url}: 200 OK (body does not match "^fine") Output: degraded',
    )


@pytest.mark.parametrize(
    "sends",
    ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
)
async def test_the_deadline_is_for_all_of_it(target: HttpTarget, sends: str) -> None:
    async def stall(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(sends.encode())
        await reader.read()

    target.answer = stall
    url = f"http://127.0.0.1:{target.port}/"
    doing = (
        "Client.Timeout or context cancellation while reading body"
        if "half" in sends
        else "Client.Timeout exceeded while awaiting headers"
    )
    assert await check(url, timeout=Duration(0.2)) == (
        "critical",
        f'Get "{url}": context deadline exceeded ({doing})',
    )
    await until(lambda: target.open == 0, "the connection is closed")


async def test_drops_do_not_extend_the_deadline(target: HttpTarget) -> None:
    async def drip(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    target.answer = drip
    result = await check(f"http://127.0.0.1:{target.port}/", timeout=Duration(0.3))
    assert result.status == "critical"
    assert "while reading body" in result.output


async def test_no_server() -> None:
    with refused_port() as port:
        assert await check(f"http://127.0.0.1:{port}/x") == (
            "critical",
            f'Get "http://127.0.0.1:{port}/x": dial tcp 127.0.0.1:{port}:'
            " connect: connection refused",
        )
    with silent_port() as port:
        assert await check(f"http://127.0.0.1:{port}/", timeout=Duration(0.2)) == (
            "critical",
            f'Get "http://127.0.0.1:{port}/": context deadline exceeded'
            " (Client.Timeout exceeded while awaiting headers)",
        )


async def test_a_server_that_hangs_up(target: HttpTarget) -> None:
    async def hang_up(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        return

    target.answer = hang_up
    url = f"http://127.0.0.1:{target.port}/"
    assert await check(url) == ("critical", f'Get "{url}": EOF')


async def test_a_server_that_does_not_speak_http(target: HttpTarget) -> None:
    async def ssh(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()

    target.answer = ssh
    url = f"http://127.0.0.1:{target.port}/"
    assert await check(url) == (
        "critical",
        f'Get "{url}": net/http: HTTP/1.x transport connection broken:'
        ' malformed HTTP response "SSH-2.0-OpenSSH_9.2"',
    )


async def test_of_several_addresses_the_next_one_is_tried(
    target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolved(*_: object) -> list[tuple[str, int]]:
        return [("127.9.9.9", target.port), ("127.0.0.1", target.port)]

    monkeypatch.setattr(dial, "resolve", resolved)
    result = await check(f"http://two.example:{target.port}/")
    assert result.status == "passing"


# TLS


async def test_tls_is_verified(authority: Authority) -> None:
    trusting = Settings(agent_tls=TLSFiles(ca_file=str(authority.file)))
    async with http_target(authority.server("localhost", "127.0.0.1")) as target:
        named, by_ip = (f"https://{host}:{target.port}/" for host in ("localhost", "127.0.0.1"))
        untrusted = (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
        assert await check(named) == ("critical", f'Get "{named}": {untrusted}')
        for url in (named, by_ip):
            assert (await check(url, trusting)).status == "passing"
            assert (await check(url, tls_skip_verify=True)).status == "passing"


async def test_the_name_that_is_verified(authority: Authority) -> None:
    trusting = Settings(agent_tls=TLSFiles(ca_file=str(authority.file)))
    async with http_target(authority.server("web.internal")) as target:
        url = f"https://127.0.0.1:{target.port}/"
        wrong = await check(url, trusting)
        assert wrong.status == "critical"
        assert "tls: failed to verify certificate: x509: " in wrong.output
        assert "127.0.0.1" in wrong.output
        named = await check(url, trusting, tls_server_name="web.internal")
        assert named.status == "passing"
        other = await check(url, trusting, tls_server_name="other.internal")
        assert other.status == "critical"


async def test_the_agents_own_certificate(authority: Authority) -> None:
    certificate, key = authority.issue("agent.internal")
    with_ca = TLSFiles(ca_file=str(authority.file))
    complete = TLSFiles(ca_file=str(authority.file), cert_file=str(certificate), key_file=str(key))
    async with http_target(authority.server("127.0.0.1", client=True)) as target:
        url = f"https://127.0.0.1:{target.port}/"
        assert (await check(url, Settings(agent_tls=with_ca))).status == "critical"
        assert (await check(url, Settings(agent_tls=complete))).status == "passing"


async def test_tls_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = Settings(agent_tls=TLSFiles(ca_file=str(tmp_path / "none.pem")))
    result = await check("https://127.0.0.1:1/", missing)
    assert result.status == "critical"
    assert "the agent's TLS files cannot be used" in result.output


async def test_a_server_without_tls(target: HttpTarget) -> None:
    async def answer_anything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer_anything, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        result = await check(url, tls_skip_verify=True)
        assert result == (
            "critical",
            f'Get "{url}": tls: first record does not look like a TLS handshake',
        )


async def test_a_silent_handshake_ends_with_the_time() -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await check(f"https://127.0.0.1:{port}/", timeout=Duration(0.2))
        assert result == (
            "critical",
            f'Get "https://127.0.0.1:{port}/": context deadline exceeded'
            " (Client.Timeout exceeded while awaiting headers)",
        )


async def test_nothing_is_left_open(target: HttpTarget) -> None:
    async def slow(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await reply("200 OK", "late")(head, reader, writer)

    url = f"http://127.0.0.1:{target.port}/"
    await check(url)
    before = descriptors()
    target.answer = slow
    await asyncio.gather(*(check(url, timeout=Duration(0.05)) for _ in range(50)))
    running = [asyncio.ensure_future(check(url)) for _ in range(50)]
    await asyncio.sleep(0.05)
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await until(lambda: target.open == 0, "the server has no connection left")
    await until(lambda: descriptors() <= before, "no descriptor is left")
