"""``proxy-defaults``: how all proxies are configured. There is one, called ``global``."""

from __future__ import annotations

import json
from typing import Any

from msgspec import field

from portway.discovery.model.catalog import (
    AccessLogs,
    EnvoyExtension,
    Expose,
    MeshGateway,
    TransparentProxy,
)
from portway.mesh.entries.entry import Entry, EntryError, check_meta
from portway.mesh.entries.extensions import check_extensions
from portway.mesh.entries.failover import FailoverPolicy, PrioritizeByLocality
from portway.mesh.entries.service_defaults import Mode, MutualTLSMode

GLOBAL = "global"
_LOG_TYPES = ("", "file", "stderr", "stdout")


class ProxyDefaults(Entry, tag="proxy-defaults"):
    """Defaults of all proxies; ``config`` holds what proxies' own opaque config may hold.

    ``config["protocol"]`` is the protocol of services whose service-defaults name none.
    """

    read_access = "none"
    write_access = "mesh"
    singleton = GLOBAL

    name: str
    config: dict[str, Any] | None
    transparent_proxy: TransparentProxy
    mesh_gateway: MeshGateway
    expose: Expose
    access_logs: AccessLogs
    mode: Mode = ""
    mutual_tls_mode: MutualTLSMode = field(name="MutualTLSMode", default="")
    envoy_extensions: list[EnvoyExtension] = []
    failover_policy: FailoverPolicy | None = None
    prioritize_by_locality: PrioritizeByLocality | None = None

    @property
    def protocol(self) -> str:
        """The default protocol of services; empty when it says nothing of it."""
        protocol = (self.config or {}).get("protocol", "")
        return protocol.lower() if isinstance(protocol, str) else ""

    def check(self) -> None:
        if self.name != GLOBAL:
            raise EntryError(f'invalid name ("{self.name}"), only "{GLOBAL}" is supported')
        logs = self.access_logs
        if logs.type not in _LOG_TYPES:
            raise EntryError(f"invalid access log type: {logs.type}")
        if logs.type == "file" and not logs.path:
            raise EntryError("path must be specified when using file type access logs")
        if logs.path and logs.type != "file":
            raise EntryError("path is only valid for file type access logs")
        if logs.json_format and logs.text_format:
            raise EntryError("cannot specify both access log JSONFormat and TextFormat")
        if logs.json_format:
            try:
                json.loads(logs.json_format)
            except ValueError as error:
                raise EntryError(f"invalid access log json for JSON format: {error}") from None
        check_meta(self.meta)
        check_extensions(self.envoy_extensions)
        if self.failover_policy is not None:
            self.failover_policy.check()
        if self.prioritize_by_locality is not None:
            self.prioritize_by_locality.check()
