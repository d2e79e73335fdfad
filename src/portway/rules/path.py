"""Paths: how Traefik normalises them and what its path matchers look at.

The path of a request is normalised (RFC 3986 §6.2.2: unreserved characters decoded, upper-case
hexadecimal, ``.`` and ``..`` removed; duplicate slashes merged) and then, for matching only,
everything but reserved characters and ``%`` is decoded.
"""

from __future__ import annotations

import re

UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""RFC 3986 §2.3."""
RESERVED = frozenset(b":/?#[]@!$&'()*+,;=%")
"""RFC 3986 §2.2, and the percent sign: they keep the form they were sent in."""

_TRIPLE = re.compile(rb"%[0-9A-Fa-f]{2}")
_RAW = re.compile(rb"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")


def normalize_path(raw: str) -> str:
    """The path that is routed and forwarded, for the path (without query) as it was sent.

    Characters that may not stand in a path are percent-encoded.
    """
    octets = _RAW.sub(_encode, raw.encode(errors="surrogateescape"))
    return _clean(_TRIPLE.sub(_canonical, octets).decode("ascii"))


def routing_path(raw: str) -> bytes:
    """What path matchers compare with, for the path as it was sent."""
    return _TRIPLE.sub(_decode, normalize_path(raw).encode())


def _encode(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found.group()[0]


def _canonical(found: re.Match[bytes]) -> bytes:
    triple = found.group()
    code = int(triple[1:], 16)
    return bytes([code]) if code in UNRESERVED else triple.upper()


def _decode(found: re.Match[bytes]) -> bytes:
    triple = found.group()
    code = int(triple[1:], 16)
    return triple if code in RESERVED else bytes([code])


def _clean(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
