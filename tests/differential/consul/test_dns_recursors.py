"""DNS: names outside the domains, asked of recursors."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from tests.integration.checks_rig import refused_port
from tests.ports import free_ports

from .conftest import Play
from .test_dns import EMPTY, UNASKED, dig_all, drop, put
from .test_dns_wire import counted, exchange
from .world import World

RECORDS: dict[tuple[str, str], list[str]] = {
    ("a.example.", "A"): ["a.example. 60 IN A 192.0.2.1"],
    ("a.example.", "AAAA"): ["a.example. 60 IN AAAA 2001:db8::1"],
    ("www.example.", "A"): ["www.example. 50 IN CNAME a.example.", "a.example. 60 IN A 192.0.2.1"],
    ("www.example.", "AAAA"): [
        "www.example. 50 IN CNAME a.example.",
        "a.example. 60 IN AAAA 2001:db8::1",
    ],
    ("four.example.", "A"): ["four.example. 60 IN A 192.0.2.4"],
    ("six.example.", "AAAA"): ["six.example. 60 IN AAAA 2001:db8::6"],
    ("many.example.", "A"): [f"many.example. 60 IN A 192.0.2.{one}" for one in range(1, 11)],
    ("big.example.", "TXT"): [f'big.example. 60 IN TXT "{one}{"x" * 200}"' for one in range(9)],
    ("back.example.", "A"): ["back.example. 60 IN CNAME node-1.node.consul."],
    ("7.2.0.192.in-addr.arpa.", "PTR"): ["7.2.0.192.in-addr.arpa. 60 IN PTR x.example."],
    ("second.example.", "A"): ["second.example. 60 IN A 192.0.2.2"],
}
MORE = {"Records that were not asked for, in DNS": ["additional.*"]}
_KINDS = ("A", "AAAA", "ANY", "SRV", "CNAME")
_CODES = {"fail.example.": "SERVFAIL", "refused.example.": "REFUSED", "notimp.example.": "NOTIMP"}


class Recursor:
    """A name server on a port, by UDP and TCP, that notes what it is asked."""

    def __init__(self, port: int, *, first: bool) -> None:
        self.asked: list[str] = []
        self._first = first
        recursor = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                packet, one = self.request
                if reply := recursor.reply(packet, tcp=False):
                    one.sendto(reply, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while size := self.rfile.read(2):
                    packet = self.rfile.read(int.from_bytes(size, "big"))
                    reply = recursor.reply(packet, tcp=True)
                    if not reply:
                        return
                    self.wfile.write(len(reply).to_bytes(2, "big") + reply)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        address = ("127.0.0.1", port)
        self._servers: list[Any] = [
            socketserver.ThreadingUDPServer(address, Udp),
            socketserver.ThreadingTCPServer(address, Tcp),
        ]
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def reply(self, packet: bytes, *, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(packet)
        (question,) = query.question
        name, kind = str(question.name).lower(), dns.rdatatype.to_text(question.rdtype)
        edns = query.payload if query.edns >= 0 else "no"
        options = " ".join(map(str, query.options))
        how = "tcp" if tcp else "udp"
        flags = dns.flags.to_text(query.flags)
        self.asked.append(f"{how} {name} {kind} {flags} edns {edns} {options}")
        if name == "slow.example.":
            return None
        answer = dns.message.make_response(query, recursion_available=True)
        if name in _CODES:
            answer.set_rcode(dns.rcode.from_text(_CODES[name]))
        elif name == "second.example." and self._first:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in RECORDS:
            for line in RECORDS[name, kind]:
                owner, ttl, rdclass, rdtype, data = line.split(" ", 4)
                (record,) = records = dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, data)
                existing = answer.find_rrset(
                    answer.answer, records.name, records.rdclass, records.rdtype, create=True
                )
                existing.add(record, int(ttl))
        elif not any(name == known for known, _ in RECORDS):
            answer.set_rcode(dns.rcode.NXDOMAIN)
            soa = "ns.example. h.example. 1 2 3 4 5"
            answer.authority.append(dns.rrset.from_text("example.", 30, "IN", "SOA", soa))
        wire = answer.to_wire(max_size=65535)
        most = 65535 if tcp else max(query.payload, 512)
        if len(wire) > most:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
            wire = answer.to_wire()
        return wire

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class Recursors:
    """Two of them, between one that refuses and one that is silent."""

    def __init__(self) -> None:
        first, second = free_ports(2)
        self.servers = [Recursor(first, first=True), Recursor(second, first=False)]
        self._stack = ExitStack()
        refusing = self._stack.enter_context(refused_port(socket.SOCK_DGRAM))
        silent = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind(("127.0.0.1", 0))
        ports = (refusing, first, second, silent.getsockname()[1])
        self.config = {
            "recursors": [f"127.0.0.1:{port}" for port in ports],
            "dns_config": {"recursor_timeout": "1s"},
        }

    def stop(self) -> None:
        self._stack.close()
        for server in self.servers:
            server.stop()

    def note(self, ask: World) -> None:
        """Record what was asked since the last time."""
        for number, server in enumerate(self.servers):
            ask.note(f"asked of {number}", {str(n): one for n, one in enumerate(server.asked)})
            server.asked.clear()


@pytest.fixture(scope="module")
def recursors() -> Iterator[Recursors]:
    both = Recursors()
    yield both
    both.stop()


def test_names_outside(play: Play, recursors: Recursors) -> None:
    def scenario(ask: World) -> None:
        for name in (
            *("a.example", "www.example", "six.example", "many.example", "back.example"),
            *("fail.example", "second.example", "refused.example", "notimp.example"),
            *("nope.example", "A.Example", "consul.example", "example"),
        ):
            dig_all(ask, name, ("A", "AAAA"))
            dig_all(ask, name, ("A",), edns=1232)
            recursors.note(ask)
        dig_all(ask, "slow.example", ("A",))
        recursors.note(ask)
        dig_all(ask, "big.example", ("TXT",))
        dig_all(ask, "big.example", ("TXT",), edns=4096)
        dig_all(ask, "big.example", ("TXT",), tcp=True)
        for name in ("a.example", "nope.example"):
            dig_all(ask, name, ("A",), tcp=True)
        for name in ("7.2.0.192.in-addr.arpa", "8.2.0.192.in-addr.arpa", "1.0.0.127.in-addr.arpa"):
            dig_all(ask, name, ("PTR",))
        recursors.note(ask)
        for flags in (0, dns.flags.CD | dns.flags.RD, dns.flags.AD | dns.flags.RD):
            exchange(ask, dns.message.make_query("a.example", "A", flags=flags))
        subnet = dns.edns.ECSOption("198.51.100.0", 24)
        query = dns.message.make_query(
            "a.example", "A", use_edns=0, options=[subnet], want_dnssec=True
        )
        exchange(ask, query)
        exchange(ask, dns.message.make_query("a.example", "A", "CH"))
        recursors.note(ask)
        for name in ("node-1.node.consul", "nope.consul", "consul.service.consul"):
            dig_all(ask, name, ("A", "SOA"))

    play(scenario, recursors.config)


def test_names_that_stand_for_names_outside(play: Play, recursors: Recursors) -> None:
    def scenario(ask: World) -> None:
        put(ask, "rwww", "www.example", {"Service": "rwww", "Port": 1})
        put(ask, "r1", "198.51.100.1", {"Service": "rfour", "Address": "four.example", "Port": 2})
        put(ask, "r1", "198.51.100.1", {"Service": "rsix", "Address": "six.example", "Port": 2})
        put(ask, "r1", "198.51.100.1", {"Service": "rmany", "Address": "many.example", "Port": 2})
        put(ask, "r1", "198.51.100.1", {"Service": "rnope", "Address": "nope.example", "Port": 2})
        put(ask, "r1", "198.51.100.1", {"Service": "rfail", "Address": "fail.example", "Port": 2})
        put(ask, "r1", "198.51.100.1", {"Service": "rback", "Address": "back.example", "Port": 2})
        put(ask, "r1", "198.51.100.1", {"Service": "rmix", "ID": "m1", "Address": "a.example"})
        put(ask, "r2", "198.51.100.2", {"Service": "rmix", "Port": 7})
        six = {"AAAA": UNASKED, "ANY": UNASKED, "CNAME": UNASKED, "SRV": MORE}
        none = {**six, "SRV": EMPTY, "CNAME": EMPTY}
        dig_all(ask, "rwww.node.consul", _KINDS, none, edns=1232)
        dig_all(ask, "rwww.service.consul", _KINDS, six, edns=1232)
        four = {"AAAA": UNASKED, "CNAME": UNASKED}
        dig_all(ask, "rfour.service.consul", _KINDS, four, edns=1232)
        dig_all(ask, "rsix.service.consul", _KINDS, {**six, "CNAME": None}, edns=1232)
        dig_all(ask, "rmix.service.consul", _KINDS, {**six, "ANY": None}, edns=1232)
        for name in ("rnope", "rfail", "rback"):
            dig_all(ask, f"{name}.service.consul", ("A", "SRV"))
            dig_all(ask, f"{name}.service.consul", ("A", "SRV"), edns=4096)
        for kind in ("A", "SRV"):
            counted(ask, "rmany.service.consul", kind)
            counted(ask, "rmany.service.consul", kind, edns=4096)
        drop(ask, "rwww", "r1", "r2")

    play(scenario, recursors.config)
