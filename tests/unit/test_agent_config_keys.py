"""Every documented key of an agent's configuration is known, and means what it says."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

import portway
from portway.agent.config import ConfigError, Settings, load
from portway.agent.config.block import Block
from portway.agent.config.reading import bare, build, read
from portway.agent.config.support import ENTERPRISE, MOOT, NOT_YET, REMOVED
from portway.config import Duration
from portway.discovery.model import CheckDefinition, ServiceDefinition

# The keys of the reference, blocks in braces.
DOCUMENTED = """
datacenter node_name node_id node_meta domain alt_domain server bootstrap bootstrap_expect
primary_datacenter data_dir partition locality{region zone} tagged_addresses experiments
bind_addr client_addr addresses{dns http https grpc grpc_tls} advertise_addr advertise_addr_ipv4
advertise_addr_ipv6 advertise_addr_wan advertise_addr_wan_ipv4 advertise_addr_wan_ipv6 serf_lan
serf_wan serf_lan_allowed_cidrs translate_wan_addrs
ports{dns http https grpc grpc_tls serf_lan serf_wan server sidecar_min_port sidecar_max_port
expose_min_port expose_max_port proxy_min_port proxy_max_port}
retry_join retry_interval retry_max retry_join_wan retry_interval_wan retry_max_wan
rejoin_after_leave leave_on_terminate skip_leave_on_interrupt reconnect_timeout
advertise_reconnect_timeout
acl{enabled default_policy down_policy token_ttl policy_ttl role_ttl enable_key_list_policy
enable_token_persistence enable_token_replication tokens{initial_management agent_recovery default
agent replication dns config_file_service_registration}}
default_intention_policy connect{enabled ca_provider ca_config enable_mesh_gateway_wan_federation}
peering{enabled} config_entries{bootstrap} enable_central_service_config xds{update_max_per_second}
auto_encrypt{tls allow_tls dns_san ip_san} auto_config
tls{defaults{ca_file ca_path cert_file key_file tls_min_version tls_cipher_suites verify_incoming
verify_outgoing verify_server_hostname use_auto_cert} internal_rpc https grpc}
encrypt encrypt_verify_incoming encrypt_verify_outgoing disable_keyring_file
dns_config{allow_stale max_stale a_record_limit disable_compression enable_truncate
enable_additional_node_meta_txt node_ttl service_ttl only_passing recursor_strategy
recursor_timeout udp_answer_limit soa{min_ttl expire refresh retry} use_cache cache_max_age}
recursors http_config{block_endpoints response_headers allow_write_http_from use_cache
max_header_bytes} unix_sockets{user group mode}
performance{raft_multiplier leave_drain_time rpc_hold_timeout grpc_keepalive_interval
grpc_keepalive_timeout}
limits{http_max_conns_per_client https_handshake_timeout rpc_handshake_timeout rpc_client_timeout
rpc_rate rpc_max_burst rpc_max_conns_per_client kv_max_value_size txn_max_req_len
request_limits{mode read_rate write_rate}}
raft_protocol raft_snapshot_threshold raft_snapshot_interval raft_trailing_logs
raft_logstore{backend wal{segment_size_mb}}
autopilot{cleanup_dead_servers last_contact_threshold max_trailing_logs min_quorum
server_stabilization_time}
gossip_lan{gossip_nodes gossip_interval probe_interval probe_timeout suspicion_mult retransmit_mult}
gossip_wan{gossip_nodes gossip_interval probe_interval probe_timeout suspicion_mult retransmit_mult}
telemetry{prometheus_retention_time disable_hostname statsd_address statsite_address dogstatsd_addr
dogstatsd_tags metrics_prefix prefix_filter filter_default circonus_api_token circonus_api_app
circonus_api_url circonus_submission_interval circonus_submission_url circonus_check_id
circonus_check_force_metric_activation circonus_check_instance_id circonus_check_search_tag
circonus_check_display_name circonus_check_tags circonus_broker_id circonus_broker_select_tag
enable_host_metrics retry_failed_connection}
enable_script_checks enable_local_script_checks check_update_interval check_output_max_size
discard_check_output disable_remote_exec session_ttl_min
ui_config{enabled dir content_path metrics_provider metrics_proxy{base_url add_headers
path_allowlist} dashboard_url_templates}
log_level log_json log_file log_rotate_bytes log_rotate_duration log_rotate_max_files enable_syslog
syslog_facility pid_file watches auto_reload_config use_streaming_backend rpc{enable_streaming}
disable_coordinates discovery_max_stale default_query_time max_query_time disable_update_check
enable_debug cache{entry_fetch_rate entry_fetch_max_burst} server_rejoin_age_max
service{id name tags address tagged_addresses meta port ports socket_path check checks token
weights{passing warning} enable_tag_override kind proxy connect{native sidecar_service} locality}
services
check{id name notes service_id token status args http header method body disable_redirects
output_max_size tcp tcp_use_tls udp interval timeout ttl docker_container_id shell grpc grpc_use_tls
h2ping h2ping_use_tls os_service alias_node alias_service tls_server_name tls_skip_verify
success_before_passing failures_before_warning failures_before_critical
deregister_critical_service_after}
checks
disable_http_unprintable_char_filter disable_host_node_id enable_agent_tls_for_checks
"""


def documented() -> list[str]:
    """The dotted paths of ``DOCUMENTED``."""
    paths, prefix, last = [], [], ""
    for word in re.findall(r"[a-z0-9_]+|[{}]", DOCUMENTED):
        if word == "{":
            prefix.append(last)
        elif word == "}":
            prefix.pop()
        else:
            last = word
            paths.append(".".join([*prefix, word]))
    return paths


def sample(kind: Any) -> Any:
    """A value of a type, as a file writes it."""
    kind = bare(kind)
    if kind is Duration:
        return "90s"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {}
    if get_origin(kind) is list:
        return [sample(get_args(kind)[0])]
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        return {"some": "thing" if inner is Any else sample(inner)}
    return {str: "x", int: 7, bool: True, float: 1.5}[kind]


def field_of(path: str) -> Any:
    """The type of the field that a path names; None if there is none."""
    kind: Any = Settings
    for name in path.split("."):
        fields = {field.name: field.type for field in msgspec.structs.fields(bare(kind))}
        kind = fields.get({"args": "script_args"}.get(name, name))
        if kind is None:
            return None
    return kind


@pytest.mark.parametrize("path", documented())
def test_documented_key_is_known(path: str) -> None:
    *blocks, name = path.split(".")
    kind = field_of(path)
    value = "x" if kind is None else sample(kind)
    tree: Any = {name: value}
    for block in reversed(blocks):
        tree = {block: tree}
    reading = read(tree, Settings)
    assert reading.issues == []
    if path in ENTERPRISE:
        assert reading.warnings == [
            f'"{path}" is a Consul Enterprise configuration and will have no effect'
        ]
        return
    assert kind is not None, "the key is not a field"
    settings: Any = build(Settings, reading.tree)
    for block in blocks:
        settings = getattr(settings, block)
    got = getattr(settings, {"args": "script_args"}.get(name, name))
    if bare(kind) is Duration:
        assert got == 90
    elif value and isinstance(value, str | int | bool | float):
        assert got == value
    elif isinstance(value, list | dict) and value:
        assert len(got) == len(value)


def test_the_list_of_keys_is_the_documents() -> None:
    assert len(documented()) > 260
    assert len(set(documented())) == len(documented())


# Modules that name keys without honouring them.
_ONLY_CHECKING = {
    "check",
    "check_cluster",
    "check_interfaces",
    "certificates",
    "reload",
    "support",
    "sanitized",
}


def used_names() -> set[str]:
    """Names that code reads or declares as settings of its own, and words of the agent's."""
    names: set[str] = set()
    for file in (Path(portway.__file__).parent).rglob("*.py"):
        if file.stem in _ONLY_CHECKING or "edge" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.update([node.target.id] if "config" not in file.parts else [])
            elif "agent" in file.parts and isinstance(node, ast.Constant):
                names.add(str(node.value))
    return names


