"""Intentions: exact, matched and checked, by ID as of old, with permissions; and their words."""

from __future__ import annotations

from typing import Any

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

_PATH = "connect/intentions"
_PLACES = "Namespaces and partitions in names of intentions"


def _exact(source: str, destination: str) -> str:
    return f"{_PATH}/exact?source={source}&destination={destination}"


def _one(ask: World, path: str, **options: Any) -> None:
    """Read one intention: ours tells of what read it is."""
    read = ask.get(path, record=False, **options).status == 200
    row = "Reads of one intention, and of whether one lets pass"
    ask.get(path, differs={row: ["header.x-consul-*"]} if read else None, **options)


def test_exact(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.get(_PATH)
        for query in ("", "source=a", "destination=b", "source=a&source=b&destination=c"):
            for method in ("GET", "PUT", "DELETE"):
                ask.ask(method, f"{_PATH}/exact?{query}", {} if method == "PUT" else None)
        _one(ask, _exact("int-a", "int-b"))
        ask.delete(_exact("int-a", "int-b"))
        for body in (
            *("", "{", "[]", "{}", {"Action": "x"}, {"Action": 1}, {"Nope": 1}),
            {"Action": "allow", "SourceName": "z"},
            {"Action": "allow", "DestinationName": "z"},
            {"Action": "allow", "SourceNS": "other"},
            {"Action": "allow", "DestinationNS": "default"},
            {"Action": "allow", "SourceType": "x"},
            {"Action": "allow", "SourcePeer": "p"},
            {"Action": "allow", "SourceSamenessGroup": "g"},
            {"Action": "allow", "Description": "x" * 513},
            {"Action": "allow", "Meta": {"a": "b"}},
            {"Action": "allow", "ID": "x"},
            {"Action": "allow", "Permissions": [{"Action": "deny", "HTTP": {"PathExact": "/"}}]},
            {"Permissions": [{"Action": "deny", "HTTP": {"PathExact": "/"}}]},
            {"Permissions": [{"Action": "deny"}]},
            {"action": "deny", "description": "why"},
        ):
            differs = None
            if body in ("[]", {"Action": 1}):
                differs = {"Errors of Go's libraries": ["body"]}
            elif isinstance(body, dict) and "SourceNS" in body:
                differs = {_PLACES: ["*"]}
            ask.put(_exact("int-a", "int-b"), body, differs=differs)
            _one(ask, _exact("int-a", "int-b"))
        ask.get("config/service-intentions/int-b")
        ask.put(_exact("*", "int-b"), {"Action": "deny"})
        ask.put(_exact("*", "*"), {"Action": "deny"})
        ask.put(_exact("int-*", "int-b"), {"Action": "deny"})
        ask.put(_exact("", "int-b"), {"Action": "deny"})
        ask.put(_exact("default/int-x", "default/default/int-b"), {"Action": "allow"})
        ask.put(_exact("a/b/c/d", "int-b"), {"Action": "allow"})
        ask.put(_exact("peer:p/a", "int-b"), {"Action": "allow"})
        _one(ask, _exact("peer:p/a", "int-b"))
        ask.put(_exact("INT-A", "Int-B"), {"Action": "allow"})
        _one(ask, _exact("int-a", "int-b"))
        ask.get(_PATH)
        for words in ("SourceName==`*`", "DestinationName==x", "Nope==1", "Action!=deny"):
            ask.get(f"{_PATH}?filter={words}")
        ask.get(f"{_PATH}?ns=other")
        ask.get(f"{_PATH}?dc=dc2")
        ask.get("config/service-intentions")
        for source, destination in (
            *(("int-a", "int-b"), ("*", "int-b"), ("*", "*"), ("int-x", "int-b"), ("z", "y")),
        ):
            ask.delete(_exact(source, destination))
        ask.delete("config/service-intentions/int-b", record=False)
        ask.get("config/service-intentions")
        ask.get(_PATH)
        ask.put(_exact("other/a", "int-b"), {"Action": "allow"}, differs={_PLACES: ["*"]})
        ask.delete("config/service-intentions/int-b", record=False)

    play(scenario)


def test_match_and_check(play: Play) -> None:
    def scenario(ask: World) -> None:
        for source, destination, action in (
            *(("m-a", "m-b", "allow"), ("*", "m-b", "deny"), ("m-c", "*", "allow")),
            *(("*", "*", "deny"), ("m-a", "m-c", "deny"), ("m-b", "m-b", "deny")),
        ):
            ask.put(_exact(source, destination), {"Action": action}, record=False)
        for query in (
            *("", "by=source", "by=x&name=a", "name=a", "by=&name=a", "by=source&name="),
            *("by=source&name=m-a", "by=destination&name=m-b", "by=destination&name=none"),
            *("by=source&name=m-a&name=m-c", "by=destination&name=*", "by=source&name=*"),
            *("by=source&name=default/m-a", "by=source&name=a/b/c/d", "by=source&name=other/a"),
            *(
                "by=source&name=M-A",
                "by=source&name=m-a&filter=Action==deny",
                "by=source&name=m-a&stale",
            ),
        ):
            differs = {_PLACES: ["*"]} if "other/" in query else None
            ask.get(f"{_PATH}/match?{query}", differs=differs)
        for query in (
            *("", "source=m-a", "destination=m-b", "source=m-a&destination=m-b"),
            *("source=m-x&destination=m-b", "source=m-c&destination=m-x"),
            *("source=*&destination=m-b", "source=m-a&destination=*"),
            *("source=x&destination=y", "source=m-a&destination=m-b&source-type=x"),
            *("source=M-A&destination=M-B", "source=default/m-a&destination=m-b"),
            *("source=m-a&destination=m-b&source-type=consul", "source=m-b&destination=m-b"),
            "source=spiffe:x/y&destination=m-b&source-type=spiffe",
        ):
            _one(ask, f"{_PATH}/check?{query}")
        ask.put(f"{_PATH}/match?by=source&name=a")
        ask.delete(f"{_PATH}/check?source=a&destination=b")
        for name in ("m-b", "m-c", "*"):
            ask.delete(f"config/service-intentions/{name}", record=False)
        _one(ask, f"{_PATH}/check?source=m-a&destination=m-b")

    play(scenario)


def test_permissions(play: Play) -> None:
    def scenario(ask: World) -> None:
        permissions: list[dict[str, Any]] = [
            {"Action": "allow", "HTTP": {"PathPrefix": "/a", "Methods": ["get"]}},
            {"Action": "deny", "HTTP": {"Header": [{"Name": "x", "Present": True}]}},
        ]
        ask.put(_exact("p-a", "p-b"), {"Permissions": permissions})
        entry = {"Kind": "service-defaults", "Name": "p-b", "Protocol": "http"}
        ask.put("config", entry, record=False)
        ask.put(_exact("p-a", "p-b"), {"Permissions": permissions})
        _one(ask, _exact("p-a", "p-b"))
        ask.get(f"{_PATH}/match?by=destination&name=p-b")
        _one(ask, f"{_PATH}/check?source=p-a&destination=p-b")
        ask.put(_exact("p-a", "p-b"), {"Action": "allow"})
        _one(ask, _exact("p-a", "p-b"))
        ask.put(_exact("p-a", "p-b"), {"Permissions": permissions}, record=False)
        shown = {
            "`consul intention list` and `get` of an intention without action or ID": ["out.*"]
        }
        ask.cli("intention", "list", differs=shown)
        ask.cli("intention", "get", "p-a", "p-b", differs=shown)
        ask.cli("intention", "check", "p-a", "p-b")
        written = {"`consul intention create` for a destination with a config entry": ["*"]}
        ask.cli("intention", "create", "-allow", "p-a", "p-b", differs=written)
        ask.cli("intention", "create", "-allow", "-replace", "p-a", "p-b", differs=written)
        keys = {
            "Kind": "jwt-provider",
            "Name": "p-jwt",
            "JSONWebKeySet": {"Local": {"JWKS": "e30="}},
        }
        ask.put("config", keys, record=False)
        source = {"Name": "p-a", "Action": "allow"}
        needed = {"Providers": [{"Name": "p-jwt", "VerifyClaims": [{"Path": ["a"], "Value": "b"}]}]}
        ask.put(
            "config",
            {"Kind": "service-intentions", "Name": "p-b", "Sources": [source], "JWT": needed},
        )
        ask.get("config/service-intentions/p-b")
        _one(ask, _exact("p-a", "p-b"))
        ask.get(_PATH)
        ask.put(_exact("p-c", "p-b"), {"Action": "deny"})
        ask.get("config/service-intentions/p-b")
        for path in ("service-intentions/p-b", "service-defaults/p-b", "jwt-provider/p-jwt"):
            ask.delete(f"config/{path}", record=False)

    play(scenario)


def test_by_id(play: Play) -> None:
    def scenario(ask: World) -> None:
        missing = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
        for path in (missing, "nope", ""):
            ask.get(f"{_PATH}/{path}")
            ask.put(f"{_PATH}/{path}", {"SourceName": "a", "DestinationName": "b"})
            ask.delete(f"{_PATH}/{path}")
        for body in (
            *("", "{}", {"SourceName": "id-a"}, {"SourceName": "id-a", "DestinationName": "id-b"}),
            {"SourceName": "id-a", "DestinationName": "id-b", "Action": "x"},
            {"SourceName": "*a", "DestinationName": "id-b", "Action": "allow"},
            {"ID": missing, "SourceName": "id-a", "DestinationName": "id-b", "Action": "allow"},
            {
                "SourceName": "id-a",
                "DestinationName": "id-b",
                "Action": "allow",
                "Description": "first",
                "Meta": {"k": "v"},
                "SourceType": "consul",
            },
            {"SourceName": "id-a", "DestinationName": "id-b", "Action": "deny"},
        ):
            made = ask.ask("POST", _PATH, body)
            if made.status == 200:
                first = made.json["ID"]
        _one(ask, f"{_PATH}/{first}")
        _one(ask, _exact("id-a", "id-b"))
        ask.get("config/service-intentions/id-b")
        ask.put(
            f"{_PATH}/{first}", {"SourceName": "id-a", "DestinationName": "id-b", "Action": "x"}
        )
        ask.put(f"{_PATH}/{first}", {"Action": "deny"})
        ask.put(
            f"{_PATH}/{first}",
            {"SourceName": "id-a", "DestinationName": "id-b", "Action": "deny", "Meta": {"z": "y"}},
        )
        _one(ask, f"{_PATH}/{first}")
        ask.put(
            f"{_PATH}/{first}", {"SourceName": "id-a", "DestinationName": "id-c", "Action": "deny"}
        )
        ask.put(_exact("id-a", "id-b"), {"Action": "allow"})
        ask.put(_exact("id-z", "id-b"), {"Action": "allow"})
        ask.get("config/service-intentions/id-b")
        ask.get(_PATH)
        ask.delete(f"{_PATH}/{first}")
        ask.delete(f"{_PATH}/{first}")
        _one(ask, f"{_PATH}/{first}")
        ask.delete("config/service-intentions/id-b", record=False)
        ask.get("config/service-intentions")

    play(scenario)


def test_words(play: Play) -> None:
    def scenario(ask: World) -> None:
        def say(*words: str, **options: Any) -> None:
            ask.cli("intention", *words, **options)

        say("list")
        say("create")
        say("create", "cli-a")
        say("create", "cli-a", "cli-b", "cli-c")
        say("create", "cli-a", "cli-b")
        say("create", "-allow", "-deny", "cli-a", "cli-b")
        say("create", "cli-a", "cli-b")
        say("create", "-deny", "cli-a", "cli-b")
        say("create", "-deny", "-replace", "cli-a", "cli-b")
        say("create", "-meta", "k=v", "-replace", "cli-a", "cli-b")
        say("create", "-meta", "k", "-replace", "cli-a", "cli-b")
        say("create", "-allow", "cli-*", "cli-b")
        say("create", "-allow", "*", "*")
        say("create", "-allow", "default/cli-x", "default/cli-b")
        say("create", "-file")
        say("create", "-file", "/nonexistent")
        say("list")
        say("list", "-filter", "SourceName==`cli-a`")
        say("get", "cli-a", "cli-b")
        say("get", "cli-a", "cli-none")
        say("get", "cli-a")
        say("get", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
        say("get")
        say("match", "cli-b")
        say("match", "-destination", "cli-b")
        say("match", "-source", "cli-a")
        say("match", "-source", "none")
        say("match", "-source", "-destination", "cli-a")
        say("match")
        say("match", "a", "b")
        say("check", "cli-a", "cli-b")
        say("check", "cli-x", "cli-b")
        say("check", "cli-a")
        say("delete", "cli-a", "cli-none")
        say("delete", "cli-a")
        say("delete", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
        say("delete")
        say("delete", "cli-a", "cli-b")
        say("delete", "*", "*")
        say("delete", "cli-x", "cli-b")
        say("list")
        say("nope")

    play(scenario, mixed=True)


def test_rights(play: Play) -> None:
    def scenario(ask: World) -> None:
        rules = """
            service "r-own" { policy = "write" intentions = "write" }
            service "r-see" { policy = "read" intentions = "read" }
            service "r-plain" { policy = "write" }
        """
        policy = {"Name": "int-rights", "Rules": rules}
        policy_id = ask.put("acl/policy", policy, record=False).json["ID"]
        made = ask.put("acl/token", {"Policies": [{"ID": policy_id}]}, record=False).json
        token = made["SecretID"]
        row = "Refusals for want of rights on intentions"

        def told(method: str, path: str, body: Any = None, **options: Any) -> None:
            """Ask what both refuse or both do not: ours says why."""
            denied = ask.ask(method, path, body, record=False, **options).status == 403
            ask.ask(method, path, body, differs={row: ["body"]} if denied else None, **options)

        names = ("r-own", "r-see", "r-plain", "r-none", "*")
        for name in names:
            told("PUT", _exact("s", name), {"Action": "allow"}, token=token)
            ask.put(_exact("s", name), {"Action": "allow"}, record=False)
        old = {"SourceName": "old", "DestinationName": "r-see", "Action": "allow"}
        told("POST", _PATH, old, token=token)
        ask.get(_PATH, token=token)
        ask.get(_PATH, token="")
        for name in names:
            told("DELETE", _exact("s", name), token="")
            if name in ("r-own", "r-see", "r-plain", "*"):
                _one(ask, _exact("s", name), token=token)
            else:
                told("GET", _exact("s", name), token=token)
            told("GET", _exact("s", name), token="")
            _one(ask, f"{_PATH}/check?source=s&destination={name}", token=token)
            ask.get(f"{_PATH}/match?by=destination&name={name}", token=token)
            ask.get(f"config/service-intentions/{name}", token=token)
            told("DELETE", _exact("s", name), token=token)
        ask.get("config/service-intentions", token=token)
        ask.get(f"{_PATH}/match?by=source&name=s", token=token)
        missing = f"{_PATH}/aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
        ask.get(missing, token=token, differs={row: ["body", "status"]})
        ask.get(missing)
        for name in names:
            ask.delete(f"config/service-intentions/{name}", record=False)
        ask.delete(f"acl/token/{made['AccessorID']}", record=False)
        ask.delete(f"acl/policy/{policy_id}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)
