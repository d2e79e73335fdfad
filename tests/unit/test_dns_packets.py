"""Packets of all kinds: what is broken is answered as the field does, or not at all."""

from __future__ import annotations

import contextlib
import struct

import dns.exception
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portway.discovery.dns.compiled import Names
from portway.discovery.dns.records import wire_name
from portway.discovery.dns.request import (
    HEADER,
    BadRequestError,
    Subnet,
    parse_request,
    read_name,
)
from tests.unit.dns_world import World

QUESTION = b"\3web\7service\6consul\0" + b"\0\1\0\1"
FORMERR, NOTIMP = 1, 4


def header(flags: int = 0x0100, counts: tuple[int, int, int, int] = (1, 0, 0, 0)) -> bytes:
    return struct.pack("!HHHHHH", 0x1234, flags, *counts)


def option(body: bytes = b"", size: int = 1232, name: bytes = b"\0") -> bytes:
    return name + struct.pack("!HHIH", 41, size, 0, len(body)) + body


BROKEN = [
    ("nothing", b"", None),
    ("half a header", header()[:11], None),
    ("an answer", header(0x8100) + QUESTION, None),
    ("a header only", header(), FORMERR),
    ("no question", header(counts=(0, 0, 0, 0)), FORMERR),
    ("two questions", header(counts=(2, 0, 0, 0)) + QUESTION * 2, FORMERR),
    ("an update", header(0x2800) + QUESTION, NOTIMP),
    ("a notification", header(0x2000) + QUESTION, NOTIMP),
    ("an inverse query", header(0x0800) + QUESTION, NOTIMP),
    ("a name that does not end", header() + b"\3web", FORMERR),
    ("a label of a reserved kind", header() + b"\x41x\0\0\1\0\1", FORMERR),
    ("a name that points at itself", header() + b"\xc0\x0c\0\1\0\1", FORMERR),
    ("a name that points ahead", header() + b"\xc0\x20\0\1\0\1", FORMERR),
    ("a name that points at the header", header() + b"\3web\xc0\x02\0\1\0\1", FORMERR),
    (
        "a name of 256 bytes",
        header() + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0\0\1\0\1",
        FORMERR,
    ),
    ("no type", header() + QUESTION[:-4], FORMERR),
    ("no class", header() + QUESTION[:-2], FORMERR),
    ("a missing record", header(counts=(1, 0, 0, 1)) + QUESTION, FORMERR),
    ("too many records", header(counts=(1, 9, 0, 0)) + QUESTION, FORMERR),
    ("a record that is too short", header(counts=(1, 0, 0, 1)) + QUESTION + option()[:-1], FORMERR),
    (
        "data that is too short",
        header(counts=(1, 0, 0, 1)) + QUESTION + option(b"ab")[:-1],
        FORMERR,
    ),
    (
        "options that have a name",
        header(counts=(1, 0, 0, 1)) + QUESTION + option(name=b"\1a\0"),
        FORMERR,
    ),
    ("options twice", header(counts=(1, 0, 0, 2)) + QUESTION + option() * 2, FORMERR),
    ("options as an answer", header(counts=(1, 1, 0, 0)) + QUESTION + option(), FORMERR),
    ("half an option", header(counts=(1, 0, 0, 1)) + QUESTION + option(b"\0\x08\0"), FORMERR),
    (
        "an option that is too short",
        header(counts=(1, 0, 0, 1)) + QUESTION + option(b"\0\x0a\0\x09x"),
        FORMERR,
    ),
    (
        "a network of 33 bits",
        header(counts=(1, 0, 0, 1)) + QUESTION + option(b"\0\x08\0\x09\0\1\x21\0abcde"),
        FORMERR,
    ),
    (
        "a network with too many bytes",
        header(counts=(1, 0, 0, 1)) + QUESTION + option(b"\0\x08\0\x08\0\1\x18\0abcd"),
        FORMERR,
    ),
    (
        "a network of no family",
        header(counts=(1, 0, 0, 1)) + QUESTION + option(b"\0\x08\0\x05\0\7\x08\0a"),
        FORMERR,
    ),
]


