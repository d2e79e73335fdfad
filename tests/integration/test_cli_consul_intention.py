"""``consul intention`` against a real agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_consul_rig import Agent, agent_running


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with agent_running(tmp_path) as running:
        yield running


def test_the_life_of_intentions(agent: Agent, tmp_path: Path) -> None:
    done = agent.consul("intention", "list")
    assert (done.code, done.out, done.err) == (2, "", "There are no intentions.\n")
    done = agent.consul("intention", "check", "web", "db")
    assert (done.code, done.out) == (0, "Allowed\n")
    done = agent.consul("intention", "create", "-deny", "*", "db")
    assert (done.code, done.out) == (0, "Created: * => db (deny)\n")
    done = agent.consul("intention", "check", "web", "db")
    assert (done.code, done.out) == (1, "Denied\n")
    done = agent.consul("intention", "create", "-meta=team=a", "web", "db")
    assert (done.code, done.out) == (0, "Created: web => db (allow)\n")
    assert agent.consul("intention", "check", "web", "db").code == 0

    done = agent.consul("intention", "create", "-deny", "web", "db")
    assert done.code == 1 and done.err.startswith(
        'Error creating intention "web => db (deny)": Unexpected response code: 500 (Sources[1]'
    )
    done = agent.consul("intention", "create", "-deny", "-replace", "web", "db")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert agent.consul("intention", "check", "web", "db").code == 1

    lines = agent.consul("intention", "list").out.splitlines()
    assert lines[0].split() == ["ID", "Source", "Action", "Destination", "Precedence"]
    assert [line.split()[1:] for line in lines[1:]] == [
        ["web", "deny", "db", "9"],
        ["*", "deny", "db", "8"],
    ]
    identity = lines[1].split()[0]
    done = agent.consul("intention", "get", "web", "db")
    shown = [line.split(":  ")[0].strip() for line in done.out.splitlines()]
    assert shown == ["Source", "Destination", "Action", "ID", "Created At"]
    assert identity in done.out
    assert agent.consul("intention", "get", identity).out == done.out

    done = agent.consul("intention", "match", "db")
    assert done.out == "web => db (deny)\n* => db (deny)\n"
    done = agent.consul("intention", "match", "-source", "web")
    assert done.out == "web => db (deny)\n* => db (deny)\n"
    done = agent.consul("intention", "delete", "web", "db")
    assert (done.code, done.out) == (0, "Intention deleted.\n")
    done = agent.consul("intention", "delete", "web", "db")
    assert (done.code, done.out) == (0, "Intention deleted.\n")

    file = tmp_path / "intention.json"
    body = {"SourceName": "api", "DestinationName": "cache", "Action": "allow"}
    file.write_text(json.dumps(body | {"Description": "why"}))
    done = agent.consul("intention", "create", "-file", str(file))
    assert done.out == "Created: api => cache (allow)\n"
    assert "Description:  why\n" in agent.consul("intention", "get", "api", "cache").out


def test_intentions_beside_a_config_entry(agent: Agent) -> None:
    agent.consul("config", "write", "-", stdin='Kind = "proxy-defaults" Config { protocol="http"}')
    entry = """
    Kind = "service-intentions"
    Name = "db"
    Sources = [
      { Name = "web" Permissions = [{ Action = "allow" HTTP { PathPrefix = "/v1" } }] }
    ]
    """
    assert agent.consul("config", "write", "-", stdin=entry).code == 0
    done = agent.consul("intention", "get", "web", "db")
    assert done.out == (
        "Source:       web\n"
        "Destination:  db\n"
        "Permissions:\n"
        '[\n  {\n    "Action": "allow",\n    "HTTP": {\n      "PathPrefix": "/v1"\n    }\n  }\n]\n'
    )
    assert agent.consul("intention", "match", "db").out == "web => db (1 permission)\n"
    done = agent.consul("intention", "check", "web", "db")
    assert (done.code, done.out) == (1, "Denied\n")
    done = agent.consul("intention", "create", "api", "db")
    assert (done.code, done.out) == (0, "Created: api => db (allow)\n")
    done = agent.consul("intention", "create", "api", "db")
    assert done.code == 1 and "exists already" in done.err
    assert agent.consul("intention", "create", "-replace", "-deny", "api", "db").code == 0
    done = agent.consul("intention", "match", "db")
    assert done.out == "api => db (deny)\nweb => db (1 permission)\n"
    done = agent.consul("intention", "delete", "web", "db")
    assert (done.code, done.out) == (0, "Intention deleted.\n")


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (("check",), 2, "Error: command requires exactly two arguments: src and dst\n"),
        (("check", "x/web", "db"), 2, "Error checking the connection: Unexpected response code: "),
        (("create", "a"), 1, "Error: Must specify two arguments: source and destination\n"),
        (("create", "-allow", "-deny", "a", "b"), 1, "Only one of -allow or -deny may be specifie"),
        (("create", "x/a", "b"), 1, "Error: Invalid intention source: namespaces and partitions"),
        (("create", "-file", "/nowhere"), 1, "Error: open /nowhere: no such file"),
        (("get",), 1, "command requires exactly 1 or 2 arguments\n"),
        (("get", "a"), 1, "Error reading the intention: Unexpected response 400: "),
        (("match",), 1, "Error: command requires exactly one argument: src or dst\n"),
        (("match", "-source", "-destination", "a"), 1, "Error: only one of -source or -destinat"),
    ],
)
def test_wrong_commands(agent_of_all: Agent, argv: tuple[str, ...], code: int, text: str) -> None:
    done = agent_of_all.consul("intention", *argv)
    assert (done.code, done.out) == (code, ""), done
    assert done.err.startswith(text), done.err


@pytest.fixture(scope="module")
def agent_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with agent_running(tmp_path_factory.mktemp("intention")) as running:
        yield running


def test_authorization_of_connections(agent_of_all: Agent) -> None:
    def authorized(uri: str) -> object:
        body = {"Target": "db", "ClientCertURI": uri, "ClientCertSerial": "1"}
        return agent_of_all.api("POST", "agent/connect/authorize", body)

    web = "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web"
    assert authorized(web) == {
        "Authorized": True,
        "Reason": "Default behavior configured by ACLs",
    }
    assert agent_of_all.consul("intention", "create", "-deny", "web", "db").code == 0
    answer = authorized(web)
    assert isinstance(answer, dict) and answer["Authorized"] is False
    assert answer["Reason"].startswith("Matched L4 intention: default/web => default/db (ID: ")
    for uri, text in (
        ("nope", "ClientCertURI not a valid Connect identifier"),
        ("spiffe://td.consul/agent/client/dc/dc1/id/n", "ClientCertURI not a valid Service id"),
    ):
        with pytest.raises(AssertionError, match=rf"400.*{text}"):
            authorized(uri)
    with pytest.raises(AssertionError, match=r"400.*Target service must be specified"):
        agent_of_all.api("POST", "agent/connect/authorize", {"ClientCertURI": web})
