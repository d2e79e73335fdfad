"""What operators set for the whole cluster."""

from __future__ import annotations

from portway.discovery.model.catalog import Wire

AUTOPILOT = "configuration"
"""The key of the one autopilot row."""


class Autopilot(Wire, omit_defaults=False):
    """How the leader keeps the set of servers in order. Times are Go durations."""

    cleanup_dead_servers: bool = True
    last_contact_threshold: str = "200ms"
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time: str = "10s"
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""
    create_index: int = 0
    modify_index: int = 0
