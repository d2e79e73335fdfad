"""What clients registered is there again after a restart of the agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .conftest import Programs, same
from .settled import settle
from .world import Step, World, agent

SERVER = ("-server", "-bootstrap-expect=1", "-log-level=warn")
QUICK = {"performance": {"raft_multiplier": 1}}


def _register(ask: World) -> None:
    web: dict[str, Any] = {
        "Name": "kept",
        "ID": "kept-1",
        "Port": 80,
        "Tags": ["a"],
        "Meta": {"m": "n"},
        "Weights": {"Passing": 3, "Warning": 2},
        "EnableTagOverride": True,
        "Checks": [{"TTL": "10m", "CheckID": "alive"}, {"TTL": "10m", "CheckID": "never"}],
        "Connect": {"SidecarService": {}},
    }
    ask.put("agent/service/register", web)
    ask.put("agent/service/register", {"Name": "gone"})
    ask.put("agent/check/register", {"Name": "disk", "TTL": "10m", "ServiceID": "kept-1"})
    ask.put("agent/check/register", {"Name": "removed", "TTL": "10m"})
    ask.put("agent/check/pass/alive?note=fine")
    ask.put("agent/service/maintenance/kept-1?enable=true&reason=work")
    ask.put("agent/service/deregister/gone")
    ask.put("agent/check/deregister/removed")
    settle(ask)


def _shown(ask: World) -> None:
    ask.until(lambda: len(ask.get("agent/checks", record=False).json) >= 5, "the checks")
    settle(ask)
    rows = ask.get("agent/services", record=False).json
    for row in rows.values():
        row.pop("Proxy", None)
        # The real agent learns a virtual address from its servers, after a while.
        row.get("TaggedAddresses", {}).pop("consul-virtual", None)
        if not row.get("TaggedAddresses"):
            row.pop("TaggedAddresses", None)
    ask.note("services", {name: sorted(map(str, row.items())) for name, row in rows.items()})
    checks = ask.get("agent/checks", record=False).json
    for name, row in sorted(checks.items()):
        if "sidecar" in name:
            row["Output"] = row["Status"] = ""
        ask.note(f"check {name}", dict(sorted(row.items())))


def test_a_restart(programs: Programs, tmp_path: Path) -> None:
    worlds: list[list[Step]] = []
    for program in (programs.consul, programs.portway):
        directory = tmp_path / str(len(worlds))
        directory.mkdir()
        with agent(program, directory, QUICK, SERVER) as ports:
            world = World(program, ports)
            _register(world)
            _shown(world)
        with agent(program, directory, QUICK, SERVER, ports) as ports:
            again = World(program, ports)
            _shown(again)
        worlds.append([*world.steps, *again.steps])
    same(*worlds)
