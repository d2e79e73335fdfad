"""Prepared queries as the store and the API have them; every field is always written."""

from __future__ import annotations

from msgspec import field

from portway.discovery.model.catalog import Wire

NAME_PREFIX_MATCH = "name_prefix_match"
"""The only type of template."""


class QueryTemplate(Wire, omit_defaults=False):
    """What makes a query a template: it answers every name that begins with the query's name."""

    type: str = ""
    regexp: str = ""
    remove_empty_tags: bool = False


class FailoverTarget(Wire, omit_defaults=False):
    """One place to look next: a datacenter or a peer."""

    peer: str = ""
    datacenter: str = ""


class QueryFailover(Wire, omit_defaults=False):
    """Where to look when nothing here is healthy."""

    nearest_n: int = 0
    datacenters: list[str] | None = None
    targets: list[FailoverTarget] | None = None


class ServiceQuery(Wire, omit_defaults=False):
    """Which instances of which service are wanted. A tag that begins with ``!`` excludes."""

    service: str = ""
    sameness_group: str = ""
    failover: QueryFailover = field(default_factory=QueryFailover)
    only_passing: bool = False
    ignore_check_ids: list[str] | None = field(name="IgnoreCheckIDs", default=None)
    near: str = ""
    tags: list[str] | None = None
    node_meta: dict[str, str] | None = None
    service_meta: dict[str, str] | None = None
    connect: bool = False
    peer: str = ""


class QueryDNS(Wire, omit_defaults=False):
    """How results are served over DNS. The TTL is a Go duration, or empty."""

    ttl: str = ""


class PreparedQuery(Wire, omit_defaults=False):
    """A prepared query."""

    id: str = ""
    name: str = ""
    session: str = ""
    token: str = ""
    template: QueryTemplate = field(default_factory=QueryTemplate)
    service: ServiceQuery = field(default_factory=ServiceQuery)
    dns: QueryDNS = field(default_factory=QueryDNS)
    create_index: int = 0
    modify_index: int = 0

    @property
    def is_template(self) -> bool:
        """Whether it answers more names than its own."""
        return bool(self.template.type)
