"""Config entries: one module per kind, with its fields, its rules and what they mean.

``decode_entry`` reads one, ``Entry.check`` says whether it is right in itself, and
``check_graph`` whether the entries are right together.
"""

from portway.mesh.entries.decode import decode_entry, decode_part
from portway.mesh.entries.entry import WILDCARD, Entry, EntryError, kind_name
from portway.mesh.entries.exported_services import ExportedServices
from portway.mesh.entries.graph import Entries, check_chain, check_graph, protocol_of
from portway.mesh.entries.ingress_gateway import IngressGateway
from portway.mesh.entries.kinds import (
    ENTERPRISE_KIND,
    KINDS,
    AnyEntry,
    EnterpriseKindError,
    kind_of,
)
from portway.mesh.entries.proxy_defaults import ProxyDefaults
from portway.mesh.entries.service_defaults import ServiceDefaults
from portway.mesh.entries.service_intentions import (
    IntentionJWT,
    Permission,
    ServiceIntentions,
    Source,
    precedence,
)
from portway.mesh.entries.terminating_gateway import TerminatingGateway

__all__ = [
    "ENTERPRISE_KIND",
    "KINDS",
    "WILDCARD",
    "AnyEntry",
    "EnterpriseKindError",
    "Entries",
    "Entry",
    "EntryError",
    "ExportedServices",
    "IngressGateway",
    "IntentionJWT",
    "Permission",
    "ProxyDefaults",
    "ServiceDefaults",
    "ServiceIntentions",
    "Source",
    "TerminatingGateway",
    "check_chain",
    "check_graph",
    "decode_entry",
    "decode_part",
    "kind_name",
    "kind_of",
    "precedence",
    "protocol_of",
]
