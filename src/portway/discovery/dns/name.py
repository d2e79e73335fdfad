"""Question names to what they ask for. Pure; the forms are those of Consul's DNS interface."""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple

from portway.discovery.dns.settings import Labels

Form = Literal[
    "service", "connect", "virtual", "ingress", "node", "query", "addr", "pointer", "apex"
]
_FORMS: dict[bytes, Form] = {
    b"service": "service",
    b"connect": "connect",
    b"virtual": "virtual",
    b"ingress": "ingress",
    b"node": "node",
    b"query": "query",
}
_ARPA = b"arpa"
SRV = 33


class Query(NamedTuple):
    """What a name asks for. Text is in lower case, as names are compared without it."""

    form: Form
    name: str = ""
    tag: str = ""
    datacenter: str = ""
    """Empty is the own one."""
    peer: str = ""
    port: str = ""
    """The name of one of the service's ports."""
    place: str = ""
    """A single label that may be a datacenter or a peer."""


def split_domain(labels: Labels, domains: tuple[Labels, ...]) -> tuple[Labels, Labels] | None:
    """A name in lower case as (what is before the domain, the domain); domains longest first."""
    for domain in domains:
        cut = len(labels) - len(domain)
        if cut >= 0 and labels[cut:] == domain:
            return labels[:cut], domain
    return None


def is_reverse(labels: Labels) -> bool:
    """Whether the name is of the domain of reverse lookups."""
    return labels[-1:] == (_ARPA,)


def parse_name(labels: Labels, kind: int) -> Query | None:
    """What the labels before the domain, in lower case, ask for; ``None`` is no known form.

    ``kind`` is the type asked for: an SRV question may leave out ``service`` (RFC 2782).
    """
    if not labels:
        return Query("apex")
    if len(labels) > 1 and labels[1] == b"addr":
        return Query("addr", _text(labels[0]))
    for at in range(len(labels) - 1, -1, -1):
        form = _FORMS.get(labels[at])
        if form is not None:
            return _parse_form(form, labels[:at], labels[at + 1 :])
        if kind == SRV and labels[at].startswith(b"_"):
            return _parse_form("service", labels[: at + 1], labels[at + 1 :])
    return None


def _parse_form(form: Form, parts: Labels, suffix: Labels) -> Query | None:
    where = _parse_suffix([_text(label) for label in suffix], most=1 if form == "query" else 6)
    words = [_text(label) for label in parts]
    if where is None or not words:
        return None
    name, tag = words[-1], ""
    if form == "service":
        if len(words) == 2 and words[0].startswith("_") and words[1].startswith("_"):
            name, tag = words[0][1:], words[1][1:]
            tag = "" if tag == "tcp" else tag
        else:
            tag = ".".join(words[:-1])
    elif form == "node":
        name = ".".join(words)
    elif form == "query":
        if len(words) > 1 and words[0].startswith("_") and words[-1].startswith("_"):
            words = [words[0][1:], *words[1:-1]]
        name = ".".join(words)
    return where._replace(form=form, name=name, tag=tag) if name else None


def _parse_suffix(words: list[str], most: int) -> Query | None:
    """One bare label, or pairs of value and kind; ``most`` labels."""
    if len(words) == 1:
        return Query("service", place=words[0])
    if len(words) % 2 or len(words) > most:
        return None
    found: dict[str, str] = {}
    for value, word in zip(words[::2], words[1::2], strict=True):
        if word not in ("dc", "peer", "port"):
            return None
        found[word] = value
    if "dc" in found and "peer" in found:
        return None
    return Query(
        "service",
        datacenter=found.get("dc", ""),
        peer=found.get("peer", ""),
        port=found.get("port", ""),
    )


def parse_address(text: str) -> bytes | None:
    """The address of ``<hex>.addr``: 4 or 16 bytes."""
    if len(text) not in (8, 32):
        return None
    try:
        return bytes.fromhex(text) if text.isalnum() else None
    except ValueError:
        return None


def parse_reverse(labels: Labels) -> str | None:
    """The address of a name under ``in-addr.arpa`` or ``ip6.arpa``, as text (RFC 1035, 3596)."""
    digits = [label.decode("ascii", "replace") for label in reversed(labels[:-2])]
    try:
        if labels[-2:] == (b"in-addr", _ARPA) and len(digits) == 4:
            return str(ipaddress.IPv4Address(".".join(digits)))
        if labels[-2:] == (b"ip6", _ARPA) and len(digits) == 32 and {*map(len, digits)} == {1}:
            return str(ipaddress.IPv6Address(int("".join(digits), 16)))
    except ValueError:
        pass
    return None


def _text(label: bytes) -> str:
    return label.decode("utf-8", "surrogateescape")
