"""Reloading: what a running agent takes over, what stays, and that a wrong one changes nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_rig import Home, Running, home
from tests.integration.cli_consul_rig import eventually


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path) as made:
        yield made


def ttl(name: str, **fields: object) -> dict[str, object]:
    return {"id": name, "name": name, "ttl": "1h", **fields}


def test_services_and_checks(place: Home) -> None:
    file = place.write(
        "services.json",
        {
            "services": [
                {"name": "web", "port": 1, "checks": [ttl("a"), ttl("b")]},
                {"name": "db", "port": 2, "connect": {"sidecar_service": {}}},
            ],
            "checks": [ttl("disk"), ttl("memory")],
        },
    )
    agent = place.start()
    agent.done("agent/service/register", {"Name": "mine", "Check": {"TTL": "1h"}})
    agent.done("agent/check/register", {"Name": "own", "TTL": "1h", "ServiceID": "web"})
    agent.done("agent/check/register", {"Name": "node", "TTL": "1h"})
    agent.done("agent/service/maintenance/web?enable=true")
    for check in ("a", "b", "disk", "own"):
        agent.done(f"agent/check/pass/{check}?note=said")
    place.write(
        file.name,
        {
            "services": [
                {"name": "web", "port": 3, "checks": [ttl("a", notes="new"), ttl("c")]},
                {"name": "db", "port": 2},
                {"name": "new", "port": 4},
            ],
            "checks": [ttl("disk"), ttl("load", service_id="new")],
        },
    )
    agent.done("agent/reload")
    services, checks = agent.json("agent/services"), agent.json("agent/checks")
    assert {name: one["Port"] for name, one in services.items()} == {
        "web": 3,
        "db": 2,
        "new": 4,
        "mine": 0,
    }
    assert {name: check["Status"] for name, check in checks.items()} == {
        "_service_maintenance:web": "critical",
        "a": "passing",
        "c": "critical",
        "disk": "passing",
        "load": "critical",
        "node": "critical",
        "own": "passing",
        "service:mine": "critical",
    }
    assert (checks["a"]["Notes"], checks["a"]["Output"]) == ("new", "said")
    # The catalog has followed when the answer comes.
    assert agent.services() == ["db", "mine", "new", "web"]
    assert agent.checks() == {name: check["Status"] for name, check in checks.items()}


def test_the_configuration_wins_until_clients_say_otherwise(place: Home) -> None:
    agent = place.start()
    agent.done("agent/service/register", {"Name": "web", "Port": 1, "Check": {"TTL": "1h"}})
    place.write("web.json", {"service": {"name": "web", "port": 2}})
    agent.done("agent/reload")
    assert agent.json("agent/service/web")["Port"] == 2
    agent.done("agent/service/register", {"Name": "web", "Port": 3})
    assert agent.json("agent/service/web")["Port"] == 3
    agent.done("agent/reload")
    assert agent.json("agent/service/web")["Port"] == 2
    agent.done("agent/service/deregister/web")
    assert agent.json("agent/services") == {}
    agent.done("agent/reload")
    assert agent.json("agent/service/web")["Port"] == 2
    assert agent.services() == ["web"]


def test_a_check_may_name_a_service_that_is_to_be_there(place: Home) -> None:
    check = {"id": "c", "name": "c", "ttl": "1h"}
    agent = place.start()
    agent.done("agent/service/register", {"Name": "mine"})
    place.write("web.json", {"service": {"name": "web"}})
    place.write("check.json", {"check": {**check, "service_id": "mine"}})
    agent.done("agent/reload")
    assert agent.json("agent/checks")["c"]["ServiceID"] == "mine"
    place.write("check.json", {"check": {**check, "service_id": "web"}})
    agent.done("agent/reload")
    assert agent.json("agent/checks")["c"]["ServiceID"] == "web"
    assert agent.checks() == {"c": "critical"}
    # With this configuration there would be no such service.
    (place.folder / "web.json").unlink()
    reply = agent.put("agent/reload")
    assert (reply.status, 'ServiceID "web" does not exist' in reply.text) == (500, True)
    assert set(agent.json("agent/services")) == {"mine", "web"}


WRONG = [
    ("{", "not valid JSON"),
    ({"no_such_key": 1}, "no_such_key"),
    ({"service": {"port": 1}}, "Missing service name"),
    ({"services": [{"name": "new"}, {"name": "bad", "address": "0.0.0.0"}]}, "service address"),
    ({"check": {"name": "c", "ttl": "1s", "interval": "1s"}}, "cannot both be specified"),
    ({"check": {"name": "c", "args": ["true"], "interval": "1s"}}, "Scripts are disabled"),
    (
        {"service": {"name": "new"}, "check": {"name": "c", "ttl": "1s", "service_id": "nope"}},
        'ServiceID "nope" does not exist',
    ),
    ({"log_level": "loud"}, "Invalid log level"),
    ({"service": {"name": "new"}, "dns_config": {"recursor_strategy": "odd"}}, "odd"),
]


@pytest.mark.parametrize(("content", "text"), WRONG, ids=lambda value: str(value)[:30])
def test_a_wrong_configuration_changes_nothing(
    reloading: tuple[Home, Running], content: object, text: str
) -> None:
    place, agent = reloading
    file = place.write("wrong.json", content)
    try:
        reply = agent.put("agent/reload")
        assert reply.status == 500
        assert text in reply.text
        assert set(agent.json("agent/services")) == {"old", "mine"}
        assert set(agent.json("agent/checks")) == {"service:old"}
        assert agent.services() == ["mine", "old"]
        assert agent.checks() == {"service:old": "passing"}
    finally:
        file.unlink()


@pytest.fixture(scope="module")
def reloading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Running]]:
    with home(tmp_path_factory.mktemp("wrong")) as place:
        place.write("old.json", {"service": {"name": "old", "check": {"ttl": "1h"}}})
        agent = place.start()
        agent.done("agent/service/register", {"Name": "mine"})
        agent.done("agent/check/pass/service:old")
        yield place, agent


def test_settings(place: Home) -> None:
    place.config |= {"node_meta": {"rack": "r1"}, "log_level": "INFO"}
    agent = place.start()
    agent.done("kv/long", b"x" * 100)
    place.config |= {
        "node_meta": {"rack": "r2"},
        "log_level": "DEBUG",
        "discard_check_output": True,
        "limits": {"http_max_conns_per_client": 150},
        "dns_config": {"node_ttl": "7s"},
        "datacenter": "elsewhere",
    }
    place.write("00-base.json", base_of(place))
    agent.done("agent/reload")
    assert agent.json("agent/self")["Meta"]["rack"] == "r2"
    assert agent.json("catalog/node/n1")["Node"]["Meta"]["rack"] == "r2"
    agent.done("agent/check/register", {"Name": "ttl", "TTL": "1h"})
    agent.done("agent/check/pass/ttl?note=discarded")
    assert agent.json("agent/checks")["ttl"]["Output"] == ""
    agent.wait_for_log("[DEBUG]")
    agent.wait_for_log("datacenter has changed and takes effect after a restart")
    assert agent.json("agent/self")["Config"]["Datacenter"] == "dc1"
    assert agent.json("agent/self")["DebugConfig"]["DNSConfig"]["NodeTTL"] == "7s"


def base_of(place: Home) -> dict[str, object]:
    """What ``Home.launch`` writes, with the configuration of now."""
    ports = {**place.ports, "grpc": -1, "grpc_tls": -1}
    base: dict[str, object] = {"server": True, "bootstrap_expect": 1, "node_name": "n1"}
    return {
        **base,
        "data_dir": str(place.data),
        "bind_addr": "127.0.0.1",
        **place.config,
        "ports": ports,
    }


def test_tokens(place: Home) -> None:
    secret = "11111111-2222-4333-8444-555555555555"
    place.config["acl"] = {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"initial_management": secret},
    }
    agent = place.start(token=secret)
    assert agent.get("agent/self", X_Consul_Token="").status == 403
    place.config["acl"]["tokens"]["default"] = secret
    place.write("00-base.json", base_of(place))
    agent.done("agent/reload")
    assert agent.get("agent/self", X_Consul_Token="").status == 200
    # What a client set stays when the configuration does not speak of it.
    agent.done("agent/token/agent_recovery", {"Token": "recover"})
    agent.done("agent/reload")
    assert agent.get("agent/self", X_Consul_Token="recover").status == 200
    agent.done("agent/token/default", {"Token": ""})
    agent.done("agent/reload")
    assert agent.get("agent/self", X_Consul_Token="").status == 403


def test_watches_begin_anew(place: Home) -> None:
    out = place.directory / "out"
    watch = {"type": "key", "key": "k", "args": ["sh", "-c", f"cat >> {out}; echo >> {out}"]}
    agent = place.start()
    agent.done("kv/k", b"1")
    place.write("watch.json", {"watches": [watch]})
    agent.done("agent/reload")
    eventually(lambda: out.exists() and out.read_text().count('"Key"') == 1, "a first run")
    agent.done("kv/k", b"2")
    eventually(lambda: out.read_text().count('"Key"') == 2, "a run for the change")
    (place.folder / "watch.json").unlink()
    agent.done("agent/reload")
    agent.done("kv/k", b"3")
    agent.done("agent/reload")
    assert out.read_text().count('"Key"') == 2


def test_a_hangup_reloads(place: Home) -> None:
    agent = place.start()
    place.write("web.json", {"service": {"name": "web"}})
    agent.process.send_signal(signal.SIGHUP)
    eventually(lambda: "web" in agent.json("agent/services"), "a reload")
    place.write("web.json", "{")
    agent.process.send_signal(signal.SIGHUP)
    agent.wait_for_log("Failed to reload")
    assert "web" in agent.json("agent/services")


def test_a_hangup_while_it_starts_is_not_forgotten(place: Home) -> None:
    agent = place.launch()
    agent.wait_for_log("==> Log data will now stream in as it occurs")
    place.write("web.json", {"service": {"name": "web"}})
    agent.process.send_signal(signal.SIGHUP)
    agent.wait_for_log("Configuration reloaded")
    assert "web" in agent.json("agent/services")


def test_many_reloads_at_once(place: Home) -> None:
    agent = place.start()
    for number in range(5):
        place.write("web.json", {"service": {"name": "web", "port": number}})
        agent.process.send_signal(signal.SIGHUP)
    agent.done("agent/reload")
    assert agent.json("agent/service/web")["Port"] == 4
    assert agent.services() == ["web"]


def test_changed_files_are_read_where_that_is_asked_for(place: Home) -> None:
    place.config["auto_reload_config"] = True
    agent = place.start()
    place.write("web.json", {"service": {"name": "web"}})
    eventually(lambda: "web" in agent.json("agent/services"), "a reload by itself")
    place.write("web.json", {"service": {"name": "api"}})
    eventually(lambda: set(agent.json("agent/services")) == {"api"}, "a second one")


def test_links_to_another_folder_count_as_changes(place: Home) -> None:
    """As Kubernetes changes files: ``..data`` is renamed to point to another folder."""
    place.config["auto_reload_config"] = True
    for number in (1, 2):
        folder = place.folder / f"..v{number}"
        folder.mkdir()
        text = json.dumps({"service": {"name": "web", "port": number}})
        (folder / "web.json").write_text(text)
    (place.folder / "..data").symlink_to("..v1")
    (place.folder / "web.json").symlink_to("..data/web.json")
    agent = place.start()
    assert agent.json("agent/service/web")["Port"] == 1
    (place.folder / "..tmp").symlink_to("..v2")
    (place.folder / "..tmp").rename(place.folder / "..data")
    eventually(lambda: agent.json("agent/service/web")["Port"] == 2, "a reload by itself")
