"""What watches hand on of an answer of the API: objects as Consul's client library prints them.

Their fields have another order than the API's, and some that the API leaves out, or has.
"""

from __future__ import annotations

from typing import Any

_ENTRY = ("Key", "CreateIndex", "ModifyIndex", "LockIndex", "Flags", "Value")
_CHECK = (
    *("Node", "CheckID", "Name", "Status", "Notes", "Output", "ServiceID", "ServiceName"),
    *("ServiceTags", "Type", "Namespace", "Partition", "ExposedPort", "PeerName", "Definition"),
    *("CreateIndex", "ModifyIndex"),
)
_DEFINITION: dict[str, Any] = {
    **dict.fromkeys(("Interval", "Timeout", "DeregisterCriticalServiceAfter"), "0s"),
    "HTTP": "",
    "Header": None,
    "Method": "",
    "Body": "",
    "TLSServerName": "",
    "TLSSkipVerify": False,
    "TCP": "",
    "TCPUseTLS": False,
    "UDP": "",
    "GRPC": "",
    "OSService": "",
    "GRPCUseTLS": False,
}
_SERVICE = (
    *("Kind", "ID", "Service", "Tags", "Meta", "Port", "Ports", "Address", "SocketPath"),
    *("TaggedAddresses", "Weights", "EnableTagOverride", "CreateIndex", "ModifyIndex"),
    *("ContentHash", "Proxy", "Connect", "PeerName", "Namespace", "Partition", "Datacenter"),
    "Locality",
)
_OMITTED_EMPTY = {
    *("Namespace", "Partition", "PeerName", "Kind", "Ports", "SocketPath", "TaggedAddresses"),
    *("ContentHash", "Datacenter", "Locality"),
}


def shaped(kind: str, data: Any) -> Any:
    """What the handlers of a type of watch are given for an answer."""
    if kind == "key":
        return _entry(data[0]) if data else None
    if kind == "keyprefix":
        return [_entry(entry) for entry in data] if data else None
    if kind == "checks":
        return [_check(check) for check in data or ()]
    if kind == "service":
        return [
            {
                **instance,
                "Service": _service(instance["Service"]),
                "Checks": [_check(check) for check in instance["Checks"]],
            }
            for instance in data or ()
        ]
    return data


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    return {**{name: entry.get(name) for name in _ENTRY}, "Session": entry.get("Session", "")}


def _check(check: dict[str, Any]) -> dict[str, Any]:
    definition = {**_DEFINITION, **(check.get("Definition") or {})}
    return _ordered({**check, "Definition": definition}, _CHECK)


def _service(service: dict[str, Any]) -> dict[str, Any]:
    proxy = {key: value for key, value in (service.get("Proxy") or {}).items() if value != ""}
    return _ordered({**service, "Proxy": proxy} if proxy else service, _SERVICE)


def _ordered(data: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: data[name]
        for name in order
        if name in data and (data[name] or name not in _OMITTED_EMPTY)
    }
