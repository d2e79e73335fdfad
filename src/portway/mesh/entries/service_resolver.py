"""``service-resolver``: which instances a service is, and what takes their place."""

from __future__ import annotations

import re

from portway.discovery.model import Wire
from portway.mesh.entries.entry import (
    Entry,
    EntryError,
    GoDuration,
    Nanoseconds,
    check_meta,
    refuse_sameness_group,
    require_name,
)
from portway.mesh.entries.failover import FailoverPolicy, PrioritizeByLocality

ANY_SUBSET = "*"
_SUBSET = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LONGEST_SUBSET = 63  # a DNS label: subsets are part of names in TLS
_HASHING = ("ring_hash", "maglev")
_POLICIES = ("", "random", "round_robin", "least_request", *_HASHING)
_HASHED = ("header", "cookie", "query_parameter")


class Subset(Wire):
    """Instances that a filter expression selects."""

    filter: str = ""
    only_passing: bool = False


class Redirect(Wire):
    """The service that stands for this one."""

    service: str = ""
    service_subset: str = ""
    datacenter: str = ""
    peer: str = ""
    sameness_group: str = ""


class FailoverTarget(Wire):
    """One place to look when nothing here is healthy."""

    service: str = ""
    service_subset: str = ""
    datacenter: str = ""
    peer: str = ""


class Failover(Wire):
    """Where to look when nothing here is healthy: by a pattern, or target by target."""

    service: str = ""
    service_subset: str = ""
    datacenters: list[str] = []
    targets: list[FailoverTarget] = []
    policy: FailoverPolicy | None = None
    sameness_group: str = ""


class RingHashConfig(Wire):
    """Sizes of the ring of ``ring_hash``."""

    minimum_ring_size: int = 0
    maximum_ring_size: int = 0


class LeastRequestConfig(Wire):
    """How many instances ``least_request`` compares."""

    choice_count: int = 0


class CookieConfig(Wire):
    """The cookie Envoy makes for clients that have none."""

    session: bool = False
    ttl: Nanoseconds = Nanoseconds(0)
    path: str = ""


class HashPolicy(Wire):
    """What of a request is hashed."""

    field: str = ""
    field_value: str = ""
    cookie_config: CookieConfig | None = None
    source_ip: bool = False
    terminal: bool = False

    def check(self, where: str) -> None:
        """Raise EntryError for what cannot be hashed."""
        if self.field and self.field not in _HASHED:
            raise EntryError(f'{where}: "{self.field}" is not a supported field')
        if self.source_ip and self.field:
            raise EntryError(
                f"{where}: A single hash policy cannot hash both a source address and a "
                f'"{self.field}"'
            )
        if self.source_ip and self.field_value:
            raise EntryError(f"{where}: A FieldValue cannot be specified when hashing SourceIP")
        if self.field and not self.field_value:
            raise EntryError(f'{where}: Field "{self.field}" was specified without a FieldValue')
        if self.field_value and not self.field:
            raise EntryError(f"{where}: FieldValue requires a Field to apply to")
        cookie = self.cookie_config
        if cookie is not None and self.field != "cookie":
            raise EntryError(f'{where}: cookie_config provided for "{self.field}"')
        if cookie is not None and cookie.session and cookie.ttl:
            raise EntryError(f"{where}: a session cookie cannot have an associated TTL")


class LoadBalancer(Wire):
    """How an instance is chosen."""

    policy: str = ""
    ring_hash_config: RingHashConfig | None = None
    least_request_config: LeastRequestConfig | None = None
    hash_policies: list[HashPolicy] = []

    def check(self) -> None:
        """Raise EntryError for parts that do not go together."""
        wrong = "Bad LoadBalancer configuration"
        if self.policy not in _POLICIES:
            raise EntryError(f'Bad LoadBalancer policy: "{self.policy}" is not supported')
        if self.policy != "ring_hash" and self.ring_hash_config is not None:
            raise EntryError(
                f"{wrong}. RingHashConfig specified for incompatible load balancing policy "
                f'"{self.policy}"'
            )
        if self.policy != "least_request" and self.least_request_config is not None:
            raise EntryError(
                f"{wrong}. LeastRequestConfig specified for incompatible load balancing policy "
                f'"{self.policy}"'
            )
        if self.policy not in _HASHING and self.hash_policies:
            raise EntryError(
                f'{wrong}: HashPolicies specified for non-hash-based Policy: "{self.policy}"'
            )
        for index, policy in enumerate(self.hash_policies):
            policy.check(f"Bad LoadBalancer HashPolicy[{index}]")