def leaves(kind: Any, prefix: str = "") -> Iterator[str]:
    """The paths of all keys that are no blocks."""
    for field in msgspec.structs.fields(kind):
        inner = bare(field.type)
        block = isinstance(inner, type) and issubclass(inner, Block)
        yield from leaves(inner, f"{prefix}{field.name}.") if block else [prefix + field.name]


def test_no_key_is_swallowed() -> None:
    """Every key is used somewhere (by name), or reported, or needs nothing done."""
    used = used_names()
    swallowed = [
        path
        for path in leaves(Settings)
        if not any(path == known or path.startswith(f"{known}.") for known in [*NOT_YET, *MOOT])
        and path.rpartition(".")[2] not in used
    ]
    assert swallowed == []


def test_keys_not_yet_honoured_exist() -> None:
    unknown = [path for path in [*NOT_YET, *MOOT] if field_of(path) is None]
    assert unknown == []
    assert not set(NOT_YET) & set(MOOT)
    assert not set(NOT_YET) & (set(REMOVED) | ENTERPRISE)


DEFAULTS = {
    "datacenter": "dc1",
    "primary_datacenter": "dc1",
    "domain": "consul.",
    "server": False,
    "ports.dns": 8600,
    "ports.http": 8500,
    "ports.https": -1,
    "ports.grpc": -1,
    "ports.grpc_tls": -1,
    "ports.serf_lan": 8301,
    "ports.serf_wan": 8302,
    "ports.server": 8300,
    "ports.sidecar_min_port": 21000,
    "ports.sidecar_max_port": 21255,
    "ports.expose_min_port": 21500,
    "ports.expose_max_port": 21755,
    "retry_interval": 30,
    "retry_max": 0,
    "leave_on_terminate": True,
    "skip_leave_on_interrupt": False,
    "acl.enabled": False,
    "acl.default_policy": "allow",
    "acl.down_policy": "extend-cache",
    "acl.token_ttl": 30,
    "acl.policy_ttl": 30,
    "default_intention_policy": "allow",
    "connect.enabled": True,
    "peering.enabled": True,
    "enable_central_service_config": True,
    "xds.update_max_per_second": 250,
    "tls_https.tls_min_version": "TLSv1_2",
    "tls_https.verify_incoming": False,
    "encrypt_verify_incoming": True,
    "dns_config.allow_stale": True,
    "dns_config.max_stale": 87600 * 3600,
    "dns_config.udp_answer_limit": 3,
    "dns_config.recursor_timeout": 2,
    "dns_config.enable_additional_node_meta_txt": True,
    "dns_config.soa.refresh": 3600,
    "dns_config.soa.min_ttl": 0,
    "http_config.use_cache": True,
    "performance.raft_multiplier": 5,
    "performance.leave_drain_time": 5,
    "performance.rpc_hold_timeout": 7,
    "limits.http_max_conns_per_client": 200,
    "limits.https_handshake_timeout": 5,
    "limits.rpc_client_timeout": 60,
    "limits.rpc_rate": -1,
    "limits.rpc_max_burst": 1000,
    "limits.kv_max_value_size": 524288,
    "limits.txn_max_req_len": 524288,
    "limits.request_limits.mode": "disabled",
    "raft_protocol": 3,
    "raft_snapshot_threshold": 16384,
    "raft_trailing_logs": 10240,
    "telemetry.prometheus_retention_time": 0,
    "telemetry.metrics_prefix": "consul",
    "telemetry.filter_default": True,
    "check_update_interval": 300,
    "check_output_max_size": 4096,
    "disable_remote_exec": True,
    "session_ttl_min": 10,
    "ui_config.enabled": False,
    "ui_config.content_path": "/ui/",
    "log_level": "INFO",
    "syslog_facility": "LOCAL0",
    "use_streaming_backend": True,
    "server_rejoin_age_max": 168 * 3600,
    "default_query_time": 300,
    "max_query_time": 600,
}
OF_SERVERS = {
    "ports.grpc_tls": 8503,
    "leave_on_terminate": False,
    "skip_leave_on_interrupt": True,
}
OF_DEV = {
    **OF_SERVERS,
    "dev_mode": True,
    "server": True,
    "bind_addr": "127.0.0.1",
    "advertise_lan": "127.0.0.1",
    "ui_config.enabled": True,
    "ports.grpc": 8502,
    "enable_debug": True,
    "log_level": "DEBUG",
    "connect.enabled": True,
    "performance.raft_multiplier": 1,
    "gossip_lan.gossip_interval": 0.1,
}


