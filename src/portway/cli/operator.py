"""``operator``: looking at and tending the cluster."""

from __future__ import annotations

from portway.cli.command import group

raft = group(
    "raft",
    "Look at the servers that agree on what is written.",
    {
        "list-peers": ("portway.cli.operator_raft:list_peers", "List the servers of the cluster."),
        "remove-peer": ("portway.cli.operator_raft:remove_peer", "Remove a server."),
        "transfer-leader": ("portway.cli.operator_raft:transfer_leader", "Change the leader."),
    },
)
autopilot = group(
    "autopilot",
    "Look at and change how servers that fail are replaced.",
    {
        "get-config": ("portway.cli.operator_autopilot:get_config", "Show the configuration."),
        "set-config": ("portway.cli.operator_autopilot:set_config", "Change the configuration."),
        "state": ("portway.cli.operator_autopilot:state", "Show the state of the servers."),
    },
)
usage = group(
    "usage",
    "Show how much the cluster holds.",
    {"instances": ("portway.cli.operator_usage:instances", "Count instances and nodes.")},
)
operator = group(
    "operator",
    "Look at and tend the cluster.",
    {
        "autopilot": ("portway.cli.operator:autopilot", "How servers that fail are replaced."),
        "raft": ("portway.cli.operator:raft", "The servers that agree on what is written."),
        "usage": ("portway.cli.operator:usage", "How much the cluster holds."),
        "utilization": ("portway.cli.operator_usage:utilization", "A report, in Enterprise."),
    },
)