class ServiceResolver(Entry, tag="service-resolver"):
    """Subsets of a service by filter, a redirect to another one, and failover by subset."""

    name: str
    default_subset: str = ""
    subsets: dict[str, Subset] = {}
    redirect: Redirect | None = None
    failover: dict[str, Failover] = {}
    connect_timeout: GoDuration = GoDuration("")
    request_timeout: GoDuration = GoDuration("")
    load_balancer: LoadBalancer | None = None
    prioritize_by_locality: PrioritizeByLocality | None = None

    def check(self) -> None:
        require_name(self.name)
        check_meta(self.meta)
        for name, subset in self.subsets.items():
            _check_subset(name, subset)
        if self.default_subset and self.default_subset not in self.subsets:
            raise EntryError(f'DefaultSubset "{self.default_subset}" is not a valid subset')
        if self.redirect is not None:
            self._check_redirect(self.redirect)
        for name, failover in self.failover.items():
            self._check_failover(name, failover)
        for field, value in (
            ("ConnectTimeout", self.connect_timeout),
            ("RequestTimeout", self.request_timeout),
        ):
            if value.startswith("-"):
                raise EntryError(f"Bad {field} '{value}', must be >= 0")
        if self.load_balancer is not None:
            self.load_balancer.check()
        if self.prioritize_by_locality is not None:
            self.prioritize_by_locality.check()

    def reaches(self) -> list[str]:
        names = set()
        if self.redirect is not None and not self.redirect.peer:
            names.add(self.redirect.service)
        for failover in self.failover.values():
            names.add(failover.service)
            names.update(target.service for target in failover.targets if not target.peer)
        return sorted(names - {"", self.name})

    def _check_redirect(self, redirect: Redirect) -> None:
        refuse_sameness_group(redirect.sameness_group, "Redirect: ")
        if self.failover:
            raise EntryError("Redirect and Failover cannot both be set")
        if redirect == Redirect():
            raise EntryError("Redirect is empty")
        if redirect.peer and redirect.service_subset:
            raise EntryError("Redirect.Peer cannot be set with Redirect.ServiceSubset")
        if redirect.peer and redirect.datacenter:
            raise EntryError("Redirect.Peer cannot be set with Redirect.Datacenter")
        if not redirect.service:
            if redirect.service_subset:
                raise EntryError("Redirect.ServiceSubset defined without Redirect.Service")
            if redirect.peer:
                raise EntryError("Redirect.Peer defined without Redirect.Service")
        if redirect.service == self.name and not self._has(redirect.service_subset):
            raise EntryError(
                f'Redirect.ServiceSubset "{redirect.service_subset}" is not a valid subset of '
                f'"{self.name}"'
            )

    def _check_failover(self, name: str, failover: Failover) -> None:
        where = f'Bad Failover["{name}"]'
        refuse_sameness_group(failover.sameness_group, f"{where}: ")
        if name != ANY_SUBSET and name not in self.subsets:
            raise EntryError(f"{where}: not a valid subset subset")
        wanted = (failover.service, failover.service_subset, failover.datacenters, failover.targets)
        if not any(wanted):
            raise EntryError(
                f"{where}: one of Service, ServiceSubset, Namespace, Targets, SamenessGroup, or "
                "Datacenters is required"
            )
        if failover.policy is not None and failover.policy.mode:
            raise EntryError(f"{where}: Setting failover policies requires Consul Enterprise")
        if failover.service in ("", self.name) and not self._has(failover.service_subset):
            raise EntryError(
                f'{where}: ServiceSubset "{failover.service_subset}" is not a valid subset of '
                f'"{failover.service}"'
            )
        if failover.targets:
            for field in ("datacenters", "service_subset", "service"):
                if getattr(failover, field):
                    shown = field.title().replace("_", "")
                    raise EntryError(f"{where}: Targets cannot be set with {shown}")
        for index, target in enumerate(failover.targets):
            self._check_target(target, f"{where}.Targets[{index}]")
        if "" in failover.datacenters:
            raise EntryError(f"{where}.Datacenters: found empty datacenter")

    def _check_target(self, target: FailoverTarget, where: str) -> None:
        if target.peer and target.service_subset:
            raise EntryError(f"{where}: Peer cannot be set with ServiceSubset")
        if target.peer and target.datacenter:
            raise EntryError(f"{where}: Peer cannot be set with Datacenter")
        if target.service in ("", self.name) and not self._has(target.service_subset):
            raise EntryError(
                f'{where}: ServiceSubset "{target.service_subset}" is not a valid subset of '
                f'"{self.name}"'
            )

    def _has(self, subset: str) -> bool:
        return not subset or subset in self.subsets


def _check_subset(name: str, subset: Subset) -> None:
    if not name:
        raise EntryError("Subset defined with empty name")
    if len(name) > _LONGEST_SUBSET or not _SUBSET.fullmatch(name):
        raise EntryError(
            f'Subset "{name}" is invalid: must be 63 characters or fewer, begin or end with '
            "lower case alphanumeric characters, and contain lower case alphanumeric characters "
            "or '-' in between"
        )
    if subset.filter:
        from portway.discovery.api.render import ServiceEntry
        from portway.discovery.filter import FilterError, compile_filter

        try:
            compile_filter(subset.filter, ServiceEntry)
        except FilterError as error:
            raise EntryError(
                f'Filter for subset "{name}" is not a valid expression: {error.reason}'
            ) from None
