"""The health of services and nodes: what counts, what is shown, in which order."""

from __future__ import annotations

from functools import partial

from .conftest import GUARDED, MANAGEMENT, Play
from .test_catalog import node, nodes
from .world import World


def test_what_passes(play: Play) -> None:
    def scenario(ask: World) -> None:
        with nodes(ask, "hea-1", "Hea-2", "hea-10"):
            ask.put(
                "catalog/register",
                node(
                    "hea-1",
                    NodeMeta={"rack": "r1", "x": "y"},
                    Service={"Service": "hea-web", "Tags": ["Blue", "v1"], "Port": 1},
                    Checks=[
                        {"CheckID": "z", "Name": "z", "Status": "passing"},
                        {"CheckID": "B", "Name": "b", "ServiceID": "hea-web", "Status": "passing"},
                        {"CheckID": "a", "Name": "a", "ServiceID": "hea-web", "Status": "warning"},
                    ],
                ),
            )
            for service in ("b", "A", "c"):
                ask.put(
                    "catalog/register",
                    node(
                        "Hea-2",
                        NodeMeta={"rack": "r2"},
                        Service={"ID": service, "Service": "hea-web", "Tags": ["v1"]},
                        Check={
                            "CheckID": f"of-{service}",
                            "ServiceID": service,
                            "Status": "passing",
                        },
                    ),
                )
            ask.put(
                "catalog/register",
                node(
                    "hea-10",
                    Service={"Service": "hea-web", "Tags": ["v2", "blue"]},
                    Checks=[
                        {"CheckID": "m", "Status": "critical"},
                        {"CheckID": "s", "ServiceID": "hea-web", "Status": "passing"},
                    ],
                ),
            )
            for path in (
                *("health/service/hea-web", "catalog/service/hea-web", "health/checks/hea-web"),
                *("health/node/hea-1", "health/node/HEA-1", "health/node/Hea-2"),
                *("health/service/HEA-WEB", "health/checks/HEA-web", "catalog/node/hea-2"),
                *("catalog/node-services/Hea-2", "health/state/critical", "health/state/warning"),
                *("health/state/PASSING", "health/state/nope", "health/state/unknown"),
            ):
                ask.get(path)
            for query in (
                *("passing", "passing=true", "passing=1", "passing=false", "passing=0"),
                *("passing=x", "passing=", "tag=v1", "tag=V1", "tag=v1&tag=blue", "tag=nope"),
                *("tag=", "tag=v1&passing", "node-meta=rack:r1", "node-meta=rack:r1&node-meta=x:y"),
                *("node-meta=rack:r1&node-meta=rack:r2", "node-meta=x", "node-meta=rack:nope"),
                *("near=hea-1", "near=_agent", "near=nope", "sort=x", "tag=v1&node-meta=rack:r2"),
                *("passing&filter=Node.Node==`hea-1`", "filter=Checks.Status==warning"),
            ):
                for kind in ("health", "catalog"):
                    ask.get(f"{kind}/service/hea-web?{query}", unordered="passing" in query)
            for query in ("node-meta=rack:r1", "node-meta=x:z", "near=_agent", "passing", "tag=v1"):
                ask.get(f"health/checks/hea-web?{query}")
                ask.get(f"health/node/hea-1?{query}")
                ask.get(f"health/state/warning?{query}")
            ask.get("catalog/nodes?node-meta=rack:r1")
            ask.get("catalog/services?node-meta=rack:r1", unordered=True)
            ask.get("catalog/services?node-meta=rack:nope")

    play(scenario)


