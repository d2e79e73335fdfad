"""Anti-entropy: the catalog is made to say what the agent's local state says.

Changes are pushed at once; a full comparison runs at intervals and repairs everything else:
what others changed, what failed before. The intervals are Consul's.

A push never says what it was asked to say but what the local state says when its turn comes:
so a later change cannot be undone by an earlier one, and what was changed back costs nothing.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence

import msgspec
import structlog

from portway.agent.link import Known, Link, LinkError
from portway.agent.local import Local, LocalCheck, LocalService
from portway.agent.tokens import AgentTokens
from portway.discovery.acl.errors import PermissionDeniedError
from portway.discovery.model import SERF_HEALTH, Check, CheckStatus, Service
from portway.discovery.turns import Turns

log = structlog.get_logger("agent.anti_entropy")

INTERVAL = 60.0  # seconds between full comparisons of a small cluster
RETRY = 15.0  # seconds before the next after failures; after the first ones it is less
_PAUSE = 1.0  # seconds after which what failed is tried again for the first time
_SMALL = 128  # nodes up to which the interval is not stretched
_AT_ONCE = 64  # pushes under way of one comparison: they share commits
SERVER_SERVICE = "consul"  # the servers' own service, which they keep themselves


def interval_of(nodes: int) -> float:
    """Seconds between full comparisons in a cluster of so many nodes."""
    if nodes <= _SMALL:
        return INTERVAL
    return INTERVAL * (math.ceil(math.log2(nodes) - math.log2(_SMALL)) + 1.0)


def retry_of(failures: int) -> float:
    """Seconds before a comparison after so many that failed in a row."""
    return min(RETRY, _PAUSE * 2.0 ** (failures - 1))


class Sync:
    """Keeps the catalog in step with ``local``.

    ``check_update_interval`` (seconds) defers changes of a check's output alone; ``nodes`` tells
    the size of the cluster.
    """

    def __init__(
        self,
        local: Local,
        link: Link,
        tokens: AgentTokens,
        *,
        check_update_interval: float,
        nodes: Callable[[], int],
    ) -> None:
        self._local = local
        self._link = link
        self._tokens = tokens
        self._check_update_interval = check_update_interval
        self._nodes = nodes
        self._soon = asyncio.Event()
        self._turns = Turns()
        self._tasks: set[asyncio.Task[bool]] = set()

    async def run(self) -> None:
        """Compare everything at intervals, for ever."""
        failures = 0
        while True:
            self._soon.clear()
            try:
                done = await self.full()
            except Exception:
                log.exception("Anti-entropy failed")  # and must not be the last
                done = False
            failures = 0 if done else failures + 1
            if done:
                await self._wait(interval_of(self._nodes()))
            else:
                await asyncio.sleep(_staggered(retry_of(failures)))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(_staggered(seconds)):
                await self._soon.wait()
        except TimeoutError:
            pass

    def repair(self) -> None:
        """Have the next full comparison begin now."""
        self._soon.set()

    def result(self, check_id: str, status: CheckStatus, output: str) -> None:
        """A check has a result: tell the catalog now, or later when only the output changed.

        The first reason why a check is critical is told at once.
        """
        entry = self._local.checks.get(check_id)
        if entry is None or (entry.check.status, entry.check.output) == (status, output):
            return
        synced = entry.in_sync
        explains = status == "critical" and not entry.check.output
        moved = self._local.set_status(check_id, status, output)
        wait = self._check_update_interval
        if moved or explains or wait <= 0:
            if entry.deferred is not None:
                entry.deferred.cancel()
                entry.deferred = None
            self._start(entry.check.service_id)
            return
        entry.in_sync = synced  # as far as others are concerned who look before the time
        if entry.deferred is None:
            delay = wait / 2 + random.uniform(0, wait)  # noqa: S311
            loop = asyncio.get_running_loop()
            entry.deferred = loop.call_later(delay, self._undefer, entry)

    def _undefer(self, entry: LocalCheck) -> None:
        entry.deferred = None
        entry.in_sync = False
        self._start(entry.check.service_id)

    def _start(self, service_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self.settle(service_id))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("Syncing failed", exc_info=failure)

    async def settle(self, *service_ids: str) -> bool:
        """Tell the catalog what it does not have yet of services and their checks.

        An empty ID stands for the checks of the node itself. Whether that worked; if not, it has
        been logged and will be tried again. What is denied counts as done until the next full
        comparison: asking again before would only be denied again.
        """
        if len(service_ids) == 1:
            return await self._settle(service_ids[0])
        return all([await self._settle(one) for one in service_ids])

    async def settle_all(self) -> bool:
        """The same for everything the catalog is known not to have."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(service_id: str) -> bool:
            async with limit:
                return await self._settle(service_id)

        return all(await asyncio.gather(*map(one, self._local.behind())))

    async def _settle(self, service_id: str) -> bool:
        async with self._turns.of(service_id):
            done = await self._remove_all(service_id)
            if service_id:
                done = await self._push_service(service_id) and done
            for check in self._checks_behind(service_id):
                done = await self._push_check(check) and done
        if not done:
            asyncio.get_running_loop().call_later(_PAUSE, self._soon.set)
        return done

    def _checks_behind(self, service_id: str) -> list[LocalCheck]:
        return [one for one in self._local.checks_of(service_id).values() if not one.in_sync]

    async def _push_service(self, service_id: str) -> bool:
        """Register a service that is not in step, with those of its checks that are not either."""
        entry = self._local.services.get(service_id)
        if entry is None or entry.in_sync:
            return True
        token = self._service_token(entry)
        checks = [one for one in self._checks_behind(service_id) if one.token in ("", token)]
        return await self._put(entry, checks, token, f"service {service_id}")

    async def _push_check(self, entry: LocalCheck) -> bool:
        check = entry.check
        if self._local.checks.get(check.check_id) is not entry or entry.in_sync:
            return True  # it was changed while others were pushed
        service = self._local.services.get(check.service_id)
        token = entry.token or (service.token if service else "")
        token = token or self._tokens.of_registration(entry.source)
        return await self._put(None, [entry], token, f"check {check.check_id}")

    def _service_token(self, entry: LocalService) -> str:
        return entry.token or self._tokens.of_registration(entry.source)

    async def _put(
        self, service: LocalService | None, checks: Sequence[LocalCheck], token: str, what: str
    ) -> bool:
        entries: list[LocalService | LocalCheck] = [*checks]
        if service is not None:
            entries.append(service)
        # Marked before the write: a change that comes meanwhile must not be taken for written.
        for entry in entries:
            entry.in_sync = True
        written = False
        try:
            record = None if service is None else service.service
            await self._link.put(record, [one.check for one in checks], token)
            written = True
            log.debug("Synced", what=what)
        except PermissionDeniedError as error:
            written = True
            log.warning("Registration blocked by ACLs", what=what, error=str(error))
        except LinkError as error:
            log.warning("Syncing failed", what=what, error=str(error))
        finally:
            if not written:
                for entry in entries:
                    entry.in_sync = False
        if written and service is not None:
            service.is_new = False
        return written

    async def _remove_all(self, service_id: str) -> bool:
        """Take out of the catalog what the local state no longer has of a service."""
        local, done = self._local, True
        if service_id in local.removed_services:
            before = local.removed_checks_of(service_id)
            done = await self._remove(service_id, "", local.removed_services[service_id])
            if done:
                local.removed_services.pop(service_id, None)
                for check_id in before:  # they went with it
                    local.forget_removed_check(check_id)
        for check_id, token in local.removed_checks_of(service_id).items():
            if await self._remove("", check_id, token):
                local.forget_removed_check(check_id)
            else:
                done = False
        return done

    async def _remove(self, service_id: str, check_id: str, token: str) -> bool:
        what = f"service {service_id}" if service_id else f"check {check_id}"
        try:
            await self._link.remove(service_id, check_id, token or self._tokens.of_agent())
        except PermissionDeniedError as error:
            log.warning("Deregistration blocked by ACLs", what=what, error=str(error))
        except LinkError as error:
            log.warning("Deregistering failed", what=what, error=str(error))
            return False
        else:
            log.info("Deregistered", what=what)
        return True

    async def full(self) -> bool:
        """Compare everything and repair what differs; whether that worked throughout."""
        try:
            await self._link.put_node(self._tokens.of_agent())
            known = await self._link.known()
        except (LinkError, PermissionDeniedError) as error:
            log.warning("Anti-entropy failed", error=str(error))
            return False
        self._mark(known)
        return await self.settle_all()

    def _mark(self, known: Known) -> None:
        """Note what differs from what the catalog has."""
        local = self._local
        for service_id in known.services:
            if service_id not in local.services and service_id != SERVER_SERVICE:
                local.removed_services.setdefault(service_id, "")
        for check_id, check in known.checks.items():
            unknown = check_id not in local.checks and check_id != SERF_HEALTH
            if unknown and check.service_id not in local.removed_services:
                local.note_removed_check(check_id, check.service_id)
        for service_id, service in local.services.items():
            self._compare_service(service, known.services.get(service_id))
        for check_id, entry in local.checks.items():
            self._compare_check(entry, known.checks.get(check_id))

    def _compare_service(self, entry: LocalService, known: Service | None) -> None:
        if known is None:
            entry.in_sync = False
            return
        overridden = entry.service.enable_tag_override and not entry.is_new
        if overridden and known.tags != entry.service.tags:
            self._local.set_tags(entry.service.id, known.tags)
        entry.in_sync = _bare(known) == _bare(entry.service)

    def _compare_check(self, entry: LocalCheck, known: Check | None) -> None:
        if known is None:
            entry.in_sync = False
            return
        ours, theirs = _bare_check(entry.check), _bare_check(known)
        if entry.deferred is not None:
            theirs = msgspec.structs.replace(theirs, output=ours.output)
        entry.in_sync = ours == theirs


def _staggered(seconds: float) -> float:
    """Agents must not come all at once."""
    return seconds + random.uniform(0, seconds)  # noqa: S311


def _bare(service: Service) -> Service:
    return msgspec.structs.replace(service, create_index=0, modify_index=0)


def _bare_check(check: Check) -> Check:
    """Without what the catalog gives it: indexes, and what it is told of the service."""
    return msgspec.structs.replace(
        check, service_name="", service_tags=[], create_index=0, modify_index=0
    )
