"""Keys that are known and do nothing: of Consul Enterprise, of the past, and not yet ours."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

# Known to Consul's community edition, which says so and goes on.
ENTERPRISE = frozenset(
    {
        "acl.msp_disable_bootstrap",
        "acl.tokens.managed_service_provider",
        "audit",
        "autopilot.disable_upgrade_migration",
        "autopilot.redundancy_zone_tag",
        "autopilot.upgrade_version_tag",
        "dns_config.prefer_namespace",
        "license_path",
        "license_poll_base_time",
        "license_poll_max_time",
        "license_update_base_time",
        "license_update_max_time",
        "non_voting_server",
        "partition",
        "read_replica",
        "snapshot_agent",
    }
)

# What no version honours any more, or no user may set: path → what it is.
REMOVED = {
    "acl.disabled_ttl": "no longer used",
    "acl_disabled_ttl": "no longer used",
    "acl_enforce_version_8": "no longer used",
    "addresses.rpc": "no longer used",
    "ports.rpc": "no longer used",
    "telemetry.disable_compat_1.9": "no longer used",
    "tls_prefer_server_cipher_suites": "deprecated",
    "ae_interval": "not configurable",
    "build_date": "not configurable",
    "check_deregister_interval_min": "not configurable",
    "check_reap_interval": "not configurable",
    "connect.test_ca_leaf_root_change_spread": "not configurable",
    "consul": "not configurable",
    "peering.test_allow_peer_registrations": "not configurable",
    "revision": "not configurable",
    "segment_limit": "not configurable",
    "segment_name_limit": "not configurable",
    "services.connect.sidecar_service.proxy.expose.port": "not used",
    "services.proxy.expose.port": "not used",
    "sync_coordinate_interval_min": "not configurable",
    "sync_coordinate_rate_target": "not configurable",
    "version": "not configurable",
    "version_metadata": "not configurable",
    "version_prerelease": "not configurable",
}


class Lack(NamedTuple):
    """A key that this version does not honour: why, and what its user must know.

    ``refuse`` says that starting without it would be unsafe.
    """

    reason: str
    refuse: bool = False


_ONE_SERVER = "a cluster has one server in this version"
_NO_GOSSIP = "agents do not gossip in this version"
_NO_RAFT = "the store of one server has no Raft log"
_NO_GRPC = "gRPC is not served in this version"
_NO_MESH = "the mesh is not part of this version"
_NO_SINK = "metrics are read at /v1/agent/metrics, also in the form of Prometheus"
_OTHER_DATACENTERS = "there are no other datacenters in this version"
_NO_CONSOLE = "the console is not part of this version"

NOT_YET = {
    "acl.enable_token_replication": Lack(_ONE_SERVER),
    "acl.tokens.replication": Lack(_ONE_SERVER),
    "advertise_reconnect_timeout": Lack(_NO_GOSSIP),
    "auto_config.authorization.enabled": Lack(_ONE_SERVER),
    "auto_config.enabled": Lack(_ONE_SERVER, refuse=True),
    "auto_encrypt.allow_tls": Lack(_ONE_SERVER),
    "auto_encrypt.tls": Lack("agents get no certificates from servers", refuse=True),
    "autopilot": Lack(_ONE_SERVER),
    "cache.entry_fetch_max_burst": Lack(_ONE_SERVER),
    "cache.entry_fetch_rate": Lack(_ONE_SERVER),
    "cloud": Lack("there is no such platform for this product"),
    "connect.ca_config": Lack(_NO_MESH),
    "connect.ca_provider": Lack(_NO_MESH),
    "connect.enable_mesh_gateway_wan_federation": Lack(_NO_MESH),
    "disable_keyring_file": Lack(_NO_GOSSIP),
    "enable_central_service_config": Lack(_NO_MESH),
    "encrypt": Lack(_NO_GOSSIP),
    "encrypt_verify_incoming": Lack(_NO_GOSSIP),
    "encrypt_verify_outgoing": Lack(_NO_GOSSIP),
    "experiments": Lack("there are none"),
    "gossip_lan": Lack(_NO_GOSSIP),
    "gossip_wan": Lack(_NO_GOSSIP),
    "limits.rpc_handshake_timeout": Lack(_ONE_SERVER),
    "limits.rpc_max_burst": Lack(_ONE_SERVER),
    "limits.rpc_max_conns_per_client": Lack(_ONE_SERVER),
    "limits.rpc_rate": Lack(_ONE_SERVER),
    "performance.enable_xds_load_balancing": Lack(_NO_MESH),
    "performance.grpc_keepalive_interval": Lack(_NO_GRPC),
    "performance.grpc_keepalive_timeout": Lack(_NO_GRPC),
    "ports.grpc": Lack(_NO_GRPC),
    "ports.grpc_tls": Lack(_NO_GRPC),
    "primary_gateways": Lack(_NO_MESH),
    "primary_gateways_interval": Lack(_NO_MESH),
    "raft_logstore": Lack(_NO_RAFT),
    "raft_prevote_disabled": Lack(_NO_RAFT),
    "raft_snapshot_interval": Lack(_NO_RAFT),
    "raft_snapshot_threshold": Lack(_NO_RAFT),
    "raft_trailing_logs": Lack(_NO_RAFT),
    "reconnect_timeout": Lack(_NO_GOSSIP),
    "reconnect_timeout_wan": Lack(_NO_GOSSIP),
    "rejoin_after_leave": Lack(_ONE_SERVER),
    "retry_interval": Lack(_ONE_SERVER),
    "retry_interval_wan": Lack(_ONE_SERVER),
    "retry_join": Lack(_ONE_SERVER),
    "retry_join_wan": Lack(_ONE_SERVER),
    "retry_max": Lack(_ONE_SERVER),
    "retry_max_wan": Lack(_ONE_SERVER),
    "serf_lan_allowed_cidrs": Lack(_NO_GOSSIP),
    "serf_wan_allowed_cidrs": Lack(_NO_GOSSIP),
    "server_rejoin_age_max": Lack(_ONE_SERVER),
    "telemetry.circonus_api_token": Lack(_NO_SINK),
    "telemetry.circonus_submission_url": Lack(_NO_SINK),
    "telemetry.disable_per_tenancy_usage_metrics": Lack("no metrics count what is stored"),
    "telemetry.enable_host_metrics": Lack("no metrics of the host are kept"),
    "telemetry.statsite_address": Lack(_NO_SINK),
    "tls.grpc": Lack(_NO_GRPC),
    "tls.internal_rpc": Lack(_ONE_SERVER),
    "translate_wan_addrs": Lack(_OTHER_DATACENTERS),
    "ui_config.dashboard_url_templates": Lack(_NO_CONSOLE),
    "ui_config.dir": Lack(_NO_CONSOLE),
    "ui_config.enabled": Lack(_NO_CONSOLE),
    "ui_config.metrics_provider": Lack(_NO_CONSOLE),
    "ui_config.metrics_provider_files": Lack(_NO_CONSOLE),
    "ui_config.metrics_provider_options_json": Lack(_NO_CONSOLE),
    "ui_config.metrics_proxy": Lack(_NO_CONSOLE),
    "xds": Lack(_NO_MESH),
}

_AT_ONCE = "what is asked is known at once, so no answer is kept for a time"
_OWN_SERVER = "the agent is its own server, and always has its answers"
_ASKED = "it belongs to a key that is not honoured"
_NO_CALLS = "the agent calls nobody"
_MESH_ONLY = "only proxies of the mesh take ports of this range"

# Keys that need nothing done for what they ask to be so: path, or block as a whole → why.
MOOT = {
    "acl.down_policy": _OWN_SERVER,
    "acl.policy_ttl": _AT_ONCE,
    "acl.role_ttl": _AT_ONCE,
    "acl.token_ttl": _AT_ONCE,
    "auto_config": _ASKED,
    "auto_encrypt.dns_san": _ASKED,
    "auto_encrypt.ip_san": _ASKED,
    "disable_anonymous_signature": _NO_CALLS,
    "disable_update_check": _NO_CALLS,
    "dns_config.allow_stale": _OWN_SERVER,
    "dns_config.cache_max_age": _AT_ONCE,
    "dns_config.max_stale": _OWN_SERVER,
    "dns_config.use_cache": _AT_ONCE,
    "limits.rpc_client_timeout": _OWN_SERVER,
    "performance": "there is no election to time, and no leader to wait for",
    "ports.expose_max_port": _MESH_ONLY,
    "ports.expose_min_port": _MESH_ONLY,
    "ports.proxy_max_port": "nothing takes ports of this range",
    "ports.proxy_min_port": "nothing takes ports of this range",
    "protocol": "there is one protocol",
    "raft_protocol": "there is one protocol",
    "reporting": _NO_CALLS,
    "rpc": _OWN_SERVER,
    "segment": "it is refused",
    "segments": "it is refused",
    "telemetry": "it belongs to a key that says where metrics go",
    "tls.defaults": "it reaches the interfaces by their own keys",
    "tls.https.use_auto_cert": "it is refused",
    "tls.https.verify_outgoing": "the interface only answers",
    "use_streaming_backend": _OWN_SERVER,
}


def enterprise_warning(path: str) -> str:
    """What is said of an enterprise key."""
    return f'"{path}" is a Consul Enterprise configuration and will have no effect'


def lacks(given: dict[str, Any], defaults: msgspec.Struct) -> tuple[list[str], list[str]]:
    """What ``NOT_YET`` has to say of a canonical form: warnings, and refusals.

    A key whose value is the default says nothing.
    """
    warnings, refusals = [], []
    for path, lack in NOT_YET.items():
        if not _differs(given, defaults, path.split(".")):
            continue
        if lack.refuse:
            refusals.append(f"{path} is not supported yet: {lack.reason}")
        else:
            warnings.append(f"{path} has no effect yet: {lack.reason}")
    return warnings, refusals


def _differs(given: Any, defaults: Any, path: list[str]) -> bool:
    for name in path:
        if not isinstance(given, dict) or name not in given:
            return False
        given, defaults = given[name], getattr(defaults, name)
    if isinstance(given, dict) and isinstance(defaults, msgspec.Struct):
        return any(_differs(given, defaults, [name]) for name in given)
    return bool(given != defaults)
