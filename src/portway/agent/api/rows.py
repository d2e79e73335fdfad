"""Services and checks as the agent's own endpoints show them, which is not as the catalog does."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.discovery.model import Check, Service


def agent_service(service: Service, datacenter: str) -> dict[str, Any]:
    """A service as the agent's endpoints show it."""
    row: dict[str, Any] = {"Kind": service.kind} if service.kind else {}
    row |= {
        "ID": service.id,
        "Service": service.service,
        "Tags": service.tags or [],
        "Meta": service.meta or {},
        "Port": service.port,
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
        row["Proxy"] = service.proxy
    if service.connect.native:
        row["Connect"] = {"Native": True}
    row["Datacenter"] = datacenter
    return row


def agent_check(check: Check) -> dict[str, Any]:
    """A check as the agent's endpoints show it: with the indexes it has not, as in the catalog."""
    row: dict[str, Any] = msgspec.to_builtins(check)
    return row | {"CreateIndex": 0, "ModifyIndex": 0}
