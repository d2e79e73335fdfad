"""What the parts of the agent are told of its configuration."""

from __future__ import annotations

from typing import cast

from portway.agent.config.config import AgentConfig
from portway.agent.telemetry import Names
from portway.discovery.acl import AclSettings
from portway.discovery.api import RateSettings, Settings
from portway.discovery.api.rate import Mode
from portway.discovery.checks import Settings as CheckSettings
from portway.discovery.checks import TLSFiles
from portway.discovery.model.operator import Autopilot


def configured_tokens(config: AgentConfig) -> dict[str, str]:
    """The agent's own tokens by kind."""
    tokens = config.acl.tokens
    return {kind: getattr(tokens, kind) for kind in tokens.__struct_fields__}


def acl_settings(config: AgentConfig) -> AclSettings:
    """What of the configuration decides about requests."""
    return AclSettings(
        enabled=config.acl.enabled,
        datacenter=config.datacenter,
        default_allow=not config.acl.enabled or config.acl.default_policy == "allow",
        key_list_policy=config.acl.enable_key_list_policy,
    )


def api_settings(config: AgentConfig) -> Settings:
    """What of the configuration concerns every request to the HTTP API."""
    http, limits = config.http_config, config.limits
    return Settings(
        datacenter=config.datacenter,
        node_name=config.node_name,
        data_dir="" if config.dev_mode else config.data_dir,
        node_id=config.node_id,
        autopilot=Autopilot(
            cleanup_dead_servers=config.autopilot.cleanup_dead_servers,
            last_contact_threshold=str(config.autopilot.last_contact_threshold),
            max_trailing_logs=config.autopilot.max_trailing_logs,
            min_quorum=config.autopilot.min_quorum,
            server_stabilization_time=str(config.autopilot.server_stabilization_time),
        ),
        session_ttl_min=config.session_ttl_min,
        disable_coordinates=config.disable_coordinates,
        server_address=f"{config.advertise_lan}:{config.ports.server}",
        default_policy=config.acl.default_policy,
        down_policy=config.acl.down_policy,
        default_intention_allow=config.default_intention_policy == "allow",
        dns_domains=tuple(one for one in (config.domain, config.alt_domain) if one),
        default_token=config.acl.tokens.default,
        dev_mode=config.dev_mode,
        default_query_time=config.default_query_time,
        max_query_time=config.max_query_time,
        kv_max_value_size=limits.kv_max_value_size,
        txn_max_req_len=max(limits.txn_max_req_len, limits.kv_max_value_size),
        disable_kv_key_validation=config.disable_kv_key_validation,
        disable_unprintable_filter=config.disable_http_unprintable_char_filter,
        use_cache=http.use_cache,
        discovery_max_stale=config.discovery_max_stale,
        ui_enabled=config.ui_config.enabled,
        ui_path=config.ui_config.content_path,
        block_endpoints=tuple(http.block_endpoints),
        allow_write_http_from=tuple(http.allow_write_http_from),
        response_headers=dict(http.response_headers),
        translate_addresses=config.translate_wan_addrs,
    )


def rate_settings(config: AgentConfig) -> RateSettings:
    """How many requests a second are answered."""
    limits = config.limits.request_limits
    return RateSettings(cast(Mode, limits.mode), limits.read_rate, limits.write_rate)


def metric_names(config: AgentConfig) -> Names:
    """What metrics are called, and which are kept."""
    telemetry = config.telemetry
    return Names(telemetry.metrics_prefix, telemetry.prefix_filter, telemetry.filter_default)


def check_settings(config: AgentConfig) -> CheckSettings:
    """What of the configuration concerns checks."""
    tls = config.tls_internal_rpc
    files = TLSFiles(tls.ca_file, tls.ca_path, tls.cert_file, tls.key_file)
    return CheckSettings(
        output_max_size=config.check_output_max_size,
        discard_output=config.discard_check_output,
        enable_script_checks=config.enable_script_checks,
        enable_local_script_checks=config.enable_local_script_checks,
        agent_tls=files if config.enable_agent_tls_for_checks else None,
        node_name=config.node_name,
    )
