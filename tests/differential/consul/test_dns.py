"""DNS: every form of a name, every type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .conftest import Play
from .world import World

TYPES = ("A", "AAAA", "ANY", "SRV", "TXT", "CNAME", "NS", "SOA", "PTR", "MX", "HTTPS", "CAA")
EMPTY = {"Empty answers, in DNS": ["authority.0"]}
MISSING = {"Empty answers, in DNS": ["authority.0", "rcode"]}
UNASKED = {"Records that were not asked for, in DNS": ["answer.*"]}
UNASKED_ALL = {**UNASKED, **EMPTY}


def put(
    ask: World, node: str, address: str, service: Mapping[str, Any] | None = None, **more: Any
) -> None:
    """Write into the catalog."""
    body = {"Node": node, "Address": address, **more}
    if service is not None:
        body["Service"] = {"ID": service["Service"], **service}
    ask.put("catalog/register", body, record=False)


def drop(ask: World, *nodes: str) -> None:
    """Take nodes out of the catalog."""
    for node in nodes:
        ask.put("catalog/deregister", {"Node": node}, record=False)


def dig_all(
    ask: World,
    name: str,
    kinds: Sequence[str],
    differs: Mapping[str, Mapping[str, Sequence[str]] | None] | None = None,
    **options: Any,
) -> None:
    """Ask for several types; ``differs`` says by type what is meant to differ."""
    for kind in kinds:
        ask.dig(name, kind, differs=(differs or {}).get(kind), **options)


_NODE_TYPES = ("A", "AAAA", "ANY", "SRV", "TXT", "CNAME")
_NOTHING = dict.fromkeys(("SRV", "CNAME", "PTR", "MX", "HTTPS", "CAA"), EMPTY)


def test_nodes(play: Play) -> None:
    def scenario(ask: World) -> None:
        meta = {"key": "value", "rfc1035-spf": "v=spf1", "RFC1035-up": "x", "a=b`c": "d`e"}
        put(ask, "dn1", "198.51.100.1", NodeMeta=meta)
        put(ask, "dn6", "2001:db8::1", NodeMeta={"long": "x" * 250})
        put(ask, "dnname", "www.example.com")
        put(ask, "dn.dots.in.it", "198.51.100.2")
        put(ask, "DN-Upper", "198.51.100.3")
        put(ask, "dn_under", "198.51.100.4")
        put(ask, "dnself", "dn1.node.consul")
        put(ask, "dnloop", "dnloop.node.consul")
        both = {"lan_ipv4": "198.51.100.5", "lan_ipv6": "2001:db8::5"}
        put(ask, "dnboth", "198.51.100.5", TaggedAddresses=both)
        wide = {"lan": "198.51.100.7", "wan": "192.0.2.1", "lan_ipv4": "198.51.100.8"}
        put(ask, "dntagged", "198.51.100.6", TaggedAddresses=wide)
        nothing = {**_NOTHING, "AAAA": EMPTY}
        dig_all(ask, "dn1.node.consul", TYPES, nothing, edns=1232)
        dig_all(ask, "dn1.node.dc1.consul", TYPES, nothing, edns=1232)
        dig_all(ask, "dn6.node.consul", _NODE_TYPES, {**_NOTHING, "A": EMPTY}, edns=512)
        dig_all(ask, "dnname.node.consul", _NODE_TYPES, {**_NOTHING, "TXT": EMPTY})
        for node in ("dn.dots.in.it", "DN-Upper", "dn-upper", "dn_under", "dntagged"):
            dig_all(ask, f"{node}.node.consul", _NODE_TYPES, {**nothing, "TXT": EMPTY})
        others = {**dict.fromkeys(("A", "AAAA", "ANY"), UNASKED), **_NOTHING, "TXT": EMPTY}
        dig_all(ask, "dnself.node.consul", _NODE_TYPES, others, edns=4096)
        dig_all(ask, "dnloop.node.consul", ("A", "AAAA", "ANY"))
        dig_all(ask, "dnboth.node.consul", ("A", "AAAA", "ANY"))
        for name in (
            "DN1.Node.Consul",
            "dn1.node.DC1.consul",
            "dn1.node.dc1.dc.consul",
            "dn1.node.dc2.consul",
            "dn1.node.default.ns.consul",
            "dn1.node.default.ap.consul",
            "dn1.node.default.ns.default.ap.dc1.dc.consul",
            "dn1.node.dc1.cluster.consul",
            "dn1.node.x.peer.consul",
            "dn1.node.other.ns.consul",
            "dn1.node.a.b.consul",
            "dn1.node.a.b.c.consul",
            "nope.node.consul",
            "node.consul",
            "nothing.consul",
            "x.y.z.consul",
            "dn1.consul",
            "_dn1.node.consul",
        ):
            dig_all(ask, name, ("A", "ANY", "SOA", "NS"), edns=1232)
        apex = {"The domain itself, in DNS": ["rcode"]}
        dig_all(ask, "consul", ("A", "ANY", "SOA", "NS"), {"A": apex, "ANY": apex})
        dig_all(ask, "nope.node.consul", ("SRV", "MX"), {"SRV": MISSING, "MX": MISSING})
        drop(ask, "dn1", "dn6", "dnname", "dn.dots.in.it", "DN-Upper", "dn_under", "dnself")
        drop(ask, "dnloop", "dnboth", "dntagged")

    play(scenario)


def test_services(play: Play) -> None:
    def scenario(ask: World) -> None:
        def on_ds1(service: str, **more: Any) -> None:
            put(ask, "ds1", "198.51.100.1", {"Service": service, **more})

        on_ds1("dsw", Port=80, Tags=["v1", "a.b", "UP"])
        put(ask, "ds2", "2001:db8::2", {"Service": "dsw", "Port": 81, "Tags": ["v2"]})
        third = {"Port": 82, "Address": "192.0.2.3", "Tags": ["v3", "udp", "tcp"]}
        put(ask, "ds3", "198.51.100.3", {"Service": "dsw", **third}, NodeMeta={"k": "v"})
        on_ds1("dsx", Address="2001:db8::9")
        on_ds1("dsn", Address="www.example.com")
        on_ds1("dsi", Address="dsw.service.consul", Port=1)
        on_ds1("dss", Address="dss.service.consul", Port=1)
        on_ds1("dsnn", Address="ds1.node.consul", Port=1)
        on_ds1("dssame", Address="198.51.100.1", Port=1)
        put(ask, "dsname", "www.example.org", {"Service": "dse", "Port": 443})
        on_ds1("DsUpper", Port=4)
        on_ds1("ds_under", Port=5)
        on_ds1("ds.dot", Port=6)
        both = {
            "lan_ipv4": {"Address": "192.0.2.8", "Port": 8},
            "lan_ipv6": {"Address": "2001:db8::8", "Port": 9},
        }
        on_ds1("dsmix", Port=7, Address="192.0.2.7", TaggedAddresses=both)
        on_ds1(
            "dsfour", Port=7, Address="2001:db8::7", TaggedAddresses={"lan_ipv4": both["lan_ipv4"]}
        )
        dig_all(ask, "dsw.service.consul", TYPES, {"TXT": UNASKED_ALL})
        dig_all(ask, "dsw.service.consul", TYPES, {"TXT": UNASKED_ALL}, edns=4096)
        for name in ("dsx", "dss", "dsupper", "DSUPPER", "ds_under", "dsmix", "dsfour", "dssame"):
            dig_all(ask, f"{name}.service.consul", _NODE_TYPES, {"TXT": UNASKED_ALL})
        for name in ("dsn", "dse"):
            dig_all(ask, f"{name}.service.consul", _NODE_TYPES)
        other = dict.fromkeys(("A", "AAAA", "TXT", "CNAME"), UNASKED)
        dig_all(ask, "dsi.service.consul", _NODE_TYPES, other, edns=1232)
        del other["A"]
        dig_all(ask, "dsnn.service.consul", _NODE_TYPES, other, edns=1232)
        for name in (
            "v1.dsw.service.consul",
            "V1.dsw.service.consul",
            "up.dsw.service.consul",
            "a.b.dsw.service.consul",
            "nope.dsw.service.consul",
            "_dsw._tcp.service.consul",
            "_dsw._v1.service.consul",
            "_dsw._udp.service.consul",
            "_dsw._nope.service.consul",
            "_dsw._tcp.consul",
            "_dsw._tcp.dc1.consul",
            "_dsw._v1.consul",
            "_dsw.consul",
            "_dsw.service.consul",
            "_dsw._tcp.x.service.consul",
            "dsw.service.dc1.consul",
            "dsw.service.DC1.consul",
            "dsw.service.dc2.consul",
            "dsw.service.dc1.dc.consul",
            "dsw.service.dc2.dc.consul",
            "dsw.service.default.ns.consul",
            "dsw.service.default.ns.dc1.consul",
            "dsw.service.default.ns.default.ap.dc1.dc.consul",
            "dsw.service.p.peer.consul",
            "dsw.service.p.peer.dc1.dc.consul",
            "dsw.service.g.sg.consul",
            "dsw.service.dc1.cluster.consul",
            "dsw.service.a.b.consul",
            "dsw.service.a.b.c.d.consul",
            "service.consul",
            "service.dc1.consul",
            "nope.service.consul",
            "ds.dot.service.consul",
            "dsw.service.service.consul",
            "dsw.node.service.consul",
            "dsw.connect.consul",
            "dsw.connect.dc1.consul",
            "nope.connect.consul",
            "connect.consul",
            "dsw.ingress.consul",
            "ingress.consul",
            "dsw.ingress.dc2.consul",
            "dsw.connect.dc2.consul",
            "virtual.consul",
            "DsW.SerVice.Consul",
        ):
            dig_all(ask, name, ("A", "SRV"))
        ask.dig("dsw.service.node.consul")
        for name in ("dsw.virtual.consul", "dsw.virtual.dc2.consul", "nope.virtual.consul"):
            dig_all(ask, name, ("A", "SRV"), {"A": EMPTY, "SRV": EMPTY})
        drop(ask, "ds1", "ds2", "ds3", "dsname")

    play(scenario)


def test_addresses_in_names(play: Play) -> None:
    kinds = ("A", "AAAA", "ANY", "SRV", "TXT", "NS")

    def scenario(ask: World) -> None:
        others = {"SRV": EMPTY, "TXT": EMPTY}
        for suffix in ("", "dc1.", "dc2.", "a.b."):
            four, six = "c0000201", "20010db8000000000000000000000001"
            dig_all(ask, f"{four}.addr.{suffix}consul", kinds, {**others, "AAAA": EMPTY})
            dig_all(ask, f"{six}.addr.{suffix}consul", kinds, {**others, "A": EMPTY})
        dig_all(ask, "C0000201.addr.consul", kinds, {**others, "AAAA": EMPTY})
        for name in ("c00002", "c00002011", "zzzzzzzz", "x.c0000201", "c000020g"):
            dig_all(ask, f"{name}.addr.consul", kinds)
        dig_all(ask, "addr.consul", kinds)

    play(scenario)


def test_reverse(play: Play) -> None:
    kinds = ("PTR", "ANY", "A", "SOA", "NS", "TXT")

    def scenario(ask: World) -> None:
        put(ask, "dr1", "198.51.100.21", {"Service": "drs", "Address": "198.51.100.22"})
        put(ask, "dr6", "2001:db8::21", {"Service": "drs6", "Address": "2001:db8::22"})
        put(ask, "drn", "name.example")
        six = ".".join(reversed("20010db8000000000000000000000021"))
        seven = ".".join(reversed("20010db8000000000000000000000022"))
        more = {**dict.fromkeys(("A", "NS", "TXT"), UNASKED_ALL), "SOA": UNASKED}
        for name in (
            "21.100.51.198.in-addr.arpa",
            "21.100.51.198.IN-ADDR.Arpa",
            "22.100.51.198.in-addr.arpa",
            "1.0.0.127.in-addr.arpa",
            f"{six}.ip6.arpa",
            f"{seven}.ip6.arpa",
        ):
            dig_all(ask, name, kinds, more)
        for name in ("23.100.51.198.in-addr", "100.51.198.in-addr", "in-addr", "x.y"):
            dig_all(ask, f"{name}.arpa", kinds)
        dig_all(ask, "arpa", kinds)
        ask.dig("21.100.51.198.in-addr.arpa", "PTR", edns=1232)
        ask.dig("21.100.51.198.in-addr.arpa", "PTR", tcp=True)
        drop(ask, "dr1", "dr6", "drn")

    play(scenario)


def test_odd_registrations(play: Play) -> None:
    def scenario(ask: World) -> None:
        odd = ("do space", "do_under", "do.dot", "do" + "x" * 61, "DoUpper", "do\\x")
        for number, node in enumerate(odd):
            put(ask, node, f"198.51.100.{80 + number}", {"Service": "dodd", "Port": number})
        put(ask, "do1", "198.51.100.90", {"Service": "do one", "Port": 1})
        put(ask, "do1", "198.51.100.90", {"Service": "dotag", "Tags": ["a b", "", "A.B"]})
        put(ask, "do1", "198.51.100.90", {"Service": "dobad", "Address": "not a name!", "Port": 1})
        put(
            ask,
            "do1",
            "198.51.100.90",
            {"Service": "doempty", "Address": "www.example.", "Port": 1},
        )
        put(ask, "do1", "198.51.100.90", {"Service": "dozero", "Address": "0.0.0.0", "Port": 0})
        put(ask, "do1", "198.51.100.90", {"Service": "domapped", "Address": "::ffff:192.0.2.1"})
        put(ask, "do1", "198.51.100.90", {"Service": "doweights", "Weights": {"Passing": 70000}})
        found = {"Names with spaces or backslashes, in DNS": ["*"]}
        dig_all(ask, "dodd.service.consul", ("A",), edns=4096)
        for node in odd:
            quoted = found if set(node) & {" ", "\\"} else None
            name = node.replace("\\", r"\\")
            dig_all(ask, f"{name}.node.consul", ("A",), {"A": quoted}, edns=1232)
        for name in ("dobad", "doempty", "dozero", "domapped"):
            dig_all(ask, f"{name}.service.consul", ("A", "AAAA", "SRV"))
        dig_all(ask, "do one.service.consul", ("A", "SRV"), {"A": found, "SRV": found})
        dig_all(ask, "a b.dotag.service.consul", ("A",), {"A": found})
        dig_all(ask, "a.b.dotag.service.consul", ("A",))
        drop(ask, *odd, "do1")

    play(scenario)


def test_the_mesh(play: Play) -> None:
    def scenario(ask: World) -> None:
        proxy = {"Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "dm"}, "Port": 2}
        put(ask, "dm1", "198.51.100.95", {"Service": "dm", "Port": 1})
        put(ask, "dm1", "198.51.100.95", {"Service": "dm-proxy", **proxy})
        native = {"Service": "dmnative", "Port": 3, "Connect": {"Native": True}}
        put(ask, "dm2", "198.51.100.96", native)
        gateway = {"Service": "dmgate", "Port": 4, "Kind": "mesh-gateway"}
        put(ask, "dm2", "198.51.100.96", gateway)
        for name in ("dm", "dm-proxy", "dmnative", "dmgate"):
            dig_all(ask, f"{name}.service.consul", ("A", "SRV"))
            dig_all(ask, f"{name}.connect.consul", ("A", "SRV"))
        dig_all(ask, "dm.connect.dc1.dc.consul", ("A", "SRV"))
        dig_all(ask, "tag.dm.connect.consul", ("A",))
        dig_all(ask, "dm.ingress.consul", ("A",))
        drop(ask, "dm1", "dm2")

    play(scenario)
