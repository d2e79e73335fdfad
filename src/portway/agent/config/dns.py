"""The ``dns_config`` block."""

from __future__ import annotations

from portway.agent.config.block import Block, seconds
from portway.config import Duration


class Soa(Block):
    """The numbers of the SOA record, in seconds."""

    refresh: int = 3600
    retry: int = 600
    expire: int = 86400
    min_ttl: int = 0


class DnsConfig(Block):
    """How names are answered."""

    allow_stale: bool = True
    max_stale: Duration = seconds(87600 * 3600)
    a_record_limit: int = 0  # most A and AAAA records of an answer; 0 is no limit
    disable_compression: bool = False
    enable_truncate: bool = False  # set the TC bit of cut answers
    enable_additional_node_meta_txt: bool = True
    node_ttl: Duration = seconds(0)
    service_ttl: dict[str, Duration] = {}  # by name, prefix ending in *, or *
    only_passing: bool = False
    recursor_strategy: str = "sequential"  # or random
    recursor_timeout: Duration = seconds(2)
    udp_answer_limit: int = 3  # most records of an answer by UDP without EDNS
    soa: Soa = Soa()
    use_cache: bool = False
    cache_max_age: Duration = seconds(0)
