"""DNS: sizes and limits, EDNS, classes and opcodes, and packets that no client should send."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdataclass

from tests.patience import PATIENCE

from .conftest import Play
from .facts import Facts, of_dns
from .test_dns import drop, put
from .world import World

_LISTENING = 0.5  # seconds for an answer that does not come
_SILENT = {"nothing", "a byte", "eleven bytes", "an answer flag"}  # what gets none
ODD = {"Odd requests, in DNS": ["*"]}
EMPTY = {"Empty answers, in DNS": ["header"]}
Differs = Mapping[str, Sequence[str]]


def send(ask: World, packet: bytes, *, tcp: bool = False, wait: float = PATIENCE) -> bytes | None:
    """What comes back for a packet; ``None`` is nothing."""
    address = ("127.0.0.1", ask.ports["dns"])
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as one:
        one.settimeout(wait)
        one.connect(address)
        try:
            if not tcp:
                one.send(packet)
                return one.recv(65535)
            one.sendall(len(packet).to_bytes(2, "big") + packet)
            received = b""
            while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
                more = one.recv(65535)
                if not more:
                    return None
                received += more
            return received[2:]
        except (TimeoutError, ConnectionError):
            return None


def exchange(
    ask: World, query: dns.message.Message, *, tcp: bool = False, differs: Differs | None = None
) -> dns.message.Message:
    """Send a question and record the whole answer."""
    reply = send(ask, query.to_wire(), tcp=tcp)
    assert reply is not None
    answer = dns.message.from_wire(reply)
    what = str(query).partition("\n")[2].replace("\n", " ")
    ask.note(f"{what}{tcp=}", of_dns(answer, ask.names), differs=differs)
    return answer


def counted(
    ask: World,
    name: str,
    kind: str,
    *,
    tcp: bool = False,
    edns: int | None = None,
    differs: Differs | None = None,
) -> None:
    """Record how many records of each section fit, and whether the answer says it is cut."""
    extra: dict[str, Any] = {} if edns is None else {"use_edns": 0, "payload": edns}
    query = dns.message.make_query(name, kind, **extra)
    reply = send(ask, query.to_wire(), tcp=tcp)
    assert reply is not None
    answer = dns.message.from_wire(reply)
    facts: Facts = {
        "rcode": dns.rcode.to_text(answer.rcode()),
        "flags": dns.flags.to_text(answer.flags),
        **{name: sum(map(len, getattr(answer, name))) for name in ("answer", "additional")},
    }
    ask.note(f"{name} {kind} {tcp=} {edns=}", facts, differs=differs)


def raw(
    ask: World, what: str, packet: bytes, *, tcp: bool = False, differs: Differs | None = None
) -> None:
    """Send bytes and record the header of what comes back."""
    reply = send(ask, packet, tcp=tcp, wait=_LISTENING if what in _SILENT else PATIENCE)
    facts: Facts = {"header": None if reply is None else reply[:12].hex(" ")}
    ask.note(f"{what} {'tcp' if tcp else 'udp'}", facts, differs=differs)


def test_limits(play: Play) -> None:
    def scenario(ask: World) -> None:
        for number in range(1, 41):
            meta = {"number": str(number)} if number < 3 else {}
            service = {"Service": "dwmany", "Port": number}
            put(ask, f"dw{number}", f"198.51.100.{number}", service, NodeMeta=meta)
            if number < 6:
                put(ask, f"dw{number}", f"198.51.100.{number}", {"Service": "dwfew"}, NodeMeta=meta)
                own = {"Service": "dwown", "Address": f"192.0.2.{number}", "Port": 7}
                put(ask, f"dw{number}", f"198.51.100.{number}", own, NodeMeta=meta)
        for name in ("dwfew", "dwmany", "dwown"):
            for kind in ("A", "ANY", "SRV"):
                for edns in (None, 0, 400, 512, 600, 700, 1010, 1232, 4096, 65535):
                    counted(ask, f"{name}.service.consul", kind, edns=edns)
                counted(ask, f"{name}.service.consul", kind, tcp=True)
                counted(ask, f"{name}.service.consul", kind, tcp=True, edns=1232)
        drop(ask, *(f"dw{number}" for number in range(1, 41)))

    play(scenario)


def test_edns(play: Play) -> None:
    def scenario(ask: World) -> None:
        def query(name: str, *options: dns.edns.Option, **more: Any) -> dns.message.Message:
            return dns.message.make_query(name, "A", use_edns=0, options=list(options), **more)

        for name in ("node-1.node.consul", "nope.node.consul", "nope.query.consul", "example.com"):
            differs = ODD if name == "example.com" else None
            for option in (
                dns.edns.ECSOption("198.51.100.0", 24),
                dns.edns.ECSOption("2001:db8::", 56),
                dns.edns.ECSOption("0.0.0.0", 0),
                dns.edns.GenericOption("COOKIE", b"12345678"),
                dns.edns.GenericOption("PADDING", bytes(20)),
                dns.edns.GenericOption("65001", b"x"),
            ):
                for tcp in (False, True):
                    exchange(ask, query(name, option), tcp=tcp, differs=differs)
            for more in ({}, {"want_dnssec": True}, {"payload": 100}, {"payload": 65535}):
                exchange(ask, query(name, **more), differs=differs)
        versioned = dns.message.make_query("node-1.node.consul", "A", use_edns=1)
        exchange(ask, versioned, differs=ODD)

    play(scenario)


def test_flags_classes_and_opcodes(play: Play) -> None:
    def scenario(ask: World) -> None:
        for flags in (0, dns.flags.RD, dns.flags.CD, dns.flags.AD, dns.flags.AA, dns.flags.TC):
            for name in ("node-1.node.consul", "nope.consul", "example.com", "consul"):
                query = dns.message.make_query(name, "SOA", flags=flags)
                exchange(ask, query)
        for rdclass in ("CH", "HS", "ANY", "NONE", "CLASS77"):
            for name in ("node-1.node.consul", "nope.node.consul", "version.bind", "example.com"):
                query = dns.message.make_query(name, "A", rdclass)
                ours = name.endswith("consul") and rdclass != "ANY"
                exchange(ask, query, differs=ODD if ours else None)
        for opcode in (1, 2, 4, 5, 6, 15):
            query = dns.message.make_query("node-1.node.consul", "A")
            for tcp in (False, True):
                packet = bytearray(query.to_wire())
                packet[:2] = b"\1\2"
                packet[2] = packet[2] & 0x87 | opcode << 3
                raw(
                    ask,
                    f"opcode {opcode}",
                    bytes(packet),
                    tcp=tcp,
                    differs=ODD if opcode == 4 else None,
                )
        for kind in ("AXFR", "IXFR"):
            for name in ("consul", "node-1.node.consul", "example.com"):
                for tcp in (False, True):
                    wire = bytearray(dns.message.make_query(name, kind).to_wire())
                    wire[:2] = b"\1\2"
                    raw(ask, f"{kind} {name}", bytes(wire), tcp=tcp, differs=ODD)

    play(scenario)


def test_malformed(play: Play) -> None:
    def scenario(ask: World) -> None:
        question = b"\6node-1\4node\6consul\0\0\1\0\1"
        head = b"\1\2\1\0"

        def packet(qd: int = 1, an: int = 0, ns: int = 0, ar: int = 0) -> bytes:
            return head + b"".join(one.to_bytes(2, "big") for one in (qd, an, ns, ar))

        opt = b"\0\0\x29\x10\0\0\0\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
        odd = {
            *("a missing question", "a cut class", "no class", "two options", "class 0"),
            *("a missing additional", "a named option", "a cut option", "an option's length"),
            *("a wrong subnet", "a pointer to the header"),
        }
        for what, data in {
            "nothing": b"",
            "a byte": b"\1",
            "eleven bytes": packet()[:11],
            "no question": packet(0),
            "a missing question": packet(1),
            "two questions": packet(2) + question * 2,
            "an answer flag": b"\1\2\x81\0" + packet()[4:] + question,
            "a cut name": packet() + question[:5],
            "a cut class": packet() + question[:-1],
            "no class": packet() + question[:-2],
            "rest": packet() + question + b"rest",
            "an answer": packet(1, 1) + question + record,
            "an authority": packet(1, 0, 1) + question + record,
            "two answers": packet(1, 2) + question + record * 2,
            "two additional": packet(1, 0, 0, 2) + question + record + opt,
            "three additional": packet(1, 0, 0, 3) + question + record * 2 + opt,
            "two options": packet(1, 0, 0, 2) + question + opt * 2,
            "a missing additional": packet(1, 0, 0, 1) + question,
            "a named option": packet(1, 0, 0, 1) + question + b"\1x" + opt,
            "a cut option": packet(1, 0, 0, 1) + question + opt[:-3],
            "an option's length": packet(1, 0, 0, 1) + question + opt[:-2] + b"\0\x09\0\x08\0\1",
            "a wrong subnet": packet(1, 0, 0, 1)
            + question
            + opt[:-2]
            + b"\0\x08\0\x08\0\4\0\1\x21\0",
            "a loop": packet() + b"\xc0\x0c\0\1\0\1",
            "a pointer forward": packet() + b"\xc0\x20\0\1\0\1",
            "a pointer to the header": packet() + b"\1x\xc0\0\0\1\0\1",
            "the root": packet() + b"\0\0\1\0\1",
            "a label of 64": packet() + b"\x40" + b"x" * 64 + b"\0\0\1\0\1",
            "a name of 256": packet() + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1",
            "a name of 255": packet()
            + (b"\x3f" + b"x" * 63) * 3
            + b"\x3d"
            + b"x" * 61
            + b"\0\0\1\0\1",
            "odd bytes": packet() + b"\4\x00.\\\xff\4node\6consul\0\0\1\0\1",
            "a dot in a label": packet() + b"\6a.node\6consul\0\0\1\0\1",
            "type 0": packet() + question[:-4] + b"\0\0\0\1",
            "type OPT": packet() + question[:-4] + b"\0\x29\0\1",
            "type 65280": packet() + question[:-4] + b"\xff\0\0\1",
            "class 0": packet() + question[:-4] + b"\0\1\0\0",
        }.items():
            for tcp in (False, True):
                empty = EMPTY if what.startswith("type ") else None
                raw(ask, what, data, tcp=tcp, differs=ODD if what in odd else empty)

    play(scenario)