@pytest.mark.parametrize(
    ("packet", "wanted"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
@pytest.mark.parametrize("tcp", [False, True])
def test_a_broken_packet(packet: bytes, wanted: int | None, tcp: bool) -> None:
    reply = World().send(packet, tcp)
    if wanted is None:
        assert reply is None
        return
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert (message.id, message.rcode(), len(reply)) == (0x1234, wanted, HEADER)


def test_what_follows_the_message_does_not_matter() -> None:
    reply = World().send(header() + QUESTION + b"rest")
    assert dns.message.from_wire(reply or b"").rcode() == dns.rcode.NXDOMAIN


def test_other_classes_are_refused() -> None:
    world = World()
    world.node("n1", "10.0.0.1")
    for _ in range(2):
        query = dns.message.make_query("n1.node.consul", "A", rdclass="CH")
        assert (
            dns.message.from_wire(world.send(query.to_wire()) or b"").rcode() == dns.rcode.REFUSED
        )
        query = dns.message.make_query("n1.node.consul", "A", rdclass="ANY")
        assert (
            dns.message.from_wire(world.send(query.to_wire()) or b"").rcode() == dns.rcode.NOERROR
        )


def full() -> World:
    world = World()
    for number in range(4):
        world.node(f"n{number}", f"10.0.0.{number}", {"k": "v"})
        world.service(f"n{number}", "web", tags=["a"])
    world.service("n0", "alias", address="web.service.consul")
    return world


WORLD = full()
label = st.binary(min_size=1, max_size=63)
words = st.sampled_from(
    [
        b"web",
        b"service",
        b"consul",
        b"node",
        b"_web",
        b"_tcp",
        b"query",
        b"addr",
        b"n0",
        b"dc1",
        b"dc",
        b"peer",
        b"port",
        b"alias",
        b"virtual",
        b"connect",
        b"in-addr",
        b"arpa",
        b"0a000001",
    ]
)
names = st.lists(words | label, max_size=12).filter(
    lambda each: sum(map(len, each)) + len(each) < 255
)


@given(st.binary(max_size=600), st.booleans())
@settings(max_examples=400)
def test_random_bytes_never_raise(data: bytes, tcp: bool) -> None:
    check_reply(WORLD.send(data, tcp), data)


@given(st.binary(max_size=200), st.integers(0, 3), st.booleans())
@settings(max_examples=400)
def test_random_bodies_never_raise(data: bytes, extra: int, tcp: bool) -> None:
    packet = header(counts=(1, 0, 0, extra)) + data
    check_reply(WORLD.send(packet, tcp), packet)


@given(names, st.integers(0, 65535), st.sampled_from([None, 0, 512, 1232, 65535]), st.booleans())
@settings(max_examples=600)
def test_any_question_has_an_answer_others_can_read(
    labels: list[bytes], kind: int, edns: int | None, tcp: bool
) -> None:
    question = wire_name(tuple(labels)) + struct.pack("!HH", kind, 1)
    options = b"" if edns is None else option(size=edns)
    packet = header(counts=(1, 0, 0, bool(options))) + question + options
    reply = WORLD.send(packet, tcp)
    assert reply is not None
    assert reply[HEADER : HEADER + len(question)] == question
    check_reply(reply, packet)


def check_reply(reply: bytes | None, packet: bytes) -> None:
    if reply is None:
        assert len(packet) < HEADER or packet[2] & 0x80
        return
    assert reply[:2] == packet[:2]
    assert len(reply) <= 65535
    dns.message.from_wire(reply)


@given(names)
def test_names_survive_the_wire(labels: list[bytes]) -> None:
    wire = wire_name(tuple(labels))
    assert read_name(wire, 0) == (tuple(labels), len(wire))
    assert dns.name.from_wire(wire, 0) == (dns.name.Name([*labels, b""]), len(wire))


@given(names, names)
def test_compressed_names_read_as_they_were(question: list[bytes], other: list[bytes]) -> None:
    lower = tuple(each.lower() for each in question)
    wire = Names(lower, wire_name(tuple(question)), compressed=True).wire(tuple(other))
    packet = bytes(HEADER) + wire_name(tuple(question)) + wire
    labels, end = read_name(packet, len(packet) - len(wire))
    assert [each.lower() for each in labels] == [each.lower() for each in other]
    assert end == len(packet)


@given(
    names,
    st.integers(0, 65535),
    st.booleans(),
    st.sampled_from([None, Subnet(1, 24, b"abc"), Subnet(2, 56, b"abcdefg"), Subnet(1, 0, b"")]),
)
def test_requests_are_read_as_others_write_them(
    labels: list[bytes], kind: int, desired: bool, subnet: Subnet | None
) -> None:
    name = dns.name.Name([*labels, b""])
    query = dns.message.make_query(
        name, dns.rdatatype.RdataType(kind), use_edns=subnet is not None, payload=1400
    )
    query.flags = dns.flags.RD if desired else dns.flags.Flag(0)
    packet = query.to_wire()
    if subnet is not None:
        value = struct.pack("!HBB", subnet.family, subnet.source, 0) + subnet.address
        packet = packet[:-2] + struct.pack("!HHH", len(value) + 4, 8, len(value)) + value
    request = parse_request(packet)
    assert request.id == query.id
    assert request.labels == tuple(each.lower() for each in labels)
    assert (request.kind, request.domain_class) == (kind, 1)
    assert request.flags == (0x0100 if desired else 0)
    assert (request.edns, request.size, request.subnet) == (
        subnet is not None,
        1400 if subnet else 512,
        subnet,
    )


@given(st.binary(max_size=300))
def test_parsing_raises_nothing_else(data: bytes) -> None:
    with contextlib.suppress(BadRequestError):
        parse_request(data)
