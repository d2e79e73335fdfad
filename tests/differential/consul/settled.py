"""Waiting until the catalog has what the agent has: the real Consul tells it a little later."""

from __future__ import annotations

from typing import Any

from .world import World


def settle(ask: World) -> None:
    """Wait until the node's services and checks in the catalog are those of the agent."""

    def same() -> bool:
        known = ask.get("catalog/node/node-1", record=False).json["Services"]
        known.pop("consul", None)
        checks = ask.get("health/node/node-1", record=False).json
        health = {one["CheckID"]: one["Status"] for one in checks}
        health.pop("serfHealth", None)
        own = ask.get("agent/checks", record=False).json
        return _services(ask.get("agent/services", record=False).json) == _services(known) and (
            {name: one["Status"] for name, one in own.items()} == health
        )

    ask.until(same, "a catalog that has what the agent has")


def _services(rows: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (
            one["Service"],
            one.get("Port", 0),
            one["Tags"] or [],
            one["Meta"] or {},
            one["Weights"],
        )
        for name, one in rows.items()
    }
