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
        address = ipaddress.ip_address(text)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).packed
    except ValueError:
        labels = labels_of(text)
        return labels if is_name(labels) else ()


def host_address(node: Node, kind: int) -> Address:
    """The address of a node; ``lan_ipv4`` and ``lan_ipv6`` come first for who can use them."""
    return _preferred(node.address, kind, node.tagged_addresses or {})


def service_address(instance: Instance, kind: int, asked: Labels) -> tuple[Address, bool]:
    """The address of an instance: its own, else the node's; and whether the node's name has it.

    A service whose address is the very name that is ``asked`` for is found at its node.
    """
    service, node = instance.service, instance.node
    if service.address or service.tagged_addresses:
        tagged = {key: value.address for key, value in (service.tagged_addresses or {}).items()}
        address = _preferred(service.address, kind, tagged)
        itself = isinstance(address, tuple) and tuple(map(bytes.lower, address)) == asked
        if address and not itself:
            return address, False
    address = host_address(node, kind)
    return address, address == read_address(node.address)


def _preferred(text: str, kind: int, tagged: dict[str, str]) -> Address:
    if kind != A and tagged.get("lan_ipv6"):
        return read_address(tagged["lan_ipv6"])
    if kind != AAAA and tagged.get("lan_ipv4"):
        return read_address(tagged["lan_ipv4"])
    return read_address(text)
