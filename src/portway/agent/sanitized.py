"""The running configuration as it may be shown: secrets are hidden."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.agent.config.config import AgentConfig

HIDDEN = "hidden"
# Parts of names, without case and underscores, whose values are never shown.
_SECRET = ("token", "secret", "password", "encryptkey", "privatekey", "apiapp", "authorization")
_SECRET_NAMES = {"encrypt", "cookie", "addheaders"}
_INITIALISMS = {
    "acl": "ACL",
    "addr": "Addr",
    "addrs": "Addrs",
    "dns": "DNS",
    "grpc": "GRPC",
    "http": "HTTP",
    "https": "HTTPS",
    "id": "ID",
    "kv": "KV",
    "rpc": "RPC",
    "tls": "TLS",
    "ttl": "TTL",
    "ui": "UI",
    "wan": "WAN",
    "lan": "LAN",
}


def sanitized(config: AgentConfig) -> dict[str, Any]:
    """Every value under its runtime name, with the names clients look for."""
    ports = config.ports
    shown: dict[str, Any] = _shown(config)
    return shown | {
        "ACLsEnabled": config.acl.enabled,
        "ACLDefaultPolicy": config.acl.default_policy,
        "AdvertiseAddrLAN": config.advertise_lan,
        "AdvertiseAddrWAN": config.advertise_wan,
        "DNSPort": ports.dns,
        "DevMode": config.dev_mode,
        "EnableLocalScriptChecks": config.enable_local_script_checks,
        "EnableRemoteScriptChecks": config.enable_script_checks,
        "GRPCPort": ports.grpc,
        "GRPCTLSPort": config.grpc_tls_port,
        "HTTPPort": ports.http,
        "HTTPSPort": ports.https,
        "PrimaryDatacenter": config.primary_datacenter,
        "SerfPortLAN": ports.serf_lan,
        "ServerMode": config.server,
        "ServerPort": ports.server,
        "TaggedAddresses": dict(config.tagged_addresses),
        "UIConfig": {
            "Enabled": config.ui_config.enabled,
            "ContentPath": config.ui_config.content_path,
        },
    }


def _shown(value: Any) -> Any:
    """Fields under Go's names; what users named themselves, as they did."""
    if isinstance(value, msgspec.Struct):
        return {_go_name(name): _of(name, getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(name): _of(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner) for inner in value]
    if isinstance(value, float) and type(value) is not float:  # a duration
        return str(value)
    return value


def _of(name: str, value: Any) -> Any:
    plain = name.lower().replace("_", "").replace("-", "")
    if plain not in _SECRET_NAMES and not any(part in plain for part in _SECRET):
        return _shown(value)
    if isinstance(value, bool | int | float):
        return _shown(value)
    return HIDDEN if value else _shown(value)


def _go_name(name: str) -> str:
    return "".join(_INITIALISMS.get(w, w[:1].upper() + w[1:]) for w in name.split("_"))
