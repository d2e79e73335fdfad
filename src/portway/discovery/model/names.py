"""Names on the wire: the catalog's JSON uses Go's field names."""

from __future__ import annotations

_ACRONYMS = {
    word.lower(): word
    for word in ("ACL", "CA", "CPU", "DNS", "FIPS", "GRPC", "HTTP", "ID", "IP", "JSON", "JWT")
} | {word.lower(): word for word in ("OS", "RTT", "SNI", "TCP", "TLS", "TTL", "UDP", "URI", "URL")}


def go_name(name: str) -> str:
    """``service_id`` → ``ServiceID``: each word capitalised, initialisms in full capitals."""
    return "".join(_ACRONYMS.get(word, word.capitalize()) for word in name.split("_"))
