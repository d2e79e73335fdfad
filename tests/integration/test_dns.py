"""The DNS interface by real sockets: dig asks, by UDP and TCP."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.dns import Answers, DnsSettings, serve_dns, tcp
from portway.discovery.dns.tcp import listen_tcp
from portway.discovery.queries.dns import DnsQueries
from tests.integration.discovery_rig import MANAGEMENT, Discovery, running
from tests.integration.dns_rig import answering, dig, short
from tests.patience import PATIENCE


async def register(discovery: Discovery, node: str, address: str, **service: Any) -> None:
    """Register a service on a node of its own; ``status`` is that of its check."""
    status = service.pop("status", None)
    check = {"Name": "c", "Status": status, "ServiceID": service.get("Service")}
    await discovery.register(
        Node=node, Address=address, Service=service, **({"Check": check} if status else {})
    )


async def test_the_everyday_questions(discovery: Discovery) -> None:
    await register(
        discovery,
        "n1",
        "10.0.0.1",
        ID="web-1",
        Service="web",
        Address="192.168.1.10",
        Port=8080,
        Tags=["frontend", "v1.0"],
    )
    async with answering(discovery) as listener:
        text = await dig(listener, "web.service.consul")
        assert "status: NOERROR" in text
        assert re.search(r"^web\.service\.consul\.\t0\tIN\tA\t192\.168\.1\.10$", text, re.M)
        text = await dig(listener, "web.service.consul", "SRV")
        assert re.search(
            r"^web\.service\.consul\.\t0\tIN\tSRV\t1 1 8080 c0a8010a\.addr\.dc1\.consul\.$",
            text,
            re.M,
        )
        assert re.search(
            r"^c0a8010a\.addr\.dc1\.consul\.\s+0\s+IN\s+A\s+192\.168\.1\.10$", text, re.M
        )
        assert await short(listener, "frontend.web.service.consul") == ["192.168.1.10"]
        assert await short(listener, "v1.0.web.service.consul") == ["192.168.1.10"]
        assert await short(listener, "n1.node.consul") == ["10.0.0.1"]
        assert await short(listener, "-x", "10.0.0.1") == ["n1.node.dc1.consul."]
        assert await short(listener, "c0a8010a.addr.dc1.consul") == ["192.168.1.10"]


async def test_only_the_healthy_instance_is_shown_as_soon_as_it_changes(
    discovery: Discovery,
) -> None:
    async with answering(discovery) as listener:
        await register(discovery, "n1", "10.0.0.1", Service="api", Port=1, status="passing")
        await register(discovery, "n2", "10.0.0.2", Service="api", Port=2, status="critical")
        assert await short(listener, "api.service.consul") == ["10.0.0.1"]
        await register(discovery, "n2", "10.0.0.2", Service="api", Port=2, status="passing")
        assert await short(listener, "api.service.consul") == ["10.0.0.1", "10.0.0.2"]
        await discovery.put("/v1/catalog/deregister", {"Node": "n1", "ServiceID": "api"})
        assert await short(listener, "api.service.consul") == ["10.0.0.2"]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_errors(discovery: Discovery, transport: str) -> None:
    async with answering(discovery) as listener:
        text = await dig(listener, "nope.service.consul", transport)
        assert "status: NXDOMAIN" in text
        assert re.search(
            r"^consul\.\t+0\tIN\tSOA\tns\.consul\. hostmaster\.consul\. \d+ 3600", text, re.M
        )
        assert "status: REFUSED" in await dig(listener, "example.org", transport)
        assert "status: BADVERS" in await dig(
            listener, "consul", "+edns=9", "+noednsnegotiation", transport
        )
        assert "status: NOTIMP" in await dig(listener, "consul", "+opcode=UPDATE", transport)
        assert "status: FORMERR" in await dig(listener, "+header-only", transport)
        assert "Transfer failed." in await dig(listener, "consul", "AXFR")


async def many(discovery: Discovery, count: int) -> None:
    for number in range(count):
        await register(discovery, f"n{number}", f"10.0.0.{number}", Service="web", Port=80)


async def test_answers_are_cut_to_what_the_client_takes(discovery: Discovery) -> None:
    await many(discovery, 100)
    async with answering(discovery) as listener:
        assert len(await short(listener, "web.service.consul", "+noedns")) == 3
        assert 60 < len(await short(listener, "web.service.consul", "+bufsize=1232")) < 80
        assert len(await short(listener, "web.service.consul", "+bufsize=4096")) == 100
        assert len(await short(listener, "web.service.consul", "+tcp")) == 100
        text = await dig(listener, "web.service.consul", "SRV", "+bufsize=1232")
        size = re.search(r"MSG SIZE  rcvd: (\d+)", text)
        assert size and 1100 < int(size[1]) <= 1232


async def test_who_is_told_of_a_cut_answer_gets_all_by_tcp(discovery: Discovery) -> None:
    await many(discovery, 20)
    async with answering(discovery, enable_truncate=True) as listener:
        text = await dig(listener, "web.service.consul", "+noedns")
        assert ";; Truncated, retrying in TCP mode." in text
        assert "ANSWER: 20," in text
        text = await dig(listener, "web.service.consul", "+noedns", "+ignore")
        assert "flags: qr aa tc rd;" in text
        assert "ANSWER: 3," in text


async def test_the_question_and_its_options_come_back(discovery: Discovery) -> None:
    await many(discovery, 1)
    async with answering(discovery) as listener:
        for _ in range(3):
            text = await dig(
                listener, "wEb.SerVice.coNSul", "+subnet=198.51.100.0/24", "+bufsize=1400"
            )
            assert "wEb.SerVice.coNSul.\t0\tIN\tA\t10.0.0.0" in text
            assert "; EDNS: version: 0, flags:; udp: 1400" in text
            assert "; CLIENT-SUBNET: 198.51.100.0/24/0" in text


async def test_settings_are_reloaded_while_it_runs(discovery: Discovery) -> None:
    await many(discovery, 2)
    async with answering(discovery) as listener:
        assert "\t0\tIN\tA" in await dig(listener, "web.service.consul")
        listener.reload(DnsSettings(service_ttl={"*": 15}, a_record_limit=1))
        text = await dig(listener, "web.service.consul")
        assert "\t15\tIN\tA" in text
        assert "ANSWER: 1," in text


async def test_permissions_are_those_of_the_dns_token() -> None:
    async with running(acl=AclSettings(enabled=True, default_allow=False)) as discovery:
        token = {"X_Consul_Token": MANAGEMENT}
        rules = 'node_prefix "" { policy = "read" } service "web" { policy = "read" }'
        reply = await discovery.put("/v1/acl/policy", {"Name": "p", "Rules": rules}, **token)
        policy = {"ID": reply.json["ID"]}
        reply = await discovery.put("/v1/acl/token", {"Policies": [policy]}, **token)
        secret = reply.json["SecretID"]
        for name in ("web", "secret"):
            registration = {"Node": "n", "Address": "10.0.0.1", "Service": {"Service": name}}
            await discovery.put("/v1/catalog/register", registration, **token)
        chosen = [""]
        state, tokens = discovery.server.state, discovery.context.tokens
        answers = Answers(state, tokens, DnsSettings(), token=lambda: chosen[0])
        listener = await serve_dns([("127.0.0.1", 0)], answers)
        try:
            assert await short(listener, "web.service.consul") == []
            chosen[0] = secret
            assert await short(listener, "web.service.consul") == ["10.0.0.1"]
            assert await short(listener, "secret.service.consul") == []
            both = rules + 'service "secret" { policy = "read" }'
            body = {"Name": "p", "Rules": both}
            await discovery.put(f"/v1/acl/policy/{policy['ID']}", body, **token)
            assert await short(listener, "secret.service.consul") == ["10.0.0.1"]
            chosen[0] = "00000000-dead-beef-0000-000000000000"
            assert "status: SERVFAIL" in await dig(listener, "web.service.consul")
        finally:
            await listener.stop()


@pytest.mark.parametrize(
    ("bound", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.77"),
        ("::1", "::1"),
        ("::", "::1"),
    ],
)
async def test_the_answer_comes_from_the_address_that_was_asked(
    discovery: Discovery, bound: str, asked: str
) -> None:
    await many(discovery, 1)
    async with answering(discovery, bound) as listener:
        for transport in ("+notcp", "+tcp"):
            text = await dig(listener, "web.service.consul", transport, "+short", host=asked)
            assert text == "10.0.0.0\n"


async def test_a_port_in_use_is_an_error_that_leaves_nothing_open(discovery: Discovery) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = taken.getsockname()
        answers = Answers(discovery.server.state, discovery.context.tokens, DnsSettings())
        with pytest.raises(OSError, match="in use"):
            await serve_dns([("127.0.0.1", 0), address], answers)
        with socket.socket(type=socket.SOCK_DGRAM) as free:
            free.bind(address)


async def test_noise_disturbs_nobody(discovery: Discovery) -> None:
    await many(discovery, 1)
    noise = random.Random(7)
    async with answering(discovery) as listener:
        address = ("127.0.0.1", listener.ports[0])
        good = dns.message.make_query("web.service.consul", "A").to_wire()
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.connect(address)
            for round_ in range(3000):
                packet = bytearray(good if round_ % 2 else noise.randbytes(noise.randrange(600)))
                for _ in range(noise.randrange(4)):
                    if packet:
                        packet[noise.randrange(len(packet))] = noise.randrange(256)
                sender.send(packet)
                if not round_ % 50:
                    await asyncio.sleep(0)
            sender.send(bytes(60000))
        for _ in range(50):
            _, writer = await asyncio.open_connection(*address)
            writer.write(noise.randbytes(noise.randrange(2000)))
            writer.close()
        assert await short(listener, "web.service.consul") == ["10.0.0.0"]
        assert await short(listener, "web.service.consul", "+tcp") == ["10.0.0.0"]


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int
) -> set[int]:
    """Send questions all at once; returns the IDs of the answers."""
    for number in range(count):
        query = dns.message.make_query("web.service.consul", "A", id=number).to_wire()
        writer.write(len(query).to_bytes(2, "big") + query)
    seen = set()
    for _ in range(count):
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = dns.message.from_wire(await reader.readexactly(size))
        assert len(reply.answer[0]) == 2
        seen.add(reply.id)
    return seen


async def test_a_connection_takes_many_questions_at_once(discovery: Discovery) -> None:
    await many(discovery, 2)
    async with answering(discovery) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.ports[0])
        async with asyncio.timeout(PATIENCE):
            assert await exchange(reader, writer, 3000) == set(range(3000))
            # A question may come in pieces.
            query = dns.message.make_query("web.service.consul", "A", id=7).to_wire()
            for byte in len(query).to_bytes(2, "big") + query:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0)
            size = int.from_bytes(await reader.readexactly(2), "big")
            assert dns.message.from_wire(await reader.readexactly(size)).id == 7
        writer.close()
        text = await dig(listener, "+tcp", "+keepopen", "web.service.consul", "n0.node.consul")
        assert text.count("status: NOERROR") == 2


async def test_idle_connections_are_closed(discovery: Discovery) -> None:
    answers = Answers(discovery.server.state, discovery.context.tokens, DnsSettings())
    listener = await listen_tcp(("127.0.0.1", 0), answers, idle=0.2)
    try:
        for sent in (b"", b"\0"):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(sent)
            async with asyncio.timeout(PATIENCE):
                assert await reader.read() == b""
            writer.close()
    finally:
        await listener.stop()


async def test_who_does_not_take_answers_is_not_fed(discovery: Discovery) -> None:
    await many(discovery, 50)
    answers = Answers(discovery.server.state, discovery.context.tokens, DnsSettings())
    listener = await listen_tcp(("127.0.0.1", 0), answers, idle=1.0)
    query = dns.message.make_query("web.service.consul", "A").to_wire()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    writer.write((len(query).to_bytes(2, "big") + query) * 1000)
                    await writer.drain()
        assert not listener._connections
    finally:
        await listener.stop()


async def test_connections_are_limited(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_MOST_CONNECTIONS", 2)
    await many(discovery, 2)
    async with answering(discovery) as listener:
        address = ("127.0.0.1", listener.ports[0])
        pairs = [await asyncio.open_connection(*address) for _ in range(2)]
        for pair in pairs:
            assert await exchange(*pair, 1) == {0}
        reader, writer = await asyncio.open_connection(*address)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionError):
                assert await reader.read() == b""
                raise ConnectionResetError  # the end may also come without a reset
        writer.close()
        pairs.pop()[1].close()
        async with asyncio.timeout(PATIENCE):
            while len(await short(listener, "web.service.consul", "+tcp")) != 2:
                pass  # the place of the closed one is free soon
        for _, writer in pairs:
            writer.close()


async def test_prepared_queries(discovery: Discovery) -> None:
    for number in range(3):
        await register(
            discovery,
            f"n{number}",
            f"10.0.0.{number}",
            Service="web",
            Port=80,
            Tags=["main"] if number else [],
        )
    query = {"Name": "front", "Service": {"Service": "web", "Tags": ["main"]}, "DNS": {"TTL": "7s"}}
    template = {
        "Name": "any-",
        "Template": {"Type": "name_prefix_match"},
        "Service": {"Service": "${name.suffix}"},
    }
    reply = await discovery.call("POST", "/v1/query", template)
    assert reply.status == 200, reply.text
    reply = await discovery.call("POST", "/v1/query", query)
    assert reply.status == 200, reply.text
    server, resolve = discovery.server, discovery.context.tokens.resolve
    answers = Answers(
        server.state, discovery.context.tokens, DnsSettings(), DnsQueries(server, resolve, "n0")
    )
    listener = await serve_dns([("127.0.0.1", 0)], answers)
    try:
        text = await dig(listener, "front.query.consul")
        assert "ANSWER: 2," in text
        assert "\t7\tIN\tA\t10.0.0.1" in text
        assert len(await short(listener, "any-web.query.consul", "SRV")) == 3
        assert len(await short(listener, "_front._tcp.query.consul", "SRV")) == 2
        assert "status: NXDOMAIN" in await dig(listener, "none.query.consul")
        assert "status: NXDOMAIN" in await dig(listener, "any-thing.query.consul")
        seen = {
            tuple((await dig(listener, "front.query.consul", "+short")).split()) for _ in range(40)
        }
        assert seen == {("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")}
    finally:
        await listener.stop()
