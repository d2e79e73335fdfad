"""Names outside our domains: asked of real servers, by the transport of the client."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from tests.integration.discovery_rig import Discovery
from tests.integration.dns_rig import answering, dig, dnsmasq, short
from tests.integration.test_dns import register
from tests.patience import PATIENCE

KNOWN = (
    "--local=/example.test/",
    "--host-record=www.example.test,192.0.2.7",
    "--host-record=www.example.test,2001:db8::7",
    "--host-record=other.example.test,192.0.2.8",
    "--cname=alias.example.test,www.example.test",
    "--txt-record=text.example.test,hello",
    "--ptr-record=9.2.0.192.in-addr.arpa,nine.example.test",
    "--local=/192.in-addr.arpa/",
    "--local-ttl=77",
)


@pytest.fixture
async def recursor() -> AsyncIterator[str]:
    """A server that knows ``example.test``; everything else it refuses."""
    async with dnsmasq(*KNOWN) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """A server that takes questions and never answers."""
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        stream.bind(("127.0.0.1", 0))
        stream.listen()
        datagrams.bind(stream.getsockname())
        yield f"127.0.0.1:{stream.getsockname()[1]}"


def closed() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_a_name_of_others_is_asked_for(
    discovery: Discovery, recursor: str, transport: str
) -> None:
    async with answering(discovery, recursors=(recursor,)) as listener:
        text = await dig(listener, "www.example.test", transport)
        assert "status: NOERROR" in text
        assert re.search(r"flags: qr[ a-z]* ra;", text)
        assert re.search(r"^www\.example\.test\.\t77\tIN\tA\t192\.0\.2\.7$", text, re.M)
        assert await short(listener, "text.example.test", "TXT", transport) == ['"hello"']
        assert "status: NXDOMAIN" in await dig(listener, "nope.example.test", transport)
        assert "status: NXDOMAIN" in await dig(listener, "nope.service.consul", transport)
        assert "status: SERVFAIL" in await dig(listener, "example.org", transport)
        assert await short(listener, "-x", "192.0.2.9", transport) == ["nine.example.test."]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
@pytest.mark.parametrize("strategy", ["sequential", "random"])
async def test_the_next_one_is_asked_when_one_fails(
    discovery: Discovery, recursor: str, silent: str, transport: str, strategy: str
) -> None:
    async with dnsmasq() as refusing:
        recursors = (closed(), silent, f"127.0.0.1:{refusing}", recursor)
        async with answering(
            discovery, recursors=recursors, recursor_timeout=2, recursor_strategy=strategy
        ) as listener:
            for _ in range(3):
                assert await short(listener, "www.example.test", transport) == ["192.0.2.7"]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_when_all_fail_the_answer_is_a_failure(
    discovery: Discovery, silent: str, transport: str
) -> None:
    async with answering(discovery, recursors=(closed(), silent), recursor_timeout=0.2) as listener:
        text = await dig(listener, "www.example.test", transport)
        assert "status: SERVFAIL" in text
        assert re.search(r"flags: qr rd ra;", text)


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_a_recursor_may_have_a_name(
    discovery: Discovery, recursor: str, transport: str
) -> None:
    by_name = recursor.replace("127.0.0.1", "localhost")
    async with answering(discovery, recursors=(by_name,)) as listener:
        assert await short(listener, "www.example.test", transport) == ["192.0.2.7"]


async def test_a_recursor_whose_name_makes_no_sense_is_a_failure(discovery: Discovery) -> None:
    async with answering(discovery, recursors=("x" * 70 + ".test",)) as listener:
        for transport in ("+notcp", "+tcp"):
            assert "status: SERVFAIL" in await dig(listener, "www.example.test", transport)


async def test_a_service_elsewhere_is_resolved(discovery: Discovery, recursor: str) -> None:
    await register(discovery, "ext", "alias.example.test", Service="db", Port=5432)
    await register(discovery, "n1", "10.0.0.1", Service="cdn", Address="www.example.test", Port=443)
    await register(discovery, "n2", "10.0.0.2", Service="cdn2", Address="cdn.service.consul")
    async with answering(discovery, recursors=(recursor,), service_ttl={"*": 5}) as listener:
        text = await dig(listener, "db.service.consul")
        for line in (
            r"^db\.service\.consul\.\t5\tIN\tCNAME\talias\.example\.test\.$",
            r"^alias\.example\.test\.\t5\tIN\tCNAME\twww\.example\.test\.$",
            r"^www\.example\.test\.\t5\tIN\tA\t192\.0\.2\.7$",
        ):
            assert re.search(line, text, re.M), text
        assert "2001:db8::7" in await short(listener, "cdn.service.consul", "AAAA")
        assert await short(listener, "ext.node.consul") == [
            "192.0.2.7",
            "alias.example.test.",
            "www.example.test.",
        ]
        text = await dig(listener, "cdn.service.consul", "SRV")
        assert re.search(r"IN\tSRV\t1 1 443 www\.example\.test\.$", text, re.M)
        assert re.search(r"^www\.example\.test\.\s+5\s+IN\s+A\s+192\.0\.2\.7$", text, re.M)
        assert re.search(r"^www\.example\.test\.\s+5\s+IN\s+AAAA\s+2001:db8::7$", text, re.M)
        assert await short(listener, "cdn2.service.consul") == [
            "192.0.2.7",
            "cdn.service.consul.",
            "www.example.test.",
        ]


async def test_a_forged_reply_is_not_believed(discovery: Discovery) -> None:
    class Forger(asyncio.DatagramProtocol):
        """Answers with a wrong ID, then a wrong question, then truly."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            end = data.index(b"\0", 12) + 5
            question = data[12:end]

            def reply(number: bytes, asked: bytes, last: int) -> bytes:
                record = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" + bytes((192, 0, 2, last))
                return number + b"\x81\x80\0\1\0\1\0\0\0\0" + asked + record

            wrong = bytes(byte ^ 1 for byte in data[:2])
            self.transport.sendto(reply(wrong, question, 66), addr)
            self.transport.sendto(reply(data[:2], question.replace(b"www", b"xxx"), 66), addr)
            self.transport.sendto(data, addr)
            self.transport.sendto(b"", addr)
            self.transport.sendto(reply(data[:2], question, 7), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Forger, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        async with answering(discovery, recursors=(f"127.0.0.1:{port}",)) as listener:
            assert await short(listener, "www.example.test", "+noedns") == ["192.0.2.7"]
    finally:
        transport.close()


async def test_questions_that_wait_end_with_the_listener(discovery: Discovery, silent: str) -> None:
    before = len(asyncio.all_tasks())
    async with answering(discovery, recursors=(silent,), recursor_timeout=60) as listener:
        address = ("127.0.0.1", listener.ports[0])
        question = bytes(12)[:5] + b"\1" + bytes(6) + b"\1x\0\0\1\0\1"
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            for _ in range(20):
                sender.sendto(question, address)
        _, writer = await asyncio.open_connection(*address)
        writer.write((len(question).to_bytes(2, "big") + question) * 200)
        await tasks(lambda count: count >= before + 84)  # 20 by UDP, 64 by TCP
        assert "status: NXDOMAIN" in await dig(listener, "nope.consul")
        writer.close()
    await tasks(lambda count: count <= before)


async def tasks(wanted: Callable[[int], bool]) -> None:
    """Wait for a number of tasks that run."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(len(asyncio.all_tasks())):  # noqa: ASYNC110 (tasks do not announce it)
            await asyncio.sleep(0.01)
