"""The local agent: what its HTTP API and its configuration do to local services and checks."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import structlog

from portway.agent.files import Files, StoredCheck, StoredService
from portway.agent.local import Local, LocalCheck, LocalService, Source
from portway.agent.registration import LocalCheck as Prepared
from portway.agent.registration import (
    RegistrationError,
    register_check,
    register_service,
)
from portway.agent.sidecar import free_port, sidecar_id, sidecar_of
from portway.agent.sync import Sync
from portway.discovery.checks import Checks, Settings, permit
from portway.discovery.model import (
    CRITICAL,
    NODE_MAINTENANCE,
    SERVICE_MAINTENANCE,
    Check,
    CheckDefinition,
    CheckRun,
    CheckStatus,
    Service,
    ServiceDefinition,
)

log = structlog.get_logger("agent")

_NODE_REASON = "Maintenance mode is enabled for this node, but no reason was provided."
_SERVICE_REASON = "Maintenance mode is enabled for this service, but no reason was provided."


class UnknownServiceError(Exception):
    """No service of this agent has the ID."""

    def __init__(self, service_id: str) -> None:
        super().__init__(
            f'Unknown service ID "{service_id}". Ensure that the service ID is passed, '
            "not the service name."
        )


class UnknownCheckError(Exception):
    """No check of this agent has the ID."""

    def __init__(self, check_id: str) -> None:
        super().__init__(
            f'Unknown check ID "{check_id}". Ensure that the check ID is passed, '
            "not the check name."
        )


class Agent:
    """Services and checks of one node: registered, run, kept, and synced to the catalog.

    Methods return when the catalog has followed, or when that has failed and been logged:
    the local state is what counts, and anti-entropy repairs the rest.
    """

    def __init__(
        self,
        node: str,
        local: Local,
        checks: Checks,
        sync: Sync,
        files: Files,
        check_settings: Settings,
        sidecar_ports: tuple[int, int] = (21000, 21255),
    ) -> None:
        self.node = node
        self.local = local
        self.checks = checks
        self.sync = sync
        self.files = files
        self.check_settings = check_settings
        self.sidecar_ports = sidecar_ports

    # Services

    async def register(
        self,
        definition: ServiceDefinition,
        token: str = "",
        *,
        source: Source = "api",
        replace_checks: bool = False,
    ) -> None:
        """Register a service with its checks and its sidecar.

        Checks it had before and that are not mentioned stay unless ``replace_checks``. Raises
        RegistrationError, or CheckRefusedError for a check this agent does not run; then nothing
        has changed.
        """
        token = definition.token or token
        prepared = register_service(definition, self.node)
        self._permit(prepared.checks, source)
        sidecar = sidecar_of(definition, self._sidecar_port(definition))
        beside = None if sidecar is None else register_service(sidecar, self.node)
        self._add(definition, prepared.service, prepared.checks, token, source, replace_checks)
        if source == "api":
            self.files.save_service(StoredService(definition=definition, token=token))
        pushed = [prepared.service.id]
        if sidecar is not None and beside is not None:
            self._add(
                sidecar,
                beside.service,
                beside.checks,
                sidecar.token or token,
                "sidecar",
                replace_checks,
                parent=prepared.service.id,
            )
            pushed.append(beside.service.id)
        for service_id in pushed:
            await self.sync.push_service(service_id)
        await self.sync.push_removals()

    def _sidecar_port(self, definition: ServiceDefinition) -> int:
        given = definition.connect.sidecar_service if definition.connect else None
        if given is None or given.port:
            return 0
        own = self.local.services.get(sidecar_id(definition.id or definition.name))
        if own is not None and own.service.port:
            return own.service.port
        used = {entry.service.port for entry in self.local.services.values()}
        return free_port(used, *self.sidecar_ports)

    def _permit(self, checks: Iterable[Prepared], source: Source) -> None:
        for check in checks:
            permit(check.definition, self.check_settings, remote=source == "api")

    def _add(
        self,
        definition: ServiceDefinition,
        service: Service,
        checks: list[Prepared],
        token: str,
        source: Source,
        replace_checks: bool,
        parent: str = "",
    ) -> None:
        if replace_checks:
            mentioned = {check.check.check_id for check in checks}
            for check_id in self.local.checks_of(service.id):
                if check_id not in mentioned and not check_id.startswith(SERVICE_MAINTENANCE):
                    self._drop_check(check_id)
        old = self.local.services.get(service.id)
        entry = LocalService(
            service=service, definition=definition, token=token, source=source, parent=parent
        )
        self.local.put_service(entry)
        for check in checks:
            self._run(check, token, source)
        if old is not None:
            # Checks that stay show the name and tags of the service as they are now.
            for check_entry in self.local.checks_of(service.id).values():
                changed = msgspec.structs.replace(
                    check_entry.check, service_name=service.service, service_tags=service.tags
                )
                if changed != check_entry.check:
                    check_entry.check = changed
                    check_entry.in_sync = False

    def _run(self, prepared: Prepared, token: str, source: Source) -> None:
        check, definition = prepared
        check_id = check.check_id
        old = self.local.checks.get(check_id)
        if old is not None and not definition.status:
            check = msgspec.structs.replace(check, status=old.check.status, output=old.check.output)
        self.local.put_check(
            LocalCheck(check=check, definition=definition, token=token, source=source)
        )
        for warning in self.checks.add(check_id, definition, check.status, check.output):
            log.warning(warning)

    async def deregister(self, service_id: str) -> None:
        """Remove a service, its checks and its sidecar. Raises UnknownServiceError."""
        if service_id not in self.local.services:
            raise UnknownServiceError(service_id)
        beside = self.local.services.get(sidecar_id(service_id))
        doomed = [service_id]
        if beside is not None and beside.parent == service_id:
            doomed.append(beside.service.id)
        for one in doomed:
            for check_id in self.local.checks_of(one):
                self._drop_check(check_id)
            self.local.drop_service(one)
        self.files.forget_service(service_id)
        await self.sync.push_removals()

    # Checks

    async def register_check(
        self, definition: CheckDefinition, token: str = "", *, source: Source = "api"
    ) -> None:
        """Register a check of the node or of a service.

        Raises RegistrationError, CheckRefusedError, or UnknownServiceError.
        """
        token = definition.token or token
        service = None
        if definition.service_id:
            entry = self.local.services.get(definition.service_id)
            if entry is None:
                raise UnknownServiceError(definition.service_id)
            service = entry.service
        prepared = register_check(definition, self.node, service)
        self._permit([prepared], source)
        self._run(prepared, token, source)
        check_id = prepared.check.check_id
        if source == "api":
            stored = StoredCheck(check_id=check_id, definition=definition, token=token)
            self.files.save_check(stored)
        await self.sync.push_check(check_id)

    async def deregister_check(self, check_id: str) -> None:
        """Remove a check. Raises UnknownCheckError."""
        if check_id not in self.local.checks:
            raise UnknownCheckError(check_id)
        self._drop_check(check_id)
        self.files.forget_check(check_id)
        await self.sync.push_removals()

    def _drop_check(self, check_id: str) -> None:
        self.checks.remove(check_id)
        self.local.drop_check(check_id)

    async def update_ttl(self, check_id: str, status: CheckStatus, output: str) -> None:
        """Take what an application says of itself.

        Raises UnknownCheckError, or CheckError for a check that runs by itself.
        """
        if check_id not in self.local.checks:
            raise UnknownCheckError(check_id)
        self.checks.update_ttl(check_id, status, output)
        await self.sync.push_check(check_id)

    async def reap(self, check_id: str) -> None:
        """Remove the service of a check that has been critical for too long."""
        entry = self.local.checks.get(check_id)
        service_id = "" if entry is None else entry.check.service_id
        if service_id in self.local.services:
            log.info("Deregistered service after its check was critical", service=service_id)
            await self.deregister(service_id)

    # Maintenance

    async def node_maintenance(self, enable: bool, reason: str = "", token: str = "") -> None:
        """Turn maintenance of the node on or off; doing so twice changes nothing."""
        await self._maintenance(NODE_MAINTENANCE, None, enable, reason or _NODE_REASON, token)

    async def service_maintenance(
        self, service_id: str, enable: bool, reason: str = "", token: str = ""
    ) -> None:
        """Turn maintenance of a service on or off. Raises UnknownServiceError."""
        entry = self.local.services.get(service_id)
        if entry is None:
            raise UnknownServiceError(service_id)
        check_id = SERVICE_MAINTENANCE + service_id
        await self._maintenance(
            check_id, entry.service, enable, reason or _SERVICE_REASON, token or entry.token
        )

    async def _maintenance(
        self, check_id: str, service: Service | None, enable: bool, reason: str, token: str
    ) -> None:
        if (check_id in self.local.checks) == enable:
            return
        if not enable:
            self.local.drop_check(check_id)
            self.files.forget_check(check_id)
            await self.sync.push_removals()
            return
        name = "Service Maintenance Mode" if service else "Node Maintenance Mode"
        definition = CheckDefinition(
            check_id=check_id,
            name=name,
            notes=reason,
            service_id=service.id if service else "",
            status=CRITICAL,
        )
        self._hold(definition, service, token)
        self.files.save_check(StoredCheck(check_id=check_id, definition=definition, token=token))
        await self.sync.push_check(check_id)

    def _hold(self, definition: CheckDefinition, service: Service | None, token: str) -> None:
        """Add a check that does not run: its status is what it was made with."""
        check = Check(
            node=self.node,
            check_id=definition.check_id,
            name=definition.name,
            status=CRITICAL,
            notes=definition.notes,
            output="",
            service_id=service.id if service else "",
            service_name=service.service if service else "",
            service_tags=list(service.tags) if service else [],
            type="maintenance",
            interval="",
            timeout="",
            exposed_port=0,
            definition=CheckRun(),
        )
        self.local.put_check(LocalCheck(check=check, definition=definition, token=token))

    # Start and reload

    async def load(
        self, services: Iterable[ServiceDefinition], checks: Iterable[CheckDefinition]
    ) -> None:
        """Take over the configuration's services and checks, then those kept on disk.

        What the configuration had before and no longer has goes; a definition of the
        configuration replaces a kept one of the same ID. A kept file that no longer fits is
        logged and left out. Raises RegistrationError for the configuration's.
        """
        services, checks = list(services), list(checks)
        named = {definition.id or definition.name for definition in services}
        for service_id, entry in list(self.local.services.items()):
            if entry.source == "config" and service_id not in named:
                await self.deregister(service_id)
        of_their_own = {one.check_id or one.id or one.name for one in checks}
        for check_id, check in list(self.local.checks.items()):
            alone = check.source == "config" and check_id not in of_their_own
            if alone and check.definition.service_id not in named and not check.check.service_id:
                await self.deregister_check(check_id)
        for definition in services:
            await self.register(definition, source="config", replace_checks=True)
        for check_definition in checks:
            await self.register_check(check_definition, source="config")

    async def restore(self) -> None:
        """Take over what was registered through the API before a restart."""
        for stored in self.files.services():
            service_id = stored.definition.id or stored.definition.name
            if service_id in self.local.services:
                self.files.forget_service(service_id)
                continue
            try:
                await self.register(stored.definition, stored.token)
            except RegistrationError as error:
                log.error("A kept service was left out", service=service_id, error=str(error))
        for kept in self.files.checks():
            await self._restore_check(kept)

    async def _restore_check(self, kept: StoredCheck) -> None:
        definition = kept.definition
        if kept.check_id in self.local.checks:
            return
        if kept.check_id == NODE_MAINTENANCE or kept.check_id.startswith(SERVICE_MAINTENANCE):
            entry = self.local.services.get(definition.service_id)
            if definition.service_id and entry is None:
                self.files.forget_check(kept.check_id)
                return
            self._hold(definition, entry.service if entry else None, kept.token)
            await self.sync.push_check(kept.check_id)
            return
        try:
            await self.register_check(definition, kept.token)
        except (RegistrationError, UnknownServiceError) as error:
            self.files.forget_check(kept.check_id)
            log.error("A kept check was left out", check=kept.check_id, error=str(error))
