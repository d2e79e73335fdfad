"""Events: firing them, what filters let through, and the list of the last."""

from __future__ import annotations

from .conftest import GUARDED, MANAGEMENT, Play
from .test_kv import NEWER
from .world import Answer, World


def test_events(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.get("event/list?name=ev-none")

        def listed(name: str, fired: Answer) -> None:
            """Wait until an event is in the list: the real one puts it there a little later."""
            sign = fired.json["ID"].encode()
            ask.until(
                lambda: sign in ask.get(f"event/list?name={name}", record=False).body, "the event"
            )

        for body in ("payload", None, "", b"b\x00\xff", "x" * 100, "x" * 300):
            fired = ask.put("event/fire/ev-a", body)
        listed("ev-a", fired)
        ask.get("event/list?name=ev-a")
        ask.get("event/list?name=EV-A")
        for name in ("", "ev%20b", "ev/b", "_ev"):
            ask.put(f"event/fire/{name}", "x")
        for query in ("node=node-1", "node=other", "node=.*", "service=ev-none", "service=consul"):
            ask.put(f"event/fire/ev-c?{query}", "x")
        for query in ("service=ev-none&tag=a", "tag=a", "node=(", "service=(", "service=x&tag=("):
            ask.put(f"event/fire/ev-c?{query}", "x")
        ask.put("agent/service/register", {"Name": "ev-s", "Tags": ["a", "b"]}, record=False)
        services = "catalog/service/ev-s"
        ask.until(lambda: ask.get(services, record=False).json, "the service in the catalog")
        for query in ("service=ev-s", "service=EV-S", "service=ev-s&tag=c", "service=ev-s&tag=a"):
            fired = ask.put(f"event/fire/ev-d?{query}", "x")
        listed("ev-d", fired)
        ask.put("agent/service/deregister/ev-s", record=False)
        for name in ("ev-c", "ev-d"):
            ask.get(f"event/list?name={name}")
        for query in ("dc=dc1", "dc=nope", "token=x"):
            ask.put(f"event/fire/ev-e?{query}", "x")
        ask.put(
            "event/fire/ev-f", "x" * 301, differs={NEWER: ["status", "body", "json*", "header*"]}
        )
        for method in ("GET", "POST", "DELETE"):
            ask.ask(method, "event/fire/x")
            if method != "GET":
                ask.ask(method, "event/list")
        ask.put("event/list")
        for query in ("index=abc", "wait=abc", "index=5&wait=10ms", "stale", "dc=nope", "near=x"):
            ask.get(f"event/list?name=ev-a&{query}")
        ask.get("event/list?name=ev-a&consistent&stale")

    play(scenario)


def test_events_behind_access_control(play: Play) -> None:
    def scenario(ask: World) -> None:
        rules = 'event "eg-w" { policy = "write" } event "eg-r" { policy = "read" }'
        policy = ask.put("acl/policy", {"Name": "te", "Rules": rules}, record=False).json["ID"]
        body = {"Policies": [{"ID": policy}]}
        token = ask.put("acl/token", body, record=False).json
        for secret in (MANAGEMENT, token["SecretID"], ""):
            for name in ("eg-w", "eg-r", "eg-n"):
                ask.put(f"event/fire/{name}", "x", token=secret)
        for secret in (token["SecretID"], ""):
            ask.get("event/list?name=eg-w", token=secret)
            ask.get("event/list?name=eg-n", token=secret)
        ask.delete(f"acl/token/{token['AccessorID']}", record=False)
        ask.delete(f"acl/policy/{policy}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)
