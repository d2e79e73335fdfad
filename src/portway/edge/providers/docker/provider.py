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
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
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
from portway.edge.providers.docker.contribution import Contribution, Rules, contribute, wanted
from portway.edge.providers.docker.labelling import Labelled, read_labels
from portway.edge.providers.docker.merge import Contributor, Index, Ref, merge
from portway.edge.providers.docker.readiness import LINGER, Gate, Gates
from portway.edge.providers.provider import Change, Emit, Report
from portway.edge.providers.template import Template, TemplateError
from portway.edge.static import Docker

log = structlog.get_logger(__name__)

BACKOFF: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)  # seconds between attempts to reconnect
FIRST_REPORT: Final = 10.0  # seconds until the first report while the daemon answers
FIRST_REPORT_ABSENT: Final = 3.0  # and while it does not
FIRST_PROBES: Final = 0.5  # seconds the first report waits for endpoints to accept
AUDIT: Final = 30.0  # seconds between comparisons with the daemon's own list
PARALLEL_INSPECTS: Final = 16
SECOND_LOOK: Final = 1.0  # seconds after subscribing: events may begin after the confirmation
INSPECT_ATTEMPTS: Final = 3
IGNORED_SIGNAL_AFTER: Final = 20.0  # seconds after the stop timeout
SILENT_AFTER: Final = 5.0  # seconds without an accepting endpoint that make it a problem
MAX_PROBLEMS: Final = 100

# Events after which a container is inspected again; the others need no look at it.
_INSPECT_ON = frozenset(
    (
        *("start", "rename", "update", "stop", "health_status"),
        *("network connect", "network disconnect"),
    )
)
_GONE_ON = frozenset(("die", "died", "destroy", "remove"))
_HOST_NAMES = ("host.docker.internal", "host.containers.internal")


class _Known(msgspec.Struct):
    """What is known of one container."""

    container: Container
    contribution: Contribution
    gates: frozenset[Gate] = frozenset()
    order: tuple[str, str] = ("", "")  # sorts the containers of one object
    # Its stop signal was seen, and no start since: until when it is given time to end, in the
    # event loop's time. If it runs on then, it ignored the signal.
    stopping_until: float | None = None


