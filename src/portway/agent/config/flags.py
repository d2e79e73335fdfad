"""The flags of ``agent``: their grammar, their keys, their help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from portway.agent.config.error import ConfigError
from portway.cli import goflags
from portway.config import nearest

_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}")

Kind = Literal["string", "bool", "int", "duration", "list", "map"]


class Flag(NamedTuple):
    """A flag; ``key`` is the configuration key it sets, "" for those about configuration."""

    name: str
    kind: Kind
    key: str
    help: str


FLAGS = (
    Flag("advertise", "string", "advertise_addr", "Sets the address to tell other agents."),
    Flag("advertise-wan", "string", "advertise_addr_wan",
         "Sets the address to tell agents of other datacenters, instead of -advertise."),
    Flag("allow-write-http-from", "list", "http_config.allow_write_http_from",
         "Network that may call endpoints which write, in CIDR form. May be given again."),
    Flag("alt-domain", "string", "alt_domain", "Another domain that DNS answers."),
    Flag("auto-reload-config", "bool", "auto_reload_config",
         "Watches the configuration files and reloads them when they change."),
    Flag("bind", "string", "bind_addr", "Sets the address of cluster communication."),
    Flag("bootstrap", "bool", "bootstrap", "Lets this server elect itself."),
    Flag("bootstrap-expect", "int", "bootstrap_expect",
         "Number of servers to wait for before the first election."),
    Flag("check_output_max_size", "int", "check_output_max_size",
         "Most bytes of a check's output that are kept."),
    Flag("client", "string", "client_addr",
         "Sets the address of the client interfaces: HTTP, HTTPS, DNS and gRPC. Several are"
         " separated by spaces."),
    Flag("config-dir", "list", "",
         "Directory of configuration files: all that end in .hcl or .json, by name. May be given"
         " again."),
    Flag("config-file", "list", "", "Configuration file, .hcl or .json. May be given again."),
    Flag("config-format", "string", "",
         "Format of all configuration files, whatever their suffix: hcl or json."),
    Flag("data-dir", "string", "data_dir", "Directory of the agent's state."),
    Flag("datacenter", "string", "datacenter", "Datacenter of the agent."),
    Flag("default-query-time", "duration", "default_query_time",
         "How long a blocking query waits when it does not say so itself."),
    Flag("dev", "bool", "", "Starts a server for development: nothing is kept on disk."),
    Flag("disable-host-node-id", "bool", "disable_host_node_id",
         "Makes a new node ID at random, not from the host's identity. The default is true."),
    Flag("disable-keyring-file", "bool", "disable_keyring_file",
         "Keeps the keyring out of the data directory."),
    Flag("dns-port", "int", "ports.dns", "Port of DNS."),
    Flag("domain", "string", "domain", "Domain that DNS answers."),
    Flag("enable-local-script-checks", "bool", "enable_local_script_checks",
         "Allows checks that run scripts, in configuration files only."),
    Flag("enable-script-checks", "bool", "enable_script_checks",
         "Allows checks that run scripts, also those registered through the HTTP API."),
    Flag("encrypt", "string", "encrypt", "Key of gossip encryption, in base64."),
    Flag("grpc-port", "int", "ports.grpc", "Port of gRPC."),
    Flag("grpc-tls-port", "int", "ports.grpc_tls", "Port of gRPC with TLS."),
    Flag("hcl", "list", "",
         "Configuration as a text of HCL, applied after everything else. May be given again."),
    Flag("http-port", "int", "ports.http", "Port of the HTTP API."),
    Flag("https-port", "int", "ports.https", "Port of the HTTPS API."),
    Flag("join", "list", "retry_join", "Deprecated: the same as -retry-join."),
    Flag("join-wan", "list", "retry_join_wan", "Deprecated: the same as -retry-join-wan."),
    Flag("log-file", "string", "log_file", "File to write logs to; a directory ends in /."),
    Flag("log-json", "bool", "log_json", "Writes logs as JSON."),
    Flag("log-level", "string", "log_level", "trace, debug, info, warn or error."),
    Flag("log-rotate-bytes", "int", "log_rotate_bytes", "Most bytes of a log file."),
    Flag("log-rotate-duration", "duration", "log_rotate_duration", "Longest time of a log file."),
    Flag("log-rotate-max-files", "int", "log_rotate_max_files",
         "Most old log files that are kept."),
    Flag("max-query-time", "duration", "max_query_time",
         "How long a blocking query may wait at most."),
    Flag("node", "string", "node_name", "Name of this node, unique in its cluster."),
    Flag("node-id", "string", "node_id",
         "Unique ID of this node; by default a random one that the data directory keeps."),
    Flag("node-meta", "map", "node_meta",
         "A key:value pair of metadata of this node. May be given again."),
    Flag("non-voting-server", "bool", "read_replica", "Deprecated: -read-replica."),
    Flag("pid-file", "string", "pid_file", "File to write the process ID to."),
    Flag("primary-gateway", "list", "primary_gateways",
         "Address of a mesh gateway of the primary datacenter. May be given again."),
    Flag("protocol", "int", "protocol", "Version of the protocol between agents."),
    Flag("raft-protocol", "int", "raft_protocol", "Version of the Raft protocol."),
    Flag("read-replica", "bool", "read_replica", "Enterprise: a server that does not vote."),
    Flag("recursor", "list", "recursors",
         "DNS server that is asked for names outside the domain. May be given again."),
    Flag("rejoin", "bool", "rejoin_after_leave", "Joins again after having left."),
    Flag("retry-interval", "duration", "retry_interval", "Time between attempts to join."),
    Flag("retry-interval-wan", "duration", "retry_interval_wan",
         "Time between attempts to join other datacenters."),
    Flag("retry-join", "list", "retry_join",
         "Address of an agent to join, until that succeeds. May be given again."),
    Flag("retry-join-wan", "list", "retry_join_wan",
         "Address of a server of another datacenter to join. May be given again."),
    Flag("retry-max", "int", "retry_max", "Most attempts to join; 0 is no limit."),
    Flag("retry-max-wan", "int", "retry_max_wan",
         "Most attempts to join other datacenters; 0 is no limit."),
    Flag("segment", "string", "segment", "Enterprise: the network segment to join."),
    Flag("serf-lan-allowed-cidrs", "list", "serf_lan_allowed_cidrs",
         "Network whose agents may join, in CIDR form. May be given again."),
    Flag("serf-lan-bind", "string", "serf_lan", "Address of gossip in the datacenter."),
    Flag("serf-lan-port", "int", "ports.serf_lan", "Port of gossip in the datacenter."),
    Flag("serf-wan-allowed-cidrs", "list", "serf_wan_allowed_cidrs",
         "Network whose servers of other datacenters may join. May be given again."),
    Flag("serf-wan-bind", "string", "serf_wan", "Address of gossip between datacenters."),
    Flag("serf-wan-port", "int", "ports.serf_wan", "Port of gossip between datacenters."),
    Flag("server", "bool", "server", "Makes the agent a server."),
    Flag("server-port", "int", "ports.server", "Port of communication with servers."),
    Flag("syslog", "bool", "enable_syslog", "Writes logs to syslog too."),
    Flag("ui", "bool", "ui_config.enabled", "Serves the web console."),
    Flag("ui-content-path", "string", "ui_config.content_path",
         "Path of the console. The default is /ui/."),
    Flag("ui-dir", "string", "ui_config.dir", "Directory of a console of your own."),
)  # fmt: skip
_BY_NAME = {flag.name: flag for flag in FLAGS}
_DEPRECATED = {"join": "retry-join", "join-wan": "retry-join-wan"}


class Command(NamedTuple):
    """What the arguments say. The trees hold raw keys, as a file would."""

    lists: dict[str, Any]  # flags that may be given again
    scalars: dict[str, Any]
    paths: list[str]  # configuration files and directories, in the order given
    config_format: str
    hcl: list[str]
    dev: bool
    warnings: list[str]


def parse(arguments: Sequence[str]) -> Command:
    """Read the arguments of ``agent``. Raises ConfigError."""
    try:
        parsed = goflags.parse({flag.name: flag.kind == "bool" for flag in FLAGS}, arguments)
    except goflags.FlagError as error:
        raise ConfigError(_with_hint(str(error))) from None
    if parsed.rest:
        raise ConfigError(
            f"Unexpected extra arguments: {' '.join(parsed.rest)}; flags have the form -name=value"
        )
    command = Command({}, {}, [], _config_format(parsed.flags), [], _dev(parsed.flags), [])
    for name, text in parsed.flags:
        flag = _BY_NAME[name]
        if name in ("config-dir", "config-file"):
            command.paths.append(text)
        elif name == "hcl":
            command.hcl.append(text)
        elif flag.key:
            if name in _DEPRECATED:
                command.warnings.append(
                    f"The '-{name}' flag is deprecated. Use the '-{_DEPRECATED[name]}' flag"
                    " instead."
                )
            _set(command, flag, text)
    return command


def _with_hint(message: str) -> str:
    name = message.removeprefix("flag provided but not defined: -")
    if name == message:
        return message
    close = nearest(name, _BY_NAME)
    return message + (close.replace("mean ", "mean -") if "did you mean" in close else "")


def _config_format(flags: Sequence[tuple[str, str]]) -> str:
    chosen = ""
    for name, text in flags:
        if name == "config-format":
            if text not in ("hcl", "json"):
                raise ConfigError(
                    f"config: -config-format must be either 'hcl' or 'json', not '{text}'"
                )
            chosen = text
    return chosen


def _dev(flags: Sequence[tuple[str, str]]) -> bool:
    chosen = False
    for name, text in flags:
        if name == "dev":
            chosen = bool(_value(_BY_NAME["dev"], text))
    return chosen


def _set(command: Command, flag: Flag, text: str) -> None:
    tree = command.lists if flag.kind == "list" else command.scalars
    *blocks, name = flag.key.split(".")
    for block in blocks:
        tree = tree.setdefault(block, {})
    if flag.kind == "list":
        tree.setdefault(name, []).append(text)
    elif flag.kind == "map":
        key, colon, value = text.partition(":")
        tree.setdefault(name, {})[key] = value if colon else ""
    else:
        tree[name] = _value(flag, text)


def _value(flag: Flag, text: str) -> Any:
    """What the flag says, in Go's words where it cannot be read; durations are read as keys."""
    if flag.kind == "bool":
        try:
            return goflags.boolean(text)
        except ValueError:
            raise ConfigError(
                f'invalid boolean value "{text}" for -{flag.name}: strconv.ParseBool:'
                f' parsing "{text}": invalid syntax'
            ) from None
    if flag.kind == "int":
        if not _DECIMAL.fullmatch(text):
            raise ConfigError(
                f'invalid value "{text}" for flag -{flag.name}: strconv.Atoi:'
                f' parsing "{text}": invalid syntax'
            )
        return int(text)
    return text
