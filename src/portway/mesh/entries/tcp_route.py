"""``tcp-route``: which service the connections at a listener of an API gateway go to."""

from __future__ import annotations

from msgspec.structs import replace

from portway.discovery.model import Wire
from portway.mesh.entries.entry import Entry, EntryError, check_meta
from portway.mesh.entries.references import (
    NO_STATUS,
    Reference,
    Status,
    check_parents,
    with_kind,
)


class TCPService(Wire):
    """A service by its name."""

    name: str


class TCPRoute(Entry, tag="tcp-route"):
    """One service, at the gateways or listeners that are its parents."""

    read_access = "mesh"
    write_access = "mesh"

    name: str
    parents: list[Reference] | None
    services: list[TCPService] | None
    status: Status

    def normalized(self) -> TCPRoute:
        return replace(self, parents=with_kind(self.parents, "api-gateway"), status=NO_STATUS)

    def check(self) -> None:
        if len(self.services or ()) > 1:
            raise EntryError("tcp-route currently only supports one service")
        check_parents(self.parents or ())
        check_meta(self.meta)
