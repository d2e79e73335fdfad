"""Transactions: every verb, what they answer, and what refuses them."""

from __future__ import annotations

import base64
from typing import Any

from .conftest import Play
from .test_kv import LIMITS, modify_index, session
from .world import World

TAKEN = "An operation of a transaction without a kind, or with several"


def kv(verb: str, key: str, value: str | None = None, **fields: Any) -> dict[str, Any]:
    if value is not None:
        fields["Value"] = base64.b64encode(value.encode()).decode()
    return {"KV": {"Verb": verb, "Key": key, **fields}}


def node(verb: str, **fields: Any) -> dict[str, Any]:
    return {"Node": {"Verb": verb, "Node": fields}}


def service(verb: str, on: str, **fields: Any) -> dict[str, Any]:
    return {"Service": {"Verb": verb, "Node": on, "Service": fields}}


def check(verb: str, **fields: Any) -> dict[str, Any]:
    return {"Check": {"Verb": verb, "Check": fields}}


def test_keys_in_transactions(play: Play) -> None:
    def scenario(ask: World) -> None:
        def txn(*operations: dict[str, Any]) -> None:
            ask.put("txn", list(operations))

        txn(kv("set", "tx/a", "1", Flags=5), kv("get", "tx/a"), kv("get-tree", "tx/"))
        for verb in ("get", "get-or-empty", "get-tree", "check-not-exists", "delete-tree"):
            for key in ("tx/a", "tx/nope", ""):
                if verb != "delete-tree":
                    txn(kv(verb, key))
        txn(kv("get-or-empty", "tx/nope", "x", Flags=3, Session="y", Index=7))
        txn(kv("set", ""))
        for verb in ("check-index", "cas", "cas", "delete-cas"):
            txn(kv("set", "tx/a", f"before {verb}"))
            index = modify_index(ask, "tx/a")
            ask.names.add(str(index + 100_000), "another index")
            for wanted in (index, index + 100_000, 0):
                txn(kv(verb, "tx/a", "2", Index=wanted))
                txn(kv(verb, "tx/nope", "2", Index=wanted))
        txn(kv("set", "tx/a", "3"))
        one, other = session(ask), session(ask)
        ask.names.add(one, "one")
        ask.names.add(other, "other")
        for verb in ("lock", "lock", "check-session", "unlock", "unlock", "check-session"):
            for holder in (one, other, "nope", ""):
                txn(kv(verb, "tx/a", "L", Session=holder))
        txn(kv("unlock", "tx/none", Session=one))
        txn(kv("check-session", "tx/none"))
        ask.get("kv/tx/a")
        txn(kv("delete", "tx/a"), kv("get-or-empty", "tx/a"), kv("set", "tx/a", "z"))
        txn(kv("delete", "tx/a"), kv("get", "tx/a"))
        for verb in ("bogus", "", "SET"):
            txn(kv(verb, "tx/a"))
            txn(kv("set", "tx/a", "q"), kv(verb, "tx/a"), kv("get", "tx/nope"))
        txn(kv("set", "tx/a", "q"), kv("get", "tx/n"), kv("get", "tx/m"), kv("set", "tx/c"))
        ask.get("kv/tx?keys")
        txn(kv("set", "tx/c", Value=None))
        txn(kv("set", "tx/c", Value=""))
        txn({"kv": {"verb": "set", "key": "tx/c", "value": "eA==", "flags": 2**64 - 1}})
        ask.get("kv/tx/c")
        tree = [kv("set", "tx/t/1"), kv("delete-tree", "tx/t"), kv("set", "tx/t/x")]
        txn(*tree, kv("get-tree", "tx/t"))
        txn(kv("delete-tree", "tx/"))
        ask.get("kv/tx?keys")
        for holder in (one, other):
            ask.put(f"session/destroy/{holder}", record=False)

    play(scenario)


def test_shapes_of_transactions(play: Play) -> None:
    def scenario(ask: World) -> None:
        for body in (None, "", "[]", "null", '[{"Foo":{}}]', '[{"Intention":{"Op":"create"}}]'):
            ask.put("txn", body)
        for body in ('[{"Session":{"Verb":"delete"}}]', '[{"KV":{}}]', '[{"Node":{}}]'):
            ask.put("txn", body)
        ask.put("txn", '[{"KV":{"Verb":"get","Key":"a","Foo":1}}]')
        changed = ["status", "body", "json*", "header*"]
        ask.put("txn", "[{}]", differs={TAKEN: changed})
        both = kv("get", "a") | node("get", Node="a")
        ask.put("txn", [both], differs={TAKEN: ["status", "body", "json*", "header*"]})
        for number in (64, 65, 129):
            ask.put("txn", [kv("get-or-empty", "tz")] * number)
        for method in ("GET", "POST", "DELETE"):
            ask.ask(method, "txn", "[]")
        for size in (380_000, 400_000, 524_289):
            large = {} if size == 380_000 else {LIMITS: ["body"]}
            ask.put("txn", [kv("set", "tz", "x" * size)], differs=large)
        for query in ("dc=nope", "stale", "consistent", "consistent&stale", "index=5", "index=abc"):
            for verb in ("get-or-empty", "set"):
                ask.put(f"txn?{query}", [kv(verb, "tz")])
        for query in ("wait=abc", "pretty", "token=x"):
            ask.put(f"txn?{query}", [kv("get-or-empty", "tz")])
        ask.delete("kv/tz")

    play(scenario)


