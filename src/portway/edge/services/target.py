"""Server URLs: what ``http://10.0.0.3:8080/base`` means to a load balancer."""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from typing import Literal, NamedTuple, cast
from urllib.parse import urlsplit

Scheme = Literal["http", "https", "h2c"]

_PORTS: dict[str, int] = {"http": 80, "https": 443, "h2c": 80}


class Target(NamedTuple):
    """A server's URL taken apart."""

    scheme: Scheme
    host: str  # an IP address without brackets, or a host name
    port: int
    authority: str  # host and port as written: the Host header when the client's is not passed
    path: str
    is_address: bool  # host is an IP address


@lru_cache(maxsize=65_536)
def parse(url: str) -> Target:
    """Read a server URL.

    Raises ValueError with a message that says what would be valid.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"server url {url!r}: {error}; {_HINT}") from error
    if parts.scheme not in _PORTS:
        if "://" in url:
            said = f"the scheme {parts.scheme!r} is not one of http, https, h2c"
        else:
            said = "the scheme is missing"
        raise ValueError(f"server url {url!r}: {said}; {_HINT}")
    if not parts.hostname:
        raise ValueError(f"server url {url!r}: the host is missing; {_HINT}")
    if not is_address(parts.hostname) and not _HOST.fullmatch(parts.hostname):
        said = f"{parts.hostname!r} is not a host name or address"
        raise ValueError(f"server url {url!r}: {said}; {_HINT}")
    if port == 0:
        raise ValueError(f"server url {url!r}: port 0 cannot be connected to; {_HINT}")
    return Target(
        cast(Scheme, parts.scheme),
        parts.hostname,
        port or _PORTS[parts.scheme],
        parts.netloc.rpartition("@")[2],
        parts.path,
        is_address(parts.hostname),
    )


# The characters of a registered name that need no encoding (RFC 3986 section 3.2.2).
_HOST = re.compile(r"[a-zA-Z0-9\-._~!$&'()*+,;=]+")
_HINT = "write it as http://10.0.0.3:8080"


def is_address(host: str) -> bool:
    """Whether ``host`` is an IPv4 or IPv6 address rather than a name."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True
