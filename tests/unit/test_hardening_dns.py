"""DNS: what may be seen, and what large or odd registrations do to others."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest

from portway.discovery.acl import Authorizer
from portway.discovery.acl.authorizer import Permissions
from portway.discovery.acl.rules import parse_rules
from tests.unit.dns_world import World


def test_a_rule_for_a_virtual_address_holds_for_the_service_as_it_is_called() -> None:
    world = World()
    world.node("n1", "10.0.0.1")
    world.service("n1", "Vault", tagged={"consul-virtual": "240.0.0.1"})
    rules = parse_rules('service "Vault" { policy = "deny" }')
    world.tokens.authorizer = Authorizer(Permissions((rules,)), "test", default_allow=True)

    assert not world.answer("vault.virtual.consul")


@pytest.mark.parametrize("kind", ["A", "SRV", "TXT", "ANY"])
@pytest.mark.parametrize("size", [70_000, 300_000])
def test_metadata_that_no_record_can_hold_harms_no_answer(kind: str, size: int) -> None:
    world = World()
    world.node("n1", "10.0.0.1", meta={"huge": "x" * size, "small": "y"})
    world.node("n2", "10.0.0.2")
    for node in ("n1", "n2"):
        world.service(node, "web")

    for name in ("web.service.consul", "n1.node.consul"):
        for tcp in (False, True):
            assert world.ask(name, kind, tcp=tcp, edns=4096).rcode() == dns.rcode.NOERROR


def large() -> World:
    world = World(a_record_limit=0)
    for number in range(300):
        world.node(f"n{number}", f"10.0.{number // 250}.{number % 250}")
        world.service(f"n{number}", "web")
    return world


@pytest.mark.parametrize("kind", ["A", "SRV", "ANY"])
def test_the_open_internet_gets_small_answers(kind: str) -> None:
    world = large()
    sizes = {}
    for source in ("127.0.0.1", "8.8.8.8", "10.1.2.3", "2001:4860:4860::8888", "fe80::1%eth0"):
        for _ in range(3):  # at first made, then kept
            query = dns.message.make_query("web.service.consul", kind, use_edns=0, payload=65535)
            reply = world.send(query.to_wire(), source=source)
            assert reply is not None
            sizes[source] = len(reply)
    assert sizes["8.8.8.8"] <= 1232
    assert sizes["2001:4860:4860::8888"] <= 1232
    assert min(sizes["127.0.0.1"], sizes["10.1.2.3"], sizes["fe80::1%eth0"]) > 4000
    by_tcp = world.send(query.to_wire(), tcp=True, source="8.8.8.8")
    assert by_tcp is not None
    assert len(by_tcp) > 4000


def test_what_a_recursor_says_is_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(recursors=("192.0.2.1",))
    query = dns.message.make_query("example.org", "TXT", use_edns=0, payload=4096)
    said = query.to_wire()[:2] + b"\x81\x80" + bytes(3000)

    async def ask(*_: object, **__: object) -> bytes:
        return said

    monkeypatch.setattr(world.answers._recursors, "ask", ask)
    assert world.send(query.to_wire(), source="10.1.2.3") == said
    assert world.send(query.to_wire(), source="8.8.8.8", tcp=True) == said
    reply = dns.message.from_wire(world.send(query.to_wire(), source="8.8.8.8") or b"")
    assert reply.flags & dns.flags.TC
    assert (reply.id, reply.question, reply.answer) == (query.id, query.question, [])
