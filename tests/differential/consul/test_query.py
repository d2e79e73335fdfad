"""Prepared queries: their validation, execution, templates and answers by DNS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

WEB = {"Service": "web"}
ELSEWHERE = "Failover of prepared queries"


def create(ask: World, body: Any, **options: Any) -> str:
    """Create a query; its ID, or nothing when it was refused."""
    answer = ask.ask("POST", "query", body, **options)
    return str(answer.json["ID"]) if answer.status == 200 else ""


def forget(ask: World) -> None:
    """Delete all queries."""
    for query in ask.get("query", record=False).json:
        ask.delete(f"query/{query['ID']}", record=False)


def _each(*bodies: Any) -> Callable[[World], None]:
    def scenario(ask: World) -> None:
        forget(ask)
        for body in bodies:
            query = create(ask, body)
            if query:
                ask.get(f"query/{query}")
        ask.get("query", unordered=True)
        forget(ask)

    return scenario


def _query(name: str, **service: Any) -> dict[str, Any]:
    return {"Name": name, "Service": {**WEB, **service}}


def test_fields_of_queries(play: Play) -> None:
    everything = _query(
        "all",
        OnlyPassing=True,
        Near="_agent",
        Tags=["a", "!b"],
        NodeMeta={"x": "y"},
        ServiceMeta={"m": "n"},
        Failover={"NearestN": 3, "Datacenters": ["dc2", "dc1"]},
        IgnoreCheckIDs=["a"],
        Connect=True,
    )
    identity = "11111111-2222-3333-4444-555555555555"
    play(
        _each(
            {},
            {"Name": "x"},
            *({"Service": service} for service in ({}, WEB, WEB, {"Service": ""})),
            everything | {"DNS": {"TTL": "10s"}, "Token": "abc"},
            *({"Name": name, "Service": WEB} for name in ("all", "ALL", "a b", "a/b", "a.b", "")),
            {"Name": "execute", "Service": WEB},
            {"name": "low", "service": {"service": "web"}},
            *(_query("id") | {"ID": one} for one in ("x", identity)),
            *(_query("session") | {"Session": one} for one in ("nope", identity)),
            *(
                _query(f"ttl {letter}") | {"DNS": dns}
                for letter, dns in zip(
                    "abcdefg",
                    [*({"TTL": ttl} for ttl in ("abc", "-1s", "5", "", "0s", "1h")), None],
                    strict=True,
                )
            ),
            _query("unknown") | {"Foo": 1},
            _query("unknown", Foo=1),
            _query("meta", NodeMeta={"": "x"}),
            _query("meta", NodeMeta={"k" * 200: "x"}),
            _query("servicemeta", ServiceMeta={"": "x"}),
            _query("near", Near="nope"),
            _query("peer", Peer="cl"),
        )
    )


def test_failover_and_templates_of_queries(play: Play) -> None:
    target, peer = {"Datacenter": "dc2"}, {"Peer": "p"}
    named = {"Type": "name_prefix_match"}
    matching = {**named, "Regexp": "^(.*)$", "RemoveEmptyTags": True}
    play(
        _each(
            _query("fa", Failover={"NearestN": -1}),
            _query("fb", Failover={"Targets": [target]}),
            _query("fc", Failover={"Targets": [target], "NearestN": 2}),
            _query("fd", Failover={"Targets": [peer]}),
            _query("fe", Failover={"Targets": [target | peer]}),
            _query("ff", Failover={"Targets": [{}]}),
            _query("fg", Failover={"Targets": [peer], "Datacenters": ["dc2"]}),
            _query("ta", Service="${name.full}") | {"Template": named},
            _query("tb") | {"Template": {"Type": "bogus"}},
            _query("tc") | {"Template": {"Type": ""}},
            _query("td") | {"Template": {"Regexp": "x"}},
            _query("te", Service="${match(1)}", Tags=["${match(2)}", "x"]) | {"Template": matching},
            _query("") | {"Template": named},
            _query("") | {"Template": named},
        )
    )


def test_changing_and_finding_queries(play: Play) -> None:
    def scenario(ask: World) -> None:
        forget(ask)
        unknown = "11111111-2222-3333-4444-555555555555"
        create(ask, _query("taken"))
        query = create(ask, _query("first"))
        ask.names.add(query.upper(), "the ID in capitals")
        changes: tuple[Any, ...] = (
            _query("second", Service="db"),
            _query("taken"),
            {},
            None,
            _query("u"),
        )
        for body in changes:
            ask.put(f"query/{query}", body)
            ask.get(f"query/{query}")
        ask.put(f"query/{query}", _query("u") | {"ID": "x"})
        ask.put(f"query/{unknown}", _query("u2"))
        ask.get(f"query/{unknown}")
        ask.delete(f"query/{unknown}")
        paths = (query.upper(), "nope/execute", "nope/explain", "u/execute", "U/execute")
        for path in (*paths, f"{query}/execute", f"{query}/explain"):
            ask.get(f"query/{path}")
        for method in ("PUT", "DELETE"):
            for path in ("query/x/execute", "query/x/explain"):
                ask.ask(method, path, {})
        ask.ask("POST", "query", "")
        ask.put("query", {})
        for query_string in ("dc=nope", "stale", "consistent", "index=abc", "wait=abc", "pretty"):
            for path in ("query", "query/taken/execute", "query/taken/explain"):
                ask.get(f"{path}?{query_string}", unordered=True)
        for _ in range(2):
            ask.delete(f"query/{query}")
            ask.get(f"query/{query}")
        holder = ask.put("session/create", {"LockDelay": "0s"}).json["ID"]
        bound = create(ask, _query("bound") | {"Session": holder})
        ask.get(f"query/{bound}")
        ask.put(f"session/destroy/{holder}")
        ask.get(f"query/{bound}")
        forget(ask)

    play(scenario)


def _instances(ask: World) -> None:
    rows = (
        ("q-n1", "1", "qweb", ["a", "b"], "passing", "1"),
        ("q-n2", "2", "qweb", ["a"], "warning", "2"),
        ("q-n3", "3", "qweb", ["b", "c"], "critical", "1"),
        ("q-n1", "4", "qdb", ["m"], "passing", "1"),
    )
    for node, number, name, tags, status, rack in rows:
        service = {"ID": f"q{number}", "Service": name, "Tags": tags, "Port": 80}
        if name == "qdb":
            service |= {"TaggedAddresses": {"lan": {"Address": "192.0.2.99", "Port": 99}}}
        check = {"CheckID": f"c{number}", "Name": "c", "Status": status, "ServiceID": f"q{number}"}
        body = {
            "Node": node,
            "Address": f"192.0.2.{node[-1]}",
            "NodeMeta": {"rack": rack},
            "Service": service | {"Meta": {"v": rack}},
            "Check": check,
        }
        ask.put("catalog/register", body, record=False)


def _forget_instances(ask: World) -> None:
    for node in ("q-n1", "q-n2", "q-n3"):
        ask.put("catalog/deregister", {"Node": node}, record=False)
    forget(ask)


def test_execution(play: Play) -> None:
    def scenario(ask: World) -> None:
        forget(ask)
        _instances(ask)
        fields: list[dict[str, Any]] = [
            {},
            {"OnlyPassing": True},
            *({"Tags": tags} for tags in (["a"], ["!a"], ["A", "b"], ["!"], [""], ["a", "!b"])),
            {"NodeMeta": {"rack": "2"}},
            {"ServiceMeta": {"v": "1"}},
            {"IgnoreCheckIDs": ["c3"]},
            {"OnlyPassing": True, "IgnoreCheckIDs": ["c2"]},
            *({"Near": near} for near in ("q-n1", "_agent", "_ip")),
            {"Connect": True},
            {"Service": "QWEB"},
            {"Service": "qdb"},
            {"Service": "nope"},
            {"Service": "nope", "Failover": {"Datacenters": ["dc2"]}},
            {"Service": "nope", "Failover": {"NearestN": 2}},
            {"Service": "nope", "Failover": {"Targets": [{"Datacenter": "dc1"}]}},
        ]
        for number, service in enumerate(fields):
            body = {"Name": f"e{number}", "Service": {"Service": "qweb"} | service}
            create(ask, body | {"DNS": {"TTL": "7s"}}, record=False)
            ask.get(f"query/e{number}/execute", unordered=True)
            ask.get(f"query/e{number}/explain")
        body = {"Name": "peer", "Service": {"Service": "nope"}}
        body["Service"]["Failover"] = {"Targets": [{"Peer": "p"}]}  # type: ignore[index]
        create(ask, body, record=False)
        other = {ELSEWHERE: ["json.Datacenter", "json.Failovers", "json.PeerName"]}
        ask.get("query/peer/execute", differs=other)
        for query in ("limit=0", "limit=-1", "near=q-n1", "near=_agent", "near=_ip", "near=nope"):
            ask.get(f"query/e0/execute?{query}", unordered=True)
        for query in ("connect=true", "connect=false", "connect", "passing", "tag=a", "near"):
            ask.get(f"query/e0/execute?{query}", unordered=True)
        for query in ("filter=x", "stale", "consistent", "dc=dc2"):
            ask.get(f"query/e0/execute?{query}", unordered=True)
        one = ask.get("query/e0/execute?limit=1", record=False).json
        ask.note("limit=1", {"nodes": len(one["Nodes"])})
        for name in ("e0", "e1", "e18", "E0", "none"):
            ask.dig(f"{name}.query.consul")
            ask.dig(f"{name}.query.consul", "SRV")
        _forget_instances(ask)

    play(scenario)


def test_templates(play: Play) -> None:
    def scenario(ask: World) -> None:
        forget(ask)
        _instances(ask)
        named = {"Type": "name_prefix_match"}
        matching = named | {"Regexp": "^qt-([^-]*)(?:-(.*))?$", "RemoveEmptyTags": True}
        service: dict[str, Any] = {"Service": "${match(1)}", "Tags": ["${match(2)}"]}
        create(ask, {"Name": "qt-", "Template": matching, "Service": service})
        service = {"Service": "${name.suffix}", "Tags": ["${name.prefix}"]}
        create(ask, {"Name": "qu-", "Template": named, "Service": service})
        create(ask, {"Name": "", "Template": named, "Service": {"Service": "${name.full}"}})
        names = ("qt-qweb", "qt-qweb-a", "qt-qweb-zz", "qt-", "qu-qweb", "qu-", "qu-nope")
        for name in (*names, "qweb", "anything", "QT-qweb", "qdb"):
            ask.get(f"query/{name}/execute", unordered=True)
            ask.get(f"query/{name}/explain")
            ask.dig(f"{name}.query.consul", "SRV")
        _forget_instances(ask)

    play(scenario)


def test_queries_behind_access_control(play: Play) -> None:
    def scenario(ask: World) -> None:
        forget(ask)
        rules = 'query_prefix "g" { policy = "write" } service_prefix "" { policy = "read" }'
        policy = ask.put("acl/policy", {"Name": "tq", "Rules": rules}, record=False).json["ID"]
        body = {"Policies": [{"ID": policy}]}
        token = ask.put("acl/token", body, record=False).json
        mine = token["SecretID"]
        for name in ("ga", "ha", "gb"):
            query = create(ask, _query(name) | {"Token": "hidden-1234"}, token=mine)
            if not query:
                continue
            ask.get(f"query/{query}", token=mine)
            ask.get(f"query/{query}")
            ask.get(f"query/{query}", token="")
            ask.get(f"query/{query}/explain", token=mine)
            ask.put(f"query/{query}", _query(name), token="")
            ask.put(f"query/{query}", _query(name), token=mine)
        for who in (mine, "", MANAGEMENT):
            ask.get("query", token=who, unordered=True)
            ask.get("query/ga/execute", token=who)
            ask.get("query/none/execute", token=who)
        forget(ask)
        ask.delete(f"acl/token/{token['AccessorID']}", record=False)
        ask.delete(f"acl/policy/{policy}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)
