"""``terminating-gateway``: services outside the mesh that are reached through a gateway."""

from __future__ import annotations

from portway.discovery.model import Wire
from portway.mesh.entries.entry import Entry, EntryError, check_meta


class LinkedService(Wire):
    """A service behind the gateway, or ``*``; with a CA the gateway speaks TLS to it."""

    name: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    sni: str = ""
    disable_auto_host_rewrite: bool = False


class TerminatingGateway(Entry, tag="terminating-gateway"):
    """The services behind the gateways that are registered under the entry's name."""

    write_access = "mesh"

    name: str
    services: list[LinkedService] | None

    def check(self) -> None:
        check_meta(self.meta)
        seen = set()
        for service in self.services or ():
            if not service.name:
                raise EntryError("Service name cannot be blank.")
            if service.name in seen:
                raise EntryError(
                    f'Service "{service.name}" was specified more than once within a namespace'
                )
            seen.add(service.name)
            if (service.cert_file or service.key_file) and not (
                service.ca_file and service.cert_file and service.key_file
            ):
                raise EntryError(
                    f'Service "{service.name}" must have a CertFile, CAFile, and KeyFile '
                    "specified for TLS origination"
                )
