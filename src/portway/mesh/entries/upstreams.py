"""How a service reaches its upstreams, and what makes an instance of one unfit."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.discovery.model.catalog import MeshGateway
from portway.mesh.entries.entry import WILDCARD, EntryError, Nanoseconds, listed

Balance = Literal["", "exact_balance"]
"""How connections spread over Envoy's threads."""


class PassiveHealthCheck(Wire):
    """When instances that fail are left out for a time (outlier detection)."""

    interval: Nanoseconds = Nanoseconds(0)
    max_failures: int = 0  # consecutive ones
    enforcing_consecutive_5xx: int | None = None  # percent
    max_ejection_percent: int | None = None
    base_ejection_time: Nanoseconds | None = None

    def check(self) -> None:
        """Raise EntryError for values that cannot be."""
        if self.interval < 0:
            raise EntryError("passive health check interval cannot be negative")
        if self.max_failures < 0:
            raise EntryError("passive health check max_failures cannot be negative")
        for field in ("enforcing_consecutive_5xx", "max_ejection_percent"):
            if not 0 <= (getattr(self, field) or 0) <= 100:
                raise EntryError(
                    f"passive health check {field} must be a percentage between 0 and 100"
                )
        if (self.base_ejection_time or 0) < 0:
            raise EntryError("passive health check base_ejection_time cannot be negative")


class UpstreamLimits(Wire):
    """How much a proxy sends to an upstream at a time; ``None`` is Envoy's default."""

    max_connections: int | None = None
    max_pending_requests: int | None = None
    max_concurrent_requests: int | None = None

    def check(self) -> None:
        """Raise EntryError for negative limits."""
        for field in self.__struct_fields__:
            if (getattr(self, field) or 0) < 0:
                raise EntryError(f"{field.replace('_', ' ')} cannot be negative")


class UpstreamConfig(Wire, kw_only=True):
    """Settings of one upstream, or without a name of all."""

    name: str = ""
    peer: str
    envoy_listener_json: str = ""
    envoy_cluster_json: str = ""
    protocol: str = ""
    connect_timeout_ms: int = 0
    limits: UpstreamLimits | None = None
    passive_health_check: PassiveHealthCheck | None = None
    mesh_gateway: MeshGateway
    balance_outbound_connections: str = ""

    def normalized(self) -> UpstreamConfig:
        """The form it is kept in."""
        timeout = max(self.connect_timeout_ms, 0)
        return replace(self, protocol=self.protocol.lower(), connect_timeout_ms=timeout)

    def check(self, named: bool) -> None:
        """Raise EntryError for values that cannot be."""
        if named and not self.name:
            raise EntryError("Name is required")
        if self.name == WILDCARD:
            raise EntryError("Wildcard name is not supported")
        if not named and self.name:
            raise EntryError("Name must be empty")
        if not named and self.peer:
            raise EntryError("Peer must be empty")
        problems = []
        for part in (self.passive_health_check, self.limits):
            if part is not None:
                try:
                    part.check()
                except EntryError as error:
                    problems.append(str(error))
        problems += balance_problems(
            "balance_outbound_connections", self.balance_outbound_connections
        )
        if problems:
            raise EntryError(listed(problems))


class UpstreamConfiguration(Wire):
    """Settings of all upstreams of a service, and of some by name."""

    overrides: list[UpstreamConfig] = []
    defaults: UpstreamConfig | None = None

    def normalized(self) -> UpstreamConfiguration:
        """The form it is kept in."""
        return UpstreamConfiguration(
            [override.normalized() for override in self.overrides],
            self.defaults and self.defaults.normalized(),
        )

    def problems(self) -> list[str]:
        """What cannot be, naming the upstream."""
        problems = []
        for override in self.overrides:
            try:
                override.check(named=True)
            except EntryError as error:
                where = f"error in upstream override for {override.name}:{override.peer}"
                problems.append(f"{where}: {error}")
        if self.defaults is not None:
            try:
                self.defaults.check(named=False)
            except EntryError as error:
                problems.append(f"error in upstream defaults: {error}")
        return problems


def balance_problems(field: str, value: str) -> list[str]:
    """What is wrong with a way to balance connections."""
    return [] if value in ("", "exact_balance") else [f"invalid value for {field}: {value}"]
