"""DNS: settings, prepared queries, weights, permissions."""

from __future__ import annotations

from typing import Any

from .conftest import GUARDED, MANAGEMENT, Play
from .test_dns import EMPTY, MISSING, TYPES, UNASKED_ALL, dig_all, drop, put
from .test_dns_wire import counted
from .world import World

TUNED = {
    "alt_domain": "other.example",
    "dns_config": {
        "node_ttl": "30s",
        "service_ttl": {"*": "10s", "st*": "20s", "stexact": "40s", "stnone": "0s"},
        "soa": {"refresh": 1, "retry": 2, "expire": 3, "min_ttl": 4},
        "udp_answer_limit": 5,
        "a_record_limit": 4,
        "enable_truncate": True,
        "only_passing": True,
        "disable_compression": True,
        "enable_additional_node_meta_txt": False,
    },
}


def put_weighted(ask: World, node: str, service: str, status: str, **more: Any) -> None:
    """An instance with a check of a status."""
    address = f"198.51.100.{len(node) + int(node[-1])}"
    check = {"CheckID": f"c-{node}-{service}", "Name": "c", "Status": status, "ServiceID": service}
    weights = {"Passing": 7, "Warning": 3}
    body = {"Service": service, "Port": 5, "Weights": weights, **more}
    put(ask, node, address, body, Check=check)


def test_weights_follow_the_status(play: Play) -> None:
    def scenario(ask: World) -> None:
        for number, status in enumerate(("passing", "warning", "critical")):
            put_weighted(ask, f"sw{number}", "sw", status)
        dig_all(ask, "sw.service.consul", ("A", "SRV"))
        node_check = {"CheckID": "n", "Name": "n", "Status": "warning"}
        put(ask, "sw0", "198.51.100.3", Check=node_check)
        dig_all(ask, "sw.service.consul", ("A", "SRV"))
        put(ask, "sw0", "198.51.100.3", Check={**node_check, "Status": "critical"})
        dig_all(ask, "sw.service.consul", ("A", "SRV"))
        dig_all(ask, "sw0.node.consul", ("A", "TXT"), {"TXT": EMPTY})
        put(ask, "sw1", "198.51.100.4", Check={**node_check, "Status": "critical"})
        dig_all(ask, "sw.service.consul", ("A", "SRV"))
        drop(ask, "sw0", "sw1", "sw2")

    play(scenario)


def test_settings(play: Play) -> None:
    def scenario(ask: World) -> None:
        for number, status in enumerate(("passing", "warning", "critical", "passing")):
            put_weighted(ask, f"st{number}", "stexact", status, Tags=["Tag"])
        put_weighted(ask, "st0", "stother", "passing", Address="192.0.2.9")
        put_weighted(ask, "st0", "stnone", "passing")
        put_weighted(ask, "st0", "xall", "passing", Address="www.example.com")
        put(ask, "st5", "198.51.100.55", NodeMeta={"a": "b"})
        for domain in ("consul", "other.example"):
            for service in ("stexact", "stother", "stnone"):
                dig_all(ask, f"{service}.service.{domain}", TYPES, {"TXT": UNASKED_ALL}, edns=1232)
            dig_all(ask, f"xall.service.{domain}", ("A", "AAAA", "ANY", "SRV"))
            dig_all(ask, f"_stexact._tag.service.dc1.{domain}", ("A", "SRV"))
            empty = dict.fromkeys(("AAAA", "SRV"), EMPTY)
            dig_all(ask, f"st5.node.{domain}", ("A", "AAAA", "ANY", "TXT", "SRV"), empty)
            dig_all(ask, f"c0000201.addr.{domain}", ("A", "AAAA"), {"AAAA": EMPTY})
            for name in ("nope.service", "nope.node", "x.y", "consul.service"):
                dig_all(ask, f"{name}.{domain}", ("A", "SOA", "NS"))
            apex = {"The domain itself, in DNS": ["rcode"]}
            wrong = {"The domain itself, in DNS": ["answer.0"]} if domain != "consul" else None
            apex["The domain itself, in DNS"] += ["authority.0"] if domain != "consul" else []
            dig_all(ask, domain, ("A", "SOA", "NS"), {"A": apex, "SOA": wrong})
        ask.dig("Stexact.Service.OTHER.example", "SRV")
        for name in ("example", "another.example", "xconsul", "other.example.consul"):
            dig_all(ask, name, ("A", "SOA"))
        ask.dig("55.100.51.198.in-addr.arpa", "PTR")
        ask.dig("1.1.51.198.in-addr.arpa", "PTR")
        drop(ask, "st0", "st1", "st2", "st3", "st5")
        for number in range(1, 13):
            put(ask, f"sl{number}", f"198.51.100.{number}", {"Service": "slimit", "Port": 1})
        for kind in ("A", "ANY", "SRV"):
            for edns in (None, 512, 1232):
                counted(ask, "slimit.service.consul", kind, edns=edns)
            counted(ask, "slimit.service.consul", kind, tcp=True)
        drop(ask, *(f"sl{number}" for number in range(1, 13)))

    play(scenario, TUNED)


