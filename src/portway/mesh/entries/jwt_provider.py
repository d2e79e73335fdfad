"""``jwt-provider``: who makes the JSON web tokens that intentions ask for, and where they are."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import field
from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.mesh.entries.entry import (
    Entry,
    EntryError,
    Nanoseconds,
    check_meta,
    listed,
    require_name,
)

if TYPE_CHECKING:
    from portway.discovery.acl.authorizer import Authorizer

_CLOCK_SKEW = 30  # seconds
_DISCOVERY = ("", "STRICT_DNS", "STATIC", "LOGICAL_DNS", "EDS", "ORIGINAL_DST")


class LocationHeader(Wire):
    """A token in a header, after a prefix such as ``Bearer ``."""

    name: str = ""
    value_prefix: str = ""
    forward: bool = False


class LocationName(Wire):
    """A token in a query parameter or cookie."""

    name: str = ""


class Location(Wire):
    """One place to look for tokens."""

    header: LocationHeader | None = None
    query_param: LocationName | None = None
    cookie: LocationName | None = None

    def check(self) -> None:
        """Raise EntryError unless it is exactly one place with a name."""
        given = [
            (what, place)
            for what, place in (
                ("header", self.header),
                ("query param", self.query_param),
                ("cookie", self.cookie),
            )
            if place is not None
        ]
        if len(given) != 1:
            raise EntryError(
                listed(["must set exactly one of: JWT location header, query param or cookie"])
            )
        what, place = given[0]
        if not place.name:
            raise EntryError(listed([f"JWT location {what} name must be specified"]))


class Forwarding(Wire):
    """The header in which the service gets the claims of a verified token."""

    header_name: str = ""
    pad_forward_payload_header: bool = False


class LocalKeys(Wire):
    """Keys in base64, or a file that is on the host of every proxy."""

    jwks: str = field(name="JWKS", default="")
    filename: str = ""

    def check(self) -> None:
        """Raise EntryError unless it is one of both."""
        if bool(self.jwks) == bool(self.filename):
            raise EntryError("must specify exactly one of String or filename for local keyset")
        try:
            base64.b64decode(self.jwks, validate=True)
        except (binascii.Error, ValueError):
            raise EntryError("JWKS must be valid base64 encoded string") from None


class BackOff(Wire):
    """Pauses between attempts."""

    base_interval: Nanoseconds = Nanoseconds(0)
    max_interval: Nanoseconds = Nanoseconds(0)


class RetryPolicy(Wire):
    """How fetching keys is tried again."""

    num_retries: int = 0
    retry_policy_back_off: BackOff | None = None


class ProviderInstance(Wire):
    """A certificate provider of Envoy."""

    instance_name: str = ""
    certificate_name: str = ""


class TrustedCA(Wire):
    """CA certificates from one of four places."""

    filename: str = ""
    environment_variable: str = ""
    inline_string: str = ""
    inline_bytes: bytes = b""


class TLSCertificates(Wire):
    """What the certificate of the keys' server is verified with."""

    ca_certificate_provider_instance: ProviderInstance | None = field(
        name="CaCertificateProviderInstance", default=None
    )
    trusted_ca: TrustedCA | None = None

    def check(self) -> None:
        """Raise EntryError unless it is exactly one thing."""
        if (self.ca_certificate_provider_instance is None) == (self.trusted_ca is None):
            raise EntryError(
                "must specify exactly one of: CaCertificateProviderInstance or TrustedCA for "
                "JKWS' TLSCertificates"
            )
        if self.trusted_ca is None:
            return
        places = [getattr(self.trusted_ca, name) for name in TrustedCA.__struct_fields__]
        if sum(map(bool, places)) != 1:
            raise EntryError(
                "must specify exactly one of: Filename, EnvironmentVariable, InlineString or "
                "InlineBytes for JWKS' TrustedCA"
            )


class KeysCluster(Wire):
    """How the keys' server is found and connected to."""

    discovery_type: str = ""
    tls_certificates: TLSCertificates | None = None
    connect_timeout: Nanoseconds = Nanoseconds(0)


class RemoteKeys(Wire):
    """Keys that are fetched."""

    uri: str = ""
    request_timeout_ms: int = 0
    cache_duration: Nanoseconds = Nanoseconds(0)
    fetch_asynchronously: bool = False
    retry_policy: RetryPolicy | None = None
    jwks_cluster: KeysCluster | None = field(name="JWKSCluster", default=None)

    def check(self) -> None:
        """Raise EntryError for what cannot be fetched."""
        if not self.uri:
            raise EntryError("Remote JWKS URI is required")
        try:
            url = urlsplit(self.uri)
        except ValueError as error:
            raise EntryError(f"Remote JWKS URI is invalid: {error}, uri: {self.uri}") from None
        if not url.scheme or not url.netloc:
            raise EntryError(
                "Remote JWKS URI is invalid: it must be a URL such as "
                f"https://host/keys, uri: {self.uri}"
            )
        back_off = self.retry_policy and self.retry_policy.retry_policy_back_off
        if back_off and 0 < back_off.max_interval < back_off.base_interval:
            raise EntryError(
                "retry policy backoff's MaxInterval should be greater or equal to BaseInterval"
            )
        cluster = self.jwks_cluster
        if cluster is not None and cluster.discovery_type not in _DISCOVERY:
            raise EntryError(f'unsupported jwks cluster discovery type: "{cluster.discovery_type}"')
        if cluster is not None and cluster.tls_certificates is not None:
            cluster.tls_certificates.check()


class KeySet(Wire):
    """Keys that signatures are verified with: given here, or fetched."""

    local: LocalKeys | None = None
    remote: RemoteKeys | None = None

    def check(self) -> None:
        """Raise EntryError unless it is one of both."""
        if (self.local is None) == (self.remote is None):
            raise EntryError("must specify exactly one of Local or Remote JSON Web key set")
        if self.local is not None:
            self.local.check()
        if self.remote is not None:
            self.remote.check()


class CacheConfig(Wire):
    """How many outcomes of verifications are kept; 0 keeps none."""

    size: int = 0


class JWTProvider(Entry, tag="jwt-provider"):
    """A maker of JSON web tokens. Without locations they are where OAuth 2 has them."""

    read_access = "mesh"
    write_access = "mesh"

    name: str
    json_web_key_set: KeySet | None = None
    issuer: str = ""
    audiences: list[str] = []
    locations: list[Location] = []
    forwarding: Forwarding | None = None
    clock_skew_seconds: int = 0
    cache_config: CacheConfig | None = None

    @classmethod
    def may_read(cls, name: str, authorizer: Authorizer) -> bool:
        # Sidecars, whose tokens may write their service, must read the providers.
        return authorizer.allows_any("service", "write") or authorizer.allows("mesh", "read")

    def normalized(self) -> JWTProvider:
        return replace(self, clock_skew_seconds=self.clock_skew_seconds or _CLOCK_SKEW)

    def check(self) -> None:
        require_name(self.name)
        check_meta(self.meta)
        if self.json_web_key_set is None:
            raise EntryError("JSONWebKeySet is required")
        for location in self.locations:
            location.check()
        if self.forwarding is not None and not self.forwarding.header_name:
            raise EntryError("Header name required for forwarding config")
        self.json_web_key_set.check()
