"""What survives the end of an agent, and what does not."""

from __future__ import annotations

import hashlib
import json
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent_rig import Home, Running, home
from tests.integration.cli_consul_rig import eventually

SIDECAR: dict[str, Any] = {"Connect": {"SidecarService": {}}}
WEB: dict[str, Any] = {"ID": "web-1", "Name": "web", "Port": 80, "Token": "", "Tags": ["a"]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path) as made:
        yield made


def restarted(place: Home, agent: Running, number: int = signal.SIGKILL) -> Running:
    agent.stop(number)
    return place.start()


def kept(place: Home, folder: str) -> set[str]:
    return {path.name for path in (place.data / folder).glob("*") if path.is_file()}


def name_of(identifier: str) -> str:
    return hashlib.sha256(identifier.encode()).hexdigest()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_registrations_survive(place: Home, number: int) -> None:
    agent = place.start()
    # The first one's port is free again when the second is taken up after the restart.
    agent.done("agent/service/register", {"Name": "gone", "Port": 1} | SIDECAR)
    checks = {"Check": {"TTL": "1h"}, "Checks": [{"TCP": "127.0.0.1:1", "Interval": "1h"}]}
    agent.done("agent/service/register", WEB | checks | SIDECAR)
    agent.done("agent/service/deregister/gone")
    agent.done("agent/check/register", {"Name": "disk", "TTL": "1h", "Notes": "n"})
    agent.done("agent/check/register", {"Name": "more", "TTL": "1h", "ServiceID": "web-1"})
    before = agent.json("agent/services"), agent.json("agent/checks")
    assert before[0]["web-1-sidecar-proxy"]["Port"] == 21001
    files = place.data / "services"
    assert kept(place, "services") == {name_of("web-1"), name_of("web-1-sidecar-proxy")}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files.iterdir())
    agent = restarted(place, agent, number)
    after = agent.json("agent/services"), agent.json("agent/checks")
    assert after[0] == before[0]
    for check in (*before[1].values(), *after[1].values()):
        check.pop("Output")
        check.pop("Status")
    assert after[1] == before[1]
    eventually(lambda: agent.services() == ["web-1", "web-1-sidecar-proxy"], "the catalog's")


def test_what_was_deregistered_does_not_come_back(place: Home) -> None:
    agent = place.start()
    agent.done("agent/service/register", WEB | {"Check": {"TTL": "1h"}})
    agent.done("agent/service/register", {"Name": "db", "Checks": [{"TTL": "1h"}, {"TTL": "2h"}]})
    agent.done("agent/check/register", {"Name": "disk", "TTL": "1h"})
    agent.done("agent/service/deregister/web-1")
    agent.done("agent/check/deregister/service:db:1")
    agent.done("agent/check/deregister/disk")
    assert kept(place, "services") == {name_of("db")}
    assert kept(place, "checks") == {name_of("service:db:2")}
    agent = restarted(place, agent)
    assert set(agent.json("agent/services")) == {"db"}
    assert set(agent.json("agent/checks")) == {"service:db:2"}


def test_checks_that_a_registration_did_not_mention_stay(place: Home) -> None:
    agent = place.start()
    for name in ("one", "two"):
        check = {"CheckID": name, "Name": name, "TTL": "1h"}
        agent.done("agent/service/register", WEB | {"Check": check})
    agent = restarted(place, agent)
    assert set(agent.json("agent/checks")) == {"one", "two"}
    agent.done("agent/service/register?replace-existing-checks", WEB)
    agent = restarted(place, agent)
    assert set(agent.json("agent/checks")) == set()


def test_the_last_word_of_a_ttl_check_holds_until_its_time_is_over(place: Home) -> None:
    agent = place.start()
    agent.done("agent/check/register", {"Name": "long", "TTL": "1h"})
    agent.done("agent/check/register", {"Name": "short", "TTL": "200ms"})
    agent.done("agent/check/register", {"Name": "silent", "TTL": "1h", "Status": "passing"})
    agent.done("agent/check/warn/long?note=so so")
    agent.done("agent/check/pass/short")
    eventually(lambda: agent.checks()["short"] == "critical", "a TTL that ran out")
    agent = restarted(place, agent)
    checks = agent.json("agent/checks")
    assert (checks["long"]["Status"], checks["long"]["Output"]) == ("warning", "so so")
    # Nobody knows how things are now.
    assert {checks["short"]["Status"], checks["silent"]["Status"]} == {"critical"}
    eventually(lambda: agent.checks()["long"] == "warning", "the catalog's")


