"""Records to blocks of wire bytes that can be put together in any order. Pure.

A block is an answer record with what belongs to it in the additional section. It does not depend
on where it stands: names in it point into the question only, and additional records get their
owner, the target of the block, when the message is put together. So every order is a matter of
joining bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from portway.discovery.dns.found import Found
from portway.discovery.dns.records import IN, SRV, TXT, Record, soa_record, wire_name
from portway.discovery.dns.request import HEADER
from portway.discovery.dns.settings import DnsSettings, Labels

QR, AA, TC, RA = 0x8000, 0x0400, 0x0200, 0x0080
_POINTER = 0xC000
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, size of the data


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
        self.question = pointer(HEADER) if compressed else name
        """The owner of records of the name in question."""
        self._suffixes: dict[Labels, bytes] = {}
        self._written: dict[Labels, bytes] = {}
        if compressed:
            at = HEADER
            for number, label in enumerate(labels):
                self._suffixes[labels[number:]] = pointer(at)
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
        flags=QR | AA | found.code | (RA if settings.recursors else 0),
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


def pointer(at: int) -> bytes:
    """A pointer to an offset of the message (RFC 1035, 4.1.4)."""
    return (_POINTER | at).to_bytes(2, "big")
