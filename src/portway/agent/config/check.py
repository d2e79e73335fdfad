"""The rules of a configuration beyond types: what is refused, and what is warned of.

Where the rule is Consul's, so is the text.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from portway.agent.config import check_cluster, check_interfaces
from portway.agent.config.config import AgentConfig
from portway.agent.config.rule import AT_LEAST_ZERO, not_negative, one_of
from portway.config import nearest

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
FACILITIES = (
    "KERN USER MAIL DAEMON AUTH SYSLOG LPR NEWS UUCP CRON AUTHPRIV FTP"
    " LOCAL0 LOCAL1 LOCAL2 LOCAL3 LOCAL4 LOCAL5 LOCAL6 LOCAL7"
).split()
_DATACENTER = re.compile(r"[a-z0-9_-]+")
_DNS_NAME = re.compile(r"[A-Za-z0-9-]+")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_KEY_SIZES = (16, 24, 32)  # bytes


def problems(config: AgentConfig) -> Iterator[str]:
    """Everything that keeps an agent from running with this configuration."""
    yield from _identity(config)
    yield from check_cluster.problems(config)
    yield from _ports(config)
    yield from check_interfaces.problems(config)
    yield from _security(config)
    yield from _limits(config)
    yield from _process(config)
    yield from _config_entries(config)


def warnings(config: AgentConfig) -> Iterator[str]:
    """What is right but probably not meant."""
    name = config.node_name
    if not _DNS_NAME.fullmatch(name):
        yield (
            f'Node name "{name}" will not be discoverable via DNS due to invalid characters.'
            " Valid characters include all alpha-numerics and dashes."
        )
    elif len(name) > 63:
        yield (
            f'Node name "{name}" will not be discoverable via DNS due to it being too long.'
            " Valid lengths are between 1 and 63 bytes."
        )
    if config.bootstrap or config.bootstrap_expect == 1:
        yield "bootstrap = true: do not enable unless necessary"
    expect = config.bootstrap_expect
    if expect == 1:
        yield "BootstrapExpect is set to 1; this is the same as Bootstrap mode."
    elif expect > 1:
        yield f"bootstrap_expect > 0: expecting {expect} servers; one is all a cluster has yet"
    if not config.server:
        yield "server = false: this agent cannot join servers yet, and has none to ask"
    if config.enable_script_checks and _open_to_others(config):
        yield (
            "using enable-script-checks without ACLs and without allow_write_http_from is"
            " DANGEROUS, use enable-local-script-checks instead"
        )
    for rule in config.telemetry.prefix_filter:
        if rule[:1] not in ("+", "-"):
            yield f"Filter rule must begin with either '+' or '-': \"{rule}\""


def _open_to_others(config: AgentConfig) -> bool:
    reachable = any(
        bind.host and not ipaddress.ip_address(bind.host).is_loopback
        for bind in (*config.listen.http, *config.listen.https)
    )
    return reachable and not (config.acl.enabled or config.http_config.allow_write_http_from)


def _identity(config: AgentConfig) -> Iterator[str]:
    if not config.datacenter:
        yield "datacenter cannot be empty"
    elif not _DATACENTER.fullmatch(config.datacenter):
        yield _not_basic("datacenter", config.datacenter)
    elif not _DATACENTER.fullmatch(config.primary_datacenter):
        yield _not_basic("primary_datacenter", config.primary_datacenter)
    if not config.data_dir and not config.dev_mode:
        yield "data_dir cannot be empty"
    elif config.data_dir:
        yield from _directory("data_dir", config.data_dir)
    if not config.node_name.strip():
        yield "node_name cannot be empty"
    elif not config.node_name.isprintable() or "/" in config.node_name:
        yield "node_name cannot contain control characters or a slash"
    if config.node_id:
        try:
            uuid.UUID(config.node_id)
        except ValueError:
            yield f"node_id: specified NodeID is invalid: {config.node_id!r} is not a UUID"
    if config.node_meta:
        from portway.discovery.operations.service_rules import meta_problem  # slow to import

        problem = meta_problem(config.node_meta)
        if problem:
            yield f"node_meta invalid: {problem}"
    if config.locality and config.locality.zone and not config.locality.region:
        yield "locality is invalid: zone cannot be set without region"
    yield from _domains(config)


def _not_basic(key: str, name: str) -> str:
    return f'{key} can only contain lowercase alphanumeric, - or _ characters. received: "{name}"'


def _directory(key: str, path: str) -> Iterator[str]:
    """What keeps a path from being a directory, or becoming one."""
    try:
        if Path(path).exists() and not Path(path).is_dir():
            yield f'{key} "{path}" is not a directory'
        elif "\0" in path:
            yield f"{key} cannot contain a null character"
    except OSError as error:
        yield f"Error getting info on {key}: {(error.strerror or str(error)).lower()}"


def _domains(config: AgentConfig) -> Iterator[str]:
    for key, name in (("domain", config.domain), ("alt_domain", config.alt_domain)):
        labels = name.rstrip(".").split(".")
        if name and not all(_LABEL.fullmatch(label) for label in labels):
            yield f'{key}: "{name}" is not a name of DNS'
    if not config.domain:
        yield "domain cannot be empty"
    first = config.alt_domain.partition(".")[0]
    reserved = ("service", "connect", "node", "query", "addr", config.datacenter)
    if first and first in reserved:
        yield f"alt_domain cannot start with {{{','.join(reserved)}}}"


def _ports(config: AgentConfig) -> Iterator[str]:
    ports = config.ports
    for name in ports.__struct_fields__:
        port = getattr(ports, name)
        if port is not None and not -1 <= port <= 65535:
            yield f"ports.{name}: invalid port: {port}; write 1 to 65535, or -1 to disable it"
    for name in ("server", "serf_lan"):
        if getattr(ports, name) <= 0:
            yield f"{name.replace('_', '-')}-port must be greater than zero"
    for kind in ("proxy", "sidecar", "expose"):
        lowest, highest = getattr(ports, f"{kind}_min_port"), getattr(ports, f"{kind}_max_port")
        if lowest > highest:
            yield (
                f"{kind}_min_port must be less than {kind}_max_port. To disable, set both to zero."
            )


def _security(config: AgentConfig) -> Iterator[str]:
    acl = config.acl
    if acl.default_policy not in ("allow", "deny"):
        yield one_of("acl.default_policy", acl.default_policy, "allow", "deny")
    downs = ("allow", "deny", "extend-cache", "async-cache")
    if acl.down_policy not in downs:
        yield one_of("acl.down_policy", acl.down_policy, *downs)
    if config.default_intention_policy not in ("allow", "deny"):
        yield one_of("default_intention_policy", config.default_intention_policy, "allow", "deny")
    for key in ("token_ttl", "policy_ttl", "role_ttl"):
        yield from not_negative(f"acl.{key}", getattr(acl, key))
    if config.encrypt:
        try:
            size = len(base64.b64decode(config.encrypt, validate=True))
        except (binascii.Error, ValueError):
            yield "encrypt has invalid key: it is not base64; consul keygen makes one"
        else:
            if size not in _KEY_SIZES:
                yield f"encrypt has invalid key: it has {size} bytes, not 16, 24 or 32"
    provider = config.connect.ca_provider
    if provider not in ("", "consul", "vault", "aws-pca"):
        yield one_of("connect.ca_provider", provider, "consul", "vault", "aws-pca")


def _limits(config: AgentConfig) -> Iterator[str]:
    limits = config.limits
    for key in ("http_max_conns_per_client", "rpc_max_burst", "rpc_max_conns_per_client"):
        if getattr(limits, key) < 0:
            yield f"limits.{key} cannot be {getattr(limits, key)}. {AT_LEAST_ZERO}"
    for key in ("kv_max_value_size", "txn_max_req_len"):
        if getattr(limits, key) < 0:
            yield f"limits.{key} cannot be {getattr(limits, key)}. {AT_LEAST_ZERO}"
    for key in ("https_handshake_timeout", "rpc_handshake_timeout", "rpc_client_timeout"):
        yield from not_negative(f"limits.{key}", getattr(limits, key))
    for key in ("leave_drain_time", "rpc_hold_timeout"):
        yield from not_negative(f"performance.{key}", getattr(config.performance, key))
    request = limits.request_limits
    modes = ("disabled", "permissive", "enforcing")
    if request.mode not in modes:
        yield one_of("limits.request_limits.mode", request.mode, *modes)
    if config.check_output_max_size < 1:
        yield (
            "check_output_max_size must be positive, to discard check output use the"
            " discard_check_output flag"
        )
    yield from not_negative("check_update_interval", config.check_update_interval)
    burst, rate = config.cache.entry_fetch_max_burst, config.cache.entry_fetch_rate
    if burst <= 0:
        yield "cache.entry_fetch_max_burst must be strictly positive, was: " + str(burst)
    if rate is not None and rate <= 0:
        yield f"cache.entry_fetch_rate must be strictly positive, was: {rate:g}"


def _process(config: AgentConfig) -> Iterator[str]:
    if config.log_level not in LEVELS:
        yield (f"Invalid log level: {config.log_level}. Valid log levels are: [{' '.join(LEVELS)}]")
    for name, level in config.log_sublevels.items():
        if level.upper() not in LEVELS:
            yield (
                f"log_sublevels[{name}]: Invalid log level: {level}."
                f" Valid log levels are: [{' '.join(LEVELS)}]"
            )
    if config.enable_syslog and config.syslog_facility.upper() not in FACILITIES:
        hint = nearest(config.syslog_facility, FACILITIES)
        yield f"syslog_facility: {config.syslog_facility!r} is not one{hint}"
    if config.log_rotate_bytes < 0:
        yield f"log_rotate_bytes cannot be {config.log_rotate_bytes}. {AT_LEAST_ZERO}"
    yield from not_negative("log_rotate_duration", config.log_rotate_duration)
    if config.log_rotate_max_files < -1:
        yield "log_rotate_max_files must be -1 (keep none), 0 (keep all) or more"
    yield from not_negative(
        "telemetry.prometheus_retention_time", config.telemetry.prometheus_retention_time
    )


def _config_entries(config: AgentConfig) -> Iterator[str]:
    if not config.config_entries.bootstrap:
        return
    from portway.mesh.entries import EntryError, decode_entry

    for index, tree in enumerate(config.config_entries.bootstrap):
        try:
            decode_entry(tree).check()
        except EntryError as error:
            yield f"config_entries.bootstrap[{index}]: {error}"
