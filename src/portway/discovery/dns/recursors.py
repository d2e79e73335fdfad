"""Recursors: other servers, asked for names outside our domains by the transport of the client."""

from __future__ import annotations

import asyncio
import random
import secrets

import structlog

from portway.discovery.dns.records import AAAA, CNAME, IN, A, Record, wire_name
from portway.discovery.dns.request import HEADER, NXDOMAIN, read_name, read_question
from portway.discovery.dns.seldom import Seldom
from portway.discovery.dns.settings import DnsSettings, Labels

_MOST_UNDER_WAY = 1024
_QUERY = bytes(
    (0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
)  # the header of a question that wants recursion
_log = structlog.get_logger(__name__)


class Recursors:
    """Asks the recursors one after the other until one of them knows, or knows there is none."""

    def __init__(self) -> None:
        self._under_way = 0
        self._logs = Seldom()

    async def ask(self, packet: bytes, settings: DnsSettings, tcp: bool) -> bytes | None:
        """The reply to a request, with its ID; ``None`` when nobody has one.

        A reply is passed on as it came, so that whatever the client agreed on by EDNS holds.
        """
        if self._under_way >= _MOST_UNDER_WAY:
            return None
        self._under_way += 1
        try:
            return await self._ask(packet, settings, tcp)
        finally:
            self._under_way -= 1

    async def addresses(
        self, name: Labels, kinds: list[int], settings: DnsSettings
    ) -> list[Record]:
        """The records that lead from a name to its addresses of some kinds."""
        found: dict[Record, None] = {}
        for kind in kinds:
            question = wire_name(name) + kind.to_bytes(2, "big") + IN.to_bytes(2, "big")
            reply = await self.ask(_QUERY + question, settings, tcp=False)
            if reply is not None:
                found |= dict.fromkeys(_read_addresses(reply))
        return list(found)

    async def _ask(self, packet: bytes, settings: DnsSettings, tcp: bool) -> bytes | None:
        addresses = list(settings.upstreams)
        if settings.recursor_strategy == "random":
            random.shuffle(addresses)
        exchange = _by_tcp if tcp else _by_udp
        for address in addresses:
            # An ID of its own for every question: a guess at it is all a forger has (RFC 5452).
            number = secrets.token_bytes(2)
            try:
                async with asyncio.timeout(settings.recursor_timeout):
                    reply = await exchange(number + packet[2:], address)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                if self._logs():
                    reason = str(error) or "timeout"
                    _log.warning("recursor did not answer", recursor=address[0], error=reason)
                continue
            if reply[3] & 0xF in (0, NXDOMAIN):
                return packet[:2] + reply[2:]
        return None


def _read_addresses(reply: bytes) -> list[Record]:
    """The aliases and addresses of an answer; nothing of one that cannot be read."""
    records: list[Record] = []
    try:
        _, at = read_name(reply, HEADER)
        at += 4
        for _ in range(int.from_bytes(reply[6:8], "big")):
            owner, at = read_name(reply, at)
            kind = int.from_bytes(reply[at : at + 2], "big")
            ttl = int.from_bytes(reply[at + 4 : at + 8], "big")
            end = at + 10 + int.from_bytes(reply[at + 8 : at + 10], "big")
            data = reply[at + 10 : end]
            if kind == CNAME:
                records.append(Record(owner, CNAME, ttl, target=read_name(reply, at + 10)[0]))
            elif (kind, len(data)) in ((A, 4), (AAAA, 16)):
                records.append(Record(owner, kind, ttl, data))
            at = end
    except (IndexError, ValueError):
        return []
    return records


def _matches(reply: bytes, packet: bytes) -> bool:
    """Whether a reply is one to this request: the ID and, unless it is an error, the question."""
    if len(reply) < HEADER or reply[:2] != packet[:2] or not reply[2] & 0x80:
        return False
    try:
        return read_question(reply) == read_question(packet)
    except (IndexError, ValueError):
        return bool(reply[3] & 0xF)


class _Exchange(asyncio.DatagramProtocol):
    """One request by UDP, from a port of its own."""

    def __init__(self, packet: bytes, reply: asyncio.Future[bytes]) -> None:
        self._packet = packet
        self._reply = reply

    def datagram_received(self, data: bytes, _address: object) -> None:
        if not self._reply.done() and _matches(data, self._packet):
            self._reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(exc)


async def _by_udp(packet: bytes, address: tuple[str, int]) -> bytes:
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Exchange(packet, reply), remote_addr=address
    )
    try:
        transport.sendto(packet)
        return await reply
    finally:
        transport.close()


async def _by_tcp(packet: bytes, address: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        while True:
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = await reader.readexactly(size)
            if _matches(reply, packet):
                return reply
    finally:
        writer.close()
