"""The rules of servers and their clusters."""

from __future__ import annotations

from collections.abc import Iterator

from portway.agent.config.config import AgentConfig
from portway.agent.config.rule import AT_LEAST_ZERO

_SHORTEST_REJOIN = 6 * 3600  # seconds


def problems(config: AgentConfig) -> Iterator[str]:
    """What keeps an agent from its part in a cluster with this configuration."""
    yield from _bootstrap(config)
    yield from _bounds(config)
    yield from _store(config)
    yield from _federation(config)
    if config.auto_encrypt.allow_tls and not config.server:
        yield "auto_encrypt.allow_tls can only be used on a server."
    if config.auto_encrypt.tls and config.server:
        yield "auto_encrypt.tls can only be used on a client."
    if config.auto_config.authorization.enabled and not config.server:
        yield "auto_config.authorization.enabled cannot be set to true for client agents"
    if config.segment or config.segments:
        yield "Network segments are not supported in this version of Consul"


def _bootstrap(config: AgentConfig) -> Iterator[str]:
    expect = config.bootstrap_expect
    if config.bootstrap and not config.server:
        yield "'bootstrap = true' requires 'server = true'"
    if expect < 0:
        yield f"bootstrap_expect cannot be {expect}. {AT_LEAST_ZERO}"
    if expect > 0 and not config.server:
        yield "'bootstrap_expect > 0' requires 'server = true'"
    if expect > 0 and config.dev_mode:
        yield "'bootstrap_expect > 0' not allowed in dev mode"
    if expect > 0 and config.bootstrap:
        yield "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive"


def _bounds(config: AgentConfig) -> Iterator[str]:
    if config.autopilot.max_trailing_logs < 0:
        logs = config.autopilot.max_trailing_logs
        yield f"autopilot.max_trailing_logs cannot be {logs}. {AT_LEAST_ZERO}"
    if not 1 <= config.performance.raft_multiplier <= 10:
        multiplier = config.performance.raft_multiplier
        yield f"performance.raft_multiplier cannot be {multiplier}. Must be between 1 and 10"
    if config.autopilot.min_quorum < 0:
        yield f"autopilot.min_quorum cannot be {config.autopilot.min_quorum}. {AT_LEAST_ZERO}"
    if config.raft_protocol != 3:
        version = config.raft_protocol
        yield f"raft_protocol version {version} is not supported by this version of Consul"
    if config.protocol not in (2, 3):
        yield f"protocol cannot be {config.protocol}. Must be 2 or 3"
    if config.server_rejoin_age_max < _SHORTEST_REJOIN:
        age = config.server_rejoin_age_max
        yield f"server_rejoin_age_max: duration '{age}' cannot be less than: 6h0m0s"


def _store(config: AgentConfig) -> Iterator[str]:
    backend = config.raft_logstore.backend
    if backend not in ("", "default", "boltdb", "wal"):
        yield f'raft_logstore.backend must be one of "default", "boltdb" or "wal", not "{backend}"'
    if not 1 <= config.raft_logstore.wal.segment_size_mb <= 1024:
        yield "raft_logstore.wal.segment_size_mb must be between 1 and 1024 (1GiB)"


def _federation(config: AgentConfig) -> Iterator[str]:
    if config.connect.enable_mesh_gateway_wan_federation:
        key = "'connect.enable_mesh_gateway_wan_federation = true'"
        if not config.connect.enabled:
            yield f"{key} requires 'connect.enabled=true'"
        if not config.server:
            yield f"{key} requires 'server = true'"
        if config.retry_join_wan:
            yield f"'retry_join_wan' is incompatible with {key}"
    if config.primary_gateways:
        if not config.server:
            yield "'primary_gateways' requires 'server = true'"
        elif config.primary_datacenter == config.datacenter:
            yield "'primary_gateways' should only be configured in a secondary datacenter"
