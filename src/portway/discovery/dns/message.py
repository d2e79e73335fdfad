"""Records to wire bytes: compression, sizes, truncation, EDNS. Pure.

An answer is compiled once into blocks, each an answer record with what belongs to it in the
additional section. A block does not depend on where it stands: names in it point into the
question only, and additional records get their owner, the target of the block, when the message
is put together. So every order is a matter of joining bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from random import sample
from typing import NamedTuple

from portway.discovery.dns.lookup import Found
from portway.discovery.dns.records import IN, SRV, TXT, Record, soa_record, wire_name
from portway.discovery.dns.request import CLIENT_SUBNET, HEADER, OPT, Request
from portway.discovery.dns.settings import DnsSettings, Labels

PLAIN_SIZE = 512  # bytes of an answer by UDP to a client without EDNS
_MOST_UDP_SIZE = 65535 - 68
_MOST_UDP_ANSWERS = 8  # of an answer that is limited to PLAIN_SIZE
_MOST_TCP_SIZE = 65523
_MOST_TCP_ANSWERS = 4096
_MOST_TCP_SRV = 1024
_QR, _AA, _TC, _RA = 0x8000, 0x0400, 0x0200, 0x0080
_POINTER = 0xC000
_REACH = 0x4000  # bytes of a message that pointers reach
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, size of the data
_SERIAL = 20  # bytes from the end of an SOA record to its serial


@dataclass(frozen=True, slots=True)
class Extras:
    """Additional records of a block."""

    led: tuple[bytes, ...] = ()
    """Records of the target without their owner; the first one is empty, so that they join."""
    plain: bytes = b""
    number: int = 0


_NO_EXTRAS = Extras()


@dataclass(frozen=True, slots=True)
class Block:
    """An answer record, and additional ones: addresses first, texts only if there is room."""

    answer: bytes
    target: int = 0
    """Where in ``answer`` its target is; 0 is nowhere."""
    addresses: Extras = _NO_EXTRAS
    texts: Extras = _NO_EXTRAS


@dataclass(slots=True)
class Compiled:
    """An answer ready to be put together for any request of its question."""

    flags: int
    blocks: list[Block]
    authority: list[bytes]
    glue: list[bytes]
    most: int
    """Most blocks of an answer, apart from all limits of size; 0 is no limit."""
    shuffled: bool
    truncates: bool
    compressed: bool
    serial: bool = False
    """The authority ends with an SOA record whose serial is the time."""
    shared: bool = field(init=False)
    """Some blocks have the same target: its addresses are added once."""
    simple: bool = field(init=False)
    """No block has anything in the additional section."""
    least: int = field(init=False)
    """Size of the smallest answer record."""

    def __post_init__(self) -> None:
        """Note what makes putting together cheaper."""
        blocks = self.blocks
        self.simple = all(not (block.addresses.number or block.texts.number) for block in blocks)
        self.least = min((len(block.answer) for block in blocks), default=HEADER)
        targets = [block.answer[block.target :] for block in blocks if block.target]
        self.shared = len({*targets}) < len(targets)


class Names:
    """Names of one message; suffixes that the question has too point there."""

    def __init__(self, labels: Labels, name: bytes, compressed: bool) -> None:
        self.question = _pointer(HEADER) if compressed else name
        """The owner of records of the name in question."""
        self._suffixes: dict[Labels, bytes] = {}
        self._written: dict[Labels, bytes] = {}
        if compressed:
            at = HEADER
            for number, label in enumerate(labels):
                self._suffixes[labels[number:]] = _pointer(at)
                at += len(label) + 1

    def wire(self, labels: Labels) -> bytes:
        """A name as it stands in the message."""
        written = self._written.get(labels)
        if written is None:
            written = self._written[labels] = self._write(labels)
        return written

    def _write(self, labels: Labels) -> bytes:
        lower = tuple(label.lower() for label in labels)
        head = b""
        for number, label in enumerate(labels):
            suffix = self._suffixes.get(lower[number:])
            if suffix is not None:
                return head + suffix
            head += bytes((len(label),)) + label
        return head + b"\0"


def compile_answer(found: Found, labels: Labels, name: bytes, settings: DnsSettings) -> Compiled:
    """Prepare an answer. ``labels`` are those of the question, ``name`` is it as it came."""
    compressed = not settings.disable_compression
    names = Names(labels, name, compressed)
    if len(found.groups) == 1:  # an alias and what it stands for, in their order
        group = found.groups[0]
        blocks = [_block(record, [], names) for record in group.answers[:-1]]
        blocks.append(_block(group.answers[-1], group.extras, names))
        shuffled = False
    else:
        blocks = [_block(group.answers[0], group.extras, names) for group in found.groups]
        shuffled = found.shuffled
    authority = [_encode(record, names) for record in found.authority]
    negative = not blocks
    if negative:
        authority = [_encode(soa_record(found.domain, settings.soa, 0), names)]
    return Compiled(
        flags=_QR | _AA | found.code | (_RA if settings.recursors else 0),
        blocks=blocks,
        authority=authority,
        glue=[_encode(record, names) for record in found.glue],
        most=found.most,
        shuffled=shuffled,
        truncates=settings.enable_truncate,
        compressed=compressed,
        serial=negative,
    )


def _block(record: Record, extras: list[Record], names: Names) -> Block:
    answer = _encode(record, names)
    if not extras:
        return Block(answer)
    ending = 0
    if record.target is not None:
        ending = len(_name_data(record, names))
    texts = [extra for extra in extras if extra.kind == TXT]
    others = [extra for extra in extras if extra.kind != TXT]
    return Block(
        answer,
        len(answer) - ending if ending else 0,
        _extras(others, record.target, names),
        _extras(texts, record.target, names),
    )


def _extras(records: list[Record], target: Labels | None, names: Names) -> Extras:
    led = [b""]
    plain = b""
    for record in records:
        if target is not None and record.owner == target:
            led.append(_encode(record, names, led=True))
        else:
            plain += _encode(record, names)
    return Extras(tuple(led) if len(led) > 1 else (), plain, len(records))


def _encode(record: Record, names: Names, led: bool = False) -> bytes:
    """A record; without its owner if it is ``led`` by it."""
    owner = b""
    if not led:
        owner = names.question if record.owner is None else names.wire(record.owner)
    data = record.data + (_name_data(record, names) if record.target is not None else b"")
    return b"".join(
        (
            owner,
            _FIXED.pack(record.kind, IN, record.ttl, len(data)),
            data,
        )
    )


def _name_data(record: Record, names: Names) -> bytes:
    target = record.target or ()
    # The target of an SRV record is not compressed (RFC 2782).
    return wire_name(target) if record.kind == SRV else names.wire(target)


def _pointer(at: int) -> bytes:
    return (_POINTER | at).to_bytes(2, "big")


class Limits(NamedTuple):
    """What an answer may grow to."""

    size: int
    """Bytes."""
    answers: int


def udp_limits(request: Request, settings: DnsSettings) -> Limits:
    """The limits of an answer by UDP: what the client can take (RFC 6891, 6.2.3)."""
    size = min(max(request.size, PLAIN_SIZE), _MOST_UDP_SIZE) if request.edns else PLAIN_SIZE
    if size == PLAIN_SIZE:
        return Limits(size, min(_MOST_UDP_ANSWERS, settings.udp_answer_limit))
    return Limits(size, _MOST_UDP_SIZE)


def tcp_limits(request: Request) -> Limits:
    """The limits of an answer by TCP."""
    return Limits(_MOST_TCP_SIZE, _MOST_TCP_SRV if request.kind == SRV else _MOST_TCP_ANSWERS)


def choices(compiled: Compiled, limits: Limits) -> tuple[int, int]:
    """Of how many blocks how many are chosen, before sizes are looked at."""
    count = len(compiled.blocks)
    most = min(count, compiled.most) if compiled.most else count
    return count, min(most, limits.answers, limits.size // compiled.least)


def put_together(
    compiled: Compiled,
    request: Request,
    limits: Limits,
    now: int,
    blocks: list[Block] | None = None,
) -> bytes:
    """A message behind its ID. Without ``blocks`` they are drawn anew, in a new order."""
    if blocks is None:
        _, chosen = choices(compiled, limits)
        blocks = sample(compiled.blocks, chosen) if compiled.shuffled else compiled.blocks[:chosen]
    options = options_record(request)
    start = HEADER + len(request.question)
    room = limits.size - start - len(options)
    answers, extras, count = _fit(compiled, blocks, room, start, texts=True)
    if len(answers) < len(blocks):
        answers, extras, count = _fit(compiled, blocks, room, start, texts=False)
        if blocks and not answers and len(blocks[0].answer) <= room:
            answers = [blocks[0].answer]
    authority, glue = _timed(compiled, now), compiled.glue
    if authority and sum(map(len, (*answers, *extras, *authority, *glue))) > room:
        authority = glue = []
    wanted = min(len(compiled.blocks), compiled.most or len(compiled.blocks))
    flags = compiled.flags | request.flags
    if len(answers) < wanted and (compiled.truncates or not answers):
        flags |= _TC
    counts = (1, len(answers), len(authority), count + len(glue) + bool(options))
    return b"".join(
        (
            flags.to_bytes(2, "big"),
            *(number.to_bytes(2, "big") for number in counts),
            request.question,
            *answers,
            *authority,
            *extras,
            *glue,
            options,
        )
    )


def _fit(
    compiled: Compiled, blocks: list[Block], room: int, start: int, texts: bool
) -> tuple[list[bytes], list[bytes], int]:
    """As many blocks as there is room for: answers, additional bytes, number of the latter.

    ``start`` is the offset in the message of the first answer.
    """
    answers: list[bytes] = []
    extras: list[bytes] = []
    count = 0
    seen: set[bytes] = set()
    for block in blocks:
        answer, addresses = block.answer, block.addresses
        room -= len(answer)
        extra = b""
        number = 0
        if not compiled.simple:
            owner = b""
            if block.target:
                place = start + block.target
                name = answer[block.target :]
                owner = _pointer(place) if compiled.compressed and place < _REACH else name
            if not (compiled.shared and owner and name in seen):
                extra = owner.join(addresses.led) + addresses.plain
                number = addresses.number
                if texts:
                    extra += owner.join(block.texts.led) + block.texts.plain
                    number += block.texts.number
                if owner:
                    seen.add(name)
            room -= len(extra)
        if room < 0:
            break
        answers.append(answer)
        if number:
            extras.append(extra)
            count += number
        start += len(answer)
    return answers, extras, count


def _timed(compiled: Compiled, now: int) -> list[bytes]:
    if not compiled.serial:
        return compiled.authority
    *others, soa = compiled.authority
    return [*others, soa[:-_SERIAL] + now.to_bytes(4, "big") + soa[4 - _SERIAL :]]


def options_record(request: Request, code: int = 0) -> bytes:
    """The OPT record of an answer; ``code`` is the upper part of an extended response code."""
    if not request.edns:
        return b""
    option = b""
    if request.subnet is not None:
        family, source, address = request.subnet
        # Scope 0: the answer is for everybody.
        value = family.to_bytes(2, "big") + bytes((source, 0)) + address
        option = CLIENT_SUBNET.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    return b"".join(
        (
            b"\0",
            OPT.to_bytes(2, "big"),
            request.size.to_bytes(2, "big"),
            bytes((code, 0, 0, 0)),
            len(option).to_bytes(2, "big"),
            option,
        )
    )


def error(request: Request, code: int, recursion: bool = False) -> bytes:
    """A message behind its ID that says nothing but an error."""
    options = options_record(request, code >> 4)
    flags = _QR | request.flags | (_RA if recursion else 0) | code & 0xF
    counts = (1, 0, 0, bool(options))
    head = b"".join(number.to_bytes(2, "big") for number in (flags, *counts))
    return head + request.question + options