class DockerProvider:
    """Reports what the containers of one Docker daemon describe."""

    def __init__(self, options: Docker, name: str = "docker") -> None:
        self.name = name
        self._options = options
        self._problems: dict[object, tuple[str, ...]] = {}
        self._shown: list[str] = []
        self._rules = self._make_rules(options)
        self._index = Index()
        self._known: dict[str, _Known] = {}
        self._hosts: dict[str, Container] = {}  # whose network others share, by id
        self._guests: dict[str, set[str]] = {}  # the ids of those, by id of the host
        self._reported: dict[Ref, Change] = {}
        self._versions: dict[str, int] = {}  # of containers; answers to older ones are stale
        self._inspecting: dict[str, asyncio.Task[None]] = {}
        self._failed: set[str] = set()  # containers whose inspection failed
        self._timers: dict[object, asyncio.TimerHandle] = {}
        self._skipped: dict[str, str] = {}
        self._labels: dict[str, tuple[Mapping[str, str], Labelled]] = {}
        self._slots = asyncio.Semaphore(PARALLEL_INSPECTS)
        self._gates = Gates(self._gate_changed, LINGER if options.use_bind_port_ip else 0.0)
        self._daemon: Daemon | None = None
        self._answering = asyncio.Event()
        self._synced = asyncio.Event()
        self._host_found = False
        self._emit: Emit | None = None  # None until the first report

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
            await self._gates.close()

    async def _first_report(self, emit: Emit) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_REPORT):
                with suppress(TimeoutError):
                    async with asyncio.timeout(FIRST_REPORT_ABSENT):
                        await self._answering.wait()
                if self._answering.is_set():
                    await self._synced.wait()
        await self._gates.tried(FIRST_PROBES)
        self._emit = emit
        self._shown = self._texts()
        changes = [change for ref in self._index.refs() if (change := self._merged(ref))]
        emit(Report(self.name, changes, list(self._shown)))

    def _make_rules(self, options: Docker) -> Rules:
        rule: Template | str
        try:
            rule = Template(options.default_rule)
        except TemplateError as error:
            rule = str(error)
            self._problems["rule"] = (f"providers.{self.name}.defaultRule: {error}",)
        try:
            constraint = constraints.parse(options.constraints)
        except constraints.ConstraintError as error:
            text = f"providers.{self.name}.constraints: {error}; no container is used"
            self._problems["constraints"] = (text,)
            constraint = _none_of
        return Rules(
            default_rule=rule,
            exposed_by_default=options.exposed_by_default,
            constraint=constraint,
            allow_empty_services=options.allow_empty_services,
            addresses=AddressRules(options.network, options.use_bind_port_ip),
        )

    # ---- the connection

    async def _stay_connected(self) -> None:
        attempt = 0
        endpoint = _endpoint(self._options)
        while True:
            try:
                daemon = await Daemon.connect(endpoint)
            except EndpointError as error:
                self._set_problems("daemon", (f"providers.{self.name}.endpoint: {error}",))
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
        self._gates.watch(True)
        if "daemon" in self._problems:
            return
        url = self._options.endpoint
        log.warning("Docker daemon unreachable", endpoint=url, reason=str(error))
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"Docker daemon unreachable since {since}: {url}: {error}"
        self._set_problems("daemon", (text,))

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
        self._gates.watch(False)
        if self._problems.get("daemon"):
            log.info("Docker daemon reachable again", endpoint=self._options.endpoint)
        self._set_problems("daemon", ())
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
        self._forget_others({c.id for c in listed})
        candidates = {c.id for c in listed if self._is_candidate(c)}
        for container in self._known.keys() - candidates:
            if self._versions.get(container) == before.get(container):
                self._remove(container)
        looks = [
            self._refresh(container)
            for container in candidates
            if every
            or container in self._failed
            or not (container in self._known or container in self._inspecting)
        ]
        await asyncio.gather(*looks, return_exceptions=True)

    def _forget_others(self, existing: set[str]) -> None:
        """Drop notes on containers that went while nobody told."""
        for notes in (self._skipped, self._versions, self._labels):
            for container in notes.keys() - existing - self._known.keys():
                del notes[container]
        self._failed &= existing
        for key in list(self._problems):
            match key:
                case "container" | "broken", container if container not in existing:
                    self._set_problems(key, ())

    def _is_candidate(self, listed: Listed) -> bool:
        labelled = self._labelled(listed.id, listed.labels)
        reason = wanted(labelled, listed.labels, self._rules)
        if not reason and not listed.alive and not labelled.allow_non_running:
            reason = "not running"
        if reason:
            self._note_skipped(listed.id, listed.name, reason)
            problems = labelled.about(listed.name, labelled.enable_problems)
            self._set_problems(("container", listed.id), problems)
        return not reason

    # ---- events

    async def _consume(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self._guarded(event.container, partial(self._on_event, event))

    def _on_event(self, event: Event) -> None:
        container, action = event.container, event.action
        known = self._known.get(container)
        if action == "kill":
            if known and known.container.stops_on(_signal_of(event, known.container)):
                self._leave(container, known)
        elif action in ("pause", "unpause"):
            if known:
                self._versions[container] = self._versions.get(container, 0) + 1
                status = "paused" if action == "pause" else "running"
                self._apply(msgspec.structs.replace(known.container, status=status))
        elif action in _GONE_ON:
            self._on_gone(container, known, destroyed=action in ("destroy", "remove"))
        elif action in _INSPECT_ON or (action == "create" and _shown_stopped(event)):
            for guest in self._guests.get(container, ()):
                self._refresh(guest)
            # Docker disconnects networks and says "stop" after the death: nothing to see then.
            if known or action not in ("stop", "network connect", "network disconnect"):
                self._look(event)

    def _look(self, event: Event) -> None:
        said = any(
            name.lower() in ("traefik.enable", "portway.enable") for name in event.attributes
        )
        if said or self._rules.exposed_by_default or event.container in self._known:
            self._refresh(event.container)

    def _on_gone(self, container: str, known: _Known | None, destroyed: bool) -> None:
        self._versions[container] = self._versions.get(container, 0) + 1
        if task := self._inspecting.pop(container, None):
            task.cancel()
        if destroyed:
            self._versions.pop(container, None)
            self._skipped.pop(container, None)
            self._labels.pop(container, None)
            self._set_problems(("container", container), ())
            self._set_problems(("broken", container), ())
            self._hosts.pop(container, None)
            self._guests.pop(container, None)
        if known is None:
            return
        if not destroyed and self._labelled(container, known.container.labels).allow_non_running:
            self._apply(msgspec.structs.replace(known.container, status="exited"))
        else:
            self._remove(container)

    def _leave(self, container: str, known: _Known) -> None:
        if known.stopping_until is not None:
            return
        grace = known.container.stop_timeout + IGNORED_SIGNAL_AFTER
        known.stopping_until = asyncio.get_running_loop().time() + grace
        self._touch(self._index.of_container(container))
        self._later(("stopping", container), grace, partial(self._refresh, container))

    # ---- looking at containers

    def _refresh(self, container: str) -> asyncio.Task[None]:
        """Inspect a container and take over what it says; replaces an inspection under way."""
        version = self._versions[container] = self._versions.get(container, 0) + 1
        if task := self._inspecting.pop(container, None):
            task.cancel()
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
            self._remove(container)
            return
        self._revive(found)
        self._guarded(container, partial(self._apply, found))

    def _revive(self, found: Container) -> None:
        """Let a container that outlived its stop signal by far join again when it accepts."""
        known = self._known.get(found.id)
        now = asyncio.get_running_loop().time()
        if known and found.running and known.stopping_until and known.stopping_until <= now:
            log.warning("container ignored its stop signal", container=found.name)
            known.stopping_until = None
            self._set_gates(known, frozenset())

    def _guarded(self, container: str, action: Callable[[], None]) -> None:
        """Whatever one container makes go wrong must not end the provider."""
        try:
            action()
        except Exception as error:
            log.exception("container cannot be used", container=container)
            text = f"container {container[:12]}: internal error: {type(error).__name__}: {error}"
            self._set_problems(("broken", container), (text,))
        else:
            self._set_problems(("broken", container), ())

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
        if found.network_mode.startswith("container:"):
            name = found.network_mode.removeprefix("container:")
            if host := await self._ask(name):
                self._hosts[name] = host
                self._guests.setdefault(host.id, set()).add(found.id)
        elif found.network_mode == "host" and not self._host_found:
            self._host_found = True
            address = await _find_host()
            addresses = self._rules.addresses._replace(host_address=address)
            self._rules = self._rules._replace(addresses=addresses)

    def _apply(self, found: Container) -> None:
        """Take over what a container says now."""
        contribution = contribute(
            found, self._labelled(found.id, found.labels), self._rules, self._lookup
        )
        if contribution.skipped:
            self._note_skipped(found.id, found.name, contribution.skipped)
            self._remove(found.id)
            self._set_problems(("container", found.id), contribution.problems)
            return
        self._skipped.pop(found.id, None)
        known = self._known.get(found.id)
        affected: set[Ref] = set()
        if known is None:
            known = self._known[found.id] = _Known(found, contribution)
        elif known.container.started_at != found.started_at:
            known.stopping_until = None
            self._set_gates(known, frozenset())
            affected.update(self._index.of_container(found.id))
        # Its name and whether it takes traffic matter to every object it has a share of.
        if (known.container.status, known.container.name) != (found.status, found.name):
            affected.update(self._index.of_container(found.id))
        known.container, known.contribution = found, contribution
        known.order = (found.default_name, found.id)
        affected.update(self._index.put(found.id, contribution.shares))
        addresses = {share.address for share in contribution.shares.values() if share.address}
        self._set_gates(known, frozenset(Gate(found.id, address) for address in addresses))
        self._set_problems(("container", found.id), contribution.problems)
        self._touch(affected)

    def _remove(self, container: str) -> None:
        known = self._known.pop(container, None)
        if known is None:
            return
        if timer := self._timers.pop(("stopping", container), None):
            timer.cancel()
        self._set_gates(known, frozenset())
        self._set_problems(("container", container), ())
        self._touch(self._index.put(container, {}))

    def _labelled(self, container: str, labels: Mapping[str, str]) -> Labelled:
        cached = self._labels.get(container)
        if cached is None or cached[0] != labels:
            cached = self._labels[container] = (labels, read_labels(labels))
        return cached[1]

    def _lookup(self, container: str) -> Container | None:
        known = self._known.get(container)
        return known.container if known else self._hosts.get(container)

    def _note_skipped(self, container: str, name: str, reason: str) -> None:
        if self._skipped.get(container) != reason:
            self._skipped[container] = reason
            log.info("container skipped", container=name, reason=reason)

    # ---- readiness

    def _set_gates(self, known: _Known, gates: frozenset[Gate]) -> None:
        healthy = known.container.health == "healthy"
        for gate in known.gates - gates:
            self._gates.discard(gate)
            self._heard(gate)
        for gate in gates - known.gates:
            self._gates.add(gate, opened=healthy)
            if not healthy:
                self._later(("silent", gate), SILENT_AFTER, partial(self._silent, gate))
        known.gates = gates

    def _gate_changed(self, gate: Gate) -> None:
        if self._gates.is_open(gate):
            self._heard(gate)
        shares = ((ref, self._index.of_object(ref)) for ref in self._index.of_container(gate[0]))
        self._touch(ref for ref, of in shares if of[gate.container].address == gate.address)

    def _silent(self, gate: Gate) -> None:
        known = self._known.get(gate.container)
        if known and known.container.running and not self._gates.is_open(gate):
            text = (
                f"container {known.container.name!r}: {gate.address.authority} accepts no "
                "connection; it takes no traffic until it does (check the port and the network)"
            )
            self._set_problems(("silent", gate), (text,))

    def _heard(self, gate: Gate) -> None:
        if timer := self._timers.pop(("silent", gate), None):
            timer.cancel()
        self._set_problems(("silent", gate), ())

    # ---- reporting

    def _merged(self, ref: Ref) -> Change | None:
        """The change to report for an object, if it differs from the last one."""
        shares = self._index.of_object(ref)
        contributors = [
            Contributor(
                container=known.container.name,
                share=shares[container],
                ready=(address := shares[container].address) is None
                or self._gates.is_open(Gate(container, address)),
                leaving=known.stopping_until is not None or known.container.status == "paused",
            )
            for container, known in sorted(
                ((container, self._known[container]) for container in shares),
                key=lambda pair: pair[1].order,
            )
        ]
        change, problems = merge(ref, contributors)
        self._store_problems(ref, problems)
        if change == self._reported.get(ref, Change(ref.kind, ref.name, None)):
            return None
        if change.value is None:
            del self._reported[ref]
        else:
            self._reported[ref] = change
        return change

    def _touch(self, refs: Iterable[Ref]) -> None:
        """Report those of ``refs`` that changed."""
        if self._emit is None:
            return
        changes = [change for ref in refs if (change := self._merged(ref))]
        problems = self._texts()
        if changes or problems != self._shown:
            news = list(problems) if problems != self._shown else None
            self._shown = problems
            self._emit(Report(self.name, changes, news))

    def _store_problems(self, key: object, texts: tuple[str, ...]) -> None:
        if texts:
            self._problems[key] = texts
        else:
            self._problems.pop(key, None)

    def _set_problems(self, key: object, texts: tuple[str, ...]) -> None:
        if self._problems.get(key, ()) != texts:
            self._store_problems(key, texts)
            self._touch(())

    def _texts(self) -> list[str]:
        texts = [text for found in self._problems.values() for text in found]
        if len(texts) > MAX_PROBLEMS:
            left = len(texts) - MAX_PROBLEMS
            texts = [*texts[:MAX_PROBLEMS], f"and {left} more problems"]
        return texts

    def _later(self, key: object, seconds: float, action: Callable[[], object]) -> None:
        def act() -> None:
            self._timers.pop(key, None)
            action()

        if timer := self._timers.get(key):
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, act)


def _none_of(_: object) -> bool:
    return False


def _signal_of(event: Event, container: Container) -> int:
    """The signal of a kill event; the container's stop signal when it does not say."""
    number = parse_signal(event.attributes.get("signal"))
    return container.stop_signal if number is None else number


def _shown_stopped(event: Event) -> bool:
    return read_labels(event.attributes).allow_non_running


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
