"""Ports for what the tests start."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket

# Below those that the system gives to connections, which could take one before it is used, and
# above those that an agent gives to sidecars, which recordings would take for ports of the test.
_RANGE = range(22000, 32000)
_CANDIDATES = itertools.cycle(random.sample(_RANGE, len(_RANGE)))


def free_port() -> int:
    """A port that nobody listens on, for TCP and UDP; no two calls give the same one.

    Raises RuntimeError if there is none.
    """
    for port in itertools.islice(_CANDIDATES, len(_RANGE)):
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        with tcp, udp, contextlib.suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def free_ports(number: int) -> list[int]:
    """As many of them."""
    return [free_port() for _ in range(number)]
