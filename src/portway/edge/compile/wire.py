"""Protobuf wire pieces: large messages are joined from cached, already serialised parts.

Length-delimited fields may appear in any order and repeated fields may be concatenated
(protobuf encoding specification), so a virtual host or a route table of thousands of entries
is rebuilt by joining bytes instead of building and serialising messages again.
"""

from __future__ import annotations


def varint(value: int) -> bytes:
    """A base-128 varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes | str) -> bytes:
    """A length-delimited field (message, string or bytes)."""
    body = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(body)) + body
