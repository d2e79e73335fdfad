"""Addresses of services that cannot be right, found before anything is registered."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from portway.cli.command import Wrong

_MOST_COLONS = 7  # of an address of IPv6
_MOST_DOTS = 3  # of one of IPv4


def check_flags(definition: Mapping[str, Any]) -> None:
    """Raise Wrong if the addresses that flags gave a service are wrong."""
    _check(
        definition.get("Address", ""),
        "Invalid Service address when using CLI flags. Use -port flag instead",
        port=False,
    )
    for label, tagged in (definition.get("TaggedAddresses") or {}).items():
        about = f"Invalid Tagged address for tagged address '{label}'"
        _check(tagged["Address"], about, port=True)


def check_file(definition: Mapping[str, Any]) -> None:
    """Raise Wrong if the addresses of a service of a file are wrong."""
    name = definition.get("name", "")
    about = f"Invalid Service address for service '{name}'. Use port field instead"
    _check(definition.get("address", ""), about, port=False)
    for label, tagged in (definition.get("tagged_addresses") or {}).items():
        about = f"Invalid Tagged address for tagged address '{label}' in service '{name}'"
        _check(tagged.get("address", ""), about, port=True)


def _check(address: str, about: str, *, port: bool) -> None:
    host, number = _split(address)
    if reason := _wrong(address if host is None else host):
        raise Wrong(f"{about}: {reason}")
    if number and not port:
        raise Wrong(f"{about}: address should not contain port")


def _split(address: str) -> tuple[str | None, str]:
    """Host and port of ``host:port`` or ``[host]:port``; no host if it is neither."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return None, ""
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return (None, "") if ":" in host or "[" in host or "]" in address else (host, port)


def _wrong(host: str) -> str:
    """What is wrong with a host, which may be a name; empty if nothing is."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if _meant_as_address(host):
            return f"malformed IP address: {host}"
        return "address cannot be empty" if host and not host.strip() else ""
    return ""


def _meant_as_address(host: str) -> bool:
    if ".." in host or ":::" in host or host.count("::") > 1 or host.count(":") > _MOST_COLONS:
        return True
    numbers = sum(part.isascii() and part.isdigit() for part in host.split("."))
    return host.count(".") > _MOST_DOTS and numbers > _MOST_DOTS - 1
