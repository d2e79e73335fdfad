"""Anti-entropy: the catalog is made to say what the agent's local state says.

Changes are pushed at once; a full comparison runs at intervals and repairs everything else:
what others changed, what failed before. The intervals are Consul's.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence

import msgspec
import structlog

from portway.agent.link import Known, Link, LinkError
from portway.agent.local import Local, LocalCheck
from portway.discovery.acl.errors import PermissionDeniedError
from portway.discovery.model import SERF_HEALTH, Check, CheckStatus, Service

log = structlog.get_logger("agent.anti_entropy")

INTERVAL = 60.0  # seconds between full comparisons of a small cluster
RETRY = 15.0  # seconds before the next after a failure
_SMALL = 128  # nodes up to which the interval is not stretched
SERVER_SERVICE = "consul"  # the servers' own service, which they keep themselves


def interval_of(nodes: int) -> float:
    """Seconds between full comparisons in a cluster of so many nodes."""
    if nodes <= _SMALL:
        return INTERVAL
    return INTERVAL * (math.ceil(math.log2(nodes) - math.log2(_SMALL)) + 1.0)


class Sync:
    """Keeps the catalog in step with ``local``.

    ``check_update_interval`` (seconds) defers changes of a check's output alone; ``token`` is
    the agent's own; ``nodes`` tells the size of the cluster.
    """

    def __init__(
        self,
        local: Local,
        link: Link,
        *,
        token: Callable[[], str],
        check_update_interval: float,
        nodes: Callable[[], int],
    ) -> None:
        self._local = local
        self._link = link
        self._token = token
        self._check_update_interval = check_update_interval
        self._nodes = nodes
        self._soon = asyncio.Event()
        self._tasks: set[asyncio.Task[bool]] = set()

    async def run(self) -> None:
        """Compare everything at intervals, for ever."""
        while True:
            done = await self.full()
            wait = interval_of(self._nodes()) if done else RETRY
            wait += random.uniform(0, wait)  # noqa: S311  agents must not come all at once
            try:
                async with asyncio.timeout(wait):
                    await self._soon.wait()
            except TimeoutError:
                continue
            self._soon.clear()

    def repair(self) -> None:
        """Have the next full comparison begin now: a push has failed."""
        self._soon.set()

    def result(self, check_id: str, status: CheckStatus, output: str) -> None:
        """A check has a result: tell the catalog now, or later when only the output changed."""
        entry = self._local.checks.get(check_id)
        if entry is None:
            return
        if entry.check.status == status and entry.check.output == output:
            return
        moved = self._local.set_status(check_id, status, output)
        wait = self._check_update_interval
        if moved or wait <= 0:
            if entry.deferred is not None:
                entry.deferred.cancel()
                entry.deferred = None
            self._start(check_id)
        elif entry.deferred is None:
            entry.in_sync = True  # as far as the next full comparison is concerned
            delay = wait / 2 + random.uniform(0, wait)  # noqa: S311
            loop = asyncio.get_running_loop()
            entry.deferred = loop.call_later(delay, self._undefer, check_id)
        else:
            entry.in_sync = True

    def _undefer(self, check_id: str) -> None:
        entry = self._local.checks.get(check_id)
        if entry is not None:
            entry.deferred = None
            entry.in_sync = False
            self._start(check_id)

    def _start(self, check_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self.push_check(check_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def push_service(self, service_id: str) -> bool:
        """Register a service with those of its checks that are out of step."""
        entry = self._local.services.get(service_id)
        if entry is None:
            return True
        token = entry.token or self._token()
        checks = [
            check
            for check in self._local.checks_of(service_id).values()
            if not check.in_sync and (check.token or self._token()) == token
        ]
        # Marked before the write: a change that comes meanwhile must not be taken for written.
        entry.in_sync = True
        if not await self._put(entry.service, checks, token, f"service {service_id}"):
            entry.in_sync = False
            return False
        others = [
            check_id
            for check_id, check in self._local.checks_of(service_id).items()
            if not check.in_sync
        ]
        return all([await self.push_check(check_id) for check_id in others])

    async def push_check(self, check_id: str) -> bool:
        """Register one check."""
        entry = self._local.checks.get(check_id)
        if entry is None:
            return True
        service = self._local.services.get(entry.check.service_id)
        token = entry.token or (service.token if service else "") or self._token()
        return await self._put(None, [entry], token, f"check {check_id}")

    async def _put(
        self, service: Service | None, entries: Sequence[LocalCheck], token: str, what: str
    ) -> bool:
        for entry in entries:
            entry.in_sync = True
        try:
            await self._link.put(service, [entry.check for entry in entries], token)
        except PermissionDeniedError as error:
            # Trying again before something has changed would only be denied again.
            log.warning("Registration blocked by ACLs", what=what, error=str(error))
        except LinkError as error:
            log.warning("Syncing failed", what=what, error=str(error))
            for entry in entries:
                entry.in_sync = False
            self.repair()
            return False
        else:
            log.debug("Synced", what=what)
        return True

    async def push_removals(self) -> bool:
        """Take out of the catalog what the local state no longer has."""
        local, done = self._local, True
        for service_id, token in list(local.removed_services.items()):
            if await self._remove(service_id, "", token):
                local.removed_services.pop(service_id, None)
            else:
                done = False
        for check_id, token in list(local.removed_checks.items()):
            if await self._remove("", check_id, token):
                local.removed_checks.pop(check_id, None)
            else:
                done = False
        return done

    async def _remove(self, service_id: str, check_id: str, token: str) -> bool:
        what = f"service {service_id}" if service_id else f"check {check_id}"
        try:
            await self._link.remove(service_id, check_id, token or self._token())
        except PermissionDeniedError as error:
            log.warning("Deregistration blocked by ACLs", what=what, error=str(error))
        except LinkError as error:
            log.warning("Deregistering failed", what=what, error=str(error))
            self.repair()
            return False
        else:
            log.info("Deregistered", what=what)
        return True

    async def full(self) -> bool:
        """Compare everything and repair what differs; whether that worked throughout."""
        local = self._local
        try:
            known = await self._link.known()
            if known.node is None:
                await self._link.put(None, [], self._token())
        except (LinkError, PermissionDeniedError) as error:
            log.warning("Anti-entropy failed", error=str(error))
            return False
        self._mark(known)
        done = await self.push_removals()
        for service_id in [key for key, one in local.services.items() if not one.in_sync]:
            done = await self.push_service(service_id) and done
        for check_id in [key for key, one in local.checks.items() if not one.in_sync]:
            done = await self.push_check(check_id) and done
        return done

    def _mark(self, known: Known) -> None:
        local = self._local
        for service_id, service in known.services.items():
            if service_id not in local.services and service_id != SERVER_SERVICE:
                local.removed_services.setdefault(service_id, "")
            elif service_id in local.services:
                self._compare_service(service_id, service)
        for check_id, check in known.checks.items():
            if check_id not in local.checks and check_id != SERF_HEALTH:
                if check.service_id not in local.removed_services:
                    local.removed_checks.setdefault(check_id, "")
            elif check_id in local.checks:
                self._compare_check(check_id, check)
        for service_id, service_entry in local.services.items():
            if service_id not in known.services:
                service_entry.in_sync = False
        for check_id, check_entry in local.checks.items():
            if check_id not in known.checks:
                check_entry.in_sync = False

    def _compare_service(self, service_id: str, known: Service) -> None:
        entry = self._local.services[service_id]
        if entry.service.enable_tag_override and known.tags != entry.service.tags:
            entry.service = msgspec.structs.replace(entry.service, tags=known.tags)
            self._local.touch(service_id)
        entry.in_sync = _bare(known) == _bare(entry.service)

    def _compare_check(self, check_id: str, known: Check) -> None:
        entry = self._local.checks[check_id]
        ours, theirs = _bare_check(entry.check), _bare_check(known)
        if self._check_update_interval > 0 and entry.deferred is not None:
            ours = msgspec.structs.replace(ours, output="")
            theirs = msgspec.structs.replace(theirs, output="")
        entry.in_sync = ours == theirs


def _bare(service: Service) -> Service:
    return msgspec.structs.replace(service, create_index=0, modify_index=0)


def _bare_check(check: Check) -> Check:
    return msgspec.structs.replace(check, create_index=0, modify_index=0)
