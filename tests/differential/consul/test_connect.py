"""The mesh's other doors: chains, certificates, exported services, peerings."""

from __future__ import annotations

from .conftest import Play
from .world import World

_NONE = {"Peering": ["*"]}


def test_exported_services(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.get("exported-services")
        services = [
            {"Name": "ex-web", "Consumers": [{"Peer": "east"}, {"Peer": "west"}]},
            {"Name": "ex-none", "Consumers": [{"Peer": "east"}]},
            {"Name": "*", "Consumers": [{"Peer": "north"}]},
        ]
        for name in ("ex-web", "ex-api"):
            service = {"Service": name, "ID": name}
            body = {"Node": "ex-node", "Address": "10.9.9.9", "Service": service}
            ask.put("catalog/register", body, record=False)
        entry = {"Kind": "exported-services", "Name": "default", "Services": services}
        ask.put("config", {**entry, "Services": services[:2]})
        ask.get("exported-services")
        ask.put("config", entry)
        ask.get("exported-services?stale")
        ask.get("exported-services?partition=x")
        ask.put("exported-services", {})
        ask.cli("services", "exported-services")
        ask.cli("services", "exported-services", "-format=json")
        ask.cli("services", "export", "-name=ex-api", "-consumer-peers=south")
        ask.get("config/exported-services/default")
        ask.delete("config/exported-services/default", record=False)
        ask.put("catalog/deregister", {"Node": "ex-node"}, record=False)
        ask.get("exported-services")

    play(scenario, own=True)  # a wildcard exports what other scenarios leave for a moment


def test_peerings(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.get("peerings")
        ask.get("peering/nope")
        ask.delete("peering/nope")
        ask.put("peering/nope")
        ask.get("peering/")
        ask.put("peerings")
        for path in ("token", "establish"):
            for body in ("", "{", "{}", {"PeerName": ""}, {"PeerName": "A!"}, {"Nope": 1}):
                named = body not in ("{}", {"PeerName": ""})
                ask.ask("POST", f"peering/{path}", body, differs=_NONE if named else None)
            ask.get(f"peering/{path}")
        ask.ask(
            "POST", "peering/establish", {"PeerName": "x", "PeeringToken": "nope"}, differs=_NONE
        )
        ask.cli("peering", "list")
        ask.cli("peering", "list", "-format=json")
        ask.cli("peering", "read", "-name=nope")
        ask.cli("peering", "delete", "-name=nope")
        ask.cli("peering", "exported-services", "-name=nope")
        ask.cli("peering", "read")
        ask.cli("peering", "establish", "-name=x")

    play(scenario)
