"""Intentions as their API has them: one source and one destination each."""

from __future__ import annotations

from datetime import datetime

from msgspec import field

from portway.discovery.model.catalog import Wire
from portway.mesh.entries.service_intentions import IntentionJWT, Permission

DEFAULT = "default"
"""The one namespace and the one partition there are."""


class Intention(Wire, kw_only=True):
    """Whether a source may call a destination.

    The ID, the times and the hash are of intentions that were made with the deprecated API.
    """

    id: str = ""
    description: str = ""
    source_partition: str = ""
    source_ns: str = field(name="SourceNS")
    source_name: str
    source_peer: str = ""
    destination_partition: str = ""
    destination_ns: str = field(name="DestinationNS")
    destination_name: str
    source_type: str
    action: str = ""
    permissions: list[Permission] = []
    jwt: IntentionJWT | None = None
    meta: dict[str, str] = {}
    precedence: int
    created_at: datetime | None = None
    updated_at: datetime | None = None
    hash: bytes = b""
    create_index: int = 0
    modify_index: int = 0


class IntentionRequest(Wire, kw_only=True):
    """What a client writes; what is only ever shown is accepted, and not looked at."""

    id: str = ""
    description: str = ""
    source_partition: str = ""
    source_ns: str = field(name="SourceNS", default="")
    source_name: str = ""
    source_peer: str = ""
    source_sameness_group: str = ""
    destination_partition: str = ""
    destination_ns: str = field(name="DestinationNS", default="")
    destination_name: str = ""
    source_type: str = ""
    action: str = ""
    permissions: list[Permission] = []
    jwt: IntentionJWT | None = None
    default_addr: str = ""
    default_port: int = 0
    meta: dict[str, str] = {}
    precedence: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    hash: bytes = b""
    create_index: int = 0
    modify_index: int = 0
