"""The local services and checks with what runs for them and what is kept of them.

Everything here happens at once: nothing waits, so that readers see all of a change or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import structlog

from portway.agent.files import Files, Stored, StoredCheck, StoredService
from portway.agent.local import Local, LocalCheck, LocalService, Source
from portway.agent.maintenance import is_maintenance, maintenance_check
from portway.agent.planning import Planned, planned
from portway.agent.registration import RegisteredCheck, register_check
from portway.agent.sidecar import free_port, sidecar_id
from portway.discovery.checks import Checks, Settings, permit
from portway.discovery.model import CheckDefinition, Service, ServiceDefinition

log = structlog.get_logger("agent")


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


class Registry:
    """Services and checks of one node, by the rules of registrations.

    ``sidecar_ports`` are the lowest and the highest port that sidecars are given.
    """

    def __init__(
        self,
        node: str,
        local: Local,
        checks: Checks,
        files: Files,
        check_settings: Settings,
        sidecar_ports: tuple[int, int] = (21000, 21255),
    ) -> None:
        self.node = node
        self.local = local
        self.checks = checks
        self.files = files
        self._check_settings = check_settings
        self._sidecar_ports = sidecar_ports
        self._reserved: set[int] = set()

    # What may be registered

    def plan(self, definition: ServiceDefinition, token: str, source: Source) -> list[Planned]:
        """A service, and its sidecar if it asks for one.

        Raises RegistrationError, or CheckRefusedError for a check this agent does not run.
        """
        plan = planned(definition, self.node, token, source, self._sidecar_port)
        for one in plan:
            for check in one.checks:
                permit(check.definition, self._check_settings, remote=source == "api")
        return plan

    def plan_check(
        self,
        definition: CheckDefinition,
        source: Source,
        services: Mapping[str, Service] | None = None,
    ) -> RegisteredCheck:
        """A check of the node or of a service: one of ``services``, without those one that is here.

        Raises as ``plan``, and UnknownServiceError.
        """
        service = self._service_of(definition, services)
        planned_check = register_check(definition, self.node, service)
        permit(planned_check.definition, self._check_settings, remote=source == "api")
        return planned_check

    def _service_of(
        self, definition: CheckDefinition, services: Mapping[str, Service] | None = None
    ) -> Service | None:
        service_id = definition.service_id
        if not service_id:
            return None
        if services is not None and service_id in services:
            return services[service_id]
        if services is not None or service_id not in self.local.services:
            raise UnknownServiceError(service_id)
        return self.local.services[service_id].service

    def _sidecar_port(self, parent: ServiceDefinition) -> int:
        own = self.local.services.get(sidecar_id(parent.id or parent.name))
        if own is not None and own.service.port:
            return own.service.port
        used = {entry.service.port for entry in self.local.services.values()}
        return free_port(used | self._reserved, *self._sidecar_ports)

    @contextmanager
    def reserved(self, plan: Sequence[Planned]) -> Iterator[None]:
        """Let no other sidecar be planned with the ports of a plan that is not here yet."""
        ports = {one.service.port for one in plan}
        self._reserved |= ports
        try:
            yield
        finally:
            self._reserved -= ports

    # Taking in

    def take(self, plan: Planned, *, is_new: bool = False) -> None:
        """Take a service in; checks it had before stay, and those named again keep their status.

        ``is_new`` says that a client registers it now.
        """
        self.local.put_service(
            LocalService(
                service=plan.service,
                token=plan.token,
                source=plan.source,
                is_new=is_new,
                parent=plan.parent,
            )
        )
        for check in plan.checks:
            self.run(check, plan.token, plan.source)

    def run(self, planned_check: RegisteredCheck, token: str, source: Source) -> None:
        """Take a check in and run it.

        One that was here keeps its status and output, whatever its definition says: a check must
        not flap because its service starts again.
        """
        check, definition = planned_check
        old = self.local.checks.get(check.check_id)
        if old is not None:
            check = msgspec.structs.replace(check, status=old.check.status, output=old.check.output)
        self.local.put_check(
            LocalCheck(check=check, definition=definition, token=token, source=source)
        )
        for warning in self.checks.add(check.check_id, definition, check.status, check.output):
            log.warning(warning)

    def hold(self, definition: CheckDefinition, token: str) -> None:
        """Take a maintenance check in. Raises UnknownServiceError."""
        check = maintenance_check(definition, self.node, self._service_of(definition))
        self.local.put_check(LocalCheck(check=check, definition=definition, token=token))

    # Letting go

    def drop(self, service_id: str) -> list[str]:
        """Let go of a service, its checks and its sidecar, on disk too; the IDs of the services.

        Raises UnknownServiceError.
        """
        if service_id not in self.local.services:
            raise UnknownServiceError(service_id)
        dropped = [service_id, *self.sidecar_of(service_id)]
        for one in dropped:
            for check_id in self.local.checks_of(one):
                self.drop_check(check_id)
            self.local.drop_service(one)
            self.files.forget_service(one)
        return dropped

    def sidecar_of(self, service_id: str) -> list[str]:
        """The ID of the sidecar that came with a service, if one did."""
        beside = self.local.services.get(sidecar_id(service_id))
        return [sidecar_id(service_id)] if beside and beside.parent == service_id else []

    def drop_check(self, check_id: str) -> None:
        """Let go of a check, on disk too."""
        self.checks.remove(check_id)
        self.local.drop_check(check_id)
        self.files.forget_check(check_id)

    def unmentioned(self, plan: Planned) -> list[str]:
        """The checks of a service that its new registration does not name."""
        mentioned = {check.check.check_id for check in plan.checks}
        return [
            check_id
            for check_id in self.local.checks_of(plan.id)
            if check_id not in mentioned and not is_maintenance(check_id)
        ]


def stored(plan: Planned) -> list[Stored]:
    """What is kept on disk of a service and its checks."""
    service = StoredService(definition=plan.definition, token=plan.token, parent=plan.parent)
    checks = [
        StoredCheck(
            check_id=one.check.check_id,
            definition=one.definition,
            token=plan.token,
            with_service=True,
        )
        for one in plan.checks
    ]
    return [service, *checks]
