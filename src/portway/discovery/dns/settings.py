"""How names are answered: the keys of ``dns_config`` and what of the agent concerns DNS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

Labels = tuple[bytes, ...]
"""A domain name as its labels, without the empty one of the root."""

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
STRATEGIES = ("sequential", "random")
PORT = 53  # of a recursor that names none
MAX_TTL = 2**31 - 1  # seconds (RFC 2181, 8)


class Soa(NamedTuple):
    """The numbers of the SOA record, in seconds."""

    refresh: int = 3600
    retry: int = 600
    expire: int = 86400
    min_ttl: int = 0


@dataclass(frozen=True)
class DnsSettings:
    """All settings of the DNS interface; every one of them can be reloaded.

    Times are seconds. Answers come from the memory of a server, so that ``allow_stale``,
    ``max_stale``, ``use_cache`` and ``cache_max_age`` have nothing to decide here. Addresses are
    translated only for other datacenters (``translate_wan_addrs``), of which this server knows
    none. Raises ValueError that names the key.
    """

    domain: str = "consul."
    alt_domain: str = ""
    datacenter: str = "dc1"
    recursors: tuple[str, ...] = ()
    """``host`` or ``host:port``, IPv6 with a port in brackets. A host that is a name is looked
    up with every question, by the system."""
    recursor_timeout: float = 2.0
    recursor_strategy: str = "sequential"
    only_passing: bool = False
    node_ttl: float = 0.0
    service_ttl: Mapping[str, float] = field(default_factory=dict)
    """By name, by prefix ending in ``*``, or ``*``."""
    a_record_limit: int = 0
    """Most A and AAAA records of an answer; 0 is no limit."""
    udp_answer_limit: int = 3
    """Most records of an answer by UDP to a client without EDNS; never more than 8."""
    enable_truncate: bool = False
    """Say (TC) that an answer was cut."""
    disable_compression: bool = False
    enable_additional_node_meta_txt: bool = True
    soa: Soa = field(default_factory=Soa)

    def __post_init__(self) -> None:
        """Check the values."""
        if self.recursor_strategy not in STRATEGIES:
            raise ValueError(
                f'dns_config.recursor_strategy: "{self.recursor_strategy}" is not one of '
                + ", ".join(STRATEGIES)
            )
        if not self.domain.strip("."):
            raise ValueError('domain: must have a label, such as "consul."')
        for key in ("a_record_limit", "udp_answer_limit"):
            if getattr(self, key) < 0:
                raise ValueError(f"dns_config.{key}: {getattr(self, key)} is negative")
        ttls = {"node_ttl": self.node_ttl} | {
            f"service_ttl.{name}": ttl for name, ttl in self.service_ttl.items()
        }
        for key, ttl in ttls.items():
            if not 0 <= ttl <= MAX_TTL:
                raise ValueError(f"dns_config.{key}: {ttl:g} s is not within 0 and {MAX_TTL} s")
        for key, number in self.soa._asdict().items():
            if not 0 <= number < 2**32:
                raise ValueError(f"dns_config.soa.{key}: {number} is not within 0 and {2**32 - 1}")
        for key in ("domain", "alt_domain"):
            if any(not 0 < len(label) < 64 for label in labels_of(getattr(self, key))):
                raise ValueError(f'{key}: "{getattr(self, key)}" is not a domain name')
        _ = self.upstreams

    @cached_property
    def domains(self) -> tuple[Labels, ...]:
        """The domains that are answered for, the longest first."""
        names = {labels_of(name.lower()) for name in (self.domain, self.alt_domain)} - {()}
        return tuple(sorted(names, key=len, reverse=True))

    @cached_property
    def home(self) -> Labels:
        """The main domain."""
        return labels_of(self.domain.lower())

    @cached_property
    def upstreams(self) -> tuple[tuple[str, int], ...]:
        """The recursors as host and port."""
        return tuple(_address(text) for text in self.recursors)

    @cached_property
    def _ttls(self) -> tuple[dict[str, float], list[tuple[str, float]]]:
        exact, prefixes = {}, []
        for name, seconds in self.service_ttl.items():
            if name.endswith("*"):
                prefixes.append((name[:-1].lower(), seconds))
            else:
                exact[name.lower()] = seconds
        prefixes.sort(key=lambda item: len(item[0]), reverse=True)
        return exact, prefixes

    def ttl_of_service(self, name: str) -> int:
        """The TTL of a service's records: by its name, else by the longest prefix, else 0."""
        exact, prefixes = self._ttls
        name = name.lower()
        if name in exact:
            return int(exact[name])
        return next((int(ttl) for prefix, ttl in prefixes if name.startswith(prefix)), 0)


def labels_of(name: str) -> Labels:
    """The labels of a name as people write it; a final dot does not matter."""
    stripped = name.removesuffix(".")
    return tuple(label.encode() for label in stripped.split(".")) if stripped else ()


def _address(text: str) -> tuple[str, int]:
    host, port = text, str(PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536 or not _is_host(host):
        raise ValueError(
            f'recursors: "{text}" is not an address with or without a port, '
            'such as "192.0.2.1", "192.0.2.1:53" or "[2001:db8::1]:53"'
        )
    return host, int(port)


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # The last label of a name is not a number: 192.0.2 is a mistake.
        return _HOST.fullmatch(text) is not None and not text.rpartition(".")[2].isdecimal()
    return True
