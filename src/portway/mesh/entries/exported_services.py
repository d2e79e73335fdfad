"""``exported-services``: services that peers may see. There is one, called ``default``."""

from __future__ import annotations

from portway.discovery.model import Wire
from portway.mesh.entries.entry import (
    WILDCARD,
    Entry,
    EntryError,
    check_meta,
    refuse_sameness_group,
)

DEFAULT = "default"


class Consumer(Wire):
    """Who may see a service: a peer by its name."""

    peer: str = ""
    sameness_group: str = ""


class ExportedService(Wire):
    """A service, or ``*``, and who may see it."""

    name: str
    consumers: list[Consumer] = []


class ExportedServices(Entry, tag="exported-services"):
    """The services that peers may see."""

    read_access = "mesh"
    write_access = "mesh"

    name: str
    services: list[ExportedService] = []

    def check(self) -> None:
        if self.name != DEFAULT:
            raise EntryError('exported-services Name must be "default"')
        check_meta(self.meta)
        for index, service in enumerate(self.services):
            where = f"Services[{index}]"
            if not service.name:
                raise EntryError(f"{where}: service name cannot be empty")
            if service.name == "consul":
                raise EntryError(f"{where}: exporting the consul service is not allowed")
            if not service.consumers:
                raise EntryError(f"{where}: must have at least one consumer")
            for position, consumer in enumerate(service.consumers):
                place = f"{where}.Consumers[{position}]"
                refuse_sameness_group(
                    consumer.sameness_group,
                    f"{place}: ",
                    "sameness-groups are an enterprise-only feature",
                )
                if not consumer.peer:
                    raise EntryError(
                        f"{place}: must define at most one of Peer, Partition, or SamenessGroup, "
                        "and a Peer where there are no partitions"
                    )
                if consumer.peer == WILDCARD:
                    raise EntryError(f"{place}: exporting to all peers (wildcard) is not supported")
