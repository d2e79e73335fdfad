"""The DNS interface's listeners: UDP and TCP on every address."""

from __future__ import annotations

from collections.abc import Sequence

from portway.discovery.dns.answers import Answers
from portway.discovery.dns.settings import DnsSettings
from portway.discovery.dns.tcp import TcpListener, listen_tcp
from portway.discovery.dns.udp import UdpListener

_TRIES = 16  # to find a port that is free for both transports


class Listener:
    """A running DNS interface."""

    def __init__(self, answers: Answers, sockets: Sequence[UdpListener | TcpListener]) -> None:
        self._answers = answers
        self._sockets = sockets
        self.ports = [one.port for one in sockets if isinstance(one, UdpListener)]
        """The port of each address, in their order; UDP and TCP have the same."""

    def reload(self, settings: DnsSettings) -> None:
        """Answer by other settings from the next question on."""
        self._answers.reload(settings)

    async def stop(self) -> None:
        """Close all sockets; questions that wait for recursors stay without an answer."""
        for one in self._sockets:
            await one.stop()


async def serve_dns(
    addresses: Sequence[tuple[str, int]], answers: Answers, settings: DnsSettings | None = None
) -> Listener:
    """Answer on addresses (IP, port; 0 picks one). Raises OSError, with nothing left listening."""
    if settings is not None:
        answers.reload(settings)
    sockets: list[UdpListener | TcpListener] = []
    try:
        for address in addresses:
            sockets += await _listen(address, answers)
    except OSError:
        for one in sockets:
            await one.stop()
        raise
    return Listener(answers, sockets)


async def _listen(address: tuple[str, int], answers: Answers) -> tuple[UdpListener, TcpListener]:
    host, port = address
    for left in reversed(range(1 if port else _TRIES)):
        udp = UdpListener(address, answers)
        try:
            return udp, await listen_tcp((host, udp.port), answers)
        except OSError:
            await udp.stop()
            if not left:
                raise
    raise AssertionError("unreachable")
