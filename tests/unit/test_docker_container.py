"""Reading containers: names, signals, addresses."""

from __future__ import annotations

from typing import Any

import pytest

from portway.edge.providers.docker.address import (
    Address,
    AddressError,
    AddressRules,
    find_address,
    unknown_network,
)
from portway.edge.providers.docker.client import parse_event
from portway.edge.providers.docker.container import (
    Binding,
    Container,
    Port,
    parse_container,
    parse_signal,
)
from portway.edge.providers.naming import normalize


def container(**options: Any) -> Container:
    given: dict[str, Any] = {
        "id": "c1",
        "name": "web",
        "labels": {},
        "status": "running",
        "networks": {"bridge": "172.17.0.2"},
        "ports": {Port(80, "tcp"): ()},
    }
    return Container(**{**given, **options})


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("/plain_web", "plain-web"),
        ("api_My_Proj", "api-My-Proj"),
        ("a..b--c__d", "a-b-c-d"),
        ("_x_", "x"),
        ("größe²", "größe²"),
        ("", ""),
    ],
)
def test_normalize(name: str, normal: str) -> None:
    assert normalize(name) == normal


def test_compose_names_win_over_the_containers_own() -> None:
    labels = {"com.docker.compose.service": "api", "com.docker.compose.project": "My_Proj"}
    assert container(labels=labels).default_name == "api-My-Proj"
    assert container(labels={"com.docker.compose.service": "api"}).default_name == "web"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("15", 15),
        ("SIGTERM", 15),
        ("quit", 3),
        ("RTMIN+3", 37),
        ("SIGRTMAX-1", 63),
        ("", None),
        (None, None),
        ("SIGNOPE", None),
    ],
)
def test_signals(text: str | None, number: int | None) -> None:
    assert parse_signal(text) == number


def test_an_inspected_container() -> None:
    found = parse_container(
        {
            "Id": "abc",
            "Name": "/web",
            "State": {
                "Status": "running",
                "Running": True,
                "Health": {"Status": "starting"},
                "StartedAt": "t1",
            },
            "Config": {"Labels": {"a": "b"}, "StopSignal": "SIGQUIT", "StopTimeout": 30},
            "HostConfig": {"NetworkMode": "edge"},
            "NetworkSettings": {
                "Ports": {
                    "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
                    "53/udp": None,
                },
                "Networks": {
                    "edge": {"IPAddress": "10.0.0.2", "GlobalIPv6Address": "fd::2"},
                    "six": {"IPAddress": "", "GlobalIPv6Address": "fd::3"},
                },
            },
        }
    )
    assert found == Container(
        id="abc",
        name="web",
        labels={"a": "b"},
        status="running",
        health="starting",
        network_mode="edge",
        networks={"edge": "10.0.0.2", "six": "fd::3"},
        ports={Port(80, "tcp"): (Binding("127.0.0.1", 8080),), Port(53, "udp"): ()},
        stop_signal=3,
        stop_timeout=30.0,
        started_at="t1",
    )
    assert found.unhealthy


def test_a_container_with_nothing_set_is_readable() -> None:
    found = parse_container({"Id": "abc", "Config": {"Labels": None}, "NetworkSettings": None})
    assert (found.labels, found.ports, found.status) == ({}, {}, "exited")


TWO = {"b": "10.0.0.2", "a": "10.1.0.2"}


