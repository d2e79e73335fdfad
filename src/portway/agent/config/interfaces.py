"""The addresses of this host's network interfaces."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple, TypeAlias

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_SHARED = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598
# Documentation prefixes, to which no packet is sent: connecting a datagram socket sends none.
_FAR_AWAY = {4: (socket.AF_INET, "192.0.2.255"), 6: (socket.AF_INET6, "2001:db8::ffff")}


class Address(NamedTuple):
    """One address of an interface, with its network."""

    interface: str
    ip: Interface
    flags: frozenset[str]  # up, loopback, broadcast, multicast, pointopoint, running
    default: bool = False  # the interface has the default route


def is_private(ip: IP) -> bool:
    """Whether it belongs to a private network: RFC 6890, forwardable."""
    shared = isinstance(ip, ipaddress.IPv4Address) and ip in _SHARED
    return (ip.is_private or shared) and forwardable(ip)


def forwardable(ip: IP) -> bool:
    """Whether routers pass packets to it on."""
    return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified)


def default_address(version: int) -> IP | None:
    """The address this host speaks from on its default route; None if it has no such route."""
    family, target = _FAR_AWAY[version]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return ipaddress.ip_address(probe.getsockname()[0])
    except (OSError, ValueError):
        return None


def addresses() -> list[Address]:
    """Every address of every interface, in the order of the system."""
    import psutil

    states = psutil.net_if_stats()
    found: list[Address] = []
    for name, entries in psutil.net_if_addrs().items():
        flags = frozenset(states[name].flags.split(",")) if name in states else frozenset()
        found += [
            Address(name, _interface(entry.address, entry.netmask), flags)
            for entry in entries
            if entry.family in (socket.AF_INET, socket.AF_INET6)
        ]
    routed = {default_address(4), default_address(6)} - {None}
    defaults = {address.interface for address in found if address.ip.ip in routed}
    return [address._replace(default=address.interface in defaults) for address in found]


def _interface(address: str, netmask: str | None) -> Interface:
    plain = address.partition("%")[0]
    if not netmask:
        return ipaddress.ip_interface(plain)
    mask = ipaddress.ip_address(netmask)
    return ipaddress.ip_interface(f"{plain}/{int(mask).bit_count()}")
