"""Where an entry point listens: ``[host]:port[/tcp|/udp]``."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, NamedTuple

_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class Address(NamedTuple):
    """``host`` is an IP address without brackets, a host name, or empty for all addresses."""

    host: str
    port: int
    protocol: Literal["tcp", "udp"] = "tcp"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises ValueError with a message that says what would be valid."""
        address, slash, protocol = text.partition("/")
        protocol = protocol.lower() if slash else "tcp"
        if protocol not in ("tcp", "udp"):
            raise ValueError(f"invalid protocol: {text.partition('/')[2]}; write /tcp or /udp")
        host, colon, port = address.rpartition(":")
        if not colon or (host and not _host(host)):
            raise ValueError(f"{text!r} is not an address; write [host]:port, such as :80")
        if not (port.isascii() and port.isdigit()) or int(port[:9]) > 65535:
            raise ValueError(f"{port!r} is not a port; write a number from 0 to 65535")
        return cls(host.strip("[]"), int(port), "udp" if protocol == "udp" else "tcp")

    @property
    def unspecified(self) -> bool:
        """Whether it listens on every address of the machine."""
        try:
            return self.host == "" or ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + ("/udp" if self.protocol == "udp" else "")

    def clashes(self, other: Address) -> bool:
        """Whether the system would refuse to listen on both."""
        return (
            self.port == other.port != 0
            and self.protocol == other.protocol
            and (self.host == other.host or self.unspecified or other.unspecified)
        )


def _host(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        try:
            ipaddress.IPv6Address(text[1:-1])
        except ValueError:
            return False
        return True
    return _HOST.fullmatch(text) is not None
