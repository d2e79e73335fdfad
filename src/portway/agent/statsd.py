"""Metrics by UDP to statsd or DogStatsD.

The keys are ``telemetry.statsd_address`` and ``telemetry.dogstatsd_addr``.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from portway.agent.telemetry import Labels

_DEFAULT_PORT = 8125
_KINDS = {"counter": "c", "gauge": "g", "sample": "ms"}


class Statsd:
    """Sends each count and timing as it happens; ``tags`` (DogStatsD) carry the labels."""

    def __init__(self, address: str, *, dog: bool = False, tags: Sequence[str] = ()) -> None:
        """``address`` is ``host:port``. Raises OSError when the host is not known."""
        host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
        self._dog = dog
        self._tags = tuple(tags)
        family, kind, _, _, where = socket.getaddrinfo(
            host or "127.0.0.1", int(port or _DEFAULT_PORT), type=socket.SOCK_DGRAM
        )[0]
        self._socket = socket.socket(family, kind)
        self._socket.setblocking(False)
        self._where = where

    def send(self, kind: str, name: str, value: float, labels: Labels) -> None:
        """One measurement: ``kind`` is ``counter``, ``gauge`` or ``sample`` (milliseconds)."""
        if self._dog:
            tags = [*self._tags, *(f"{key}:{text}" for key, text in labels)]
            suffix = f"|#{','.join(tags)}" if tags else ""
        else:
            name = ".".join([name, *(text for _, text in labels)])
            suffix = ""
        line = f"{name}:{value:f}|{_KINDS[kind]}{suffix}"
        try:
            self._socket.sendto(line.encode(), self._where)
        except OSError:
            return  # statsd promises nothing, and neither do we when nobody listens

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()
