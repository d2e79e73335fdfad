"""Records of an answer, and their data."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from portway.discovery.dns.settings import Labels, Soa

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV = 1, 2, 5, 6, 12, 16, 28, 33
IXFR, AXFR, ANY = 251, 252, 255
IN = 1
_SRV = struct.Struct("!HHH")
PRIORITY = 1  # of every SRV record
_MOST_DATA = 65535  # bytes of a record's data


class Record(NamedTuple):
    """One record. ``owner`` ``None`` is the name in question; ``target`` is a name that ends it."""

    owner: Labels | None
    kind: int
    ttl: int
    data: bytes = b""
    target: Labels | None = None


@dataclass(slots=True)
class Group:
    """Records of the answer that stay together, and the additional ones that belong to them."""

    answers: list[Record]
    extras: list[Record] = field(default_factory=list)
    follow: Labels | None = None
    """A name outside our domains whose addresses belong here too."""
    ttl: int | None = None
    """What the records of names that others stand for get; ``None`` leaves them their own."""


def address_record(owner: Labels | None, ttl: int, address: bytes) -> Record:
    """An A or AAAA record, by the length of the address."""
    return Record(owner, A if len(address) == 4 else AAAA, ttl, address)


def srv_record(ttl: int, weight: int, port: int, target: Labels) -> Record:
    """An SRV record of the name in question (RFC 2782)."""
    # The catalog does not check what others registered; numbers are cut as Go cuts them.
    data = _SRV.pack(PRIORITY, weight & 0xFFFF, port & 0xFFFF)
    return Record(None, SRV, ttl, data, target)


def text_records(owner: Labels | None, ttl: int, meta: dict[str, str] | None) -> list[Record]:
    """Metadata as TXT records: ``key=value`` (RFC 1464), the bare value of ``rfc1035-`` keys.

    What is larger than a record is left out.
    """
    texts = (_strings(key, value) for key, value in (meta or {}).items())
    return [Record(owner, TXT, ttl, text) for text in texts if len(text) <= _MOST_DATA]


@lru_cache(4096)
def _strings(key: str, value: str) -> bytes:
    text = value if key.lower().startswith("rfc1035-") else rfc1464(key, value)
    data = text.encode()
    pieces = [data[at : at + 255] for at in range(0, len(data), 255)] or [b""]
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


def rfc1464(key: str, value: str) -> str:
    """An attribute and its value, quoted where RFC 1464 asks for it."""
    key = key.replace("`", "``").replace("=", "`=")
    bare = key.strip(" ")
    if bare:
        lead = len(key) - len(key.lstrip(" "))
        tail = len(key) - len(key.rstrip(" "))
        key = "` " * lead + bare + "` " * tail
    else:
        key = "` " * len(key)
    return f"{key}={value.replace('`', '``')}"


def soa_record(domain: Labels, numbers: Soa, serial: int) -> Record:
    """The SOA record of a domain; its own TTL is that of negative answers (RFC 2308)."""
    names = wire_name((b"ns", *domain)) + wire_name((b"hostmaster", *domain))
    data = b"".join(number.to_bytes(4, "big") for number in (serial, *numbers))
    return Record(domain, SOA, numbers.min_ttl, names + data)


def hex_name(address: bytes, datacenter: str, domain: Labels) -> Labels:
    """The name that stands for an address: ``<hex>.addr.<dc>.<domain>``."""
    return (address.hex().encode(), b"addr", datacenter.encode(), *domain)


def wire_name(labels: Labels) -> bytes:
    """A name, uncompressed."""
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def is_name(labels: Labels) -> bool:
    """Whether labels make a name that fits the wire."""
    return (
        all(0 < len(label) < 64 for label in labels) and sum(map(len, labels)) + len(labels) < 255
    )
