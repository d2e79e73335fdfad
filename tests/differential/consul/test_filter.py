"""The filter language, on every endpoint that takes it."""

from __future__ import annotations

from .conftest import Play
from .test_catalog import TEXT, node, nodes
from .world import World

SERVICE = {
    "ID": "flt-1",
    "Service": "flt-web",
    "Port": 80,
    "Address": "10.3.0.2",
    "Tags": ["a", "b-1"],
    "Meta": {"env": "prod", "empty": ""},
    "TaggedAddresses": {"lan": {"Address": "10.3.0.3", "Port": 81}},
    "Weights": {"Passing": 3, "Warning": 2},
}


def test_rows_that_pass(play: Play) -> None:
    names = [
        *("Node == `flt-n`", 'Node == "flt-n"', "Node matches `^flt`"),
        *("Node not matches `^flt`", "Node contains `lt-`", "`lt-` in Node", "x not in Node"),
        *("Node is empty", "Node is not empty", "ID is empty", "Datacenter == dc1"),
        *("Address == `10.1.0.1`", "PeerName is empty", "not Node == `flt-n`"),
        *("TaggedAddresses.lan == `10.3.0.9`", "TaggedAddresses is empty"),
        *("TaggedAddresses[`lan`] != x", "lan in TaggedAddresses", "wan not in TaggedAddresses"),
    ]
    meta = [
        *("Meta.rack == r1", "Meta.rack != r1", "Meta.none == x", "Meta.none != x"),
        *("rack in Meta", "Meta contains rack", "none not in Meta", "Meta is empty"),
        *("Meta.none is empty", "Meta.none is not empty", "Meta[`rack`] matches `r.`"),
        *("Meta.rack contains r", "Meta.none not contains x", 'Meta["a b"] == ""'),
    ]
    service = [
        *("ServiceName == `flt-web`", "ServicePort == 80", "ServicePort != 80"),
        *("ServicePort == `0x50`", "`a` in ServiceTags", "ServiceTags contains `b-1`"),
        *("ServiceTags is empty", "ServiceMeta.env == prod", "ServiceMeta.empty is empty"),
        *("ServiceMeta.none != x", "ServiceWeights.Passing == 3", "NodeMeta.rack == r1"),
        *("ServiceKind is empty", "ServiceKind == ``", "ServiceEnableTagOverride == false"),
        *("ServiceTaggedAddresses.lan.Port == 81", "ServiceTaggedAddresses is empty"),
        *("ServiceConnect.Native == false", "ServiceProxy.DestinationServiceName is empty"),
        *("ServiceProxy.Upstreams is empty", "ServiceAddress matches `^10`"),
        *("ServiceName == `flt-web` and ServicePort == 80 or ServicePort == 1",),
        *("(ServiceName == `flt-web`) and (not ServicePort == 81)",),
    ]
    entry = [
        *("Service.Service == `flt-web`", "Service.Port == 80", "Service.Meta.env == prod"),
        *("`a` in Service.Tags", "Service.Tags is not empty", "Node.Node == `flt-n`"),
        *("Node.Meta.rack == r1", "Checks.Status == passing", "Checks.Status != passing"),
        *("Checks is empty", "Checks is not empty", "Checks.ServiceID == `flt-1`"),
        *("Checks.Name matches `Se`", "Checks.Node == x", "Service.Weights.Warning == 2"),
        *("Service.TaggedAddresses.lan.Address == `10.3.0.3`", "Node.Address is not empty"),
        *("Checks.ServiceTags contains a", "not Checks.Status == passing"),
        *("Service.Connect.Native != true", "Service.SocketPath is empty"),
        *("Checks.Definition.HTTP is empty", "Checks.Type == ttl", "Checks.Output is empty"),
    ]
    own = [
        *("Service == `flt-web`", "Port == 80", "Meta.env == prod", "a in Tags", "Kind is empty"),
        *("Port != 80", "Weights.Passing == 3", "ID matches `flt`", "TaggedAddresses.lan.Port==81"),
    ]
    checks = [
        *("Status == passing", "Status != passing", "ServiceName == `flt-web`", "CheckID == c1"),
        *("Name matches `first`", "ServiceTags contains a", "ServiceID is empty"),
        *("Output contains ok", "Notes is empty", "Type is empty", "Definition is empty"),
        *("ExposedPort == 0", "Interval is empty", "Node == `flt-n`", "Definition.HTTP is empty"),
    ]

    def scenario(ask: World) -> None:
        with nodes(ask, "flt-n", "flt-m"):
            ask.put(
                "catalog/register",
                node(
                    "flt-n",
                    NodeMeta={"rack": "r1"},
                    TaggedAddresses={"lan": "10.3.0.9"},
                    Service=SERVICE,
                    Checks=[
                        {"CheckID": "c1", "Name": "first", "Status": "passing", "Output": "ok"},
                        {"CheckID": "c2", "Name": "Second", "ServiceID": "flt-1"},
                    ],
                ),
                record=False,
            )
            other = {"Service": "flt-web", "Port": 81}
            ask.put("catalog/register", node("flt-m", Service=other), record=False)
            for path, expressions in (
                ("catalog/nodes", [*names, *meta]),
                ("catalog/service/flt-web", service),
                ("catalog/connect/flt-web", service[:2]),
                ("catalog/services", service),
                ("health/service/flt-web", entry),
                ("health/connect/flt-web", entry[:2]),
                ("catalog/node/flt-n", own),
                ("catalog/node-services/flt-n", own),
                ("health/node/flt-n", checks),
                ("health/checks/flt-web", checks),
                ("health/state/any", [f"({one}) and Node matches `flt`" for one in checks]),
            ):
                for one in expressions:
                    ask.get(f"{path}?filter={one}", unordered=path == "catalog/services")

    play(scenario)


