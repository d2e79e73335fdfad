"""Sizes, cuts, compression and extensions of DNS messages."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rdatatype
import pytest

from tests.unit.dns_world import World, code, flags, lines, order


def many(count: int, name: str = "web", **settings: Any) -> World:
    """A service with a number of instances on nodes of their own."""
    world = World(**settings)
    for number in range(count):
        node = f"node-{number:05}"
        world.node(node, f"10.0.{number // 256}.{number % 256}", {"rack": f"{number:05}"})
        world.service(node, name)
    return world


def size(world: World, name: str, kind: str, edns: int | None = None, tcp: bool = False) -> int:
    query = dns.message.make_query(name, kind, use_edns=edns is not None, payload=edns or 512)
    return len(world.send(query.to_wire(), tcp) or b"")


@pytest.mark.parametrize(
    ("limit", "edns", "wanted"),
    [
        (3, None, 3),
        (5, None, 5),
        (20, None, 8),
        (0, None, 0),
        (3, 512, 3),
        (3, 400, 3),
        (3, 4096, 20),
    ],
)
def test_answers_by_udp_are_few_without_edns(limit: int, edns: int | None, wanted: int) -> None:
    world = many(20, udp_answer_limit=limit)
    assert len(order(world.ask("web.service.consul", edns=edns))) == wanted
    assert len(order(world.ask("web.service.consul", tcp=True))) == 20


@pytest.mark.parametrize("kind", ["A", "SRV"])
@pytest.mark.parametrize("edns", [None, 600, 1232, 4096, 65535])
def test_answers_fit_what_the_client_can_take(kind: str, edns: int | None) -> None:
    world = many(1500, udp_answer_limit=8)
    for _ in range(3):
        taken = size(world, "web.service.consul", kind, edns)
        assert taken <= min(max(edns or 0, 512), 65467)
    reply = world.ask("web.service.consul", kind, edns=edns)
    if edns and edns < 5000:
        assert taken > edns - 80  # no room is wasted
    if kind == "SRV":
        targets = {str(data.target) for data in reply.answer[0]}
        assert targets == {line.split()[0] for line in lines(reply.additional)}


def test_texts_go_before_answers_do() -> None:
    world = many(8, udp_answer_limit=8)
    kinds = {line.split()[2] for line in lines(world.ask("web.service.consul", "SRV").additional)}
    assert kinds == {"A"}
    kinds = {
        line.split()[2]
        for line in lines(world.ask("web.service.consul", "SRV", edns=1232).additional)
    }
    assert kinds == {"A", "TXT"}


@pytest.mark.parametrize(("kind", "most"), [("A", 4096), ("SRV", 1024)])
def test_answers_by_tcp_end_at_64_kilobytes(kind: str, most: int) -> None:
    world = many(4200, enable_additional_node_meta_txt=False)
    reply = world.ask("web.service.consul", kind, tcp=True)
    assert 800 < len(order(reply)) <= most
    assert size(world, "web.service.consul", kind, tcp=True) <= 65523
    if kind == "A":
        return
    # The last owners are out of reach of pointers, and still right.
    targets = {str(data.target) for data in reply.answer[0]}
    assert targets == {line.split()[0] for line in lines(reply.additional)}


def test_truncation_is_said_only_if_enabled() -> None:
    for enabled in (False, True):
        world = many(10, enable_truncate=enabled)
        assert ("TC" in flags(world.ask("web.service.consul"))) is enabled
        assert "TC" not in flags(world.ask("web.service.consul", edns=1232))
        assert "TC" not in flags(world.ask("web.service.consul", tcp=True))


def test_a_limit_on_addresses_holds_everywhere_and_is_no_truncation() -> None:
    world = many(10, a_record_limit=2, enable_truncate=True)
    seen = set()
    for how in ({}, {"edns": 1232}, {"tcp": True}):
        for _ in range(50):
            reply = world.ask("web.service.consul", **how)
            assert len(order(reply)) == 2
            assert "TC" not in flags(reply)
            seen |= set(order(reply))
    assert len(seen) == 10
    assert len(order(world.ask("web.service.consul", "SRV", edns=4096))) == 10


def test_an_answer_that_never_fits_is_truncated() -> None:
    world = World()
    world.node("n", "10.0.0.1", {f"key{number}": "v" * 500 for number in range(3)})
    reply = world.ask("n.node.consul", "TXT")
    assert (code(reply), reply.answer, "TC" in flags(reply)) == ("NOERROR", [], True)
    assert len(world.answer("n.node.consul", "TXT", tcp=True)) == 3
    reply = world.ask("n.node.consul", "A")
    assert len(reply.answer) == 1
    assert (reply.additional, "TC" in flags(reply)) == ([], False)


def test_without_compression_names_are_written_out() -> None:
    plain, small = many(2, disable_compression=True), many(2)
    for kind in ("A", "SRV"):
        for name in ("web.service.consul", "WEB.service.CONSUL"):
            assert size(plain, name, kind, 4096) > size(small, name, kind, 4096)
            for _ in range(3):
                reply = plain.ask(name, kind, edns=4096)
                assert {str(each.name) for each in reply.answer} == {f"{name}."}
                assert set(order(reply)) == set(order(small.ask(name, kind, edns=4096)))
    query = dns.message.make_query("web.service.consul", "A").to_wire()
    assert b"\xc0" not in (plain.send(query) or b"\xc0")[12:]


def test_the_options_of_edns_are_echoed() -> None:
    world = many(1)
    assert world.ask("web.service.consul").edns == -1
    for name in ("web.service.consul", "nope.consul", "example.org"):
        reply = world.ask(name, edns=1400, subnet="198.51.100.0/24")
        assert (reply.edns, reply.payload) == (0, 1400)
        (option,) = reply.options
        assert option.to_text() == "ECS 198.51.100.0/24 scope/0"
    (option,) = world.ask("web.service.consul", edns=1400, subnet="2001:db8::/48").options
    assert option.to_text() == "ECS 2001:db8::/48 scope/0"
    assert world.ask("web.service.consul", edns=1400).options == ()


def test_an_unknown_version_of_edns_is_refused() -> None:
    query = dns.message.make_query("web.service.consul", "A", use_edns=0)
    query.use_edns(edns=1)
    reply = dns.message.from_wire(many(1).send(query.to_wire()) or b"")
    assert (code(reply), reply.answer) == ("BADVERS", [])


def test_flags_of_the_question_are_repeated() -> None:
    world = many(1)
    for wanted in (0, dns.flags.RD, dns.flags.RD | dns.flags.CD):
        query = dns.message.make_query("web.service.consul", "A", flags=wanted)
        reply = dns.message.from_wire(world.send(query.to_wire()) or b"")
        assert reply.flags == wanted | dns.flags.QR | dns.flags.AA
    assert "RA" in flags(many(1, recursors=("192.0.2.1",)).ask("web.service.consul"))


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_transfers_are_not_implemented(kind: str) -> None:
    assert code(many(1).ask("consul", kind, tcp=True)) == "NOTIMP"
