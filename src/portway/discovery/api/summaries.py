"""Services in numbers, as the console lists them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from portway.discovery.model import Wire
from portway.discovery.model.intentions import Intention
from portway.discovery.state import Instance, worst
from portway.mesh.entries import WILDCARD

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


def summarize(
    name: str, instances: Sequence[Instance], proxies: Sequence[Instance], datacenter: str
) -> ServiceSummary:
    """A service by its instances; the health of the proxies in front of it counts as well."""
    services = [instance.service for instance in instances]
    counts = health_of(_statuses((*instances, *proxies)))
    sources = ((service.meta or {}).get(_EXTERNAL_SOURCE, "") for service in services)
    return ServiceSummary(
        kind=services[-1].kind if services else "",
        name=name,
        datacenter=datacenter if services else "",
        tags=sorted({tag for service in services for tag in service.tags}) or None,
        nodes=sorted({instance.node.node for instance in instances}) or None,
        external_sources=list(dict.fromkeys(source for source in sources if source)) or None,
        instance_count=len(services),
        checks_passing=counts.passing,
        checks_warning=counts.warning,
        checks_critical=counts.critical,
        gateway_config=GatewayConfig(),
        transparent_proxy=is_transparent(proxies),
        connect_native=any(service.connect.native for service in services),
        connected_with_proxy=bool(proxies),
        connected_with_gateway=False,
    )


def _statuses(instances: Iterable[Instance]) -> Iterator[str]:
    """The statuses of all checks of some instances, those of a node once."""
    seen: set[int] = set()
    for instance in instances:
        for check in instance.checks.values():
            yield check.status
        if id(instance.host) not in seen:
            seen.add(id(instance.host))
            for check in instance.host.own_checks.values():
                yield check.status


def is_transparent(proxies: Sequence[Instance]) -> bool:
    """Whether all proxies of a service are in transparent mode."""
    return bool(proxies) and all(one.service.proxy.mode == "transparent" for one in proxies)


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


def decide(intention: Intention | None, default_allow: bool) -> Decision:
    """What is said of a call by the intention that decides on it, if there is one."""
    if intention is None:
        return Decision(default_allow, default_allow)
    return Decision(
        default_allow,
        allowed=intention.action == "allow",
        has_permissions=bool(intention.permissions),
        external_source=intention.meta.get(_EXTERNAL_SOURCE, ""),
        has_exact=WILDCARD not in (intention.source_name, intention.destination_name),
    )
