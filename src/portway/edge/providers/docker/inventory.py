"""The inventory: what is known of the containers, and the reports that follow from it.

Everything here happens at once and asks nobody: the provider puts containers in and takes
them out, gates open and close, and each such step reports exactly the objects it changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import msgspec
import structlog

from portway.edge.providers.docker.container import Container
from portway.edge.providers.docker.contribution import Rules, contribute
from portway.edge.providers.docker.labelling import Labelled, read_labels
from portway.edge.providers.docker.merge import Contributor, Index, Ref, merge
from portway.edge.providers.docker.readiness import LINGER, Gate, Gates
from portway.edge.providers.provider import Change, Emit, Report

log = structlog.get_logger(__name__)

SILENT_AFTER: Final = 5.0  # seconds without an accepting endpoint that make it a problem
MAX_PROBLEMS: Final = 100


class Known(msgspec.Struct):
    """What is known of one container that contributes something."""

    container: Container
    order: tuple[str, str]  # sorts the containers of one object
    gates: frozenset[Gate] = frozenset()
    stopping: bool = False  # its stop signal was seen, and no start since

    @property
    def leaving(self) -> bool:
        """Whether it takes no more traffic."""
        return self.stopping or self.container.status == "paused"


class Inventory:
    """Containers by id, and the objects they make together."""

    def __init__(self, provider: str, rules: Rules) -> None:
        self.rules = rules
        self.containers: dict[str, Known] = {}
        self.hosts: dict[str, Container] = {}  # whose network others share, by id
        self.gates = Gates(self._gate_changed, LINGER if rules.addresses.use_bind_port_ip else 0.0)
        self._provider = provider
        self._index = Index()
        self._reported: dict[Ref, Change] = {}
        self._problems: dict[object, tuple[str, ...]] = {}
        self._shown: list[str] = []
        self._skipped: dict[str, str] = {}
        self._labels: dict[str, tuple[Mapping[str, str], Labelled]] = {}
        self._timers: dict[Gate, asyncio.TimerHandle] = {}
        self._emit: Emit | None = None  # None until the first report

    def begin(self, emit: Emit) -> None:
        """Report everything so far, and from now on every change."""
        self._emit = emit
        changes = [change for ref in self._index.refs() if (change := self._merged(ref))]
        self._shown = self._texts()
        emit(Report(self._provider, changes, list(self._shown)))

    async def close(self) -> None:
        """Stop all timers and probes."""
        for timer in self._timers.values():
            timer.cancel()
        await self.gates.close()

    # ---- containers

    def put(self, found: Container) -> None:
        """Take over what a container says now."""
        labelled = self.labelled(found.id, found.labels)
        contribution = contribute(found, labelled, self.rules, self._lookup)
        if contribution.skipped:
            self.remove(found.id)
            self.note_skipped(found.id, found.name, contribution.skipped, contribution.problems)
            return
        self._skipped.pop(found.id, None)
        order = (found.default_name, found.id)
        known = self.containers.get(found.id)
        if known is None:
            known = self.containers[found.id] = Known(found, order)
        elif known.container.started_at != found.started_at:
            # Nobody told of its restart. Perhaps it accepts again, perhaps not yet; endpoints
            # that all containers lose at once, when the daemon returns, would be an outage.
            known.stopping = False
            for gate in known.gates:
                self.gates.recheck(gate)
        before, known.container, known.order = known.container, found, order
        affected = self._index.put(found.id, contribution.shares)
        # These matter to every object it has a share of, whatever the share says.
        if (before.started_at, before.status, before.name) != (
            found.started_at,
            found.status,
            found.name,
        ):
            affected |= self._index.of_container(found.id)
        addresses = {share.address for share in contribution.shares.values() if share.address}
        self._set_gates(known, frozenset(Gate(found.id, address) for address in addresses))
        self.set_problems(("container", found.id), contribution.problems)
        self._touch(affected)

    def remove(self, container: str) -> None:
        """Take out a container and all that it contributed."""
        known = self.containers.pop(container, None)
        if known is None:
            return
        self._set_gates(known, frozenset())
        self.set_problems(("container", container), ())
        self._touch(self._index.put(container, {}))

    def stop(self, container: str) -> None:
        """A container got its stop signal: its endpoints leave, its objects stay."""
        self.containers[container].stopping = True
        self._touch(self._index.of_container(container))

    def resume(self, container: str) -> None:
        """It runs on in spite of its stop signal: its endpoints join when they accept."""
        known = self.containers[container]
        known.stopping = False
        gates, known.gates = known.gates, frozenset()
        for gate in gates:
            self.gates.discard(gate)
        self._set_gates(known, gates)
        self._touch(self._index.of_container(container))

    def keep_only(self, existing: set[str]) -> None:
        """Drop notes on containers that went while nobody told."""
        for container in self._skipped.keys() - existing:
            del self._skipped[container]
        for container in self._labels.keys() - existing - self.containers.keys():
            del self._labels[container]
        for key in list(self._problems):
            if isinstance(key, tuple) and key[0] in _OF_CONTAINER and key[1] not in existing:
                self.set_problems(key, ())

    def forget(self, container: str) -> None:
        """A container does not exist any more."""
        self.remove(container)
        self._skipped.pop(container, None)
        self._labels.pop(container, None)
        self.hosts.pop(container, None)
        for kind in _OF_CONTAINER:
            self.set_problems((kind, container), ())

    def labelled(self, container: str, labels: Mapping[str, str]) -> Labelled:
        """The decoded labels of a container; decoded once, as they cannot change."""
        cached = self._labels.get(container)
        if cached is None or cached[0] != labels:
            cached = self._labels[container] = (labels, read_labels(labels))
        return cached[1]

    def note_skipped(
        self, container: str, name: str, reason: str, problems: tuple[str, ...] = ()
    ) -> None:
        """Log why a container contributes nothing, once for each reason."""
        if self._skipped.get(container) != reason:
            self._skipped[container] = reason
            log.info("container skipped", container=name, reason=reason)
        self.set_problems(("container", container), problems)

    def guarded(self, container: str, action: Callable[[], None]) -> None:
        """Do ``action``; whatever one container makes go wrong must not end the provider."""
        try:
            action()
        except Exception as error:
            log.exception("container cannot be used", container=container)
            text = f"container {container[:12]}: internal error: {type(error).__name__}: {error}"
            self.set_problems(("broken", container), (text,))
        else:
            self.set_problems(("broken", container), ())

    def _lookup(self, container: str) -> Container | None:
        known = self.containers.get(container)
        return known.container if known else self.hosts.get(container)

    # ---- readiness

    def _set_gates(self, known: Known, gates: frozenset[Gate]) -> None:
        healthy = known.container.health == "healthy"
        for gate in known.gates - gates:
            self.gates.discard(gate)
            self._heard(gate)
        for gate in gates - known.gates:
            self.gates.add(gate, opened=healthy)
            if not healthy:
                loop = asyncio.get_running_loop()
                self._timers[gate] = loop.call_later(SILENT_AFTER, partial(self._silent, gate))
        known.gates = gates

    def _gate_changed(self, gate: Gate) -> None:
        if self.gates.is_open(gate):
            self._heard(gate)
        container = gate.container
        shares = {ref: self._index.of_object(ref) for ref in self._index.of_container(container)}
        self._touch(ref for ref in shares if shares[ref][container].address == gate.address)

    def _silent(self, gate: Gate) -> None:
        self._timers.pop(gate, None)
        known = self.containers.get(gate.container)
        if known and known.container.running and not self.gates.is_open(gate):
            text = (
                f"container {known.container.name!r}: {gate.address.authority} accepts no "
                "connection; it takes no traffic until it does (check the port and the network)"
            )
            self.set_problems(("silent", gate), (text,))

    def _heard(self, gate: Gate) -> None:
        if timer := self._timers.pop(gate, None):
            timer.cancel()
        self.set_problems(("silent", gate), ())

    # ---- reporting

    def has_problem(self, key: object) -> bool:
        """Whether there are standing problems under ``key``."""
        return key in self._problems

    def set_problems(self, key: object, texts: tuple[str, ...]) -> None:
        """Replace the standing problems under ``key``."""
        if self._problems.get(key, ()) != texts:
            self._store_problems(key, texts)
            self._touch(())

    def _store_problems(self, key: object, texts: tuple[str, ...]) -> None:
        if texts:
            self._problems[key] = texts
        else:
            self._problems.pop(key, None)

    def _texts(self) -> list[str]:
        texts = [text for found in self._problems.values() for text in found]
        if len(texts) > MAX_PROBLEMS:
            left = len(texts) - MAX_PROBLEMS
            texts = [*texts[:MAX_PROBLEMS], f"and {left} more problems"]
        return texts

    def _touch(self, refs: Iterable[Ref]) -> None:
        """Report those of ``refs`` that changed, and the problems if they did."""
        if self._emit is None:
            return
        changes = [change for ref in refs if (change := self._merged(ref))]
        problems = self._texts()
        if changes or problems != self._shown:
            news = list(problems) if problems != self._shown else None
            self._shown = problems
            self._emit(Report(self._provider, changes, news))

    def _merged(self, ref: Ref) -> Change | None:
        """The change to report for an object, if it differs from the last one."""
        shares = self._index.of_object(ref)
        contributors = [
            Contributor(
                container=known.container.name,
                share=shares[container],
                ready=(address := shares[container].address) is None
                or self.gates.is_open(Gate(container, address)),
                leaving=known.leaving,
            )
            for container, known in sorted(
                ((container, self.containers[container]) for container in shares),
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


_OF_CONTAINER = ("container", "broken")  # kinds of problems that go with their container
