"""Every kind of config entry, by name."""

from __future__ import annotations

from portway.mesh.entries.api_gateway import APIGateway, BoundAPIGateway
from portway.mesh.entries.certificates import FileSystemCertificate, InlineCertificate
from portway.mesh.entries.entry import Entry, EntryError, kind_name
from portway.mesh.entries.exported_services import ExportedServices
from portway.mesh.entries.http_route import HTTPRoute
from portway.mesh.entries.ingress_gateway import IngressGateway
from portway.mesh.entries.jwt_provider import JWTProvider
from portway.mesh.entries.mesh import Mesh
from portway.mesh.entries.proxy_defaults import ProxyDefaults
from portway.mesh.entries.service_defaults import ServiceDefaults
from portway.mesh.entries.service_intentions import ServiceIntentions
from portway.mesh.entries.service_resolver import ServiceResolver
from portway.mesh.entries.service_router import ServiceRouter
from portway.mesh.entries.service_splitter import ServiceSplitter
from portway.mesh.entries.tcp_route import TCPRoute
from portway.mesh.entries.terminating_gateway import TerminatingGateway

AnyEntry = (
    ServiceDefaults
    | ProxyDefaults
    | ServiceRouter
    | ServiceSplitter
    | ServiceResolver
    | IngressGateway
    | TerminatingGateway
    | ServiceIntentions
    | Mesh
    | ExportedServices
    | APIGateway
    | BoundAPIGateway
    | HTTPRoute
    | TCPRoute
    | InlineCertificate
    | FileSystemCertificate
    | JWTProvider
)
"""An entry of any kind, told by its ``Kind``."""
KINDS: dict[str, type[Entry]] = {kind_name(cls): cls for cls in AnyEntry.__args__}
ENTERPRISE_KIND = "sameness-group"
"""The kind that is known but that no entry can be of."""


class EnterpriseKindError(EntryError):
    """An entry of ``ENTERPRISE_KIND`` was to be made."""


def kind_of(name: str) -> type[Entry]:
    """The class of a kind. Raises EntryError for a name that is none."""
    cls = KINDS.get(name)
    if cls is None:
        if name == ENTERPRISE_KIND:
            raise EnterpriseKindError("sameness-groups are an enterprise-only feature")
        raise EntryError(f"invalid config entry kind: {name}")
    return cls
