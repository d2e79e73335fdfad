"""What somebody looks at first."""

from __future__ import annotations

from .conftest import Play
from .world import World


def test_an_agent_that_just_started(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.get("catalog/nodes")
        ask.get("catalog/services")
        ask.get("agent/services")
        ask.get("health/service/consul")
        ask.get("health/node/node-1")
        ask.dig("consul.service.consul")
        ask.dig("consul.service.consul", "SRV", edns=4096)
        ask.dig("nope.service.consul")

    play(scenario)


def test_a_key(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.cli("kv", "put", "smoke/b", "2")
        ask.cli("kv", "get", "-detailed", "smoke/b")
        ask.cli("catalog", "nodes", "-detailed")
        ask.cli("kv", "delete", "smoke/b")

    play(scenario, mixed=True)
