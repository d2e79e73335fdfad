"""What a running agent takes over from a configuration that was read again."""

from __future__ import annotations

from typing import Any

import msgspec

from portway.agent.config.config import AgentConfig
from portway.agent.config.load import Loaded, load

# Keys, or blocks as a whole, that take effect without a restart (Consul's list).
RELOADABLE = (
    "acl.tokens",
    "cache",
    "checks",
    "config_entries",
    "discard_check_output",
    "dns_config",
    "enable_debug",
    "files",
    "limits.http_max_conns_per_client",
    "limits.request_limits",
    "limits.rpc_client_timeout",
    "limits.rpc_max_burst",
    "limits.rpc_max_conns_per_client",
    "limits.rpc_rate",
    "log_level",
    "node_meta",
    "plans",
    "raft_snapshot_interval",
    "raft_snapshot_threshold",
    "raft_trailing_logs",
    "recursors",
    "reporting",
    "services",
    "telemetry.filter_default",
    "telemetry.prefix_filter",
    "tls",
    "tls_grpc",
    "tls_https",
    "tls_internal_rpc",
    "ui_config.dashboard_url_templates",
    "ui_config.metrics_provider",
    "ui_config.metrics_provider_files",
    "ui_config.metrics_provider_options_json",
    "ui_config.metrics_proxy",
    "watches",
    "xds",
)
# What follows from other keys, which are named instead.
_DERIVED = frozenset({"advertise_lan", "advertise_wan", "listen", "tagged_addresses"})


def load_again(loaded: Loaded) -> Loaded:
    """Read the same sources again and take over what can change while the agent runs.

    The warnings include one for every other key that changed. Raises ConfigError, and then the
    old configuration stays valid.
    """
    new = load(loaded.arguments, persist=False)
    waiting = [
        f"{key} has changed and takes effect after a restart"
        for key in unreloaded(loaded.config, new.config)
    ]
    return Loaded(reloadable(loaded.config, new.config), new.warnings + waiting, loaded.arguments)


def reloadable(old: AgentConfig, new: AgentConfig) -> AgentConfig:
    """The old configuration with those of the new values that need no restart."""
    changes: dict[str, Any] = {}
    for path in RELOADABLE:
        block, _, key = path.partition(".")
        if not key:
            changes[block] = getattr(new, block)
        else:
            before = changes.get(block, getattr(old, block))
            value = getattr(getattr(new, block), key)
            changes[block] = msgspec.structs.replace(before, **{key: value})
    return msgspec.structs.replace(old, **changes)


def unreloaded(old: AgentConfig, new: AgentConfig) -> list[str]:
    """The keys whose new values need a restart."""
    running = reloadable(old, new)
    changed = []
    for name in AgentConfig.__struct_fields__:
        before, after = getattr(running, name), getattr(new, name)
        if before == after or name in _DERIVED or (name == "node_id" and old.dev_mode):
            continue
        if isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            changed += [
                f"{name}.{key}"
                for key in before.__struct_fields__
                if getattr(before, key) != getattr(after, key)
            ]
        else:
            changed.append(name)
    return changed