def _at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-data-dir=d", "-bind=127.0.0.1"], DEFAULTS),
        (["-data-dir=d", "-bind=127.0.0.1", "-server"], OF_SERVERS),
        (["-dev"], OF_DEV),
    ],
    ids=["client", "server", "dev"],
)
def test_defaults(arguments: list[str], expected: dict[str, Any]) -> None:
    config = load(arguments, persist=False).config
    assert {path: _at(config, path) for path in expected} == expected


# What HashiCorp's Go test server writes, nulls included.
HARNESS: dict[str, Any] = {
    "node_name": "node-1",
    "node_id": "8e1c0a3c-6a1d-4d8e-9b57-0b7e6d0f0c11",
    "node_meta": {"k": "v"},
    "locality": {"region": "r", "zone": "z"},
    "performance": {"raft_multiplier": 1},
    "bootstrap": True,
    "server": True,
    "partition": "",
    "retry_join": None,
    "datacenter": "dc1",
    "segments": None,
    "disable_update_check": True,
    "log_level": "debug",
    "bind_addr": "127.0.0.1",
    "addresses": {"http": "127.0.0.1"},
    "ports": {
        "dns": 20000,
        "http": 20001,
        "https": 20002,
        "serf_lan": 20003,
        "serf_wan": 20004,
        "server": 20005,
        "grpc": 20006,
        "grpc_tls": 20007,
        "proxy_min_port": 0,
        "proxy_max_port": 0,
    },
    "raft_protocol": 3,
    "acl_datacenter": "dc1",
    "primary_datacenter": "dc1",
    "acl_default_policy": "deny",
    "acl": {
        "enabled": True,
        "enable_token_replication": False,
        "policy_ttl": "1s",
        "token_ttl": "1s",
        "down_policy": "deny",
        "default_policy": "deny",
        "enable_key_list_policy": True,
        "tokens": {
            "master": "root",
            "agent_master": "rescue",
            "replication": "",
            "default": "d",
            "agent": "a",
        },
        "disabled_ttl": "1s",
    },
    "encrypt": "pUqJrVyVRj5jsiYEkM/tFQ==",
    "verify_outgoing": False,
    "enable_script_checks": True,
    "connect": {
        "enabled": True,
        "ca_config": {"cluster_id": "11111111-2222-3333-4444-555555555555"},
    },
    "enable_debug": True,
    "skip_leave_on_interrupt": False,
    "peering": {"enabled": True},
    "autopilot": {"server_stabilization_time": ""},
    "audit": {"enabled": False},
    "version": "1.22.0",
    "experiments": ["resource-apis"],
    "ca_file": "",
    "cert_file": "",
    "key_file": "",
    "verify_incoming": None,
    "verify_incoming_rpc": None,
    "verify_incoming_https": None,
}


