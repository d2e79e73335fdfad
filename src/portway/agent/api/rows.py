"""Services and checks as the agent's own endpoints show them, which is not as the catalog does."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.discovery.model import Check, Proxy, Service

_NO_DEFINITION = {
    **dict.fromkeys(("Interval", "Timeout", "DeregisterCriticalServiceAfter"), "0s"),
    **dict.fromkeys(("HTTP", "Method", "Body", "TLSServerName", "TCP", "UDP", "GRPC"), ""),
    **dict.fromkeys(("TLSSkipVerify", "TCPUseTLS", "GRPCUseTLS"), False),
    "Header": None,
    "OSService": "",
}


def agent_service(service: Service, datacenter: str) -> dict[str, Any]:
    """A service as the agent's endpoints show it."""
    row: dict[str, Any] = {"Kind": service.kind} if service.kind else {}
    row |= {
        "ID": service.id,
        "Service": service.service,
        "Tags": service.tags or [],
        "Meta": service.meta or {},
        "Port": service.port or _default_port(service),
        "Address": service.address,
    }
    for name, value in (
        ("Ports", service.ports),
        ("SocketPath", service.socket_path),
        ("TaggedAddresses", service.tagged_addresses),
        ("Locality", service.locality),
    ):
        if value:
            row[name] = value
    row |= {"Weights": service.weights, "EnableTagOverride": service.enable_tag_override}
    if service.kind:
        row["Proxy"] = _proxy(service.proxy)
    if service.connect.native:
        row["Connect"] = {"Native": True}
    row["Datacenter"] = datacenter
    return row


def _default_port(service: Service) -> int:
    return next((port.port for port in service.ports or () if port.default), 0)


def _proxy(proxy: Proxy) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(proxy)
    for name in ("EnvoyExtensions", "MutualTLSMode"):
        row.pop(name, None)
    if not proxy.mode:
        del row["Mode"]
    for path in row["Expose"].get("Paths", ()):
        path.setdefault("ParsedFromCheck", False)
    for upstream in row.get("Upstreams", ()):
        upstream.pop("CentrallyConfigured", None)
        for name in ("DestinationType", "Datacenter"):
            if not upstream.get(name):
                upstream.pop(name, None)
    return row


def agent_check(check: Check) -> dict[str, Any]:
    """A check as the agent's endpoints show it: with the indexes it has not, as in the catalog."""
    row: dict[str, Any] = msgspec.to_builtins(check)
    return row | {"CreateIndex": 0, "ModifyIndex": 0}


def health_check(check: Check) -> dict[str, Any]:
    """A check as the health of a service shows it: how it runs is left out."""
    return {
        "Node": check.node,
        "CheckID": check.check_id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": check.service_tags or None,
        "Type": "",
        "ExposedPort": 0,
        "Definition": _NO_DEFINITION,
        "CreateIndex": 0,
        "ModifyIndex": 0,
    }
