"""The Docker provider: containers' labels and states become routers and services.

One container's event costs one inspect call at most (none for a stop) and touches only the
objects that the container contributes to.

A container's life as seen here:

* ``start``: inspected; its endpoints join when they accept connections.
* ``health_status``: inspected again; ``healthy`` joins at once, others leave.
* ``kill`` with its stop signal, SIGKILL, SIGTERM or SIGINT: its endpoints leave at once. If
  it runs on after its stop timeout and :data:`IGNORED_SIGNAL_AFTER`, it ignored the signal
  and joins again as soon as it accepts. Other signals change nothing.
* ``pause``: its endpoints leave, ``unpause`` brings them back.
* ``die``, ``destroy``: everything it contributed goes (``allownonrunning`` keeps the objects).

While the daemon is away, the last good objects keep serving, every endpoint is watched by
connecting to it, and reconnecting is tried at least once a second.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec
import structlog

from portway.edge.providers.docker import constraints
from portway.edge.providers.docker.address import AddressRules
from portway.edge.providers.docker.client import (
    Daemon,
    DaemonError,
    Endpoint,
    EndpointError,
    Event,
    Listed,
    TLSFiles,
)
from portway.edge.providers.docker.container import Container, parse_signal
from portway.edge.providers.docker.contribution import Rules, wanted
from portway.edge.providers.docker.inventory import Inventory
from portway.edge.providers.docker.labelling import read_labels
from portway.edge.providers.provider import Emit
from portway.edge.providers.template import Template, TemplateError
from portway.edge.static import Docker

log = structlog.get_logger(__name__)

BACKOFF: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)  # seconds between attempts to reconnect
FIRST_REPORT: Final = 10.0  # seconds until the first report while the daemon answers
FIRST_REPORT_ABSENT: Final = 3.0  # and while it does not
FIRST_PROBES: Final = 1.5  # seconds the first report waits for an answer of every endpoint
SECOND_LOOK: Final = 1.0  # seconds after subscribing: events may begin after the confirmation
AUDIT: Final = 30.0  # seconds between comparisons with the daemon's own list
PARALLEL_INSPECTS: Final = 16
INSPECT_ATTEMPTS: Final = 3
IGNORED_SIGNAL_AFTER: Final = 20.0  # seconds after the stop timeout

# Events after which a container is inspected again; the others need no look at it.
_INSPECT_ON = frozenset(("start", "rename", "update", "stop", "health_status"))
_NETWORK = ("network connect", "network disconnect")
_GONE_ON = frozenset(("die", "died", "destroy", "remove"))
_HOST_NAMES = ("host.docker.internal", "host.containers.internal")


class DockerProvider:
    """Reports what the containers of one Docker daemon describe."""

    def __init__(self, options: Docker, name: str = "docker") -> None:
        self.name = name
        self._options = options
        self._inventory = _inventory(options, name)
        self._daemon: Daemon | None = None
        self._answering = asyncio.Event()
        self._synced = asyncio.Event()
        self._slots = asyncio.Semaphore(PARALLEL_INSPECTS)
        self._versions: dict[str, int] = {}  # of containers; answers to older ones are stale
        self._inspecting: dict[str, asyncio.Task[None]] = {}
        self._failed: set[str] = set()  # containers whose inspection failed
        self._guests: dict[str, set[str]] = {}  # ids of those in a container's network, by its id
        self._host_found = False
        # When a container that got its stop signal has ignored it, in the loop's time; and the
        # signals that came before the container was known.
        self._patience: dict[str, float] = {}
        self._early: dict[str, Event] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def run(self, emit: Emit) -> None:
        """Watch the daemon until cancelled; reports whatever changes."""
        first = asyncio.create_task(self._first_report(emit))
        try:
            await self._stay_connected()
        finally:
            for timer in self._timers.values():
                timer.cancel()
            tasks = [first, *self._inspecting.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._inventory.close()

    async def _first_report(self, emit: Emit) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_REPORT):
                with suppress(TimeoutError):
                    async with asyncio.timeout(FIRST_REPORT_ABSENT):
                        await self._answering.wait()
                if self._answering.is_set():
                    await self._synced.wait()
        await self._inventory.gates.tried(FIRST_PROBES)
        self._inventory.begin(emit)

    # ---- the connection

    async def _stay_connected(self) -> None:
        attempt = 0
        endpoint = _endpoint(self._options)
        while True:
            try:
                daemon = await Daemon.connect(endpoint)
            except EndpointError as error:
                text = f"providers.{self.name}.endpoint: {error}"
                self._inventory.set_problems("daemon", (text,))
                self._answering.set()
                self._synced.set()
                await asyncio.Event().wait()  # no retry can mend a wrong endpoint
                return
            except DaemonError as error:
                self._lost(error)
            else:
                attempt = 0
                try:
                    await self._follow(daemon)
                except DaemonError as error:
                    self._lost(error)
                finally:
                    self._daemon = None
                    await daemon.close()
            await asyncio.sleep(BACKOFF[min(attempt, len(BACKOFF) - 1)])
            attempt += 1

    def _lost(self, error: DaemonError) -> None:
        self._inventory.gates.watch(True)
        if self._inventory.has_problem("daemon"):
            return
        url = self._options.endpoint
        log.warning("Docker daemon unreachable", endpoint=url, reason=str(error))
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"Docker daemon unreachable since {since}: {url}: {error}"
        self._inventory.set_problems("daemon", (text,))

    async def _follow(self, daemon: Daemon) -> None:
        """Be true to the daemon until it is lost. Raises DaemonError then."""
        self._daemon = daemon
        self._answering.set()
        async with daemon.events() as events:
            # Events count from the first moment on: a stop must not wait for the first look.
            tasks = [asyncio.create_task(self._stay_true(daemon))]
            if self._options.watch:
                tasks.append(asyncio.create_task(self._consume(events)))
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _stay_true(self, daemon: Daemon) -> None:
        await self._compare(daemon, every=True)
        self._inventory.gates.watch(False)
        if self._inventory.has_problem("daemon"):
            log.info("Docker daemon reachable again", endpoint=self._options.endpoint)
        self._inventory.set_problems("daemon", ())
        self._synced.set()
        pause = SECOND_LOOK
        while self._options.watch:
            await asyncio.sleep(pause)
            await self._compare(daemon, every=False)
            pause = AUDIT
        await asyncio.Event().wait()

    async def _compare(self, daemon: Daemon, every: bool) -> None:
        """Compare with the daemon's list; inspect ``every`` container or only the strangers."""
        before = dict(self._versions)
        listed = await daemon.list()
        existing = {c.id for c in listed}
        known = self._inventory.containers
        self._inventory.keep_only(existing)
        self._failed &= existing
        for container in self._versions.keys() - existing - known.keys():
            del self._versions[container]
        candidates = {c.id for c in listed if self._is_candidate(c)}
        for container in known.keys() - candidates:
            # What an event said since is newer than the list.
            if self._versions.get(container) == before.get(container):
                self._inventory.remove(container)
        looks = [
            self._refresh(container)
            for container in candidates
            if every
            or container in self._failed
            or not (container in known or container in self._inspecting)
        ]
        await asyncio.gather(*looks, return_exceptions=True)

    def _is_candidate(self, listed: Listed) -> bool:
        labelled = self._inventory.labelled(listed.id, listed.labels)
        reason = wanted(labelled, listed.labels, self._inventory.rules)
        if not reason and not listed.alive and not labelled.allow_non_running:
            reason = "not running"
        if reason:
            problems = labelled.about(listed.name, labelled.enable_problems)
            self._inventory.note_skipped(listed.id, listed.name, reason, problems)
        return not reason

    # ---- events

    async def _consume(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self._inventory.guarded(event.container, partial(self._on_event, event))

    def _on_event(self, event: Event) -> None:
        match event.action:
            case "kill":
                self._on_kill(event)
            case "pause":
                self._set_status(event.container, "paused")
            case "unpause":
                self._set_status(event.container, "running")
            case action if action in _GONE_ON:
                self._on_gone(event.container, destroyed=action in ("destroy", "remove"))
            case "create" if read_labels(event.attributes).allow_non_running:
                self._refresh(event.container)
            case action if action in _INSPECT_ON or action in _NETWORK:
                self._on_news(event)

    def _on_kill(self, event: Event) -> None:
        known = self._inventory.containers.get(event.container)
        if known is None:
            self._early[event.container] = event
            return
        number = parse_signal(event.attributes.get("signal"))
        if known.stopping or not (number is None or known.container.stops_on(number)):
            return
        self._inventory.stop(event.container)
        loop = asyncio.get_running_loop()
        grace = known.container.stop_timeout + IGNORED_SIGNAL_AFTER
        self._patience[event.container] = loop.time() + grace
        self._timers[event.container] = loop.call_later(grace, self._refresh, event.container)

    def _set_status(self, container: str, status: str) -> None:
        if known := self._inventory.containers.get(container):
            self._advance(container)
            self._inventory.put(msgspec.structs.replace(known.container, status=status))

    def _on_gone(self, container: str, destroyed: bool) -> None:
        self._advance(container)
        self._end_patience(container)
        known = self._inventory.containers.get(container)
        if destroyed:
            self._inventory.forget(container)
            self._versions.pop(container, None)
            self._guests.pop(container, None)
        elif (
            known and self._inventory.labelled(container, known.container.labels).allow_non_running
        ):
            self._inventory.put(msgspec.structs.replace(known.container, status="exited"))
        else:
            self._inventory.remove(container)

    def _on_news(self, event: Event) -> None:
        container, action = event.container, event.action
        if action == "start":
            self._end_patience(container)
        for guest in self._guests.get(container, ()):
            self._refresh(guest)
        known = container in self._inventory.containers
        # Docker disconnects networks and says "stop" after the death: nothing to see then.
        if not known and (action in _NETWORK or action == "stop"):
            return
        labels = (name.lower() for name in event.attributes)
        said = any(name in ("traefik.enable", "portway.enable") for name in labels)
        if known or said or self._inventory.rules.exposed_by_default:
            self._refresh(container)

    def _end_patience(self, container: str) -> None:
        self._early.pop(container, None)
        self._patience.pop(container, None)
        if timer := self._timers.pop(container, None):
            timer.cancel()

    # ---- looking at containers

    def _advance(self, container: str) -> int:
        """Make an inspection under way worthless; returns the version to inspect next."""
        if task := self._inspecting.pop(container, None):
            task.cancel()
        version = self._versions[container] = self._versions.get(container, 0) + 1
        return version

    def _refresh(self, container: str) -> asyncio.Task[None]:
        """Inspect a container and take over what it says."""
        version = self._advance(container)
        task = asyncio.create_task(self._inspect(container, version))
        self._inspecting[container] = task
        return task

    async def _inspect(self, container: str, version: int) -> None:
        try:
            found = await self._ask(container)
            if found is not None:
                await self._learn_surroundings(found)
        except DaemonError as error:
            self._failed.add(container)
            log.warning("container cannot be inspected", container=container, reason=str(error))
            return
        finally:
            if self._inspecting.get(container) is asyncio.current_task():
                del self._inspecting[container]
        if self._versions.get(container) != version:
            return
        self._failed.discard(container)
        if found is None:
            self._end_patience(container)
            self._inventory.forget(container)
        else:
            self._inventory.guarded(container, partial(self._take, found))

    def _take(self, found: Container) -> None:
        self._inventory.put(found)
        if found.id not in self._inventory.containers or not found.running:
            return
        if early := self._early.pop(found.id, None):
            self._on_kill(early)
        elif self._patience.get(found.id, float("inf")) <= asyncio.get_running_loop().time():
            log.warning("container ignored its stop signal", container=found.name)
            self._end_patience(found.id)
            self._inventory.resume(found.id)

    async def _ask(self, container: str) -> Container | None:
        for attempt in range(INSPECT_ATTEMPTS):
            if self._daemon is None:
                raise DaemonError("not connected")
            try:
                async with self._slots:
                    return await self._daemon.inspect(container)
            except DaemonError:
                if attempt == INSPECT_ATTEMPTS - 1:
                    raise
            await asyncio.sleep(BACKOFF[attempt])
        return None

    async def _learn_surroundings(self, found: Container) -> None:
        """Find what the address of a container in another one's or the host's network needs."""
        inventory = self._inventory
        if found.network_mode.startswith("container:"):
            name = found.network_mode.removeprefix("container:")
            if host := await self._ask(name):
                inventory.hosts[name] = host
                self._guests.setdefault(host.id, set()).add(found.id)
        elif found.network_mode == "host" and not self._host_found:
            self._host_found = True
            addresses = inventory.rules.addresses._replace(host_address=await _find_host())
            inventory.rules = inventory.rules._replace(addresses=addresses)


def _inventory(options: Docker, name: str) -> Inventory:
    """An empty inventory with the rules of the options; options that are wrong are problems."""
    problems: dict[str, str] = {}
    rule: Template | str
    try:
        rule = Template(options.default_rule)
    except TemplateError as error:
        rule = str(error)
        problems["defaultRule"] = str(error)
    try:
        constraint = constraints.parse(options.constraints)
    except constraints.ConstraintError as error:
        constraint = _nobody
        problems["constraints"] = f"{error}; no container is used"
    rules = Rules(
        default_rule=rule,
        exposed_by_default=options.exposed_by_default,
        constraint=constraint,
        allow_empty_services=options.allow_empty_services,
        addresses=AddressRules(options.network, options.use_bind_port_ip),
    )
    inventory = Inventory(name, rules)
    for option, problem in problems.items():
        inventory.set_problems(option, (f"providers.{name}.{option}: {problem}",))
    return inventory


def _nobody(_: object) -> bool:
    return False


def _endpoint(options: Docker) -> Endpoint:
    tls = options.tls
    return Endpoint(
        url=options.endpoint,
        username=options.username,
        password=options.password,
        timeout=options.http_client_timeout,
        tls=TLSFiles(tls.ca, tls.cert, tls.key, tls.insecure_skip_verify) if tls else None,
    )


async def _find_host() -> str:
    """The Docker host as seen from here: by name inside a container, else this machine."""
    loop = asyncio.get_running_loop()
    for name in _HOST_NAMES:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
                return str(found[0][4][0])
    return "127.0.0.1"
