"""The operator's endpoints: Raft, autopilot, usage and the keyring."""

from __future__ import annotations

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

BASE = {
    "CleanupDeadServers": True,
    "LastContactThreshold": "200ms",
    "MaxTrailingLogs": 250,
    "ServerStabilizationTime": "10s",
}


def test_servers(play: Play) -> None:
    def leads(ask: World) -> bool:
        """Whether autopilot has seen who leads, which takes the real one a while."""
        servers = ask.get("operator/autopilot/state", record=False).json["Servers"]
        return any(server["Status"] == "leader" for server in servers.values())

    def scenario(ask: World) -> None:
        ask.until(lambda: leads(ask), "autopilot's leader")
        for path in ("raft/configuration", "autopilot/health", "autopilot/state"):
            for query in ("", "?stale", "?dc=nope", "?pretty", "?index=abc"):
                ask.get(f"operator/{path}{query}")
            for method in ("PUT", "POST", "DELETE"):
                ask.ask(method, f"operator/{path}")
        for path in ("raft/peer", "raft/transfer-leader", "area", "license", "segment", "x"):
            ask.get(f"operator/{path}")
        unknown = "11111111-2222-3333-4444-555555555555"
        for query in ("", "?id=x", f"?id={unknown}", "?id=", "?address=x", "?id=x&address=y"):
            ask.delete(f"operator/raft/peer{query}")
        ask.delete("operator/raft/peer?address=192.0.2.1:8300&dc=nope")
        for query in ("", "?id=x", f"?id={unknown}"):
            ask.ask("POST", f"operator/raft/transfer-leader{query}")

    play(scenario)


def test_usage(play: Play) -> None:
    def scenario(ask: World) -> None:
        counts = {
            "json.Usage.dc1.Nodes": 1,
            "json.Usage.dc1.Services": 1,
            "json.Usage.dc1.ServiceInstances": 1,
        }
        for query in ("", "?global", "?stale", "?dc=nope", "?index=abc"):
            answer = ask.get(f"operator/usage{query}", record=query == "?index=abc")
            if answer.status == 200:
                body = answer.json
                usage = body.pop("Usage")["dc1"]
                ask.note(query, {"rest": body | {"Index": bool(body["Index"])}})
                ask.note(f"names {query}", {"fields": sorted(usage), "least": sorted(counts)})
        for method in ("PUT", "POST"):
            ask.ask(method, "operator/usage")

    play(scenario)


def test_the_keyring(play: Play) -> None:
    def scenario(ask: World) -> None:
        queries = ("relay-factor=9", "relay-factor=x", "relay-factor=3", "local-only=true")
        for query in ("", *queries, "local-only=x", "local-only=false"):
            ask.get(f"operator/keyring?{query}")
        for method in ("POST", "PUT", "DELETE"):
            for body in (None, {}, {"Key": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}):
                ask.ask(method, "operator/keyring", body)
            for query in ("local-only=true", "relay-factor=9"):
                ask.ask(method, f"operator/keyring?{query}", {})

    play(scenario)


def test_autopilot_configuration(play: Play) -> None:
    def scenario(ask: World) -> None:
        path = "operator/autopilot/configuration"
        ask.get(path)
        for body in (
            *("", "{}", BASE),
            *(BASE | {"LastContactThreshold": one} for one in ("x", 5, "300ms", "1h", "")),
            BASE | {"CleanupDeadServers": False},
            {"CleanupDeadServers": False},
            BASE | {"MinQuorum": 3},
            BASE | {"RedundancyZoneTag": "z", "DisableUpgradeMigration": True},
            BASE | {"Foo": 1},
            BASE | {"CreateIndex": 5, "ModifyIndex": 6},
        ):
            ask.put(path, body)
            ask.get(path)
        index = ask.get(path, record=False).json["ModifyIndex"]
        for number, name in ((index, "its index"), (index + 100_000, "another index")):
            ask.names.add(str(number), name)
        for wanted in (index + 100_000, index, index, "x", "", 0):
            ask.put(f"{path}?cas={wanted}", BASE)
        for query in ("?dc=nope", "?pretty", "?stale", "?index=abc"):
            ask.get(path + query)
        ask.put(path, BASE)

    play(scenario)


def test_rights_of_operators(play: Play) -> None:
    def scenario(ask: World) -> None:
        rules = 'operator = "read" keyring = "read"'
        policy = ask.put("acl/policy", {"Name": "to", "Rules": rules}, record=False).json["ID"]
        body = {"Policies": [{"ID": policy}]}
        token = ask.put("acl/token", body, record=False).json
        for secret in (token["SecretID"], ""):
            for path in ("raft/configuration", "autopilot/configuration", "keyring", "usage"):
                if secret == "" or path == "keyring":
                    ask.get(f"operator/{path}", token=secret)
            ask.put("operator/autopilot/configuration", BASE, token=secret)
            ask.delete("operator/raft/peer?id=x", token=secret)
            ask.ask("POST", "operator/keyring", {"Key": "x"}, token=secret)
            ask.ask("POST", "operator/raft/transfer-leader", token=secret)
            ask.put("snapshot", b"x", token=secret)
            if not secret:
                ask.get("snapshot", token=secret)
        ask.delete(f"acl/token/{token['AccessorID']}", record=False)
        ask.delete(f"acl/policy/{policy}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)
