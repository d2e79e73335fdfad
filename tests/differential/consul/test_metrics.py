"""The metrics that dashboards for Consul show: their names, kinds and labels."""

from __future__ import annotations

import re

from .conftest import Play
from .world import World

_CONFIG = {"telemetry": {"prometheus_retention_time": "600s", "disable_hostname": True}}
_SHOWN = (
    *("consul_api_http", "consul_kvs_apply", "consul_txn_apply", "consul_session_apply"),
    *("consul_session_renew", "consul_catalog_register", "consul_catalog_deregister"),
    *("consul_config_entry_apply", "consul_config_entry_delete", "consul_prepared_query_apply"),
    *("consul_raft_apply", "consul_raft_commitTime", "consul_raft_peers", "consul_raft_last_index"),
    *("consul_raft_applied_index", "consul_autopilot_healthy", "consul_server_isLeader"),
    *("consul_autopilot_failure_tolerance", "consul_session_ttl_active", "consul_version"),
    *("consul_members_servers", "consul_members_clients", "consul_state_nodes"),
    *("consul_state_services", "consul_state_service_instances", "consul_state_kv_entries"),
    *("consul_state_connect_instances", "consul_state_billable_service_instances"),
    *("consul_state_config_entries", "consul_state_peerings"),
    *("consul_runtime_alloc_bytes", "consul_runtime_sys_bytes"),
    *("process_cpu_seconds_total", "process_open_fds", "process_max_fds"),
    *("process_resident_memory_bytes", "process_virtual_memory_bytes"),
    "process_start_time_seconds",
)
_LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(\{(?P<labels>.*)\})? ")
_KEY = re.compile(r'(\w+)="')


def _described(text: str) -> dict[str, str]:
    """Kind and labels of each metric, in the form of Prometheus."""
    kinds: dict[str, str] = {}
    labels: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kinds[name] = line.split()
        elif found := _LINE.match(line):
            name = found["name"]
            own = name if name in kinds else re.sub(r"_(sum|count)$", "", name)
            labels.setdefault(own, set()).update(_KEY.findall(found["labels"] or ""))
    return {name: f"{kind} {sorted(labels.get(name, ()))}" for name, kind in kinds.items()}


def test_what_dashboards_show(play: Play) -> None:
    def scenario(ask: World) -> None:
        def do(method: str, path: str, body: object = None) -> bytes:
            return ask.ask(method, path, body, record=False).body

        do("PUT", "kv/metrics/a", "1")
        do("DELETE", "kv/metrics/a")
        do("PUT", "txn", [{"KV": {"Verb": "delete", "Key": "metrics/a"}}])
        session = ask.put("session/create", {}, record=False).json["ID"]
        do("PUT", f"session/renew/{session}")
        do("PUT", f"session/destroy/{session}")
        do("PUT", "catalog/register", {"Node": "metrics", "Address": "10.0.0.1"})
        do("PUT", "catalog/deregister", {"Node": "metrics"})
        do("PUT", "config", {"Kind": "service-defaults", "Name": "metrics"})
        do("DELETE", "config/service-defaults/metrics")
        query = {"Name": "metrics", "Service": {"Service": "x"}}
        made = ask.ask("POST", "query", query, record=False).json["ID"]
        do("DELETE", f"query/{made}")

        def told() -> dict[str, str]:
            text = do("GET", "agent/metrics?format=prometheus").decode()
            found = _described(text)
            return {name: found.get(name, "(none)") for name in _SHOWN}

        # The real one counts its state every ten seconds, and begins each of them without labels;
        # its version comes last.
        ask.until(lambda: "pre_release" in told()["consul_version"], "the state to be counted")
        ask.until(lambda: "(none)" not in told().values(), "everything to be told of")
        ask.note("metrics", dict(told()))
        answer = ask.get("agent/metrics?format=prometheus", record=False)
        ask.note("form", {"content-type": answer.headers["Content-Type"]})

    play(scenario, _CONFIG)