def test_prepared_queries(play: Play) -> None:
    def scenario(ask: World) -> None:
        for number, status in enumerate(("passing", "warning", "critical")):
            put_weighted(ask, f"sq{number}", "sq", status, Tags=[f"t{number}", "all"])
        made = []

        def make(name: str, **more: Any) -> str:
            body = {"Name": name, **more}
            made.append(ask.ask("POST", "query", body, record=False).json["ID"])
            return str(made[-1])

        made_id = make("sq-plain", Service={"Service": "sq"})
        make("sq-passing", Service={"Service": "sq", "OnlyPassing": True}, DNS={"TTL": "17s"})
        make("sq-tag", Service={"Service": "sq", "Tags": ["t1"]})
        make("sq-without", Service={"Service": "sq", "Tags": ["!t1"]}, DNS={"TTL": "1500ms"})
        make("sq.with.dots", Service={"Service": "sq"})
        make("sq-none", Service={"Service": "sq-nothing"})
        make("sq-near", Service={"Service": "sq", "Near": "_agent"})
        make("sq-ip", Service={"Service": "sq", "Near": "_ip"})
        make("SQ-Upper", Service={"Service": "sq"})
        make(
            "sq-",
            Template={"Type": "name_prefix_match", "Regexp": "^sq-(.*)-on-(.*)$"},
            Service={"Service": "${match(1)}", "Tags": ["${match(2)}"]},
        )
        ask.names.add(made_id, "query")
        for name in (
            "sq-plain.query.consul",
            f"{made_id}.query.consul",
            "SQ-Plain.Query.Consul",
            "sq-passing.query.consul",
            "sq-tag.query.consul",
            "sq-without.query.consul",
            "sq.with.dots.query.consul",
            "sq-none.query.consul",
            "sq-near.query.consul",
            "sq-ip.query.consul",
            "sq-upper.query.consul",
            "sq-sq-on-t0.query.consul",
            "sq-nope-on-t0.query.consul",
            "sq-mismatch.query.consul",
            "nope.query.consul",
            "query.consul",
            "sq-plain.query.dc1.consul",
            "sq-plain.query.dc2.consul",
            "sq-plain.query.dc1.dc.consul",
            "sq-plain.query.a.b.c.consul",
            "_sq-plain._tcp.query.consul",
            "_sq.with.dots._tcp.query.consul",
            "_sq-plain.query.consul",
            "x.sq-plain.query.consul",
            "00000000-aaaa-bbbb-cccc-000000000000.query.consul",
        ):
            dig_all(ask, name, ("A", "SRV", "AAAA"), edns=1232)
        for one in made:
            ask.delete(f"query/{one}", record=False)
        drop(ask, "sq0", "sq1", "sq2")

    play(scenario)


def test_permissions(play: Play) -> None:
    def scenario(ask: World) -> None:
        put(ask, "sp1", "198.51.100.71", {"Service": "sp", "Port": 1, "Address": "198.51.100.72"})
        query = ask.ask(
            "POST", "query", {"Name": "spq", "Service": {"Service": "sp"}}, record=False
        )

        def look(*, nodes: bool, services: bool) -> None:
            for name in (
                *("sp.service.consul", "spq.query.consul", "nope.query.consul"),
                *("consul.service.consul", "nope.node.consul"),
            ):
                dig_all(ask, name, ("A",))
            dig_all(ask, "sp.service.consul", ("SRV",))
            dig_all(ask, "spq.query.consul", ("SRV",))
            dig_all(ask, "sp1.node.consul", ("A", "SRV"), {"SRV": EMPTY if nodes else MISSING})
            hidden = {"`.connect` names of services one may not read": ["rcode", "authority.0"]}
            ask.dig("sp.connect.consul", differs=None if services else hidden)
            for name in ("71.100.51.198", "72.100.51.198"):
                ask.dig(f"{name}.in-addr.arpa", "PTR")
            dig_all(ask, "x.consul", ("SOA", "NS"), None if nodes and services else {"NS": EMPTY})

        anonymous = "00000000-0000-0000-0000-000000000002"
        look(nodes=False, services=False)
        for rules in (
            'service_prefix "" { policy = "read" }',
            'node_prefix "" { policy = "read" }',
            'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }',
            'query_prefix "" { policy = "read" }',
            'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }'
            ' query_prefix "" { policy = "read" }',
        ):
            policy = ask.put("acl/policy", {"Name": "sp", "Rules": rules}, record=False).json["ID"]
            token = {"AccessorID": anonymous, "Policies": [{"ID": policy}]}
            ask.put(f"acl/token/{anonymous}", token, record=False)
            look(nodes="node_prefix" in rules, services="service_prefix" in rules)
            ask.put(f"acl/token/{anonymous}", {"AccessorID": anonymous}, record=False)
            ask.delete(f"acl/policy/{policy}", record=False)
        ask.delete(f"query/{query.json['ID']}", record=False)
        drop(ask, "sp1")

    play(scenario, GUARDED, token=MANAGEMENT)
