"""Reloading, by ``consul reload`` and by the API: what is taken over, what stays, what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import MANAGEMENT, Programs, same
from .settled import settle
from .world import Config, Step, World, agent

TEXTS = "Errors of the command line"
TYPES = "Type of a check in a configuration file outside of services"
LATER = "Answer to a reload"
TOKENS = "Tokens that the API gave to the agent, after a reload"
PARTS = "Reloading a configuration of which a part is wrong"

Reloading = Callable[["Reloaded"], None]


class Reloaded:
    """An agent, and the folder of its configuration."""

    def __init__(self, ask: World, folder: Path) -> None:
        self.ask = ask
        self.folder = folder

    def write(self, name: str, content: Any) -> None:
        """Write a file of the configuration: text as it is, anything else as JSON; None: away."""
        file = self.folder / name
        if content is None:
            file.unlink()
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content))

    def reload(self, **options: Any) -> None:
        """``consul reload``, recorded."""
        self.ask.cli("reload", **options)

    def shown(self) -> None:
        """Record the services and checks of the agent, when the catalog has them too."""
        settle(self.ask)
        self.ask.get("agent/services")
        self.ask.get("agent/checks", differs={TYPES: ["?json.*.Type"]})
        self.ask.get("catalog/services", unordered=True)


def compare(
    programs: Programs,
    tmp_path: Path,
    scenario: Reloading,
    files: dict[str, Any],
    config: Config | None = None,
    token: str = "",
) -> None:
    worlds: list[list[Step]] = []
    for program in (programs.consul, programs.portway):
        directory = tmp_path / str(len(worlds))
        folder = directory / "conf.d"
        folder.mkdir(parents=True)
        made = Reloaded(World(program, {}), folder)
        for name, content in files.items():
            made.write(name, content)
        flags = ("-dev", f"-config-dir={folder}")
        with agent(program, directory, config or {}, flags) as ports:
            made.ask = World(program, ports, token)
            made.ask.names.add(str(directory), "directory")
            scenario(made)
        worlds.append(made.ask.steps)
    same(*worlds)


def ttl(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "ttl": "1h", **fields}


def test_services_and_checks(programs: Programs, tmp_path: Path) -> None:
    first = {
        "services": [
            {"name": "web", "port": 1, "checks": [ttl("a"), ttl("b")]},
            {"name": "db", "port": 2, "tags": ["x"]},
            {"name": "away", "port": 3, "check": ttl("lost")},
        ],
        "checks": [
            ttl("disk", status="passing"),
            ttl("memory", status="passing"),
            ttl("of-db", service_id="db"),
        ],
    }
    second = {
        "services": [
            {"name": "web", "port": 3, "meta": {"m": "n"}, "checks": [ttl("a", notes="new")]},
            {"name": "db", "port": 2, "tags": ["x", "y"]},
            {"name": "new", "port": 4, "weights": {"passing": 3, "warning": 2}},
        ],
        "checks": [ttl("disk"), ttl("load", service_id="new", status="warning")],
    }

    def scenario(agent: Reloaded) -> None:
        ask = agent.ask
        ask.put("agent/service/register", {"Name": "mine", "Check": {"TTL": "1h"}})
        ask.put("agent/check/register", {"Name": "own", "TTL": "1h", "ServiceID": "db"})
        ask.put("agent/check/register", {"Name": "node", "TTL": "1h"})
        ask.put("agent/service/maintenance/db?enable=true&reason=work")
        ask.put("agent/maintenance?enable=true")
        for check in ("a", "b", "disk", "of-db", "own", "node"):
            ask.put(f"agent/check/pass/{check}?note=said")
        agent.shown()
        agent.reload()
        agent.shown()
        agent.write("services.json", second)
        agent.reload()
        agent.shown()
        ask.put("agent/service/register", {"Name": "web", "Port": 9})
        ask.put("agent/service/deregister/new")
        agent.shown()
        ask.put("agent/reload")
        agent.shown()
        agent.write("services.json", None)
        agent.reload()
        agent.shown()
        ask.get("agent/reload")
        agent.reload()

    compare(programs, tmp_path, scenario, {"services.json": first})


@pytest.mark.parametrize(
    "content",
    [
        "{",
        'service { name = "x"',
        {"no_such_key": 1},
        {"service": {"port": 1}},
        {"check": {"name": "c", "ttl": "1s", "interval": "1s"}},
        {"check": {"name": "c", "args": ["true"], "interval": "1s"}},
        {"check": ttl("c", service_id="nope")},
        {"dns_config": {"recursor_strategy": "odd"}},
        {"watches": [{"type": "nope", "args": ["true"]}]},
        {"watches": [{"type": "key", "key": "a"}]},
    ],
    ids=str,
)
def test_a_wrong_file(programs: Programs, tmp_path: Path, content: Any) -> None:
    def scenario(agent: Reloaded) -> None:
        name = "wrong.hcl" if isinstance(content, str) and "=" in content else "wrong.json"
        agent.write(name, content)
        agent.reload(differs={TEXTS: ["?err*"]})
        agent.ask.put("agent/reload", differs={TEXTS: ["?body"]})
        agent.ask.get("agent/services", differs={PARTS: ["?json*"]})
        agent.write(name, None)
        agent.reload()
        agent.shown()

    compare(programs, tmp_path, scenario, {"web.json": {"service": {"name": "web"}}})


def test_settings(programs: Programs, tmp_path: Path) -> None:
    def scenario(agent: Reloaded) -> None:
        ask = agent.ask

        def shown() -> None:
            settle(ask)
            meta = ask.get("agent/self", record=False).json["Meta"]
            ask.note("meta", {"rack": meta.get("rack"), "new": meta.get("new")})
            ask.get("catalog/node/node-1", differs={LATER: ["?json.Node.Meta.*"]})
            ask.dig("web.service.consul", "SRV", differs={LATER: ["?additional.*"]})
            ask.dig("node-1.node.consul", differs={LATER: ["?additional.*"]})
            ask.get("kv/none")

        shown()
        agent.write(
            "settings.json",
            {
                "node_meta": {"rack": "2", "new": "x"},
                "dns_config": {
                    "service_ttl": {"web": "7s"},
                    "node_ttl": "9s",
                    "only_passing": True,
                    "enable_truncate": True,
                    "soa": {"min_ttl": 5},
                },
                "http_config": {"response_headers": {"X-New": "1"}},
                "log_level": "warn",
            },
        )
        agent.reload()
        shown()
        agent.write("settings.json", {"node_meta": {}})
        agent.reload()
        shown()

    files = {
        "web.json": {"service": {"name": "web", "port": 1, "check": ttl("w", status="warning")}},
        "settings.json": {"node_meta": {"rack": "1"}, "dns_config": {"node_ttl": "3s"}},
    }
    compare(programs, tmp_path, scenario, files)


@pytest.mark.parametrize(
    "content",
    [
        {"node_name": "other"},
        {"datacenter": "dc2"},
        {"data_dir": "/tmp/other"},
        {"server": False},
        {"ports": {"http": 1}},
        {"node_id": "6d0c7a2e-0f5d-4d6f-9a67-3b1f4d3c2b1b"},
        {"acl": {"enabled": True}},
        {"domain": "other."},
        {"enable_script_checks": True},
        {"ui_config": {"enabled": False}},
    ],
    ids=str,
)
def test_what_cannot_change(programs: Programs, tmp_path: Path, content: Any) -> None:
    def scenario(agent: Reloaded) -> None:
        agent.write("zz.json", content)
        agent.reload()
        agent.shown()
        agent.ask.dig("web.service.consul")
        agent.ask.get("catalog/nodes")
        agent.ask.get("catalog/datacenters")

    compare(programs, tmp_path, scenario, {"web.json": {"service": {"name": "web"}}})


def test_tokens(programs: Programs, tmp_path: Path) -> None:
    acl = {"enabled": True, "default_policy": "deny"}
    initial = {"initial_management": MANAGEMENT, "agent": MANAGEMENT}

    def scenario(agent: Reloaded) -> None:
        ask = agent.ask
        ask.cli("reload", environ={"CONSUL_HTTP_TOKEN": ""})
        ask.put("agent/reload", token="")
        agent.write("web.json", {"service": {"name": "web", "token": MANAGEMENT}})
        agent.reload()
        agent.shown()
        agent.write("acl.json", {"acl": {"tokens": {"default": MANAGEMENT}}})
        agent.reload()
        ask.get("catalog/nodes", token="")
        agent.write("acl.json", {})
        agent.reload()
        ask.get("catalog/nodes", token="")
        ask.put("agent/token/default", {"Token": MANAGEMENT})
        ask.get("catalog/services", token="")
        agent.reload()
        ask.get("catalog/services", token="", differs={TOKENS: ["json*"]})

    config = {"acl": {**acl, "tokens": initial}}
    compare(programs, tmp_path, scenario, {"acl.json": {}}, config, MANAGEMENT)
