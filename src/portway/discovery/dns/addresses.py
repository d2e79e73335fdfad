"""Addresses of services and nodes, as a question of some type wants them."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from portway.discovery.dns.records import AAAA, A, is_name
from portway.discovery.dns.settings import Labels, labels_of
from portway.discovery.model import Node
from portway.discovery.state import Instance

Address = bytes | Labels
"""An IP address of 4 or 16 bytes, or a name; empty is none."""


@lru_cache(8192)
def read_address(text: str) -> Address:
    """An address of the catalog; empty when it is neither an IP address nor a name."""
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        labels = labels_of(text)
        return labels if is_name(labels) else ()


def host_address(node: Node, kind: int) -> Address:
    """The address of a node; ``lan_ipv4`` and ``lan_ipv6`` serve who asks for that family."""
    return _of_family(node.address, kind, node.tagged_addresses or {})


def service_address(instance: Instance, kind: int, asked: Labels) -> Address:
    """The address of an instance: its own, else the node's.

    A service whose address is the very name that is ``asked`` for is found at its node.
    """
    service = instance.service
    if not service.address:
        return host_address(instance.node, kind)
    tagged = {key: value.address for key, value in (service.tagged_addresses or {}).items()}
    address = _of_family(service.address, kind, tagged)
    if isinstance(address, tuple) and tuple(label.lower() for label in address) == asked:
        return host_address(instance.node, kind)
    return address


def _of_family(text: str, kind: int, tagged: dict[str, str]) -> Address:
    address = read_address(text)
    if isinstance(address, bytes) and kind in (A, AAAA):
        wanted, key = (4, "lan_ipv4") if kind == A else (16, "lan_ipv6")
        if len(address) != wanted and key in tagged:
            other = read_address(tagged[key])
            if isinstance(other, bytes):
                return other
    return address
