"""``consul services``: what is sent for options and files, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli_agent import Consul, FakeAgent, Reply, calling, serving

agent = pytest.fixture(serving)
consul = pytest.fixture(calling)

REGISTER = "/agent/service/register"


def test_register_by_options(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("PUT", REGISTER, b"")
    options = ("-id=web-1", "-name=web", "-address=10.0.0.1", "-port", "80", "-tag=a", "-tag=b")
    more = (
        "-meta=k=v=w",
        "-kind=",
        "-tagged-address=wan=1.2.3.4:90",
        "-tagged-address=lan=[::1]:9",
    )
    assert consul("services", "register", *options, *more) == (0, "Registered service: web\n", "")
    assert agent.questions[0].json == {
        "ID": "web-1",
        "Name": "web",
        "Address": "10.0.0.1",
        "Port": 80,
        "Tags": ["a", "b"],
        "Meta": {"k": "v=w"},
        "TaggedAddresses": {
            "wan": {"Address": "1.2.3.4", "Port": 90},
            "lan": {"Address": "::1", "Port": 9},
        },
    }


HCL = """
service {
  name = "web"
  id = "web-1"
  port = 80
  tags = ["a"]
  meta { k = "v" }
  check {
    args = ["/bin/true"]
    interval = "90s"
    timeout = "500ms"
  }
}
service { name = "db" }
"""
JSON = {"service": {"name": "cache", "checks": [{"ttl": "30s"}]}, "services": [{"Name": "queue"}]}


def test_register_by_files(agent: FakeAgent, consul: Consul, tmp_path: Path) -> None:
    (tmp_path / "a.hcl").write_text(HCL)
    (tmp_path / "b.json").write_text(json.dumps(JSON))
    agent.answer("PUT", REGISTER, b"")
    code, out, err = consul(
        "services", "register", str(tmp_path / "a.hcl"), str(tmp_path / "b.json")
    )
    assert (code, err) == (0, "")
    names = ["web", "db", "queue", "cache"]
    assert out.splitlines() == [f"Registered service: {name}" for name in names]
    sent = [question.json for question in agent.questions]
    assert [definition["name"] for definition in sent] == names
    assert sent[0] == {
        "name": "web",
        "id": "web-1",
        "port": 80,
        "tags": ["a"],
        "meta": {"k": "v"},
        "check": {"script_args": ["/bin/true"], "interval": "1m30s", "timeout": "500ms"},
    }
    assert sent[3]["checks"] == [{"ttl": "30s"}]


def test_deregister(agent: FakeAgent, consul: Consul, tmp_path: Path) -> None:
    (tmp_path / "a.hcl").write_text(HCL)
    for service in ("web-1", "db"):
        agent.answer("PUT", f"/agent/service/deregister/{service}", b"")
    assert consul("services", "deregister", "-id=db") == (0, "Deregistered service: db\n", "")
    outcome = consul("services", "deregister", str(tmp_path / "a.hcl"))
    assert outcome == (0, "Deregistered service: web-1\nDeregistered service: db\n", "")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["register"], "Service registration requires at least one argument or flags."),
        (["register", "-port=80"], "Service registration requires at least one argument or flags."),
        (
            ["register", "-name=a", "b.hcl"],
            "Service registration requires arguments or -id, not both.",
        ),
        (
            ["register", "-name=a", "-meta=b"],
            'invalid value "b" for flag -meta: Missing "=" value in argument: b',
        ),
        (["register", "-name=a", "-port=x"], 'invalid value "x" for flag -port: parse error'),
        (
            ["register", "-name=a", "-tagged-address=a=b:c"],
            'Invalid Tagged address: strconv.Atoi: parsing "c": ',
        ),
        (["register", "/nowhere.hcl"], "Error: config: Open failed on /nowhere.hcl. open /no"),
        (["register", "wrong.hcl"], "Error: failed to parse wrong.hcl: "),
        (["register", "none.json"], "Error: no service is defined in none.json"),
        (["register", "port.json"], "Invalid Service address for service 'web'. Use port field "),
        (["register", "-name=a", "-address=b:1"], "Invalid Service address when using CLI flags. "),
        (
            ["register", "-name=a", "-tagged-address=w=1.2.3.4.5:6"],
            "Invalid Tagged address for tagged address 'w': malformed IP address: 1.2.3.4.5",
        ),
        (["deregister"], "Service deregistration requires at least one argument or -id."),
        (
            ["deregister", "-id=a", "b"],
            "Service deregistration requires arguments or -id, not both.",
        ),
        (["export", "-consumer-peers=a"], "Missing the required -name flag"),
        (
            ["export", "-name=a"],
            "Missing the required -consumer-peers or -consumer-partitions flag",
        ),
    ],
)
def test_wrong_usage(
    agent: FakeAgent,
    consul: Consul,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.hcl").write_text('service { nmae = "web" }')
    Path("none.json").write_text('{"datacenter": "dc1"}')
    Path("port.json").write_text('{"service": {"name": "web", "address": "10.0.0.1:80"}}')
    code, out, err = consul("services", *argv)
    assert (code, out) == (1, "")
    assert err.startswith(said)
    assert agent.questions == []


def test_what_the_agent_refuses(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("PUT", REGISTER, Reply(b"Invalid service address", 400))
    agent.answer("PUT", "/agent/service/deregister/x", Reply(b"Unknown service", 404))
    assert consul("services", "register", "-name=web", "-address=0.0.0.0") == (
        1,
        "",
        'Error registering service "web": Unexpected response code: 400'
        " (Invalid service address)\n",
    )
    assert consul("services", "deregister", "-id=x").code == 1


ENTRY: dict[str, Any] = {
    "Kind": "exported-services",
    "Name": "default",
    "Services": [
        {"Name": "web", "Consumers": [{"Peer": "east"}]},
        {"Name": "*", "Consumers": [{"Peer": "z"}]},
    ],
    "CreateIndex": 3,
    "ModifyIndex": 9,
}


@pytest.mark.parametrize(
    ("before", "cas", "services"),
    [
        (
            ENTRY,
            "9",
            [
                {"Name": "web", "Consumers": [{"Peer": "east"}, {"Peer": "west"}]},
                ENTRY["Services"][1],
            ],
        ),
        (
            None,
            "0",
            [{"Name": "web", "Consumers": [{"Peer": "east"}, {"Peer": "west"}]}],
        ),
    ],
)
def test_export(
    agent: FakeAgent,
    consul: Consul,
    before: dict[str, Any] | None,
    cas: str,
    services: list[dict[str, Any]],
) -> None:
    missing = Reply(b"Config entry not found", 404)
    agent.answer("GET", "/config/exported-services/default", before or missing)
    agent.answer("PUT", "/config", True)
    assert consul("services", "export", "-name=web", "-consumer-peers=east, west") == (
        0,
        'Successfully exported service "web" to cluster peers "east, west"\n',
        "",
    )
    (put,) = agent.asked("PUT", "/config")
    assert put.params == {"cas": cas}
    assert put.json == {"Kind": "exported-services", "Name": "default", "Services": services}
    agent.answer("PUT", "/config", False)
    assert consul("services", "export", "-name=web", "-consumer-peers=east").code == 1


def test_exported_services(agent: FakeAgent, consul: Consul) -> None:
    found = [{"Service": "web", "Consumers": {"Peers": ["east", "west"]}}]
    agent.answer("GET", "/exported-services", found)
    out = consul("services", "exported-services").out
    assert out == "Service  Consumer Peers\nweb      east, west\n"
    assert json.loads(consul("services", "exported-services", "-format=json").out) == found
