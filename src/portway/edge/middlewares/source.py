"""Who a request comes from: the address strategies several middlewares share."""

from __future__ import annotations

from msgspec import field

from portway.config.options import Options


class IPStrategy(Options):
    allow_empty = True
    depth: int = 0
    excluded_ips: list[str] = field(default_factory=list, name="excludedIPs")
    ipv6_subnet: int | None = field(default=None, name="ipv6Subnet")


class SourceCriterion(Options):
    ip_strategy: IPStrategy | None = None
    request_header_name: str = ""
    request_host: bool = False