def test_the_go_test_server_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**HARNESS, "data_dir": str(tmp_path / "data")}))
    loaded = load([f"-config-file={file}"])
    config = loaded.config
    assert config.node_id == HARNESS["node_id"]
    assert config.acl.tokens.initial_management == "root"
    assert config.acl.tokens.agent_recovery == "rescue"
    assert config.acl.enabled
    assert str(config.listen.http[0]) == "127.0.0.1:20001"
    # A port of HTTPS without certificates is no error.
    assert config.listen.https == []
    assert any("no HTTPS listener" in warning for warning in loaded.warnings)
    assert "The 'acl.tokens.master' field is deprecated." in "\n".join(loaded.warnings)


def test_unix_sockets(tmp_path: Path) -> None:
    file = tmp_path / "c.hcl"
    file.write_text('addresses { http = "unix:///run/x.sock 127.0.0.1" }\nports { http = 81 }')
    config = load(["-dev", f"-config-file={file}"]).config
    assert [str(bind) for bind in config.listen.http] == ["unix:///run/x.sock", "127.0.0.1:81"]


def test_definitions_in_every_spelling(tmp_path: Path) -> None:
    file = tmp_path / "web.json"
    file.write_text(
        json.dumps(
            {
                "service": {
                    "Name": "web",
                    "EnableTagOverride": True,
                    "check": {"ScriptArgs": ["x"], "Interval": "10s", "ServiceID": "web"},
                },
                "check": {
                    "id": "mem",
                    "name": "Memory",
                    "args": ["/bin/check"],
                    "interval": "1m30s",
                    "deregistercriticalserviceafter": "90m",
                },
            }
        )
    )
    config = load(["-dev", f"-config-dir={tmp_path}"]).config
    assert config.services == [
        ServiceDefinition(
            name="web",
            enable_tag_override=True,
            check=CheckDefinition(script_args=["x"], interval=Duration(10), service_id="web"),
        )
    ]
    assert config.checks == [
        CheckDefinition(
            id="mem",
            name="Memory",
            script_args=["/bin/check"],
            interval=Duration(90),
            deregister_critical_service_after=Duration(5400),
        )
    ]


def test_watches(tmp_path: Path) -> None:
    file = tmp_path / "w.hcl"
    file.write_text(
        """
        watches = [
          { type = "key", key = "a/b", args = ["/bin/x", "y"] },
          { type = "service", service = "web", tag = ["a"], passingonly = true
            handler_type = "http"
            http_handler_config { path = "https://h/x", method = "PUT", timeout = "3s"
              header { "x-a" = ["b"] } } }
        ]
        """
    )
    key, service = load(["-dev", f"-config-file={file}"]).config.plans
    assert (key.type, key.parameters, key.args) == ("key", {"key": "a/b"}, ["/bin/x", "y"])
    assert service.parameters == {"service": "web", "tag": ["a"], "passingonly": True}
    handler = service.http_handler_config
    assert (handler.path, handler.method, handler.timeout, handler.header) == (
        "https://h/x",
        "PUT",
        Duration(3),
        {"x-a": ["b"]},
    )


def test_every_key_not_yet_honoured_is_told(tmp_path: Path) -> None:
    file = tmp_path / "c.hcl"
    file.write_text('retry_join = ["10.0.0.9"]\nencrypt = "pUqJrVyVRj5jsiYEkM/tFQ=="\nxds {}')
    warnings = load(["-dev", f"-config-file={file}"]).warnings
    assert "retry_join has no effect yet: a cluster has one server in this version" in warnings
    assert "encrypt has no effect yet: agents do not gossip in this version" in warnings
    assert not any(warning.startswith("xds") for warning in warnings)  # it says nothing


def test_what_would_be_unsafe_to_ignore_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^auto_config\.enabled is not supported yet: "):
        load(["-dev", "-hcl", "auto_config { enabled = true }"])
