"""Every command: where it is, and what the list of commands says of it."""

from __future__ import annotations

EDGE = {
    "edge": ("portway.cli.edge:edge", "Run the edge router (the default)."),
    "healthcheck": (
        "portway.cli.healthcheck:healthcheck",
        "Call /ping of a running edge router; ping must be enabled.",
    ),
    "routes": ("portway.cli.routes:routes", "Show the live routing table, with errors."),
}
CONSUL = {
    "acl": ("portway.cli.acl:acl", "Manage access control: tokens, policies, roles."),
    "agent": ("portway.cli.agent:agent", "Run an agent: discovery, DNS, key-value store."),
    "catalog": ("portway.cli.catalog:catalog", "Ask the catalog for nodes and services."),
    "config": ("portway.cli.config:config", "Manage config entries."),
    "connect": ("portway.cli.unsupported:command", "Not here yet: the service mesh."),
    "debug": ("portway.cli.debug:debug", "Record an archive of what an agent does."),
    "event": ("portway.cli.event:event", "Fire an event."),
    "exec": ("portway.cli.exec:exec_", "Run a command on many nodes."),
    "force-leave": ("portway.cli.membership:force_leave", "Make a failed member a left one."),
    "info": ("portway.cli.info:info", "Show the inner figures of an agent."),
    "intention": ("portway.cli.intention:intention", "Say which services may call which."),
    "join": ("portway.cli.membership:join", "Make an agent join a cluster."),
    "keygen": ("portway.cli.keys:keygen", "Make an encryption key."),
    "keyring": ("portway.cli.keys:keyring", "List and change the encryption keys."),
    "kv": ("portway.cli.kv:kv", "Read and write the key-value store."),
    "leave": ("portway.cli.membership:leave", "Make an agent leave its cluster and stop."),
    "lock": ("portway.cli.lock:lock", "Run a command while holding a lock."),
    "login": ("portway.cli.login:login", "Trade a credential for a token."),
    "logout": ("portway.cli.logout:logout", "Give back a token of a login."),
    "maint": ("portway.cli.maint:maint", "Take a node or service in or out of maintenance."),
    "members": ("portway.cli.members:members", "List the members of the cluster."),
    "monitor": ("portway.cli.monitor:monitor", "Show the log of a running agent."),
    "operator": ("portway.cli.operator:operator", "Look at and tend the cluster."),
    "peering": ("portway.cli.peering:peering", "Manage peerings with other clusters."),
    "reload": ("portway.cli.reload:reload", "Make an agent read its configuration again."),
    "resource": ("portway.cli.unsupported:command", "Not here: Consul's resource API."),
    "rtt": ("portway.cli.rtt:rtt", "Estimate the round trip time between nodes."),
    "services": ("portway.cli.services:services", "Register and deregister services."),
    "snapshot": ("portway.cli.snapshot:snapshot", "Save, restore and look into snapshots."),
    "tls": ("portway.cli.tls:tls", "Make certificates for agents."),
    "troubleshoot": (
        "portway.cli.troubleshoot:troubleshoot",
        "Find out why a server cannot be reached.",
    ),
    "validate": ("portway.cli.validate:validate", "Check configuration files."),
    "version": ("portway.cli.version:version", "Show the version."),
    "watch": ("portway.cli.watch:watch", "Follow changes and run a command on each."),
}
COMMANDS = {**EDGE, **CONSUL}