def test_maintenance_survives(place: Home) -> None:
    agent = place.start()
    agent.done("agent/service/register", WEB)
    agent.done("agent/maintenance?enable=true&reason=node")
    agent.done("agent/service/maintenance/web-1?enable=true&reason=service")
    agent = restarted(place, agent)
    notes = {key: check["Notes"] for key, check in agent.json("agent/checks").items()}
    assert notes == {"_node_maintenance": "node", "_service_maintenance:web-1": "service"}
    agent.done("agent/maintenance?enable=false")
    agent.done("agent/service/maintenance/web-1?enable=false")
    agent = restarted(place, agent)
    assert agent.json("agent/checks") == {}
    eventually(lambda: agent.checks() == {}, "the catalog's")


def test_a_definition_of_the_configuration_replaces_what_was_kept(place: Home) -> None:
    agent = place.start()
    agent.done("agent/service/register", WEB | {"Check": {"TTL": "1h"}} | SIDECAR)
    agent.done("agent/check/register", {"Name": "disk", "TTL": "1h", "Notes": "api"})
    agent.done("agent/check/register", {"Name": "own", "TTL": "1h", "ServiceID": "web-1"})
    check = {"name": "disk", "ttl": "2h", "notes": "file"}
    service = {"id": "web-1", "name": "web", "port": 90}
    file = place.write("web.json", {"service": service, "check": check})
    agent = restarted(place, agent)
    assert agent.json("agent/service/web-1")["Port"] == 90
    assert agent.json("agent/checks")["disk"]["Notes"] == "file"
    assert set(agent.json("agent/services")) == {"web-1"}
    assert set(agent.json("agent/checks")) == {"disk", "own", "service:web-1"}
    assert kept(place, "services") == set()
    assert name_of("disk") not in kept(place, "checks")
    file.unlink()
    agent = restarted(place, agent)
    assert agent.json("agent/services") == {}
    eventually(lambda: agent.services() == [], "the catalog's")


def test_broken_files_are_left_out(place: Home) -> None:
    agent = place.start()
    agent.done("agent/service/register", WEB | {"Check": {"TTL": "1h"}})
    agent.done("agent/service/register", {"Name": "db", "Check": {"TTL": "1h"}})
    agent.stop(signal.SIGKILL)
    services, checks = place.data / "services", place.data / "checks"
    (services / name_of("web-1")).write_text('{"definition": {"Name": ')
    (services / "strange").write_bytes(b"\xff\x00")
    (services / "empty").write_bytes(b"")
    (services / "wrong").write_text(json.dumps({"definition": {"ID": "w", "Port": 1}}))
    (checks / "half").write_text("{}")
    (checks / "partial.tmp").write_text("{")
    agent = place.start()
    assert set(agent.json("agent/services")) == {"db"}
    assert set(agent.json("agent/checks")) == {"service:db"}
    log = agent.log.read_text()
    assert log.count("A file of the data directory cannot be used") == 4
    assert "A kept service was left out: service=w" in log
    assert "A kept check was left out: check=service:web-1" in log


def test_tokens_survive_where_that_is_asked_for(place: Home) -> None:
    secret = "11111111-2222-4333-8444-555555555555"
    acl = {"enabled": True, "default_policy": "deny", "tokens": {"initial_management": secret}}
    for persistence in (True, False):
        place.config["acl"] = acl | {"enable_token_persistence": persistence}
        agent = place.start(token=secret)
        agent.done("agent/token/default", {"Token": secret})
        assert agent.get("agent/self", X_Consul_Token="").status == 200
        agent.stop(signal.SIGKILL)
        file = place.data / "acl-tokens.json"
        assert file.exists() is persistence
        agent = place.start(token=secret)
        anybody = agent.get("agent/self", X_Consul_Token="")
        assert anybody.status == (200 if persistence else 403)
        agent.stop(signal.SIGKILL)
        if persistence:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert json.loads(file.read_text()) == {"default": secret}
            file.unlink()


def test_nothing_is_kept_in_development(tmp_path: Path) -> None:
    with home(tmp_path, dev=True) as place:
        agent = place.start()
        agent.done("agent/service/register", WEB)
        agent = restarted(place, agent)
        assert agent.json("agent/services") == {}
        assert not place.data.exists()