def test_requests_of_every_endpoint(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in (
            *("health/node/node-1", "health/node/nope", "health/checks/consul"),
            *("health/checks/nope", "health/service/consul", "health/service/nope"),
            *("health/connect/consul", "health/ingress/consul", "health/state/any"),
            *("health/state/passing", "health/state/nope"),
        ):
            for query in (
                *("", "dc=dc1", "dc=dc9", "stale", "consistent", "leader", "stale&consistent"),
                *("max_stale=5s", "max_stale=x", "index=x", "index=-1", "wait=x", "near=_agent"),
                *("node-meta=a:b", "pretty", "merge-central-config"),
                *("filter=", "nonsense", "peer="),
            ):
                ask.get(f"{path}?{query}" if query else path)
        for path in ("node", "checks", "state"):
            ask.get(f"health/{path}/node-1?peer=p&sg=x")
        for path in ("service", "connect", "ingress"):
            ask.get(f"health/{path}/consul?peer=p")
            ask.get(f"health/{path}/consul?sg=x")
        for path in ("node", "checks", "service", "connect", "ingress", "state"):
            ask.get(f"health/{path}/")
            ask.ask("POST", f"health/{path}/x")
            ask.get(f"health/{path}/a/b")

    play(scenario)


def test_who_may_see_it(play: Play) -> None:
    rules = 'node_prefix "hea-" { policy = "read" } service "hea-web" { policy = "read" }'

    def scenario(ask: World) -> None:
        with nodes(ask, "hea-3", "hidden"):
            ask.put("acl/policy", {"Name": "hea", "Rules": rules}, record=False)
            body = {"Policies": [{"Name": "hea"}]}
            token = ask.put("acl/token", body, record=False).json
            try:
                for name in ("hea-3", "hidden"):
                    for service in ("hea-web", "hea-db"):
                        ask.put(
                            "catalog/register",
                            node(
                                name,
                                Service={"Service": service, "Port": 1},
                                Checks=[
                                    {"CheckID": service, "ServiceID": service, "Status": "passing"},
                                    {"CheckID": "n", "Status": "passing"},
                                ],
                            ),
                            record=False,
                        )
                for secret in (token["SecretID"], "", MANAGEMENT):
                    for path in (
                        *("catalog/nodes", "catalog/services", "catalog/datacenters"),
                        *("catalog/service/hea-web", "catalog/service/hea-db"),
                        *("catalog/node/hea-3", "catalog/node/hidden", "catalog/node/nope"),
                        *("catalog/node-services/hea-3", "catalog/node-services/hidden"),
                        *("health/node/hea-3", "health/node/hidden", "health/checks/hea-web"),
                        *("health/checks/hea-db", "health/service/hea-web"),
                        *("health/service/hea-db", "health/connect/hea-db", "health/state/passing"),
                        *("health/service/hea-web?passing", "catalog/gateway-services/hea-web"),
                        *("catalog/gateway-services/hea-db", "health/ingress/hea-db"),
                    ):
                        ask.get(path, token=secret, unordered=True)
                    for body in (
                        node("hea-4"),
                        node("hea-3", Service={"Service": "hea-web", "Port": 1}),
                        node("hea-3", Check={"CheckID": "n", "Status": "passing"}),
                        node("hea-3"),
                    ):
                        if secret != MANAGEMENT:
                            ask.put("catalog/register", body, token=secret)
                    for gone in (
                        {"Node": "hea-3"},
                        {"Node": "hea-3", "ServiceID": "hea-web"},
                        {"Node": "hea-3", "CheckID": "n"},
                        {"Node": "hea-3", "ServiceID": "nope"},
                        {"Node": "nope"},
                    ):
                        if secret != MANAGEMENT:
                            ask.put("catalog/deregister", gone, token=secret)
                policy = ask.get("acl/policy/name/hea", record=False).json
                ask.put(
                    f"acl/policy/{policy['ID']}",
                    {"Name": "hea", "Rules": 'node_prefix "hea-" { policy = "read" }'},
                    record=False,
                )
                for path in ("catalog/node/hea-3", "catalog/node-services/hea-3"):
                    ask.get(path, token=token["SecretID"])
                ask.get("catalog/nodes", token="22222222-2222-4333-8444-555555555555")
            finally:
                ask.delete(f"acl/token/{token['AccessorID']}", record=False)
                policy = ask.get("acl/policy/name/hea", record=False).json
                ask.delete(f"acl/policy/{policy['ID']}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)


def test_the_nearest_first(play: Play) -> None:
    def scenario(ask: World) -> None:
        names = ("near-c", "near-a", "near-b")
        with nodes(ask, *names, "near-none"):
            for name in (*names, "near-none"):
                body = node(name, Service={"Service": "near-web", "Port": 1}, Check={"Name": "n"})
                ask.put("catalog/register", body, record=False)
            for place, name in enumerate(names):
                vector = [0.1 * place, *[0.0] * 7]
                coordinate = {"Vec": vector, "Error": 0.1, "Adjustment": 0.0, "Height": 1e-5}
                ask.put("coordinate/update", {"Node": name, "Coord": coordinate}, record=False)
            ask.until(
                lambda: all(
                    ask.get(f"coordinate/node/{name}", record=False).status == 200 for name in names
                ),
                "coordinates of all",
            )
            for near in ("near-c", "near-a", "near-b", "NEAR-B", "near-none", "nope"):
                for path in (
                    *("catalog/service/near-web", "health/service/near-web"),
                    *("health/checks/near-web", "catalog/nodes", "health/state/critical"),
                ):
                    found = ask.get(f"{path}?near={near}", record=False).json
                    listed = [
                        row["Node"] if isinstance(row["Node"], str) else row["Node"]["Node"]
                        for row in found
                    ]
                    order = [name for name in listed if name.startswith("near-")]
                    ask.note(f"{path} near {near}", {"order": order})

    play(scenario)


def test_answers_that_may_be_old(play: Play) -> None:
    def scenario(ask: World) -> None:
        cached = {"`?cached`": ["header.x-cache", "header.age"]}
        for path in ("catalog/services", "catalog/service/consul", "catalog/nodes"):
            ask.get(path, headers={"Cache-Control": "max-age=5"})
            ask.get(path, headers={"Cache-Control": "max-age=x"})
            ask.get(path, headers={"Cache-Control": "must-revalidate"})
            ask.get(path, headers={"Cache-Control": "stale-if-error=5"})
            ask.get(path, headers={"Cache-Control": "no-store"})
            ask.get(f"{path}?stale&max_stale=1ms")
            ask.get(f"{path}?cached", differs=cached if "service" in path else None)

    play(scenario)


def test_services_of_the_agent_in_the_catalog(play: Play) -> None:
    def scenario(ask: World) -> None:
        def shown(name: str, count: int = 1) -> None:
            ask.until(
                lambda: len(ask.get(f"catalog/service/{name}", record=False).json) == count,
                f"{count} of {name} in the catalog",
            )
            ask.get(f"catalog/service/{name}")
            ask.get(f"health/service/{name}")
            ask.get(f"health/checks/{name}")
            ask.get(f"catalog/connect/{name}")

        def maintained(name: str) -> bool:
            found = ask.get(f"health/service/{name}", record=False).body
            return b"_service_maintenance" in found

        for body in (
            {"Name": "hea-plain"},
            {
                "Name": "hea-full",
                "ID": "full-1",
                "Tags": ["a", "b"],
                "Meta": {"k": "v"},
                "Address": "10.4.0.1",
                "Port": 80,
                "Weights": {"Passing": 5, "Warning": 2},
                "EnableTagOverride": True,
                "TaggedAddresses": {"wan": {"Address": "1.2.3.4", "Port": 81}},
                "Check": {"TTL": "1h", "Status": "passing", "Notes": "n"},
            },
            {
                "Name": "hea-checked",
                "Checks": [
                    {"TTL": "1h"},
                    {"Name": "named", "CheckID": "own", "TTL": "2h", "Status": "warning"},
                    {"HTTP": "http://127.0.0.1:1/", "Interval": "24h", "Timeout": "2s"},
                ],
            },
            {"Name": "hea-six", "Address": "::1", "Port": 1},
        ):
            name = str(body["Name"])
            try:
                ask.put("agent/service/register", body)
                shown(name)
                ask.put(f"agent/service/maintenance/{body.get('ID', name)}?enable=true&reason=r")
                ask.until(partial(maintained, name), "maintenance")
                shown(name)
            finally:
                ask.put(f"agent/service/deregister/{body.get('ID', name)}")
            shown(name, 0)

    play(scenario)
