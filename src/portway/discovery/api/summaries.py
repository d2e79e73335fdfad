"""Services in numbers, as the console lists them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from portway.discovery.model import Check, Wire
from portway.discovery.state import Instance, worst

_EXTERNAL_SOURCE = "external-source"  # the metadata of what registered a service


class GatewayConfig(Wire):
    """What a gateway serves."""

    associated_service_count: int = 0
    addresses: list[str] = []


class ServiceSummary(Wire, kw_only=True):
    """All instances of a service name."""

    kind: str = ""
    name: str
    datacenter: str
    tags: list[str] | None
    nodes: list[str] | None
    external_sources: list[str] | None
    instance_count: int
    checks_passing: int
    checks_warning: int
    checks_critical: int
    gateway_config: GatewayConfig
    transparent_proxy: bool
    connect_native: bool
    connected_with_proxy: bool
    connected_with_gateway: bool


class HealthSummary(Wire, kw_only=True):
    """How many of something there are, and how healthy."""

    name: str = ""
    total: int
    passing: int
    warning: int
    critical: int


class _Group:
    """What is known of a name while the instances are gone through."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instances: list[Instance] = []
        self.checks: dict[tuple[str, str], Check] = {}
        self.proxies: list[Instance] = []

    def take_checks(self, instance: Instance) -> None:
        for check in instance.all_checks():
            self.checks[check.node, check.check_id] = check

    def summary(self, datacenter: str) -> ServiceSummary:
        services = [instance.service for instance in self.instances]
        counts = health_of(check.status for check in self.checks.values())
        sources = [(service.meta or {}).get(_EXTERNAL_SOURCE, "") for service in services]
        return ServiceSummary(
            kind=services[-1].kind if services else "",
            name=self.name,
            datacenter=datacenter if services else "",
            tags=sorted({tag for service in services for tag in service.tags}) or None,
            nodes=sorted({instance.node.node for instance in self.instances}) or None,
            external_sources=list(dict.fromkeys(source for source in sources if source)) or None,
            instance_count=len(services),
            checks_passing=counts.passing,
            checks_warning=counts.warning,
            checks_critical=counts.critical,
            gateway_config=GatewayConfig(),
            transparent_proxy=is_transparent(self.proxies),
            connect_native=any(service.connect.native for service in services),
            connected_with_proxy=bool(self.proxies),
            connected_with_gateway=False,
        )


def is_transparent(proxies: list[Instance]) -> bool:
    """Whether all proxies of a service are in transparent mode."""
    return bool(proxies) and all(one.service.proxy.mode == "transparent" for one in proxies)


def summarize(instances: Iterable[Instance], datacenter: str) -> list[ServiceSummary]:
    """Instances by service name; the health of a proxy counts for what is behind it as well."""
    groups: dict[str, _Group] = {}

    def group(name: str) -> _Group:
        return groups.setdefault(name, _Group(name))

    for instance in instances:
        service = instance.service
        own = group(service.service)
        own.instances.append(instance)
        own.take_checks(instance)
        if service.kind == "connect-proxy":
            behind = group(service.proxy.destination_service_name)
            behind.proxies.append(instance)
            behind.take_checks(instance)
    return [groups[name].summary(datacenter) for name in sorted(groups)]


def health_of(statuses: Iterable[str], name: str = "") -> HealthSummary:
    """Statuses, counted; what is in maintenance is critical."""
    found = list(statuses)
    passing, warning = found.count("passing"), found.count("warning")
    return HealthSummary(
        name=name,
        total=len(found),
        passing=passing,
        warning=warning,
        critical=len(found) - passing - warning,
    )


def by_name(statuses: Iterable[tuple[str, str]]) -> list[HealthSummary]:
    """(name, status) pairs counted by name, in order."""
    groups: dict[str, list[str]] = {}
    for name, status in statuses:
        groups.setdefault(name, []).append(status)
    return [health_of(groups[name], name) for name in sorted(groups)]


def own_status(instance: Instance) -> str:
    """The status of an instance by its own checks, without those of its node."""
    return worst(instance.checks.values())


class Decision(msgspec.Struct, rename="pascal"):
    """What intentions say of one service calling another."""

    default_allow: bool
    allowed: bool
    has_permissions: bool = False
    external_source: str = ""
    has_exact: bool = False
