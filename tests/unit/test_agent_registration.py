"""What a definition becomes, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from portway.agent.registration import RegistrationError, register_check, register_service
from portway.agent.sidecar import free_port, sidecar_of
from portway.discovery.api.decode import decode_tree
from portway.discovery.model import CheckDefinition, ServiceDefinition


def service(**fields: Any) -> ServiceDefinition:
    return decode_tree({"name": "web"} | fields, ServiceDefinition)


def check(**fields: Any) -> CheckDefinition:
    return decode_tree(fields, CheckDefinition)


TTL = {"TTL": "10s"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "Missing service name"),
        ({"address": "0.0.0.0"}, "Invalid service address"),
        ({"address": "::"}, "Invalid service address"),
        ({"kind": "proxy"}, "Validation failed: Invalid Kind 'proxy'; it may be 'connect-proxy'"),
        ({"meta": {"a b": "c"}}, "Key contains invalid characters"),
        ({"meta": {"": "c"}}, "Key cannot be blank"),
        ({"meta": {"k" * 129: "c"}}, "Key is too long (limit: 128 characters)"),
        ({"meta": {"consul-x": "c"}}, "Key prefix 'consul-' is reserved for internal use"),
        ({"meta": {"a": "v" * 513}}, "Value is too long (limit: 512 characters)"),
        ({"meta": {f"k{i}": "" for i in range(65)}}, "cannot contain more than 64 key/value pairs"),
        ({"weights": {"passing": 0, "warning": 1}}, "Passing must be greater than 0"),
        ({"weights": {"passing": 1, "warning": -1}}, "Warning must be greater or equal than 0"),
        ({"weights": {"passing": 70000, "warning": 1}}, "between 0 and 65535"),
        ({"port": 70000}, "Port 70000 is not between 0 and 65535"),
        (
            {"port": 1, "ports": [{"name": "a", "port": 2, "default": True}]},
            "Cannot set both Port and Ports",
        ),
        ({"ports": [{"name": "a", "port": 2}]}, "One of the Ports must be marked as Default"),
        ({"ports": [{"port": 2, "default": True}]}, "Ports.Name cannot be empty"),
        ({"tagged_addresses": {"lan_ipv4": {"address": "::1"}}}, "must be a valid ipv4 address"),
        ({"check": {"interval": "1s"}}, "Invalid check: TTL must be > 0 for TTL checks"),
        ({"check": {"http": "http://x"}}, "Invalid check: Interval must be > 0"),
        ({"check": TTL | {"status": "fine"}}, "Status for checks must 'passing', 'warning'"),
        (
            {"kind": "connect-proxy", "port": 1},
            "Proxy.DestinationServiceName must be non-empty for Connect proxy services",
        ),
        (
            {"kind": "connect-proxy", "proxy": {"destination_service_name": "a"}},
            "Port or SocketPath must be set for a connect-proxy",
        ),
        ({"kind": "mesh-gateway"}, "Port must be non-zero for a mesh-gateway"),
        ({"connect": {"sidecar_service": {"id": "x"}}}, "A SidecarService cannot specify an ID"),
        ({"proxy": {"mode": "odd"}}, "Invalid Proxy.mode: 'odd'"),
    ],
)
def test_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistrationError) as refused:
        register_service(service(**fields), "n1")
    assert message in str(refused.value)


def test_defaults() -> None:
    registered = register_service(service(check=TTL), "n1")
    assert (registered.service.id, registered.service.weights.passing) == ("web", 1)
    only = registered.checks[0].check
    assert (only.check_id, only.name, only.status, only.type) == (
        "service:web",
        "Service 'web' check",
        "critical",
        "ttl",
    )
    assert (only.service_id, only.interval, only.timeout) == ("web", "", "")


def test_several_checks_are_numbered_beginning_with_check() -> None:
    definition = service(id="w1", check=TTL, checks=[TTL | {"check_id": "own"}, TTL])
    ids = [one.check.check_id for one in register_service(definition, "n1").checks]
    assert ids == ["service:w1:1", "own", "service:w1:3"]


@pytest.mark.parametrize(("address", "tag"), [("10.0.0.1", "lan_ipv4"), ("fd00::1", "wan_ipv6")])
def test_addresses_are_tagged(address: str, tag: str) -> None:
    tagged = register_service(service(address=address, port=5), "n1").service.tagged_addresses
    assert tagged is not None
    assert (tagged[tag].address, tagged[tag].port) == (address, 5)


def test_a_name_is_not_tagged() -> None:
    assert register_service(service(address="db.test"), "n1").service.tagged_addresses is None


def test_a_check_of_its_own_takes_its_name_as_id() -> None:
    made = register_check(check(name="disk", **TTL), "n1", None).check
    assert (made.check_id, made.name, made.service_id) == ("disk", "disk", "")


def test_a_sidecar_stands_for_its_service() -> None:
    parent = service(id="w1", port=80, tags=["a"], connect={"sidecar_service": {}})
    sidecar = sidecar_of(parent, lambda _: 21000)
    assert sidecar is not None and sidecar.proxy is not None
    assert (sidecar.id, sidecar.name, sidecar.kind) == (
        "w1-sidecar-proxy",
        "web-sidecar-proxy",
        "connect-proxy",
    )
    assert (sidecar.port, sidecar.tags) == (21000, ["a"])
    assert sidecar.proxy.destination_service_name == "web"
    assert sidecar.proxy.local_service_port == 80
    checks = register_service(sidecar, "n1").checks
    assert [one.check.check_id for one in checks] == [
        "service:w1-sidecar-proxy:1",
        "service:w1-sidecar-proxy:2",
    ]
    assert [one.check.type for one in checks] == ["tcp", "alias"]


def test_ports_of_sidecars_are_the_lowest_free() -> None:
    assert free_port({21000, 21002}, 21000, 21002) == 21001
    with pytest.raises(RegistrationError, match=r"none left in the configured range \[1, 2\]"):
        free_port({1, 2}, 1, 2)
    with pytest.raises(RegistrationError, match="auto-assignment disabled in config"):
        free_port(set(), 0, 0)
