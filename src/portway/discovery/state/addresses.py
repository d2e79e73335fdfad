"""Which nodes or services have an address: reverse lookups without a walk over the catalog."""

from __future__ import annotations

import ipaddress


class Addresses:
    """Keys by IP address. Addresses are compared by value: ``::1`` is ``0:0:0:0:0:0:0:1``."""

    def __init__(self) -> None:
        self._keys: dict[str, set[str]] = {}

    def move(self, key: str, old: str, new: str) -> None:
        """Take note that the address of ``key`` was ``old`` and is ``new``; empty is none."""
        if old == new:
            return
        if old:
            before = _normal(old)
            keys = self._keys.get(before, set())
            keys.discard(key)
            if not keys:
                self._keys.pop(before, None)
        if new:
            self._keys.setdefault(_normal(new), set()).add(key)

    def at(self, address: str) -> list[str]:
        """The keys at an address, in order."""
        return sorted(self._keys.get(_normal(address), ()))


def _normal(address: str) -> str:
    # Most addresses are IPv4, which has one form only.
    if ":" not in address:
        return address
    try:
        return ipaddress.ip_address(address).compressed
    except ValueError:
        return address