def test_filters_that_are_refused(play: Play) -> None:
    def scenario(ask: World) -> None:
        selectors = (
            *("Nope == x", "Node.x == y", "Meta.a.b == c", "node == x", "CreateIndex == 1"),
            *("Locality is empty", "Meta == x", "x in Datacenter.y", "TaggedAddresses matches x"),
            *("Node matches `(`", "ID == x and Nope is empty", "Meta matches x"),
        )
        for one in selectors:
            ask.get(f"catalog/nodes?filter={one}")
        for one in (
            *("ServicePort == x", "ServicePort == 99999999999999999999", "ServicePort matches 8"),
            *("8 in ServicePort", "ServicePort is empty", "ServiceTags == a"),
            *("ServiceTags matches a", "ServiceEnableTagOverride == 2", "ServiceMeta == x"),
            *("ServiceWeights == 1", "ServiceProxy.Config.a == 1", "ServiceProxy.Mode == x"),
            *("ServiceProxy.Upstreams.DestinationName == x", "ServiceLocality.Region == x"),
            *("ServiceEnableTagOverride is empty", "ServiceConnect.SidecarService is empty"),
            *("ServiceProxy.MeshGateway.Mode == x", "ServiceProxy.Expose.Checks == true"),
            *("Meta.x == 1", "ServicePort == 1.5", "ServiceTaggedAddresses.lan == x"),
        ):
            ask.get(f"catalog/service/consul?filter={one}")
        for path in (
            *("catalog/service/nope", "catalog/services", "catalog/node/nope", "health/state/any"),
            *("catalog/node-services/nope", "health/node/nope", "health/checks/nope"),
            *("health/service/nope", "health/connect/nope", "catalog/connect/nope"),
        ):
            ask.get(f"{path}?filter=Nope == x")
        ask.get("health/ingress/nope?filter=Nope == x")
        ask.get(f"catalog/nodes?filter=Node == `{'x' * 600}`")
        ask.get("catalog/nodes?filter=" + " and ".join(["Node == x"] * 40))
        for one in (
            *("x", "Node ==", "== x", "Node = x", "Node == x and", "(Node == x", "Node == x)"),
            *("Node == x y", "Node == `x", "Node is", "Node is not", "not", "()", "Node like x"),
            *("Node and Node", "Node == -x", "Node == 'x'", "Meta[ == x", "Meta[x] == y", " "),
            *(
                "Node == x || Node == y",
                "!Node == x",
                "5 == Node",
                "x in 8",
                "Node != flt-n",
                "ServicePort == 0x50",
            ),
        ):
            ask.get(f"catalog/nodes?filter={one}", differs=TEXT)

    play(scenario)