@pytest.mark.parametrize(
    ("options", "port", "label", "rules", "address"),
    [
        ({}, "", "", AddressRules(), "172.17.0.2:80"),
        ({}, "8080", "", AddressRules(), "172.17.0.2:8080"),
        ({"ports": {Port(9000, "tcp"): (), Port(800, "tcp"): ()}}, "", "", AddressRules(), ":800"),
        ({"ports": {Port(9, "tcp"): (), Port(5, "udp"): ()}}, "", "", AddressRules(), ":9"),
        ({"ports": {Port(5, "udp"): ()}}, "", "", AddressRules(), "172.17.0.2:5"),
        # networks: the label's, else the provider's, else the first by name
        ({"networks": TWO}, "", "", AddressRules(), "10.1.0.2:80"),
        ({"networks": TWO}, "", "", AddressRules(network="b"), "10.0.0.2:80"),
        ({"networks": TWO}, "", "a", AddressRules(network="b"), "10.1.0.2:80"),
        ({"networks": TWO}, "", "nope", AddressRules(), "10.1.0.2:80"),
        ({"networks": {"a": "", "b": "10.0.0.2"}}, "", "", AddressRules(), "10.0.0.2:80"),
        ({"networks": {"six": "fd::2"}}, "", "", AddressRules(), "[fd::2]:80"),
        (
            {"network_mode": "host", "networks": {"host": ""}},
            "",
            "",
            AddressRules(),
            "127.0.0.1:80",
        ),
        (
            {"network_mode": "host", "networks": {}},
            "",
            "",
            AddressRules(host_address="192.168.65.2"),
            "192.168.65.2:80",
        ),
        (
            {"network_mode": "container:other", "networks": {}},
            "",
            "",
            AddressRules(),
            "10.9.0.1:80",
        ),
        # published ports
        (
            {"ports": {Port(80, "tcp"): (Binding("192.0.2.1", 8080),)}},
            "",
            "",
            AddressRules(use_bind_port_ip=True),
            "192.0.2.1:8080",
        ),
        (
            {"ports": {Port(80, "tcp"): (Binding("0.0.0.0", 8080),)}},
            "",
            "",
            AddressRules(use_bind_port_ip=True),
            "172.17.0.2:80",
        ),
        ({}, "", "", AddressRules(use_bind_port_ip=True), "172.17.0.2:80"),
        (
            {"ports": {Port(80, "tcp"): (), Port(81, "tcp"): (Binding("192.0.2.1", 8081),)}},
            "81",
            "",
            AddressRules(use_bind_port_ip=True),
            "192.0.2.1:8081",
        ),
    ],
)
def test_addresses(
    options: dict[str, Any], port: str, label: str, rules: AddressRules, address: str
) -> None:
    other = container(networks={"z": "10.9.0.1"})
    found = find_address(container(**options), port, label, rules, {"other": other}.get)
    assert found.authority.endswith(address)


@pytest.mark.parametrize(
    ("options", "port", "message"),
    [
        ({"ports": {}}, "", "port is missing"),
        ({}, "http", "'http' is not a port"),
        ({}, "70000", "from 1 to 65535"),
        ({"networks": {}}, "", "unable to find the IP address"),
        ({"network_mode": "container:gone", "networks": {}}, "", "unable to find the IP address"),
    ],
)
def test_addresses_that_cannot_be_found(options: dict[str, Any], port: str, message: str) -> None:
    with pytest.raises(AddressError, match=message):
        find_address(container(**options), port, "", AddressRules(), lambda _: None)


def test_an_unknown_network_is_explained() -> None:
    own = container(networks={"proj_edge": "10.0.0.2"})
    warning = unknown_network(own, "edge")
    assert warning is not None
    assert "did you mean 'proj_edge'" in warning
    assert unknown_network(own, "proj_edge") is None
    assert unknown_network(own, "") is None


def test_authorities() -> None:
    assert Address("10.0.0.1", 80).authority == "10.0.0.1:80"
    assert Address("fd::1", 80).authority == "[fd::1]:80"


def test_events() -> None:
    line = (
        b'{"Type":"container","Action":"health_status: healthy",'
        b'"Actor":{"ID":"abc","Attributes":{"name":"web"}}}'
    )
    event = parse_event(line)
    assert event is not None
    assert (event.action, event.container) == ("health_status", "abc")
    network = parse_event(
        b'{"Type":"network","Action":"connect","Actor":{"ID":"n","Attributes":{"container":"abc"}}}'
    )
    assert network is not None
    assert (network.action, network.container) == ("network connect", "abc")
    assert parse_event(b'{"Type":"image","Action":"pull","Actor":{"ID":"x"}}') is None
    with pytest.raises(ValueError, match="truncated"):
        parse_event(b"{")
