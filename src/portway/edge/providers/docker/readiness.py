"""Readiness: which endpoints accept connections.

A gate stands before every endpoint of a container and opens when a TCP connect succeeds (or
at once, when the container's health check already said healthy). An open gate is left alone
while the Docker daemon tells of stops; while it is away, :meth:`Gates.watch` looks at every
gate a few times a second, so that endpoints leave and return without events.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

from portway.edge.providers.docker.address import Address

# How long a gate is probed at which pace: (until this age, pause), in seconds. A starting
# server is found within a few milliseconds, a hopeless one costs next to nothing.
PACE: Final = ((1.0, 0.005), (5.0, 0.01), (30.0, 0.03), (120.0, 0.1), (float("inf"), 1.0))
SPREAD: Final = 0.001  # seconds added per probed gate: at most about 1,000 probes a second
CONNECT_TIMEOUT: Final = 1.0
PARALLEL: Final = 256
WATCH_INTERVAL: Final = 0.25
WATCH_TIMEOUT: Final = 0.5
LINGER: Final = 0.05  # seconds in which Docker's proxy of a published port hangs up again
MISSES: Final = 2  # timeouts in a row that close an open gate; a refusal closes it at once


class Gate(NamedTuple):
    """An endpoint of one container."""

    container: str  # id
    address: Address


class Gates:
    """Probes endpoints and tells ``changed`` when one opens or closes.

    ``linger`` is how long a connection must last to count, in seconds. Docker's proxy takes
    connections to a published port whether or not the container does.
    """

    def __init__(self, changed: Callable[[Gate], None], linger: float = 0.0) -> None:
        self._changed = changed
        self._linger = linger
        self._open: set[Gate] = set()
        self._tasks: dict[Gate, asyncio.Task[None]] = {}
        self._tried: dict[Gate, asyncio.Event] = {}
        self._watching = False
        self._slots = asyncio.Semaphore(PARALLEL)

    def add(self, gate: Gate, opened: bool = False) -> None:
        """Begin to probe ``gate``, or take it as open when it is known to be."""
        if gate in self._tasks or (gate in self._open and not self._watching):
            return
        self._tried[gate] = tried = asyncio.Event()
        if opened:
            self._open.add(gate)
            tried.set()
        if not opened or self._watching:
            self._start(gate)

    def recheck(self, gate: Gate) -> None:
        """Probe an open gate once more; it closes if that fails, and until then stays open."""
        if gate in self._open:
            if task := self._tasks.pop(gate, None):
                task.cancel()
            self._start(gate, doubtful=True)

    def discard(self, gate: Gate) -> None:
        """Forget ``gate``; an open one does not report its closing."""
        self._open.discard(gate)
        self._tried.pop(gate, None)
        if task := self._tasks.pop(gate, None):
            task.cancel()

    def is_open(self, gate: Gate) -> bool:
        """Whether the endpoint takes connections, as far as is known."""
        return gate in self._open

    async def tried(self, seconds: float) -> None:
        """Wait until every gate was probed once, at most ``seconds``."""
        waits = [asyncio.ensure_future(event.wait()) for event in self._tried.values()]
        if waits:
            _, pending = await asyncio.wait(waits, timeout=seconds)
            for wait in pending:
                wait.cancel()

    def watch(self, on: bool) -> None:
        """Whether open gates are probed as well, because nobody reports stops."""
        if on == self._watching:
            return
        self._watching = on
        for gate in self._open - self._tasks.keys():
            self._start(gate)

    async def close(self) -> None:
        """Stop all probing."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, gate: Gate, *, doubtful: bool = False) -> None:
        self._tasks[gate] = asyncio.create_task(self._run(gate, doubtful))

    async def _run(self, gate: Gate, doubtful: bool) -> None:
        loop = asyncio.get_running_loop()
        if doubtful:
            async with self._slots:
                outcome = await connect(gate.address, CONNECT_TIMEOUT, self._linger)
            if outcome is not None:
                self._set(gate, False)
        while True:
            if gate not in self._open:
                await self._until_open(gate, loop.time())
                self._set(gate, True)
            if not self._watching:
                break
            await self._until_closed(gate)
        self._tasks.pop(gate, None)

    def _set(self, gate: Gate, opened: bool) -> None:
        if gate not in self._tasks:  # discarded while the probe was answered
            return
        if opened:
            self._open.add(gate)
        else:
            self._open.discard(gate)
        self._changed(gate)

    async def _until_open(self, gate: Gate, start: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._slots:
                outcome = await connect(gate.address, CONNECT_TIMEOUT, self._linger)
            if tried := self._tried.get(gate):
                tried.set()
            if outcome is None:
                return
            age = loop.time() - start
            pause = next(pause for limit, pause in PACE if age < limit)
            if self._watching:
                pause = min(pause, WATCH_INTERVAL)
            await asyncio.sleep(max(pause, SPREAD * (len(self._tasks) - len(self._open))))

    async def _until_closed(self, gate: Gate) -> None:
        misses = 0
        while True:
            await asyncio.sleep(max(WATCH_INTERVAL, SPREAD * len(self._tasks)))
            if not self._watching:
                return
            async with self._slots:
                outcome = await connect(gate.address, WATCH_TIMEOUT, self._linger)
            if outcome is None:
                misses = 0
                continue
            misses += 1
            # A server that is only slow must not be withdrawn: its backlog may be full.
            if misses >= MISSES or not isinstance(outcome, TimeoutError):
                self._set(gate, False)
                return


async def connect(
    address: Address, seconds: float, linger: float = 0.0
) -> OSError | TimeoutError | None:
    """Connect and hang up again; None when it worked, else why not.

    With ``linger``, the connection must not be closed by the peer for so many seconds.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            host, port = address
            if (family := _family(host)) is None:
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                family, host = found[0][0], str(found[0][4][0])
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setblocking(False)
                await loop.sock_connect(probe, (host, port))
                if linger and await _hangs_up(probe, linger):
                    return ConnectionResetError("closed at once")
    except (OSError, TimeoutError) as error:
        return error
    return None


async def _hangs_up(probe: socket.socket, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return not await asyncio.get_running_loop().sock_recv(probe, 1)
    except TimeoutError:
        return False


def _family(host: str) -> socket.AddressFamily | None:
    """The family of an address literal, None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family
    return None
