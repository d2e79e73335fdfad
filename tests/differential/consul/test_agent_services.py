"""Services of the agent: registered in every form, shown by the agent, the catalog and health."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from .conftest import Play
from .facts import of_json
from .settled import settle
from .world import World

DECODER = {"Errors of Go's libraries": ["body"]}
BODIES = {"Bodies": ["*"]}
VIRTUAL = {"`.virtual` names": ["*consul-virtual*"]}
LATER = {"`.virtual` names": ["?*consul-virtual*", "?*ContentHash"]}
"""The real agent learns virtual addresses from its servers once a minute or two."""
WEIGHTS = {"Weights of a registration that are not given": ["*"]}

PROXY = {"DestinationServiceName": "web", "LocalServicePort": 8080}
NO_PORT: list[dict[str, Any]] = [{}, {"Check": {}}]
NO_TARGET: list[dict[str, Any]] = [{}, {"Proxy": {}}, {"Port": 3}]
UPSTREAM = {"DestinationName": "db", "LocalBindPort": 99}
PATHS = [{"Path": "/x", "ListenerPort": 1, "LocalPathPort": 2, "Protocol": "http"}]
TTL = {"TTL": "10m"}
HTTP = {
    "HTTP": "http://127.0.0.1:1",
    "Interval": "10000h",
    "Timeout": "1s",
    "CheckID": "ag-foo",
    "Name": "Foo",
    "Notes": "n",
    "Status": "passing",
    "Method": "POST",
    "Header": {"a": ["b"]},
    "Body": "x",
    "TLSSkipVerify": True,
    "DeregisterCriticalServiceAfter": "90m",
}

TAKEN: dict[str, tuple[dict[str, Any], dict[str, list[str]] | None]] = {
    "nothing": ({}, None),
    "everything": (
        {
            "ID": "ag-1",
            "Port": 80,
            "Tags": ["x", "y"],
            "Meta": {"a": "b"},
            "Address": "10.0.0.1",
            "EnableTagOverride": True,
            "Token": "t",
            "Weights": {"Passing": 10, "Warning": 0},
            "Locality": {"Region": "r", "Zone": "z"},
            "TaggedAddresses": {"wan": {"Address": "1.2.3.4", "Port": 1}},
        },
        None,
    ),
    "snake": (
        {
            "port": 80,
            "tags": ["x"],
            "meta": {"a": "b"},
            "enable_tag_override": True,
            "tagged_addresses": {"lan": {"address": "1.2.3.4", "port": 1}},
        },
        None,
    ),
    "six": ({"Address": "::1", "Port": 99}, None),
    "name": ({"Address": "example.com", "Port": 3}, None),
    "socket": ({"SocketPath": "/tmp/x.sock"}, None),
    "socket and port": ({"SocketPath": "/x", "Port": 1, "Address": "1.1.1.1"}, None),
    "nulls": ({"Tags": None, "Meta": None, "Check": None, "Checks": None, "Weights": None}, None),
    "odd tags": ({"Tags": ["", "B", " c"]}, None),
    "checks": ({"Checks": [{"TTL": "10m"}, HTTP]}, None),
    "check": ({"Check": {"TTL": "10m", "Status": "warning"}}, None),
    "native": ({"Port": 1, "Connect": {"Native": True}}, VIRTUAL),
    "proxy": (
        {
            "Kind": "connect-proxy",
            "Port": 1,
            "Proxy": {**PROXY, "Upstreams": [UPSTREAM], "Config": {"a": 1, "b": {"c": [1, "x"]}}},
        },
        VIRTUAL,
    ),
    "exposing proxy": (
        {
            "Kind": "connect-proxy",
            "Port": 1,
            "Proxy": {**PROXY, "Expose": {"Paths": PATHS}, "MeshGateway": {"Mode": "local"}},
        },
        VIRTUAL,
    ),
    "mesh-gateway": ({"Kind": "mesh-gateway", "Port": 443}, None),
    "ingress-gateway": ({"Kind": "ingress-gateway", "Port": 443}, None),
    "half of the weights": ({"Weights": {"Passing": 5}}, WEIGHTS),
}


@pytest.mark.parametrize("form", TAKEN)
def test_taken(play: Play, form: str) -> None:
    fields, differs = TAKEN[form]
    body = {"Name": "ag-web", **fields}
    ident = fields.get("ID", "ag-web")

    def scenario(ask: World) -> None:
        def shown(path: str, **options: Any) -> None:
            answer = ask.get(path, record=False)
            named = {k: v for k, v in (differs or {}).items() if k != "`.virtual` names"}
            if differs is VIRTUAL and b"ag-web" in answer.body:
                named = dict(VIRTUAL if path[0] in "ch" else LATER)
            ask.get(path, differs=named, **options)

        ask.put("agent/service/register", body)
        settle_when_shown(ask, differs)
        digest = ask.get(f"agent/service/{ident}", record=False).json["ContentHash"]
        ask.names.add(digest, "hash")
        shown(f"agent/service/{ident}")
        shown("catalog/service/ag-web")
        shown("health/service/ag-web")
        if differs is not WEIGHTS:
            ask.get('agent/checks?filter=ServiceName=="ag-web"')
        shown(f"agent/health/service/id/{ident}", unordered=True)
        shown("agent/health/service/name/ag-web", unordered=True)
        ask.put(f"agent/service/deregister/{ident}")
        settle(ask)
        ask.get("catalog/service/ag-web")

    play(scenario)


def settle_when_shown(ask: World, differs: dict[str, list[str]] | None) -> None:
    ask.until(lambda: ask.get("catalog/service/ag-web", record=False).json, "the service")
    settle(ask)


def test_refused(play: Play) -> None:
    many = {f"k{number}": "x" for number in range(65)}
    forms: list[tuple[Any, dict[str, list[str]] | None]] = [
        *(
            ({"Weights": {"Passing": p, "Warning": w}}, None)
            for p, w in ((0, 1), (1, -1), (1, 1 << 17))
        ),
        *(({"Meta": {name: "x"}}, None) for name in ("", "a b", "consul-x", "k" * 129)),
        *(({"Meta": meta}, None) for meta in ({"k": "x" * 513}, many)),
        *(({"Address": address}, None) for address in ("0.0.0.0", "::", "[::]")),
        ({"TaggedAddresses": {"lan_ipv4": {"Address": "::1"}}}, None),
        ({"TaggedAddresses": {"lan_ipv6": {"Address": "1.2.3.4"}}}, None),
        *(({"Connect": {"Native": True}, **more}, None) for more in NO_PORT),
        *(({"Check": check}, None) for check in ({"HTTP": "x"}, {"Interval": "1s"}, {"Name": "x"})),
        ({"Checks": [{"TTL": "1s", "Status": "odd"}]}, None),
        *(({"Kind": "connect-proxy", **more}, None) for more in NO_TARGET),
        ({"Kind": "connect-proxy", "Port": 3, "Proxy": {"DestinationServiceName": "*"}}, None),
        ({"Kind": "connect-proxy", "Port": 3, "Proxy": PROXY, "Connect": {"Native": True}}, None),
        (
            {
                "Kind": "connect-proxy",
                "Port": 3,
                "Proxy": {
                    **PROXY,
                    "Upstreams": [
                        {"DestinationName": "d"},
                        {"LocalBindPort": 1},
                        {"DestinationName": "d", "LocalBindPort": 3},
                        {"DestinationName": "e", "LocalBindPort": 3},
                        {"DestinationName": "d", "LocalBindPort": 4},
                    ],
                },
            },
            None,
        ),
        *(({"Kind": f"{kind}-gateway"}, None) for kind in ("mesh", "terminating")),
        ({"Kind": "mesh-gateway", "Port": 1, "Connect": {"Native": True}, "Proxy": PROXY}, None),
        ({"Kind": "ingress-gateway", "Port": 1, "Connect": {"SidecarService": {}}}, None),
        ({"Locality": {"Zone": "z"}}, None),
        *(({name: 1}, None) for name in ("Bogus", "ServiceID")),
        *(({name: "x"}, DECODER) for name in ("EnableTagOverride", "Port", "Tags", "Namespace")),
        *(({"Name": name}, None) for name in ("", None)),
        ({"Name": 5}, DECODER),
        *(({"Kind": kind}, BODIES) for kind in ("bogus", "typical")),
        ({"Port": 70000}, BODIES),
        ({"Kind": "connect-proxy", "Port": 3, "Proxy": {**PROXY, "Mode": "bogus"}}, BODIES),
    ]

    def scenario(ask: World) -> None:
        for fields, differs in forms:
            ask.put("agent/service/register", {"Name": "ag-web", **fields}, differs=differs)
            ask.put("agent/service/deregister/ag-web", record=False)
        ask.put("agent/service/register", "")
        ask.put("agent/service/register", "x", differs=DECODER)
        ask.put("agent/service/register", [], differs=DECODER)
        ask.put("agent/service/register?ns=x", {"Name": "ag-web"})
        for ident in ("nope", "", "consul"):
            ask.put(f"agent/service/deregister/{ident}")
        settle(ask)

    play(scenario)


SIDECARS: dict[str, dict[str, Any]] = {
    "plain": {"Port": 80, "Connect": {"SidecarService": {}}},
    "inherits": {
        "Port": 80,
        "Tags": ["a"],
        "Meta": {"m": "n"},
        "EnableTagOverride": True,
        "Address": "10.1.1.1",
        "Connect": {"SidecarService": {}},
    },
    "own": {
        "Port": 80,
        "Connect": {
            "SidecarService": {
                "Name": "mine",
                "Port": 999,
                "Tags": ["z"],
                "Meta": {"q": "r"},
                "Check": TTL,
                "Proxy": {"Upstreams": [UPSTREAM]},
                "Weights": {"Passing": 7, "Warning": 2},
            }
        },
    },
    "an ID": {"Port": 80, "Connect": {"SidecarService": {"ID": "x"}}},
    "nested": {"Port": 80, "Connect": {"SidecarService": {"Connect": {"SidecarService": {}}}}},
    "of another": {
        "Port": 80,
        "Connect": {"SidecarService": {"Proxy": {"DestinationServiceName": "other"}}},
    },
    "wrong check": {"Port": 80, "Connect": {"SidecarService": {"Check": {"HTTP": "x"}}}},
    "wrong meta": {"Port": 80, "Connect": {"SidecarService": {"Meta": {"a b": "x"}}}},
    "native": {"Port": 80, "Connect": {"Native": True, "SidecarService": {}}},
    "portless": {"Connect": {"SidecarService": {}}},
    "none": {"Connect": {}},
    "socket": {"SocketPath": "/tmp/x", "Connect": {"SidecarService": {}}},
}


def checks_of(ask: World, where: str) -> dict[str, Any]:
    """Checks of the agent, once the aliases among them have looked at what they follow."""

    def rows() -> dict[str, Any]:
        found: dict[str, Any] = ask.get(f"agent/checks?filter={where}", record=False).json
        return found

    def told() -> bool:
        return all(one["Output"] for one in rows().values() if one["Type"] == "alias")

    ask.until(told, "what the aliases say")
    return rows()


def test_sidecars(play: Play) -> None:
    def scenario(ask: World) -> None:
        def shown() -> None:
            ask.get('agent/services?filter=ID contains "ag-s"', differs=LATER)
            rows = checks_of(ask, 'ServiceID contains "ag-s"')
            for row in rows.values():
                if row["Type"] == "tcp":  # it first runs after a random part of its 10 seconds
                    row.pop("Output")
            ask.note("checks", of_json(rows, ask.names))

        for fields in SIDECARS.values():
            ask.put("agent/service/register", {"Name": "ag-side", "ID": "ag-s", **fields})
            shown()
            ask.put("agent/service/deregister/ag-s", record=False)
        settle(ask)
        # The sidecar comes and goes with its service, and can go alone.
        plain = {"Name": "ag-side", "ID": "ag-s", "Port": 1}
        ask.put("agent/service/register", {**plain, "Connect": {"SidecarService": {}}})
        ask.put("agent/service/deregister/ag-s-sidecar-proxy")
        shown()
        ask.put("agent/service/register", {**plain, "Connect": {"SidecarService": {}}})
        ask.put("agent/service/register", plain)
        shown()
        ask.put("agent/service/deregister/ag-s")
        shown()
        settle(ask)

    play(scenario)


def test_registered_again(play: Play) -> None:
    follows = {"Checks of a service that changes": ["*ServiceTags*"]}

    def scenario(ask: World) -> None:
        def shown(**options: Any) -> None:
            settle(ask)
            ask.get('agent/checks?filter=ServiceID=="ag-r"', **options)
            ask.get("health/checks/ag-again", **options)

        def register(query: str = "", **fields: Any) -> None:
            body = {"Name": "ag-again", "ID": "ag-r", **fields}
            ask.put(f"agent/service/register{query}", body)

        register(Check={**TTL, "CheckID": "ag-c"})
        ask.put("agent/check/pass/ag-c?note=keep")
        shown()
        register(Check={**TTL, "CheckID": "ag-c", "Status": "critical"}, Tags=["new"])
        shown()  # a check keeps its status
        register(Check={**TTL, "CheckID": "ag-d"}, Tags=["new"])
        shown()  # and those that are not named again stay
        for query in ("=false", "=1", "", "=true"):
            register(f"?replace-existing-checks{query}", Check={**TTL, "CheckID": f"ag-e{query}"})
            shown(differs=follows if query in ("=false", "=1") else None)
        register("?replace-existing-checks=true")
        shown()
        ask.put("agent/service/register", {"ID": "ag-r", "Name": "ag-renamed", "Port": 7})
        settle(ask)
        ask.get("catalog/service/ag-again")
        ask.get("catalog/service/ag-renamed")
        ask.put("agent/service/deregister/ag-r")
        settle(ask)
        ask.get("catalog/service/ag-renamed")

    play(scenario)


def test_blocking_by_hash(play: Play) -> None:
    def scenario(ask: World) -> None:
        web = {"Name": "ag-hash", "Port": 1}
        ask.put("agent/service/register", web, record=False)

        def known() -> str:
            return str(ask.get("agent/service/ag-hash", record=False).json["ContentHash"])

        def waits(what: str, change: Any = None, wait: str = "20s") -> None:
            timer = threading.Timer(0.1, change) if change else None
            digest = known()
            if timer:
                timer.start()
            answer = ask.get(f"agent/service/ag-hash?hash={digest}&wait={wait}", record=False)
            facts: dict[str, Any] = {"status": answer.status}
            if answer.status == 200:
                facts["same"] = answer.json["ContentHash"] == digest
                facts["header"] = "x-consul-contenthash" in map(str.lower, answer.headers)
                facts["index"] = "x-consul-index" in map(str.lower, answer.headers)
            ask.note(what, facts)
            if timer:
                timer.join()

        def put(path: str, body: Any = None) -> Any:
            return lambda: ask.put(f"agent/{path}", body, record=False)

        waits("nothing happens", wait="100ms")
        waits("the same again", put("service/register", web), "400ms")
        waits(
            "a check",
            put("check/register", {"Name": "h", "TTL": "1h", "ServiceID": "ag-hash"}),
            "400ms",
        )
        waits("a change", put("service/register", {**web, "Port": 2}))
        waits("the end", put("service/deregister/ag-hash"))
        for query in ("wait=x", "index=x", "hash=x"):
            ask.get(f"agent/service/ag-hash?{query}")
        settle(ask)

    play(scenario)


def test_the_command_line(play: Play, tmp_path: Path) -> None:
    files = {
        "one.json": '{"service": {"name": "ag-1", "port": 80, "tags": ["a"], "meta": {"a": "b"},'
        ' "check": {"ttl": "10m", "id": "ag-x"}}}',
        "many.hcl": 'services { name = "ag-2" id = "ag-2-1" port = 1'
        ' checks = [{ttl = "5m"}, {tcp = "127.0.0.1:1" interval = "1h"}]'
        ' connect { sidecar_service {} } } services { name = "ag-3" }',
        "full.hcl": 'service { name = "ag-4" weights { passing = 3 warning = 2 }'
        ' tagged_addresses { lan { address = "1.1.1.1" port = 2 } }'
        ' address = "10.1.1.1" enable_tag_override = true }',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    def scenario(ask: World) -> None:
        ask.names.add(str(tmp_path), "files")
        for name in files:
            ask.cli("services", "register", str(tmp_path / name))
            ask.get('agent/services?filter=Service contains "ag-"', differs=LATER)
            rows = checks_of(ask, 'ServiceName contains "ag-"')
            for row in rows.values():
                row.pop("Output")
            ask.note("checks", {k: sorted(map(str, v.items())) for k, v in rows.items()})
            ask.cli("services", "deregister", str(tmp_path / name))
            ask.get('agent/services?filter=Service contains "ag-"')
        flags = ("-name=ag-5", "-id=ag-5-1", "-port=99", "-tag=a", "-tag=b", "-meta=k=v")
        ask.cli("services", "register", *flags, "-address=1.2.3.4")
        ask.get('agent/services?filter=Service contains "ag-"')
        ask.cli("services", "deregister", "-id=ag-5-1")
        settle(ask)

    play(scenario, mixed=True)
