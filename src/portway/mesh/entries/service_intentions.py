"""``service-intentions``: who may call a service, and with which requests."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.mesh.entries.entry import (
    WILDCARD,
    Entry,
    EntryError,
    check_meta,
    listed,
    refuse_sameness_group,
    require_name,
)
from portway.mesh.entries.http import (
    HeaderMatch,
    check_headers,
    check_methods,
    check_path,
    upper,
)

CONSUL = "consul"
"""The only type of source: a service of the catalog."""
LONGEST_DESCRIPTION = 512
_ACTIONS = ("allow", "deny")


class ClaimVerification(Wire):
    """A claim of a JSON web token by its path, and the value it must have or contain."""

    path: list[str] = []
    value: str = ""


class IntentionJWTProvider(Wire):
    """A ``jwt-provider`` entry whose tokens are accepted, with further claims to verify."""

    name: str = ""
    verify_claims: list[ClaimVerification] = []


class IntentionJWT(Wire):
    """The JSON web tokens a request must carry one of."""

    providers: list[IntentionJWTProvider] = []

    def check(self) -> None:
        """Raise EntryError for a provider without a name."""
        for provider in self.providers:
            if not provider.name:
                raise EntryError(listed(["JWT provider name is required"]))


class HTTPPermission(Wire):
    """The requests a permission is about; all of it must hold."""

    path_exact: str = ""
    path_prefix: str = ""
    path_regex: str = ""
    header: list[HeaderMatch] = []
    methods: list[str] = []

    def check(self, where: str) -> None:
        """Raise EntryError unless something is said, and each part can match."""
        has_path = check_path(self, where, ".")
        check_headers(
            self.header, f"{where}.", "Present, Exact, Prefix, Suffix, Contains, or Regex"
        )
        check_methods(self.methods, f"{where}.")
        if not (has_path or self.header or self.methods):
            raise EntryError(f"{where} should not be empty")


class Permission(Wire):
    """What is done with some requests; the first permission that matches decides."""

    action: str
    http: HTTPPermission | None = None
    jwt: IntentionJWT | None = None

    def check(self, where: str) -> None:
        """Raise EntryError unless it is complete."""
        if self.action not in _ACTIONS:
            raise EntryError(f"{where}.Action must be set to 'allow' or 'deny'")
        if self.http is None:
            raise EntryError(f"{where}.HTTP is required")
        self.http.check(f"{where}.HTTP")
        if self.jwt is not None:
            self.jwt.check()


class Source(Wire, kw_only=True):
    """One source, or ``*``: an action for its connections, or permissions for its requests.

    The ``legacy`` fields are of intentions that were made with the deprecated API by ID.
    """

    name: str
    action: str = ""
    permissions: list[Permission] = []
    precedence: int
    legacy_id: str = ""
    type: str
    description: str = ""
    legacy_meta: dict[str, str] = {}
    legacy_create_time: datetime | None = None
    legacy_update_time: datetime | None = None
    peer: str = ""
    sameness_group: str = ""

    @property
    def by_id(self) -> bool:
        """Whether it was made with the deprecated API by ID."""
        return bool(self.legacy_id)


class ServiceIntentions(Entry, tag="service-intentions"):
    """The intentions whose destination is the entry's name, or every service for ``*``.

    The source with the highest precedence that matches decides: exact destination and source 9,
    exact destination 8, exact source 6, neither 5.
    """

    read_access = "intention"
    write_access = "intention"

    name: str
    sources: list[Source] | None
    jwt: IntentionJWT | None = None

    def normalized(self) -> ServiceIntentions:
        sources = [_normalized(self.name, source) for source in self.sources or ()]
        sources.sort(key=lambda source: -source.precedence)
        return replace(self, sources=sources or None)

    @property
    def has_permissions(self) -> bool:
        """Whether requests are looked at, and not only connections."""
        return any(source.permissions for source in self.sources or ())

    @property
    def providers(self) -> set[str]:
        """The names of ``jwt-provider`` entries it refers to."""
        requirements = [self.jwt]
        for source in self.sources or ():
            requirements += [permission.jwt for permission in source.permissions]
        return {one.name for jwt in requirements if jwt is not None for one in jwt.providers}

    def check(self) -> None:
        require_name(self.name)
        _check_wildcard(self.name, "Name")
        if self.jwt is not None:
            self.jwt.check()
        check_meta(self.meta)
        if not self.sources:
            raise EntryError("At least one source is required")
        seen = set()
        for index, source in enumerate(self.sources):
            where = f"Sources[{index}]"
            self._check_source(source, where)
            if (source.peer, source.name) in seen:
                peer = f'peer("{source.peer}") ' if source.peer else ""
                raise EntryError(f'{where} defines {peer}"{source.name}" more than once')
            seen.add((source.peer, source.name))

    def _check_source(self, source: Source, where: str) -> None:
        if not source.name:
            raise EntryError(f"{where}.Name is required")
        refuse_sameness_group(
            source.sameness_group,
            f"{where}.SamenessGroup: ",
            "Sameness groups are a Consul Enterprise feature. ",
        )
        _check_wildcard(source.name, f"{where}.Name")
        if WILDCARD in source.peer:
            raise EntryError(f"{where}.Peer: cannot use wildcard '*' in peer")
        if len(source.description) > LONGEST_DESCRIPTION:
            raise EntryError(f"{where}.Description exceeds maximum length {LONGEST_DESCRIPTION}")
        if source.by_id:
            if source.peer:
                raise EntryError(f"{where}.Peer cannot be set by legacy intentions")
            check_meta(source.legacy_meta)
        elif source.legacy_meta:
            raise EntryError(f"{where}.LegacyMeta must be omitted")
        if not source.permissions and source.action not in _ACTIONS:
            raise EntryError(f"{where}.Action must be set to 'allow' or 'deny'")
        if source.permissions and source.action:
            raise EntryError(f"{where}.Action must be omitted if Permissions are specified")
        if source.permissions and self.name == WILDCARD:
            raise EntryError(
                f"{where}.Permissions cannot be specified on intentions with wildcarded "
                "destinations"
            )
        if source.type != CONSUL:
            raise EntryError(f"{where}.Type must be set to 'consul'")
        for index, permission in enumerate(source.permissions):
            permission.check(f"{where}.Permissions[{index}]")


def precedence(destination: str, source: str) -> int:
    """The order of an intention among those that match: the highest decides."""
    return (6 if destination == WILDCARD else 9) - (source == WILDCARD)


def _normalized(destination: str, source: Source) -> Source:
    permissions = [
        replace(one, http=replace(one.http, methods=upper(one.http.methods))) if one.http else one
        for one in source.permissions
    ]
    return replace(
        source,
        type=source.type or CONSUL,
        precedence=precedence(destination, source.name),
        permissions=permissions,
    )


def _check_wildcard(name: str, where: str) -> None:
    if name != WILDCARD and WILDCARD in name:
        raise EntryError(f"{where}: wildcard character '*' cannot be used with partial values")
