"""The running configuration as it may be shown: secrets are hidden."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.agent.config.config import AgentConfig

HIDDEN = "hidden"
# Parts of names whose values are never shown.
_SECRET = ("token", "secret", "password", "encrypt_key", "private_key", "api_app")
_SECRET_NAMES = {"encrypt", "tokens"}
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
    shown: dict[str, Any] = _tree(msgspec.to_builtins(config, enc_hook=str), "")
    ports = config.ports
    shown |= {
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
        "ServerMode": True,
        "ServerPort": ports.server,
        "TaggedAddresses": dict(config.tagged_addresses),
        "UIConfig": {
            "Enabled": config.ui_config.enabled,
            "ContentPath": config.ui_config.content_path,
        },
    }
    return shown


def _tree(value: Any, name: str) -> Any:
    if name in _SECRET_NAMES or any(part in name for part in _SECRET):
        if isinstance(value, str | dict) and value:
            return HIDDEN
        return value
    if isinstance(value, dict):
        return {_shown(key): _tree(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_tree(inner, name) for inner in value]
    return value


def _shown(name: Any) -> str:
    return "".join(_INITIALISMS.get(w, w[:1].upper() + w[1:]) for w in str(name).split("_"))
