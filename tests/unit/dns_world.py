"""A catalog without a store, and DNS questions to it: encoded and decoded by dnspython."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from portway.discovery.acl import MANAGE_ALL, Authorizer
from portway.discovery.dns import Answers, DnsSettings, Queries
from portway.discovery.model import (
    Check,
    CheckRun,
    CheckStatus,
    Connect,
    Node,
    Service,
    ServiceAddress,
    Weights,
    plain_proxy,
)
from portway.discovery.state import State, Table, check_key, node_key, service_key
from portway.store import Batch, Event, Record


class Tokens:
    """Every secret has the same permissions."""

    def __init__(self) -> None:
        self.authorizer = MANAGE_ALL

    def resolve(self, secret: str) -> Authorizer:
        return self.authorizer


class World:
    """A catalog to fill, and what the DNS interface says of it."""

    def __init__(self, queries: Queries | None = None, **settings: Any) -> None:
        self.state = State()
        self.tokens = Tokens()
        self.answers = Answers(self.state, self.tokens, DnsSettings(**settings), queries)
        self.revision = 0

    def write(self, table: Table[Any], key: str, row: Any) -> None:
        """Write a row as a commit of its own; ``None`` deletes."""
        self.revision += 1
        record = None
        path = table.prefix + key
        if row is not None:
            record = Record(path, table.encode(row), self.revision, self.revision, 1)
        self.state.view.apply([Batch(self.revision, (Event(path, record),))])

    def node(
        self,
        name: str,
        address: str,
        meta: dict[str, str] | None = None,
        tagged: dict[str, str] | None = None,
    ) -> None:
        node = Node(id="", node=name, address=address, tagged_addresses=tagged, meta=meta)
        self.write(self.state.catalog.nodes, node_key(name), node)

    def service(self, node: str, name: str, **fields: Any) -> None:
        """A service; ``tagged`` are addresses by tag. The other fields are those of the model."""
        tagged = {key: ServiceAddress(value) for key, value in fields.pop("tagged", {}).items()}
        values: dict[str, Any] = {
            "id": name,
            "service": name,
            "tags": [],
            "address": "",
            "tagged_addresses": tagged,
            "meta": None,
            "port": 80,
            "weights": Weights(),
            "enable_tag_override": False,
            "proxy": plain_proxy(),
            "connect": Connect(),
            "peer_name": "",
        } | fields
        service = Service(**values)
        self.write(self.state.catalog.services, service_key(node, service.id), service)

    def check(self, node: str, check_id: str, status: CheckStatus, service: str = "") -> None:
        check = Check(
            node=node,
            check_id=check_id,
            name=check_id,
            status=status,
            notes="",
            output="",
            service_id=service,
            service_name=service,
            service_tags=[],
            type="ttl",
            interval="",
            timeout="",
            exposed_port=0,
            definition=CheckRun(),
        )
        self.write(self.state.catalog.checks, check_key(node, check_id), check)

    def remove(self, node: str, service: str) -> None:
        self.write(self.state.catalog.services, service_key(node, service), None)

    def send(self, packet: bytes, tcp: bool = False, source: str = "127.0.0.1") -> bytes | None:
        """The reply to a packet."""
        self.answers.refresh()
        ask = self.answers.by_tcp if tcp else self.answers.by_udp
        reply = ask(packet, source)
        if reply is None or isinstance(reply, bytes):
            return reply
        return asyncio.run(_wait(reply))

    def ask(
        self,
        name: str,
        kind: str = "A",
        tcp: bool = False,
        edns: int | None = None,
        subnet: str = "",
        source: str = "127.0.0.1",
    ) -> dns.message.Message:
        """The reply to a question; ``edns`` is the size a client says it can take."""
        options: list[dns.edns.Option] | None = (
            [dns.edns.ECSOption(*_split(subnet))] if subnet else None
        )
        query = dns.message.make_query(
            name, kind, use_edns=edns is not None, payload=edns or 512, options=options
        )
        packet = self.send(query.to_wire(), tcp, source)
        assert packet is not None
        reply = dns.message.from_wire(packet)
        assert reply.id == query.id
        return reply

    def answer(self, name: str, kind: str = "A", **how: Any) -> set[str]:
        """The records of an answer, sorted out of their order."""
        return lines(self.ask(name, kind, **how).answer)


def lines(section: Any) -> set[str]:
    """A section as ``owner TTL type data``."""
    return {
        f"{each.name} {each.ttl} {dns.rdatatype.to_text(each.rdtype)} {data}"
        for each in section
        for data in each
    }


def code(reply: dns.message.Message) -> str:
    return dns.rcode.to_text(reply.rcode())


def flags(reply: dns.message.Message) -> set[str]:
    return set(dns.flags.to_text(reply.flags).split())


def order(reply: dns.message.Message) -> tuple[str, ...]:
    """The data of the answer in its order."""
    return tuple(str(data) for each in reply.answer for data in each)


def _split(subnet: str) -> tuple[str, int]:
    address, _, length = subnet.partition("/")
    return address, int(length)


async def _wait(reply: Any) -> bytes:
    message: bytes = await reply
    return message
