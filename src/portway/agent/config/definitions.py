"""Whether the services and checks of the files can be registered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from portway.agent.config.config import AgentConfig


def definition_problems(config: AgentConfig) -> Iterator[str]:
    """What is wrong with the definitions, by the rules of a registration."""
    if not (config.services or config.checks):
        return
    # The rules come with everything that runs checks, which is slow to import.
    from portway.agent.registration import RegistrationError, register_check, register_service

    for index, service in enumerate(config.services):
        try:
            register_service(service, config.node_name)
        except RegistrationError as error:
            name = f'service "{service.name}"' if service.name else f"services[{index}]"
            yield f"{name}: {error}"
    for index, check in enumerate(config.checks):
        try:
            register_check(check, config.node_name, None)
        except RegistrationError as error:
            name = f'check "{check.name}"' if check.name else f"checks[{index}]"
            yield f"{name}: {error}"


def definition_warnings(config: AgentConfig) -> Iterator[str]:
    """Definitions of which only one is registered: they have the same ID."""
    services = Counter(service.id or service.name for service in config.services)
    checks = Counter(check.check_id or check.id or check.name for check in config.checks)
    for what, counts in (("service", services), ("check", checks)):
        for name, count in counts.items():
            if count > 1:
                yield f'{what} "{name}" is defined {count} times; the last definition counts'
