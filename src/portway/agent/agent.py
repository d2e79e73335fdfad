"""The local agent: what its HTTP API does to local services and checks."""

from __future__ import annotations

import structlog

from portway.agent.files import StoredCheck
from portway.agent.maintenance import maintenance_definition, maintenance_id
from portway.agent.registry import Registry, UnknownCheckError, UnknownServiceError, stored
from portway.agent.sidecar import SUFFIX
from portway.agent.sync import Sync
from portway.discovery.model import CheckDefinition, CheckStatus, ServiceDefinition
from portway.discovery.turns import Turns

log = structlog.get_logger("agent")


class Agent:
    """Registers, removes and updates, as clients ask for it.

    What is registered is on the disk before anything of it counts; a disk that refuses leaves
    everything as it was. Methods return when the catalog has followed, or when that has failed
    and been logged: the local state is what counts, and anti-entropy repairs the rest.
    """

    def __init__(self, registry: Registry, sync: Sync) -> None:
        self.registry = registry
        self.local = registry.local
        self.sync = sync
        self._turns = Turns()

    # Services

    async def register(
        self, definition: ServiceDefinition, token: str = "", *, replace_checks: bool = False
    ) -> None:
        """Register a service with its checks and its sidecar.

        Checks it had before and that are not mentioned stay unless ``replace_checks``. Raises
        RegistrationError, CheckRefusedError for a check this agent does not run, or OSError when
        it cannot be kept on disk; then nothing has changed.
        """
        registry = self.registry
        async with self._turns.of(_family(definition.id or definition.name)):
            plan = registry.plan(definition, token, "api")
            with registry.reserved(plan):
                await registry.files.save([part for one in plan for part in stored(one)])
            for one in plan:
                for check_id in registry.unmentioned(one) if replace_checks else ():
                    registry.drop_check(check_id)
                registry.take(one, is_new=True)
        await self.sync.settle(*(one.id for one in plan))

    async def deregister(self, service_id: str) -> None:
        """Remove a service, its checks and its sidecar. Raises UnknownServiceError."""
        async with self._turns.of(_family(service_id)):
            dropped = self.registry.drop(service_id)
        await self.sync.settle(*dropped)

    # Checks

    async def register_check(self, definition: CheckDefinition, token: str = "") -> None:
        """Register a check of the node or of a service.

        Raises RegistrationError, CheckRefusedError, UnknownServiceError, or OSError when it
        cannot be kept on disk; then nothing has changed.
        """
        registry, service_id = self.registry, definition.service_id
        token = definition.token or token
        async with self._turns.of(_family(service_id)):
            planned = registry.plan_check(definition, "api")
            check_id = planned.check.check_id
            kept = StoredCheck(check_id=check_id, definition=planned.definition, token=token)
            await registry.files.save([kept])
            if service_id and service_id not in self.local.services:  # a reload took it away
                registry.files.forget_check(check_id)
                raise UnknownServiceError(service_id)
            registry.run(planned, token, "api")
        await self.sync.settle(service_id)

    async def deregister_check(self, check_id: str) -> None:
        """Remove a check. Raises UnknownCheckError."""
        service_id = self._service_of(check_id)
        async with self._turns.of(_family(service_id)):
            self._service_of(check_id)
            self.registry.drop_check(check_id)
        await self.sync.settle(service_id)

    async def update_ttl(self, check_id: str, status: CheckStatus, output: str) -> None:
        """Take what an application says of itself.

        Raises UnknownCheckError, or CheckError for a check that runs by itself.
        """
        service_id = self._service_of(check_id)
        self.registry.checks.update_ttl(check_id, status, output)
        await self.sync.settle(service_id)

    def _service_of(self, check_id: str) -> str:
        entry = self.local.checks.get(check_id)
        if entry is None:
            raise UnknownCheckError(check_id)
        return entry.check.service_id

    async def reap(self, check_id: str) -> None:
        """Remove the service of a check that has been critical for too long."""
        entry = self.local.checks.get(check_id)
        service_id = "" if entry is None else entry.check.service_id
        if service_id in self.local.services:
            log.info("Deregistered service after its check was critical", service=service_id)
            await self.deregister(service_id)

    # Maintenance

    async def node_maintenance(self, enable: bool, reason: str = "", token: str = "") -> None:
        """Turn maintenance of the node on or off; doing so twice changes nothing.

        Raises OSError when it cannot be kept on disk.
        """
        await self._maintain("", enable, reason, token)

    async def service_maintenance(
        self, service_id: str, enable: bool, reason: str = "", token: str = ""
    ) -> None:
        """Turn maintenance of a service on or off. Raises UnknownServiceError, or OSError."""
        entry = self.local.services.get(service_id)
        if entry is None:
            raise UnknownServiceError(service_id)
        await self._maintain(service_id, enable, reason, token or entry.token)

    async def _maintain(self, service_id: str, enable: bool, reason: str, token: str) -> None:
        check_id = maintenance_id(service_id)
        async with self._turns.of(_family(service_id)):
            if (check_id in self.local.checks) == enable:
                return
            if enable:
                definition = maintenance_definition(service_id, reason)
                kept = StoredCheck(check_id=check_id, definition=definition, token=token)
                await self.registry.files.save([kept])
                self.registry.hold(definition, token)
            else:
                self.registry.drop_check(check_id)
        await self.sync.settle(service_id)


def _family(service_id: str) -> str:
    """Services and their sidecars change one after the other."""
    return service_id.removesuffix(SUFFIX)
