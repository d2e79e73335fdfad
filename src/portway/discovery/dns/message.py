"""Compiled answers to messages: sizes, truncation, EDNS. Pure."""

from __future__ import annotations

from random import sample
from typing import NamedTuple

from portway.discovery.dns.compiled import QR, RA, TC, Block, Compiled, pointer
from portway.discovery.dns.records import SRV
from portway.discovery.dns.request import CLIENT_SUBNET, HEADER, OPT, Request
from portway.discovery.dns.settings import DnsSettings

PLAIN_SIZE = 512  # bytes of an answer by UDP to a client without EDNS
_MOST_UDP_SIZE = 65535 - 68
_MOST_UDP_ANSWERS = 8  # of an answer that is limited to PLAIN_SIZE
_MOST_TCP_SIZE = 65523
_MOST_TCP_ANSWERS = 4096
_MOST_TCP_SRV = 1024
_REACH = 0x4000  # bytes of a message that pointers reach
_SERIAL = 20  # bytes from the end of an SOA record to its serial


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
    whole = len(blocks) == len(compiled.blocks)  # texts are the first to go
    answers, extras, count = _fit(compiled, blocks, room, start, texts=whole)
    if whole and len(answers) < len(blocks):
        answers, extras, count = _fit(compiled, blocks, room, start, texts=False)
        if blocks and not answers and len(blocks[0].answer) <= room:
            answers = [blocks[0].answer]
    authority, glue = _timed(compiled, now), compiled.glue
    if authority and sum(map(len, (*answers, *extras, *authority, *glue))) > room:
        authority = glue = []
    wanted = min(len(compiled.blocks), compiled.most or len(compiled.blocks))
    flags = compiled.flags | request.flags
    if len(answers) < wanted and (compiled.truncates or not answers):
        flags |= TC
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
                owner = pointer(place) if compiled.compressed and place < _REACH else name
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
    flags = QR | request.flags | (RA if recursion else 0) | code & 0xF
    counts = (1, 0, 0, bool(options))
    head = b"".join(number.to_bytes(2, "big") for number in (flags, *counts))
    return head + request.question + options


def truncated(request: Request) -> bytes:
    """A message behind its ID that asks the client to come back by TCP."""
    flags = QR | TC | RA | request.flags
    options = options_record(request)
    head = b"".join(number.to_bytes(2, "big") for number in (flags, 1, 0, 0, bool(options)))
    return head + request.question + options
