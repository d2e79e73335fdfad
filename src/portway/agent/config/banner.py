"""What the agent prints when it starts."""

from __future__ import annotations

from portway.agent.config.config import AgentConfig, Bind
from portway.agent.config.tls import TlsSettings

_WIDTH = 22  # of the titles, which stand to the right


def banner(config: AgentConfig, version: str, build_date: str) -> str:
    """The text up to where the log begins; scripts read its lines."""
    ports = config.ports
    clients = list(dict.fromkeys(bind.path or bind.host for bind in _client_binds(config)))
    segment = "<all>" if config.server else ""
    wan = ports.serf_wan
    rows = [
        ("Version", f"'{version}'"),
        ("Build Date", f"'{build_date}'"),
        ("Node ID", f"'{config.node_id}'"),
        ("Node name", f"'{config.node_name}'"),
        ("Datacenter", f"'{config.datacenter}' (Segment: '{segment}')"),
        ("Server", f"{_bool(config.server)} (Bootstrap: {_bool(config.bootstrap)})"),
        (
            "Client Addr",
            f"[{' '.join(clients)}] (HTTP: {ports.http}, HTTPS: {ports.https},"
            f" gRPC: {ports.grpc}, gRPC-TLS: {config.grpc_tls_port}, DNS: {ports.dns})",
        ),
        ("Cluster Addr", f"{config.advertise_lan} (LAN: {ports.serf_lan}, WAN: {wan})"),
        ("Gossip Encryption", _bool(bool(config.encrypt))),
        ("Auto-Encrypt-TLS", _bool(config.auto_encrypt.tls or config.auto_encrypt.allow_tls)),
        ("ACL Enabled", _bool(config.acl.enabled)),
        ("ACL Default Policy", config.acl.default_policy),
        ("HTTPS TLS", _tls(config.tls_https)),
        ("gRPC TLS", _tls(config.tls_grpc)),
        ("Internal RPC TLS", _tls(config.tls_internal_rpc, hostname=True)),
    ]
    lines = ["==> Starting Consul agent..."]
    lines += [f"{title:>{_WIDTH}}: {value}" for title, value in rows]
    return "\n".join([*lines, "", "==> Log data will now stream in as it occurs:", "", ""])


def _client_binds(config: AgentConfig) -> list[Bind]:
    listen = config.listen
    return [*listen.http, *listen.https, *listen.dns, *listen.grpc, *listen.grpc_tls]


def _tls(settings: TlsSettings, *, hostname: bool = False) -> str:
    outgoing = f"Verify Outgoing: {_bool(settings.verify_outgoing)}"
    if hostname:
        outgoing += f" (Verify Hostname: {_bool(settings.verify_server_hostname)})"
    return (
        f"Verify Incoming: {_bool(settings.verify_incoming)}, {outgoing},"
        f" Min Version: {settings.tls_min_version}"
    )


def _bool(value: bool) -> str:
    return "true" if value else "false"
