"""Requests: what a packet asks, read without trust (RFC 1035, 6891, 7871)."""

from __future__ import annotations

from typing import NamedTuple

from portway.discovery.dns.settings import Labels

FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 1, 2, 3, 4, 5, 16
OPT = 41
CLIENT_SUBNET = 8
HEADER = 12  # bytes


class Subnet(NamedTuple):
    """The client's network, as the resolver in between says it."""

    family: int
    source: int  # length of the prefix
    address: bytes


class Request(NamedTuple):
    """One question. ``question`` is its bytes as they came, to be echoed."""

    id: int
    flags: int
    """The flags an answer repeats: RD and CD."""
    question: bytes
    labels: Labels
    """In lower case."""
    kind: int
    domain_class: int
    edns: bool = False
    size: int = 512
    """What the client says it can take by UDP."""
    subnet: Subnet | None = None
    version: int = 0


class BadRequestError(Exception):
    """A packet that is answered with nothing but an error, or with nothing at all."""

    def __init__(self, reply: bytes | None) -> None:
        super().__init__()
        self.reply = reply


def parse_request(packet: bytes) -> Request:
    """Read a packet. Raises BadRequestError."""
    if len(packet) < HEADER:
        raise BadRequestError(None)
    flags = packet[2] << 8 | packet[3]
    if flags & 0x8000:  # an answer: two servers must not talk to each other for ever
        raise BadRequestError(None)
    if flags & 0x7800:
        raise BadRequestError(_refusal(packet, NOTIMP))
    questions, answers, authority, extra = (
        packet[at] << 8 | packet[at + 1] for at in range(4, 12, 2)
    )
    if questions != 1 or answers > 1 or authority > 1 or extra > 2:
        raise BadRequestError(_refusal(packet, FORMERR))
    try:
        return _parse(packet, flags, answers + authority, extra)
    except (IndexError, ValueError):
        raise BadRequestError(_refusal(packet, FORMERR)) from None


def _parse(packet: bytes, flags: int, skipped: int, extra: int) -> Request:
    labels, at = read_name(packet, HEADER)
    kind, domain_class = _pair(packet, at)
    at += 4
    request = Request(
        id=packet[0] << 8 | packet[1],
        flags=flags & 0x0110,
        question=packet[HEADER:at],
        labels=tuple(label.lower() for label in labels),
        kind=kind,
        domain_class=domain_class,
    )
    if at - HEADER != sum(map(len, labels)) + len(labels) + 5:
        raise ValueError  # a compressed question points at nothing that could be meant
    for number in range(skipped + extra):
        name, at = read_name(packet, at)
        record, record_class = _pair(packet, at)
        version = packet[at + 5]
        end = at + 10 + (packet[at + 8] << 8 | packet[at + 9])
        if end > len(packet):
            raise ValueError
        if record == OPT:
            if name or number < skipped or request.edns:
                raise ValueError
            subnet = _read_subnet(packet[at + 10 : end])
            request = request._replace(edns=True, size=record_class, subnet=subnet, version=version)
        at = end
    return request


def read_name(packet: bytes, at: int) -> tuple[Labels, int]:
    """The name at an offset and the offset behind it. Raises IndexError, ValueError."""
    labels: list[bytes] = []
    size = 1
    end = 0
    while True:
        length = packet[at]
        if length >= 0xC0:
            to = (length & 0x3F) << 8 | packet[at + 1]
            if to >= at:  # pointers go back only, so that there is an end
                raise ValueError
            end = end or at + 2
            at = to
            continue
        if length > 63:
            raise ValueError
        at += 1
        if not length:
            return tuple(labels), end or at
        label = packet[at : at + length]
        size += length + 1
        if len(label) < length or size > 255:
            raise ValueError
        labels.append(label)
        at += length


def read_question(packet: bytes) -> tuple[Labels, int]:
    """The name, in lower case, and type of a packet's question. Raises IndexError, ValueError."""
    labels, at = read_name(packet, HEADER)
    return tuple(label.lower() for label in labels), _pair(packet, at)[0]


def _pair(packet: bytes, at: int) -> tuple[int, int]:
    return packet[at] << 8 | packet[at + 1], packet[at + 2] << 8 | packet[at + 3]


def _read_subnet(options: bytes) -> Subnet | None:
    at, found = 0, None
    while at < len(options):
        code, size = _pair(options, at)
        value = options[at + 4 : at + 4 + size]
        at += 4 + size
        if at > len(options):
            raise ValueError
        if code == CLIENT_SUBNET and found is None:
            found = _subnet(value)
    return found


def _subnet(value: bytes) -> Subnet:
    family, source, address = value[0] << 8 | value[1], value[2], value[4:]
    bits = {1: 32, 2: 128}.get(family, 0)
    # An address has just the bytes its prefix needs (RFC 7871, 6).
    if source > bits or len(address) != (source + 7) // 8:
        raise ValueError
    return Subnet(family, source, address)


def _refusal(packet: bytes, code: int) -> bytes:
    """An error that repeats nothing of the packet but ID, opcode and RD."""
    return packet[:2] + bytes((0x80 | packet[2] & 0x79, code)) + bytes(8)