def test_nodes_in_transactions(play: Play) -> None:
    def scenario(ask: World) -> None:
        def txn(*operations: dict[str, Any]) -> None:
            ask.put("txn", list(operations))

        identity = "11111111-2222-3333-4444-666666666666"
        for name in ("tn-nope", "node-1", "NODE-1", ""):
            txn(node("get", Node=name))
        txn(node("set", Node="tn-1", Address="192.0.2.1"))
        rich = {"Meta": {"a": "b"}, "TaggedAddresses": {"lan": "192.0.2.3"}, "ID": identity}
        txn(node("set", Node="tn-1", Address="192.0.2.2", **rich), node("get", ID=identity))
        txn(node("set", Node="tn-2", Address=""))
        txn(node("set", Address="192.0.2.1"))
        txn(node("set", Node="tn-2", Address="192.0.2.1", ID="x"))
        txn(node("set", Node="tn-2", Address="192.0.2.1", Foo=1))
        index = ask.get("catalog/node/tn-1", record=False).json["Node"]["ModifyIndex"]
        txn(node("cas", Node="tn-1", Address="192.0.2.9", ModifyIndex=1))
        txn(node("cas", Node="tn-1", Address="192.0.2.9", ModifyIndex=index, **rich))
        for wanted in (0, 0, 4):
            txn(node("cas", Node="tn-4", Address="192.0.2.9", ModifyIndex=wanted))
        txn(node("delete-cas", Node="tn-1", ModifyIndex=1))
        txn(node("delete-cas", Node="tn-nope", ModifyIndex=1))
        for verb in ("bogus", ""):
            txn(node(verb, Node="tn-1"))
        for name in ("tn-nope", ""):
            txn(node("delete", Node=name))
        txn(node("set", Node="tn-1", Address="192.0.2.1"), node("get", Node="tn-nope"))
        txn(*(node("delete", Node=f"tn-{number}") for number in (1, 2, 4)), kv("set", "tn"))
        ask.get("catalog/node/tn-1")
        ask.delete("kv/tn")

    play(scenario)


def test_services_and_checks_in_transactions(play: Play) -> None:
    def scenario(ask: World) -> None:
        def txn(*operations: dict[str, Any]) -> None:
            ask.put("txn", list(operations))

        def web(**fields: Any) -> dict[str, Any]:
            return service("set", "ts-1", **{"ID": "s1", "Service": "web", **fields})

        txn(node("set", Node="ts-1", Address="192.0.2.1"))
        txn(web(Port=80, Tags=["a"], Meta={"x": "y"}, Address="192.0.2.2"))
        for on, name in (("ts-1", "s1"), ("ts-1", "nope"), ("nope", "s1")):
            txn(service("get", on, ID=name))
        txn(service("set", "ts-1", Service="unnamed"))
        txn(service("set", "ts-1", ID="only"))
        txn(service("set", "nope", ID="s1", Service="web"))
        txn(web(ID="s2", Weights={"Passing": 10, "Warning": 1}))
        txn(web(ID="s4", TaggedAddresses={"lan": {"Address": "192.0.2.3", "Port": 5}}))
        txn(web(ID="s5", EnableTagOverride=True))
        txn(web(ID="s7", Service="web-proxy", Kind="connect-proxy"))
        txn(web(ID="s8", Tags=None, Meta=None))
        txn(web(ID="s9", Address="0.0.0.0"))
        ask.get("catalog/node-services/ts-1", unordered=True)
        for wanted in (0, 0, 9):
            txn(service("cas", "ts-1", ID="n1", Service="web", ModifyIndex=wanted))
        for name in ("s1", "nope"):
            txn(service("delete-cas", "ts-1", ID=name, Service="web", ModifyIndex=1))
            txn(service("delete", "ts-1", ID=name, Service="web"))
        txn(service("bogus", "ts-1", ID="s1", Service="web"))
        ping = {"Node": "ts-1", "CheckID": "c1"}
        txn(check("set", **ping, Name="c1", Status="passing"), check("get", **ping))
        for on, name in (("ts-1", "nope"), ("nope", "c1")):
            txn(check("get", Node=on, CheckID=name))
        txn(check("set", Node="ts-1", CheckID="c2"))
        txn(check("set", Node="ts-1", Name="by name"))
        txn(check("set", Node="nope", CheckID="c3", Status="passing"))
        rich = {"Status": "warning", "Notes": "n", "Output": "o", "ServiceName": "wrong"}
        txn(check("set", Node="ts-1", CheckID="c4", ServiceID="s2", Type="tcp", **rich))
        txn(check("set", Node="ts-1", CheckID="c5", ServiceID="nope"))
        ask.get("health/node/ts-1")
        for wanted in (0, 0, 9):
            txn(check("cas", Node="ts-1", CheckID="cn", Status="passing", ModifyIndex=wanted))
        for name in ("c1", "nope"):
            txn(check("delete-cas", Node="ts-1", CheckID=name, ModifyIndex=1))
            txn(check("delete", Node="ts-1", CheckID=name))
        txn(check("bogus", **ping))
        txn(
            node("set", Node="ts-9", Address="192.0.2.1"),
            service("set", "ts-9", ID="a", Service="a"),
            check("set", Node="ts-9", CheckID="k", ServiceID="a", Status="passing"),
            kv("set", "ts9"),
        )
        txn(node("get", Node="ts-9"), service("get", "ts-9", ID="a"), kv("get", "ts9"))
        txn(kv("set", "ts9", "undone"), service("get", "ts-9", ID="nope"))
        ask.get("kv/ts9")
        wrong = (service("get", "ts-9", ID="no"), check("get", Node="ts-9", CheckID="no"))
        txn(node("get", Node="ts-9"), *wrong)
        txn(node("delete", Node="ts-9"), node("delete", Node="ts-1"), kv("delete", "ts9"))

    play(scenario)
