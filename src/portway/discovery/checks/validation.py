"""Which definitions are valid, of which type they are, and what is raised to a floor.

The texts are Consul's; the HTTP API puts ``Invalid check: `` before them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from portway.config import Duration
from portway.discovery.checks import os_service, script
from portway.discovery.checks.http_expectation import expectation_of
from portway.discovery.checks.result import CheckError
from portway.discovery.checks.settings import Settings
from portway.discovery.model import CheckDefinition

CheckType = Literal[
    "grpc",
    "http",
    "ttl",
    "tcp",
    "udp",
    "alias",
    "docker",
    "script",
    "h2ping",
    "os_service",
    "",
]

MIN_INTERVAL = Duration(1)
MIN_DEREGISTER_AFTER = Duration(60)


def check_type(definition: CheckDefinition) -> CheckType:
    """The type of a definition, by the fields that are set; empty when none of them is."""
    d = definition
    found: tuple[tuple[CheckType, object], ...] = (
        ("grpc", d.grpc),
        ("http", d.http),
        ("ttl", d.ttl > 0),
        ("tcp", d.tcp),
        ("udp", d.udp),
        ("alias", d.alias_node or d.alias_service),
        ("docker", d.script_args and d.docker_container_id),
        ("script", d.script_args),
        ("h2ping", d.h2ping),
        ("os_service", d.os_service),
    )
    return next((name for name, given in found if given), "")


def validate(definition: CheckDefinition) -> None:
    """Raise CheckError for a definition that cannot be run as it is written."""
    d = definition
    periodic = any((d.script_args, d.http, d.tcp, d.udp, d.grpc, d.h2ping, d.os_service))
    alias = bool(d.alias_node or d.alias_service)
    wrong = (
        (d.interval > 0 and d.ttl > 0, "Interval and TTL cannot both be specified"),
        (
            periodic and d.interval <= 0,
            "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks",
        ),
        (alias and periodic, "Interval cannot be set for Alias checks"),
        (alias and d.ttl > 0, "TTL must be not be set for Alias checks"),
        (not periodic and not alias and d.ttl <= 0, "TTL must be > 0 for TTL checks"),
        (d.output_max_size < 0, "MaxOutputMaxSize must be positive"),
        (
            d.failures_before_warning > d.failures_before_critical,
            "FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
        ),
    )
    for applies, text in wrong:
        if applies:
            raise CheckError(text)
    expectation_of(definition)


def permit(definition: CheckDefinition, settings: Settings, *, remote: bool) -> None:
    """Raise CheckRefusedError for a check that this agent does not run.

    ``remote`` says that it was registered through the API and not by the agent's own
    configuration.
    """
    kind = check_type(definition)
    if kind in ("script", "docker"):
        script.permit(settings, remote=remote)
    elif kind == "os_service":
        os_service.refuse(definition)


def adjust(check_id: str, definition: CheckDefinition) -> tuple[CheckDefinition, list[str]]:
    """Raise what is below its floor; returns the definition to run, and warnings."""
    warnings = []
    changes = {}
    if definition.interval > 0 and check_type(definition) == "alias":
        warnings.append(f'check "{check_id}" is an alias and follows its target: no interval')
    if definition.shell and (
        len(definition.script_args) != 1 or not definition.docker_container_id
    ):
        warnings.append(
            f'check "{check_id}" has a shell that is not used: it is for a single argument'
            " in a container"
        )
    if 0 < definition.interval < MIN_INTERVAL:
        changes["interval"] = MIN_INTERVAL
        warnings.append(
            f'check "{check_id}" has interval below minimum:'
            f" {Duration(definition.interval)} is raised to {MIN_INTERVAL}"
        )
    if 0 < definition.deregister_critical_service_after < MIN_DEREGISTER_AFTER:
        changes["deregister_critical_service_after"] = MIN_DEREGISTER_AFTER
        warnings.append(
            f'check "{check_id}" has deregister interval below minimum:'
            f" {Duration(definition.deregister_critical_service_after)}"
            f" is raised to {MIN_DEREGISTER_AFTER}"
        )
    return (msgspec.structs.replace(definition, **changes) if changes else definition), warnings
