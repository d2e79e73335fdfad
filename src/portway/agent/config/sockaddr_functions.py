"""The functions of address templates: they choose, filter, sort and show addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from portway.agent.config.interfaces import Address, forwardable, is_private
from portway.config import nearest

_RFCS = {
    "1918": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    "3927": ("169.254.0.0/16",),
    "4193": ("fc00::/7",),
    "4291": ("::1/128", "fe80::/10", "ff00::/8"),
    "5735": ("127.0.0.0/8",),
    "6598": ("100.64.0.0/10",),
}

Addresses: TypeAlias = list[Address]


class TemplateError(ValueError):
    """A template that cannot be evaluated; the text says why."""


def _all(found: Addresses) -> Addresses:
    return found


def _default(found: Addresses) -> Addresses:
    return [address for address in found if address.default]


def _private(found: Addresses) -> Addresses:
    chosen = [a for a in found if is_private(a.ip.ip) and "up" in a.flags]
    return _sort(chosen, "default,type,size")


def _public(found: Addresses) -> Addresses:
    chosen = [
        a for a in found if forwardable(a.ip.ip) and not is_private(a.ip.ip) and "up" in a.flags
    ]
    return _sort(chosen, "default,type,size")


def _one(found: Addresses) -> str:
    return str(found[0].ip.ip) if found else ""


def _every(found: Addresses) -> str:
    return " ".join(str(address.ip.ip) for address in found)


def _of_interface(found: Addresses, name: str) -> Addresses:
    usable = [a for a in found if forwardable(a.ip.ip) or a.ip.is_loopback]
    exact = [address for address in usable if address.interface == name]
    return _sort(exact or _include(usable, "name", name), "type,size")


SOURCES: dict[str, Callable[[Addresses], Any]] = {
    "GetAllInterfaces": _all,
    "GetDefaultInterfaces": _default,
    "GetPrivateInterfaces": _private,
    "GetPublicInterfaces": _public,
    "GetPrivateIP": lambda found: _one(_private(found)),
    "GetPrivateIPs": lambda found: _every(_private(found)),
    "GetPublicIP": lambda found: _one(_public(found)),
    "GetPublicIPs": lambda found: _every(_public(found)),
}
LOOKUPS: dict[str, Callable[[Addresses, str], str]] = {
    "GetInterfaceIP": lambda found, name: _one(_of_interface(found, name)),
    "GetInterfaceIPs": lambda found, name: _every(_of_interface(found, name)),
}


def _include(found: Addresses, by: str, value: str) -> Addresses:
    return [address for address in found if _matches(address, by, value)]


def _exclude(found: Addresses, by: str, value: str) -> Addresses:
    return [address for address in found if not _matches(address, by, value)]


def _matches(address: Address, by: str, value: str) -> bool:
    ip = address.ip.ip
    if by in ("address", "name"):
        try:
            text = str(ip) if by == "address" else address.interface
            return re.search(value, text) is not None
        except re.error as error:
            raise TemplateError(f"{value!r} is not a regular expression: {error}") from None
    choices = [choice.strip() for choice in value.split("|")]
    if by in ("flag", "flags"):
        return all(_has_flag(address, choice) for choice in choices)
    if by == "network":
        return any(ip in network for network in _networks(choices) if network.version == ip.version)
    if by in ("rfc", "rfcs"):
        return any(_in_rfc(address, choice) for choice in choices)
    if by == "size":
        return str(address.ip.network.prefixlen) == value.removeprefix("/")
    if by == "type":
        kinds = {"ip", f"ipv{ip.version}"}
        return any(choice.lower() in kinds for choice in choices)
    known = ["address", "flags", "name", "network", "rfc", "size", "type"]
    raise TemplateError(f"addresses cannot be filtered by {by!r}{nearest(by, known)}")


def _networks(texts: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(text, strict=False) for text in texts]
    except ValueError as error:
        raise TemplateError(f"not a network: {error}") from None


def _in_rfc(address: Address, number: str) -> bool:
    ip = address.ip.ip
    if number == "6890":
        return ip.is_private or is_private(ip) or ip.is_link_local or ip.is_multicast
    if number not in _RFCS:
        raise TemplateError(f"RFC {number} is not known; valid: 6890, {', '.join(sorted(_RFCS))}")
    return any(
        ip in network for network in _networks(_RFCS[number]) if network.version == ip.version
    )


def _has_flag(address: Address, flag: str) -> bool:
    ip = address.ip.ip
    tests = {
        "broadcast": "broadcast" in address.flags,
        "down": "up" not in address.flags,
        "forwardable": forwardable(ip),
        "global unicast": forwardable(ip),
        "link-local unicast": ip.is_link_local,
        "loopback": ip.is_loopback,
        "multicast": "multicast" in address.flags,
        "point-to-point": "pointopoint" in address.flags,
        "unspecified": ip.is_unspecified,
        "up": "up" in address.flags,
    }
    if flag not in tests:
        raise TemplateError(f"flag {flag!r} is not known{nearest(flag, tests)}")
    return tests[flag]


_ORDERS: dict[str, Callable[[Address], Any]] = {
    "address": lambda a: (a.ip.version, int(a.ip.ip)),
    "default": lambda a: not a.default,
    "name": lambda a: a.interface,
    "private": lambda a: not is_private(a.ip.ip),
    "size": lambda a: -a.ip.network.num_addresses,
    "type": lambda a: a.ip.version,
}


def _sort(found: Addresses, keys: str) -> Addresses:
    ordered = list(found)
    for key in reversed(keys.split(",")):
        name = key.strip().lstrip("+-")
        if name not in _ORDERS:
            raise TemplateError(f"addresses cannot be sorted by {name!r}{nearest(name, _ORDERS)}")
        ordered.sort(key=_ORDERS[name], reverse=key.strip().startswith("-"))
    return ordered


def _unique(found: Addresses, by: str) -> Addresses:
    if by not in ("address", "name"):
        raise TemplateError(f"unique takes address or name, not {by!r}")
    return list({_attribute(address, by): address for address in reversed(found)}.values())[::-1]


def _limit(found: Addresses, count: str) -> Addresses:
    return found[: max(0, _integer("limit", count))]


def _offset(found: Addresses, count: str) -> Addresses:
    return found[_integer("offset", count) :]


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise TemplateError(f"{name} takes a whole number, not {text!r}") from None


def _math(found: Addresses, what: str, amount: str) -> Addresses:
    number = _integer("math", amount)
    return [address._replace(ip=_moved(address, what, number)) for address in found]


def _moved(address: Address, what: str, number: int) -> Any:
    ip, network = address.ip, address.ip.network
    if what == "address":
        moved = (int(ip.ip) + number) % (1 << ip.max_prefixlen)
    elif what == "network":
        start = int(network.network_address) if number >= 0 else int(network.broadcast_address)
        step = number if number >= 0 else number + 1
        first = int(network.network_address)
        moved = first + (start + step - first) % network.num_addresses
    elif what == "mask":
        if not 0 <= number <= ip.max_prefixlen:
            raise TemplateError(f"math mask {number} is not a length of a prefix")
        masked = ipaddress.ip_network(f"{ip.ip}/{number}", strict=False).network_address
        return type(ip)(f"{masked}/{min(number, network.prefixlen)}")
    else:
        raise TemplateError(f"math takes address, network or mask, not {what!r}")
    return type(ip)(f"{type(ip.ip)(moved)}/{network.prefixlen}")


_ATTRIBUTES: dict[str, Callable[[Address], Any]] = {
    "address": lambda a: a.ip.ip,
    "binary": lambda a: format(int(a.ip.ip), f"0{a.ip.max_prefixlen}b"),
    "broadcast": lambda a: a.ip.network.broadcast_address,
    "first_usable": lambda a: a.ip.network[min(1, a.ip.network.num_addresses - 1)],
    "hex": lambda a: format(int(a.ip.ip), f"0{a.ip.max_prefixlen // 4}x"),
    "host": lambda a: a.ip.ip,
    "last_usable": lambda a: a.ip.network[max(0, a.ip.network.num_addresses - 2)],
    "mask_bits": lambda a: a.ip.network.prefixlen,
    "name": lambda a: a.interface,
    "netmask": lambda a: a.ip.network.netmask,
    "network": lambda a: a.ip.network.network_address,
    "octets": lambda a: " ".join(map(str, a.ip.ip.packed)),
    "size": lambda a: a.ip.network.num_addresses,
    "string": lambda a: a.ip,
    "type": lambda a: f"IPv{a.ip.version}",
    "uint128": lambda a: int(a.ip.ip),
    "uint32": lambda a: int(a.ip.ip),
}


def _attribute(address: Address, name: str) -> str:
    if name not in _ATTRIBUTES:
        raise TemplateError(f"addresses have no attribute {name!r}{nearest(name, _ATTRIBUTES)}")
    return str(_ATTRIBUTES[name](address))


def _attr(found: Addresses, name: str) -> str:
    return _attribute(found[0], name) if found else ""


def _join(found: Addresses, name: str, separator: str) -> str:
    return separator.join(_attribute(address, name) for address in found)


FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "attr": (_attr, 1),
    "exclude": (_exclude, 2),
    "include": (_include, 2),
    "join": (_join, 2),
    "limit": (_limit, 1),
    "math": (_math, 2),
    "offset": (_offset, 1),
    "sort": (_sort, 1),
    "unique": (_unique, 1),
}
