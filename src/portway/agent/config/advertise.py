"""The addresses an agent tells others."""

from __future__ import annotations

import ipaddress

from portway.agent.config.address import evaluated, ip_of, single
from portway.agent.config.error import Findings
from portway.agent.config.interfaces import IP, addresses, default_address, is_private
from portway.agent.config.settings import Settings

_KEYS = (
    "advertise_addr",
    "advertise_addr_ipv4",
    "advertise_addr_ipv6",
    "advertise_addr_wan",
    "advertise_addr_wan_ipv4",
    "advertise_addr_wan_ipv6",
)


def advertised(settings: Settings, bind: str, found: Findings) -> tuple[str, str, dict[str, str]]:
    """The addresses others are told: in the datacenter, between datacenters, by tag."""
    given = {key: single(key, getattr(settings, key), found) for key in _KEYS}
    for key, address in given.items():
        title = "Advertise WAN address" if "wan" in key else "Advertise address"
        if address and ipaddress.ip_address(address).is_unspecified:
            found.problems.append(f"{title} cannot be 0.0.0.0, :: or [::]")
        if address and not _of_family(key, address):
            found.problems.append(f"{key}: {address!r} is not an {key[-4:]} address")
    lan = given["advertise_addr"] or given["advertise_addr_ipv4"] or given["advertise_addr_ipv6"]
    lan = lan or _reachable(bind, found)
    wan = given["advertise_addr_wan"] or given["advertise_addr_wan_ipv4"]
    wan = wan or given["advertise_addr_wan_ipv6"] or lan
    tagged = {"lan": lan, "wan": wan}
    for tag, address in (("lan", lan), ("wan", wan)):
        tagged[f"{tag}_ipv{ipaddress.ip_address(address).version}"] = address
    for tag, key in (("lan", "advertise_addr"), ("wan", "advertise_addr_wan")):
        for family in ("ipv4", "ipv6"):
            if given[f"{key}_{family}"]:
                tagged[f"{tag}_{family}"] = given[f"{key}_{family}"]
    for tag, text in settings.tagged_addresses.items():
        key = f"tagged_addresses[{tag}]"
        address = evaluated(key, text, found)
        if not _of_family(tag, address):
            found.problems.append(f"{key}: {address!r} is not an {tag[-4:]} address")
        tagged[tag] = address
    return lan, wan, tagged


def _of_family(name: str, address: str) -> bool:
    """Whether an address is of the family that the end of a key's name tells, if it does."""
    if not name.endswith(("_ipv4", "_ipv6")):
        return True
    ip = ip_of(address)
    return ip is not None and str(ip.version) == name[-1]


def _reachable(bind: str, found: Findings) -> str:
    """The address to tell others when only the bound address is known.

    Of an unspecified one: the address of the default route if it is private; else the private
    one there is, as Consul takes it; else, as a guess that is told, the next best.
    """
    bound = ipaddress.ip_address(bind)
    if not bound.is_unspecified:
        return bind
    routed = default_address(bound.version)
    if routed is not None and is_private(routed):
        return str(routed)
    private = sorted(
        {
            address.ip.ip
            for address in addresses()
            if address.ip.version == bound.version
            and is_private(address.ip.ip)
            and "running" in address.flags
        },
        key=int,
    )
    if len(private) == 1:
        return str(private[0])
    if private:
        why = "Multiple private addresses found"
        chosen: IP = private[0]
    elif routed is not None:
        why, chosen = "No private address found", routed
    else:
        why = "No address found but those of loopback"
        chosen = ipaddress.ip_address("127.0.0.1" if bound.version == 4 else "::1")
    found.warnings.append(
        f"{why}; {chosen} is advertised. Configure one with 'bind_addr' and/or 'advertise_addr'."
    )
    return str(chosen)
