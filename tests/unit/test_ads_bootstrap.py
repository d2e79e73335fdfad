"""Envoy's bootstrap and what its admin interface says, without an Envoy."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.extensions.resource_monitors.downstream_connections.v3 import (
    downstream_connections_pb2,
)
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import json_format

from portway.envoy.admin import parse_health, parse_stats
from portway.envoy.bootstrap import bootstrap, sockets, write

# json_format finds the types inside Any only when their modules are loaded.
_LOADED = (downstream_connections_pb2, http_protocol_options_pb2)


def parsed(content: dict[str, Any]) -> bootstrap_pb2.Bootstrap:
    return json_format.ParseDict(content, bootstrap_pb2.Bootstrap())


def test_the_bootstrap_is_a_valid_message() -> None:
    message = parsed(bootstrap(sockets(Path("/run/portway")), max_connections=7))
    assert message.node.id == "edge"
    names = [cluster.name for cluster in message.static_resources.clusters]
    assert names == ["portway-ads", "portway-control", "portway-api"]


def test_nothing_listens_on_a_tcp_port() -> None:
    text = json.dumps(bootstrap(sockets(Path("/run/portway"))))
    assert "socket_address" not in text
    assert parsed(json.loads(text)).admin.address.pipe.mode == 0o600


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "envoy.json"
    write(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_too_long_for_sockets_is_refused_with_the_limit() -> None:
    room = 107 - len("/control.sock")
    sockets(Path("/" + "x" * (room - 1)))
    with pytest.raises(ValueError, match=f"at most {room} bytes"):
        sockets(Path("/" + "x" * room))


def test_stats_are_numbers_by_name() -> None:
    text = "http.web.a: 3\nhttp.web.latency: P0(nan,1) P25(nan,2)\nserver.state: LIVE\nb: 0\n"
    assert parse_stats(text) == {"http.web.a": 3, "b": 0}


@pytest.mark.parametrize(
    ("status", "healthy"),
    [
        ({}, True),
        ({"eds_health_status": "HEALTHY"}, True),
        ({"eds_health_status": "DEGRADED", "failed_active_degraded_check": True}, True),
        ({"eds_health_status": "UNHEALTHY"}, False),
        ({"eds_health_status": "DRAINING"}, False),
        ({"eds_health_status": "HEALTHY", "failed_active_health_check": True}, False),
        ({"eds_health_status": "HEALTHY", "failed_outlier_check": True}, False),
        ({"eds_health_status": "HEALTHY", "pending_active_hc": True}, False),
    ],
)
def test_a_host_is_healthy_when_nothing_speaks_against_it(
    status: dict[str, Any], healthy: bool
) -> None:
    address = {"socket_address": {"address": "10.0.0.1", "port_value": 80}}
    host = {"address": address, "health_status": status}
    answer = {"cluster_statuses": [{"name": "a@docker", "host_statuses": [host]}]}
    assert parse_health(answer) == {("a@docker", "10.0.0.1:80"): healthy}


def test_other_addresses_than_tcp_are_left_out_and_ipv6_is_bracketed() -> None:
    hosts = [
        {"address": {"pipe": {"path": "/x"}}},
        {"address": {"socket_address": {"address": "::1", "port_value": 8}}, "health_status": {}},
    ]
    answer = {"cluster_statuses": [{"name": "a", "host_statuses": hosts}, {"name": "none"}]}
    assert parse_health(answer) == {("a", "[::1]:8"): True}
