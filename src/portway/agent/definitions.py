"""Services and checks that come from elsewhere than a client: the configuration, the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
import structlog

from portway.agent.files import StoredCheck, StoredService
from portway.agent.maintenance import is_maintenance
from portway.agent.planning import Planned
from portway.agent.registration import (
    RegisteredCheck,
    RegistrationError,
    as_of_service,
    register_service,
)
from portway.agent.registry import Registry, UnknownServiceError
from portway.agent.sidecar import sidecar_id
from portway.discovery.checks import CheckRefusedError
from portway.discovery.model import CheckDefinition, ServiceDefinition

log = structlog.get_logger("agent")
_SLICE = 100  # what is taken up at a stretch


class DefinitionError(Exception):
    """A service or check of the configuration cannot be registered; the text names it."""


class Configured(NamedTuple):
    """Everything the configuration registers, found to be valid."""

    services: dict[str, Planned]
    checks: dict[str, tuple[RegisteredCheck, str]]
    """With their tokens."""


def configured(
    registry: Registry, services: Iterable[ServiceDefinition], checks: Iterable[CheckDefinition]
) -> Configured:
    """What a configuration's definitions come to; nothing is changed. Raises DefinitionError.

    Of several with the same ID the last counts. A check may name a service of the configuration
    or one that a client has registered.
    """
    plans: dict[str, Planned] = {}
    with ExitStack() as ports:
        for service in services:
            try:
                plan = registry.plan(service, "", "config")
            except (RegistrationError, CheckRefusedError) as error:
                raise DefinitionError(f'service "{service.id or service.name}": {error}') from None
            ports.enter_context(registry.reserved(plan))
            plans |= {one.id: one for one in plan}
    local = registry.local.services
    known = {key: entry.service for key, entry in local.items() if entry.source == "api"}
    known |= {plan.id: plan.service for plan in plans.values()}
    alone: dict[str, tuple[RegisteredCheck, str]] = {}
    for check in checks:
        try:
            planned = registry.plan_check(check, "config", known)
        except (RegistrationError, CheckRefusedError) as error:
            raise DefinitionError(f'check "{_named(check)}": {error}') from None
        except UnknownServiceError:
            raise DefinitionError(
                f'check "{_named(check)}": ServiceID "{check.service_id}" does not exist'
            ) from None
        alone[planned.check.check_id] = planned, check.token
    return Configured(plans, alone)


def _named(check: CheckDefinition) -> str:
    return check.check_id or check.id or check.name


def configure(registry: Registry, new: Configured) -> None:
    """Take over a configuration's services and checks in the place of those of the one before.

    What clients registered stays, but for what the configuration has under the same ID.
    """
    local, files = registry.local, registry.files
    for service_id, entry in list(local.services.items()):
        orphan = entry.parent in new.services and service_id not in new.services
        gone = entry.source == "config" and service_id not in new.services
        if (gone or orphan) and service_id in local.services:  # a sidecar goes with its service
            registry.drop(service_id)
    for plan in new.services.values():
        for check_id in registry.unmentioned(plan):
            if local.checks[check_id].source == "config" and check_id not in new.checks:
                registry.drop_check(check_id)
        registry.take(plan)
        files.forget_service(plan.id)
        if sidecar_id(plan.id) not in local.services:
            files.forget_service(sidecar_id(plan.id))
        for check in plan.checks:
            files.forget_check(check.check.check_id)
    named = {check.check.check_id for plan in new.services.values() for check in plan.checks}
    for check_id, check_entry in list(local.checks.items()):
        if check_entry.source == "config" and check_id not in named and check_id not in new.checks:
            registry.drop_check(check_id)
    for check_id, (check, token) in new.checks.items():
        registry.run(check, token, "config")
        files.forget_check(check_id)


async def restore_services(registry: Registry, but: Container[str]) -> None:
    """Take over the services that clients registered before a restart, as they were kept on disk.

    All ``but`` those the configuration has under the same ID. What no longer fits is logged and
    left out.
    """
    for position, kept in enumerate(await registry.files.services()):
        if kept.definition.id not in but and kept.parent not in but:
            _restore_service(registry, kept)
        if position % _SLICE == 0:
            await asyncio.sleep(0)


async def restore_checks(registry: Registry) -> None:
    """The same for checks, once all services are there.

    They begin critical, until they have run: how things were before is not known now.
    """
    for position, kept in enumerate(await registry.files.checks()):
        _restore_check(registry, kept)
        if position % _SLICE == 0:
            await asyncio.sleep(0)


def _restore_service(registry: Registry, kept: StoredService) -> None:
    try:
        service, _ = register_service(kept.definition, registry.node)
    except RegistrationError as error:
        log.error("A kept service was left out", service=kept.definition.id, error=str(error))
        return
    registry.take(
        Planned(
            definition=kept.definition,
            service=service,
            checks=[],
            token=kept.token,
            source="api",
            parent=kept.parent,
        )
    )


def _restore_check(registry: Registry, kept: StoredCheck) -> None:
    if kept.check_id in registry.local.checks:
        registry.files.forget_check(kept.check_id)
        return
    try:
        if is_maintenance(kept.check_id):
            registry.hold(kept.definition, kept.token)
        else:
            definition = msgspec.structs.replace(kept.definition, status="")
            planned = registry.plan_check(definition, "api")
            registry.run(
                as_of_service(planned) if kept.with_service else planned, kept.token, "api"
            )
    except UnknownServiceError as error:
        registry.files.forget_check(kept.check_id)
        log.error("A kept check was left out", check=kept.check_id, error=str(error))
    except (RegistrationError, CheckRefusedError) as error:
        log.error("A kept check was left out", check=kept.check_id, error=str(error))
