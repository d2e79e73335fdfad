"""``api-gateway``: listeners that routes attach to; ``bound-api-gateway``: what attached."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.mesh.entries.entry import WILDCARD, Entry, EntryError, check_meta
from portway.mesh.entries.references import NO_STATUS, Reference, Status, with_kind
from portway.mesh.entries.tls import check_tls

if TYPE_CHECKING:
    from portway.discovery.acl.authorizer import Authorizer

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PROTOCOLS = ("http", "tcp")
_CERTIFICATES = ("inline-certificate", "file-system-certificate")


class GatewayTLS(Wire):
    """Certificates and versions of a listener; without certificates it speaks no TLS."""

    certificates: list[Reference] | None
    max_version: str
    min_version: str
    cipher_suites: list[str] | None


class Listener(Wire):
    """A port, for all hosts or those of one name."""

    name: str
    hostname: str
    port: int
    protocol: str
    tls: GatewayTLS

    def check(self) -> None:
        """Raise EntryError for values that cannot be."""
        if self.protocol not in _PROTOCOLS:
            raise EntryError(
                f"unsupported listener protocol \"{self.protocol}\", must be one of 'tcp', or "
                "'http'"
            )
        if self.protocol == "tcp" and self.hostname:
            raise EntryError("hostname specification is not supported when using TCP")
        if not 1 <= self.port <= 65535:
            raise EntryError(f"listener port {self.port} not in the range 1-65535")
        if WILDCARD in self.hostname.removeprefix("*."):
            raise EntryError(
                f'host "{self.hostname}" is not valid, a wildcard specifier is only allowed as '
                "the left-most label"
            )
        for certificate in self.tls.certificates or ():
            if certificate.kind not in _CERTIFICATES:
                raise EntryError(
                    f'unsupported certificate kind: "{certificate.kind}", must be '
                    "'file-system-certificate' or 'inline-certificate'"
                )
            if not certificate.name:
                raise EntryError("certificate reference must have a name")
        check_tls(self.tls.min_version, self.tls.max_version, self.tls.cipher_suites or ())


class APIGateway(Entry, tag="api-gateway"):
    """The listeners of the gateways that are registered under the entry's name."""

    write_access = "mesh"

    name: str
    listeners: list[Listener] | None
    status: Status

    def normalized(self) -> APIGateway:
        listeners = self.listeners and [
            replace(
                listener,
                protocol=listener.protocol.lower(),
                tls=replace(
                    listener.tls,
                    certificates=with_kind(listener.tls.certificates, "inline-certificate"),
                ),
            )
            for listener in self.listeners
        ]
        return replace(self, listeners=listeners, status=NO_STATUS)

    def check(self) -> None:
        check_meta(self.meta)
        if not self.listeners:
            raise EntryError("api gateway must have at least one listener")
        names = set()
        ports: dict[int, Listener] = {}
        for listener in self.listeners:
            if not _NAME.fullmatch(listener.name):
                raise EntryError(
                    f'listener name "{listener.name}" is invalid, must be at least 1 character '
                    "and contain only letters, numbers, or dashes"
                )
            if listener.name in names:
                raise EntryError(f'found multiple listeners with the name "{listener.name}"')
            names.add(listener.name)
            other = ports.setdefault(listener.port, listener)
            if (other.hostname, other.protocol) != (listener.hostname, listener.protocol):
                raise EntryError(f'listeners "{other.name}" and "{listener.name}" cannot be merged')
        for listener in self.listeners:
            listener.check()


class BoundListener(Wire):
    """A listener with the routes and certificates that attached to it."""

    name: str
    routes: list[Reference] | None
    certificates: list[Reference] | None


class BoundAPIGateway(Entry, tag="bound-api-gateway"):
    """What the servers attached to a gateway's listeners; nobody else writes it."""

    name: str
    listeners: list[BoundListener] | None

    @classmethod
    def require_write(cls, name: str, authorizer: Authorizer) -> None:
        from portway.discovery.acl.errors import PermissionDeniedError

        raise PermissionDeniedError("only writeable by controller")
