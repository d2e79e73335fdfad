"""What the DNS interface answers, by the state: the forms and record types of Consul's."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dns.message
import pytest

from portway.discovery.acl import AclNotFoundError, Authorizer, Permissions, parse_rules
from portway.discovery.dns import DnsSettings, Executed, Soa, answers
from portway.discovery.model import Connect, ServicePort, Weights, plain_proxy
from tests.unit.dns_world import World, code, flags, lines, order

META = {"zone": "a", "rfc1035-note": "plain"}


def small() -> World:
    """Two nodes, services of every kind on them."""
    world = World()
    world.node("n1", "10.0.0.1", META)
    world.node("n2", "10.0.0.2", tagged={"lan_ipv6": "2001:db8::2"})
    world.node("n6", "2001:db8::6")
    world.node("a.b", "10.0.0.7")
    world.node("ext", "db.example.org")
    world.service("n1", "consul", port=8300)
    world.service("n1", "web", port=80, tags=["v1", "Blue", "a.b"])
    world.service("n2", "web", port=81, tags=["v2"], weights=Weights(5, 2))
    world.service("n1", "own", address="10.1.0.1", port=90)
    world.service("n1", "own6", address="2001:db8::1", port=91)
    world.service("n1", "both", address="10.1.0.1", tagged={"lan_ipv6": "2001:db8::9"})
    world.service("n2", "two", id="two-a", port=1)
    world.service("n2", "two", id="two-b", port=2)
    world.service("n2", "two", id="two-c", port=2)
    world.service("ext", "db", port=5432)
    world.service("n1", "alias", address="web.service.consul", port=7)
    world.service("n1", "cdn", address="cdn.example.org.", port=443)
    world.service("n1", "loop", address="loop2.service.consul")
    world.service("n1", "loop2", address="loop.service.consul")
    world.service("n2", "self", address="self.service.consul")
    world.service(
        "n1",
        "ports",
        port=0,
        ports=[ServicePort("admin", 9000), ServicePort("http", 8080, default=True)],
    )
    world.service("n1", "vip", tagged={"consul-virtual": "240.0.0.1"})
    proxy = plain_proxy()
    proxy.destination_service_name = "web"
    world.service("n1", "web-proxy", kind="connect-proxy", port=20000, proxy=proxy)
    world.service("n2", "native", connect=Connect(native=True), port=70)
    world.service("n6", "six", port=6)
    return world


SIX = "20010db8000000000000000000000002"
WEB = {"web.service.consul. 0 A 10.0.0.1", "web.service.consul. 0 A 10.0.0.2"}


def a(name: str, *addresses: str) -> set[str]:
    return {f"{name}. 0 {'AAAA' if ':' in each else 'A'} {each}" for each in addresses}


ANSWERS = [
    ("web.service.consul", "A", WEB),
    ("WEB.Service.CONSUL", "A", a("WEB.Service.CONSUL", "10.0.0.1", "10.0.0.2")),
    ("web.service.dc1.consul", "A", a("web.service.dc1.consul", "10.0.0.1", "10.0.0.2")),
    ("web.service.dc1.dc.consul", "A", a("web.service.dc1.dc.consul", "10.0.0.1", "10.0.0.2")),
    ("v1.web.service.consul", "A", a("v1.web.service.consul", "10.0.0.1")),
    ("blue.web.service.consul", "A", a("blue.web.service.consul", "10.0.0.1")),
    ("a.b.web.service.consul", "A", a("a.b.web.service.consul", "10.0.0.1")),
    ("_web._v2.service.consul", "A", a("_web._v2.service.consul", "10.0.0.2")),
    ("web.service.consul", "AAAA", a("web.service.consul", "2001:db8::2")),
    ("web.service.consul", "ANY", a("web.service.consul", "10.0.0.1", "2001:db8::2")),
    ("own.service.consul", "A", a("own.service.consul", "10.1.0.1")),
    ("own6.service.consul", "AAAA", a("own6.service.consul", "2001:db8::1")),
    ("both.service.consul", "A", a("both.service.consul", "10.1.0.1")),
    ("both.service.consul", "AAAA", a("both.service.consul", "2001:db8::9")),
    ("two.service.consul", "A", a("two.service.consul", "10.0.0.2")),
    ("n1.node.consul", "A", a("n1.node.consul", "10.0.0.1")),
    ("N1.node.dc1.consul", "A", a("N1.node.dc1.consul", "10.0.0.1")),
    ("a.b.node.consul", "A", a("a.b.node.consul", "10.0.0.7")),
    ("n2.node.consul", "AAAA", a("n2.node.consul", "2001:db8::2")),
    ("n6.node.consul", "AAAA", a("n6.node.consul", "2001:db8::6")),
    (
        "n1.node.consul",
        "TXT",
        {'n1.node.consul. 0 TXT "zone=a"', 'n1.node.consul. 0 TXT "plain"'},
    ),
    (
        "n1.node.consul",
        "ANY",
        {
            "n1.node.consul. 0 A 10.0.0.1",
            'n1.node.consul. 0 TXT "zone=a"',
            'n1.node.consul. 0 TXT "plain"',
        },
    ),
    ("ext.node.consul", "A", {"ext.node.consul. 0 CNAME db.example.org."}),
    ("db.service.consul", "A", {"db.service.consul. 0 CNAME db.example.org."}),
    ("cdn.service.consul", "AAAA", {"cdn.service.consul. 0 CNAME cdn.example.org."}),
    (
        "alias.service.consul",
        "A",
        {"alias.service.consul. 0 CNAME web.service.consul.", *WEB},
    ),
    ("cdn.service.consul", "MX", {"cdn.service.consul. 0 CNAME cdn.example.org."}),
    ("alias.service.consul", "CNAME", {"alias.service.consul. 0 CNAME web.service.consul."}),
    ("self.service.consul", "A", a("self.service.consul", "10.0.0.2")),
    ("web.connect.consul", "A", a("web.connect.consul", "10.0.0.1")),
    ("native.connect.consul", "A", a("native.connect.consul", "10.0.0.2")),
    ("vip.virtual.consul", "A", a("vip.virtual.consul", "240.0.0.1")),
    ("0a000001.addr.consul", "A", a("0a000001.addr.consul", "10.0.0.1")),
    ("0A000001.addr.dc1.consul", "A", a("0A000001.addr.dc1.consul", "10.0.0.1")),
    (
        "20010db8000000000000000000000001.addr.consul",
        "AAAA",
        a("20010db8000000000000000000000001.addr.consul", "2001:db8::1"),
    ),
    ("1.0.0.10.in-addr.arpa", "PTR", {"1.0.0.10.in-addr.arpa. 0 PTR n1.node.dc1.consul."}),
    ("1.0.1.10.in-addr.arpa", "PTR", {"1.0.1.10.in-addr.arpa. 0 PTR both.service.dc1.consul."}),
    ("consul", "NS", {"consul. 0 NS n1.node.dc1.consul."}),
    (
        "web.service.consul",
        "SRV",
        {
            "web.service.consul. 0 SRV 1 1 80 n1.node.dc1.consul.",
            f"web.service.consul. 0 SRV 1 5 81 {SIX}.addr.dc1.consul.",
        },
    ),
    ("_web._v1.consul", "SRV", {"_web._v1.consul. 0 SRV 1 1 80 n1.node.dc1.consul."}),
    ("own.service.consul", "SRV", {"own.service.consul. 0 SRV 1 1 90 0a010001.addr.dc1.consul."}),
    (
        "own6.service.consul",
        "SRV",
        {"own6.service.consul. 0 SRV 1 1 91 20010db8000000000000000000000001.addr.dc1.consul."},
    ),
    (
        "two.service.consul",
        "SRV",
        {
            f"two.service.consul. 0 SRV 1 1 1 {SIX}.addr.dc1.consul.",
            f"two.service.consul. 0 SRV 1 1 2 {SIX}.addr.dc1.consul.",
        },
    ),
    ("db.service.consul", "SRV", {"db.service.consul. 0 SRV 1 1 5432 db.example.org."}),
    ("alias.service.consul", "SRV", {"alias.service.consul. 0 SRV 1 1 7 web.service.consul."}),
    ("ports.service.consul", "SRV", {"ports.service.consul. 0 SRV 1 1 8080 n1.node.dc1.consul."}),
    (
        "ports.service.admin.port.consul",
        "SRV",
        {"ports.service.admin.port.consul. 0 SRV 1 1 9000 n1.node.dc1.consul."},
    ),
    (
        "web.connect.consul",
        "SRV",
        {"web.connect.consul. 0 SRV 1 1 20000 n1.node.dc1.consul."},
    ),
]


@pytest.mark.parametrize(("name", "kind", "wanted"), ANSWERS)
@pytest.mark.parametrize("how", [{}, {"edns": 1232}, {"tcp": True}], ids=["udp", "edns", "tcp"])
def test_the_answer_to(name: str, kind: str, wanted: set[str], how: dict[str, Any]) -> None:
    reply = small().ask(name, kind, **how)
    assert (code(reply), lines(reply.answer)) == ("NOERROR", wanted)
    assert str(reply.question[0].name) == f"{name}."
    assert "AA" in flags(reply)


@pytest.mark.parametrize(
    "name",
    [
        "nope.service.consul",
        "nope.web.service.consul",
        "web.service.dc2.consul",
        "web.service.dc2.dc.consul",
        "web.service.far.peer.consul",
        "web.nonsense.consul",
        "nope.node.consul",
        "nope.connect.consul",
        "web.ingress.consul",
        "nope.query.consul",
        "0a00.addr.consul",
        "service.consul",
        "9.0.0.10.in-addr.arpa",
        "10.in-addr.arpa",
    ],
)
def test_an_unknown_name_does_not_exist(name: str) -> None:
    reply = small().ask(name, "PTR" if name.endswith("arpa") else "A")
    assert (code(reply), reply.answer) == ("NXDOMAIN", [])
    (soa,) = lines(reply.authority)
    assert soa.startswith("consul. 0 SOA ns.consul. hostmaster.consul. ")
    assert soa.endswith(" 3600 600 86400 0")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("web.service.consul", "MX"),
        ("web.service.consul", "TXT"),
        ("own.service.consul", "AAAA"),
        ("n1.node.consul", "AAAA"),
        ("n1.node.consul", "SRV"),
        ("n2.node.consul", "TXT"),
        ("vip.virtual.consul", "AAAA"),
        ("web.virtual.consul", "A"),
        ("ext.node.consul", "CNAME"),
        ("1.0.0.10.in-addr.arpa", "A"),
        ("0a000001.addr.consul", "AAAA"),
        ("consul", "A"),
    ],
)
def test_a_known_name_without_such_a_record_is_empty(name: str, kind: str) -> None:
    reply = small().ask(name, kind)
    assert (code(reply), reply.answer) == ("NOERROR", [])
    assert {line.split()[2] for line in lines(reply.authority)} == {"SOA"}


def test_srv_answers_bring_addresses_and_metadata_of_their_targets() -> None:
    assert lines(small().ask("web.service.consul", "SRV").additional) == {
        "n1.node.dc1.consul. 0 A 10.0.0.1",
        'n1.node.dc1.consul. 0 TXT "zone=a"',
        'n1.node.dc1.consul. 0 TXT "plain"',
        f"{SIX}.addr.dc1.consul. 0 AAAA 2001:db8::2",
    }
    assert lines(small().ask("own.service.consul", "SRV").additional) == {
        "0a010001.addr.dc1.consul. 0 A 10.1.0.1",
        'n1.node.dc1.consul. 0 TXT "zone=a"',
        'n1.node.dc1.consul. 0 TXT "plain"',
    }
    assert lines(small().ask("alias.service.consul", "SRV").additional) >= WEB


def test_two_ports_of_a_node_share_its_address() -> None:
    packet = small().send(dns.message.make_query("two.service.consul", "SRV").to_wire())
    assert packet is not None
    answers, additional = packet[6:8], packet[10:12]
    assert (answers, additional) == (b"\0\2", b"\0\1")


def test_metadata_of_a_node_comes_with_its_address_unless_switched_off() -> None:
    world = small()
    reply = world.ask("n1.node.consul")
    assert lines(reply.additional) == {
        'n1.node.consul. 0 TXT "zone=a"',
        'n1.node.consul. 0 TXT "plain"',
    }
    world = World(enable_additional_node_meta_txt=False)
    world.node("n1", "10.0.0.1", META)
    world.service("n1", "web")
    assert world.ask("n1.node.consul").additional == []
    assert {
        line.split()[2] for line in lines(world.ask("web.service.consul", "SRV").additional)
    } == {"A"}
    assert len(world.answer("n1.node.consul", "TXT")) == 2


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("a", "b", "a=b"),
        ("a=b", "c=d", "a`=b=c=d"),
        (" a ", "x", "` a` =x"),
        ("`", "`", "``=``"),
        ("RFC1035-x", "bare", "bare"),
        ("long", "y" * 300, "long=" + "y" * 300),
        ("empty", "", "empty="),
        ("  ", "v", "` ` =v"),
    ],
)
def test_metadata_as_text(key: str, value: str, wanted: str) -> None:
    world = World()
    world.node("n", "10.0.0.1", {key: value})
    (record,) = world.ask("n.node.consul", "TXT", edns=4096).answer[0]
    assert b"".join(record.strings).decode() == wanted
    assert all(len(part) <= 255 for part in record.strings)


def test_names_that_stand_for_each_other_end() -> None:
    reply = small().ask("loop.service.consul")
    assert code(reply) == "NOERROR"
    assert 1 <= len(reply.answer) <= 4
    world = World()
    world.node("n", "n.node.consul")
    assert code(world.ask("n.node.consul")) == "NOERROR"


def test_the_soa_record_of_the_domain_comes_with_servers() -> None:
    for name in ("consul", "web.service.consul"):
        reply = small().ask(name, "SOA")
        (soa,) = lines(reply.answer)
        assert soa.startswith("consul. 0 SOA ns.consul. hostmaster.consul. ")
        assert lines(reply.authority) == {"consul. 0 NS n1.node.dc1.consul."}
        assert lines(reply.additional) == {"n1.node.dc1.consul. 0 A 10.0.0.1"}


def test_at_most_three_servers_in_any_order() -> None:
    world = World()
    for number in range(5):
        world.node(f"s{number}", f"10.0.0.{number}")
        world.service(f"s{number}", "consul", port=8300)
    seen = set()
    for _ in range(100):
        reply = world.ask("consul", "NS", edns=1232)
        assert len(order(reply)) == 3
        assert len(lines(reply.additional)) == 3
        seen |= set(order(reply))
    assert len(seen) == 5


def test_health_decides_who_is_shown() -> None:
    world = World()
    for node, status in (("p", "passing"), ("w", "warning"), ("c", "critical"), ("m", "passing")):
        world.node(node, f"10.0.0.{ord(node)}")
        world.service(node, "web", weights=Weights(7, 3))
        world.check(node, "alive", status, "web")  # type: ignore[arg-type]
    assert order_of(world, "web.service.consul", "SRV") == {
        "1 7 80 p.node.dc1.consul.",
        "1 3 80 w.node.dc1.consul.",
        "1 7 80 m.node.dc1.consul.",
    }
    world.check("m", "_node_maintenance", "critical")
    world.check("w", "serfHealth", "critical")
    assert world.answer("web.service.consul") == a("web.service.consul", "10.0.0.112")
    world.check("w", "serfHealth", "passing")
    assert len(world.answer("web.service.consul")) == 2
    world.check("p", "alive", "critical", "web")
    world.check("w", "alive", "critical", "web")
    assert code(world.ask("web.service.consul")) == "NXDOMAIN"
    assert world.answer("c.node.consul")


def order_of(world: World, name: str, kind: str) -> set[str]:
    return set(order(world.ask(name, kind)))


def test_only_passing_leaves_warnings_out() -> None:
    world = World(only_passing=True)
    for node, status in (("p", "passing"), ("w", "warning")):
        world.node(node, f"10.0.0.{ord(node)}")
        world.service(node, "web")
        world.check(node, "alive", status, "web")  # type: ignore[arg-type]
    assert world.answer("web.service.consul") == a("web.service.consul", "10.0.0.112")


def test_every_change_shows_at_once() -> None:
    world = World()
    world.node("n1", "10.0.0.1")
    for _ in range(3):  # asked often enough to be kept in every form
        assert code(world.ask("web.service.consul")) == "NXDOMAIN"
    world.service("n1", "web", port=1)
    for port in (2, 3):
        for _ in range(3):
            assert len(world.answer("web.service.consul")) == 1
            assert order(world.ask("web.service.consul", "SRV")) == (
                f"1 1 {port - 1} n1.node.dc1.consul.",
            )
        world.service("n1", "web", port=port)
    world.node("n1", "10.9.9.9")
    assert world.answer("web.service.consul") == a("web.service.consul", "10.9.9.9")
    assert world.answer("n1.node.consul") == a("n1.node.consul", "10.9.9.9")
    assert order_of(world, "9.9.9.10.in-addr.arpa", "PTR") == {"n1.node.dc1.consul."}
    assert code(world.ask("1.0.0.10.in-addr.arpa", "PTR")) == "NXDOMAIN"
    world.remove("n1", "web")
    assert code(world.ask("web.service.consul")) == "NXDOMAIN"
    world.service("n1", "web")
    assert code(world.ask("web.service.consul")) == "NOERROR"


@pytest.mark.parametrize(
    ("kind", "how"), [("A", {}), ("SRV", {"edns": 1232}), ("A", {"tcp": True})]
)
def test_every_order_is_as_likely(kind: str, how: dict[str, Any]) -> None:
    world = World()
    for number in range(3):
        world.node(f"n{number}", f"10.0.0.{number}")
        world.service(f"n{number}", "web")
    seen = Counter(order(world.ask("web.service.consul", kind, **how)) for _ in range(1200))
    assert len(seen) == 6
    assert min(seen.values()) > 120  # 200 expected; 120 is more than six deviations away


def test_any_three_of_many_are_as_likely() -> None:
    world = World()
    for number in range(40):
        world.node(f"n{number}", f"10.0.0.{number}")
        world.service(f"n{number}", "web")
    seen: Counter[str] = Counter()
    for _ in range(2000):
        seen.update(order(world.ask("web.service.consul")))
    assert len(seen) == 40
    assert min(seen.values()) > 75  # 150 expected


def test_times_to_live() -> None:
    world = World(
        node_ttl=30.9,
        service_ttl={"web": 5, "we*": 6, "wea*": 7, "*": 8},
    )
    world.node("n", "10.0.0.1")
    world.node("x", "example.org")
    for name in ("web", "wet", "Weather", "other"):
        world.service("n", name)
    for name, ttl in (("web", 5), ("wet", 6), ("Weather", 7), ("other", 8)):
        assert world.answer(f"{name}.service.consul") == {
            f"{name}.service.consul. {ttl} A 10.0.0.1"
        }
    srv = world.ask("web.service.consul", "SRV")
    assert {each.ttl for each in (*srv.answer, *srv.additional)} == {5}
    assert world.answer("n.node.consul") == {"n.node.consul. 30 A 10.0.0.1"}
    assert world.answer("x.node.consul") == {"x.node.consul. 30 CNAME example.org."}
    assert world.answer("0a000001.addr.consul") == {"0a000001.addr.consul. 30 A 10.0.0.1"}


def test_negative_answers_live_as_long_as_the_soa_says() -> None:
    world = World(soa=Soa(1, 2, 3, 4))
    (soa,) = lines(world.ask("nope.consul").authority)
    assert soa.startswith("consul. 4 SOA ") and soa.endswith(" 1 2 3 4")


def test_the_serial_is_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for now in (1_000_000, 1_000_001, 1_000_002):
        monkeypatch.setattr("time.time", lambda now=now: float(now))
        for kind in ("A", "SOA"):
            reply = world.ask("consul", kind)
            (soa,) = [*reply.answer, *reply.authority]
            assert soa[0].serial == now


def test_an_alternative_domain_answers_in_its_own_name() -> None:
    world = World(domain="consul", alt_domain="Test.example.")
    world.node("n1", "10.0.0.1")
    world.service("n1", "web")
    world.service("n1", "consul")
    name = "web.service.test.example"
    assert world.answer(name) == a(name, "10.0.0.1")
    assert order(world.ask(name, "SRV")) == ("1 1 80 n1.node.dc1.test.example.",)
    assert order(world.ask("test.example", "NS")) == ("n1.node.dc1.test.example.",)
    assert order(world.ask("web.service.consul", "SRV")) == ("1 1 80 n1.node.dc1.consul.",)
    assert order_of(world, "1.0.0.10.in-addr.arpa", "PTR") == {"n1.node.dc1.consul."}
    (soa,) = lines(world.ask("nope.test.example").authority)
    assert soa.startswith("test.example. ")


@pytest.mark.parametrize("name", ["example.org", "consul.example", ".", "xconsul"])
def test_names_of_others_are_refused(name: str) -> None:
    reply = small().ask(name)
    assert (code(reply), flags(reply)) == ("REFUSED", {"QR", "RD"})


def allowed(rules: str) -> Authorizer:
    return Authorizer(Permissions((parse_rules(rules),)), "test", default_allow=False)


@pytest.mark.parametrize(
    ("rules", "seen"),
    [
        ("", set()),
        ('service "web" { policy = "read" }', set()),
        ('node_prefix "" { policy = "read" }', {"n1.node", "ptr"}),
        (
            'node "n1" { policy = "read" } service "web" { policy = "read" }',
            {"n1.node", "web.service", "ptr"},
        ),
        (
            'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }',
            {"n1.node", "web.service", "vip.virtual", "web.connect", "own", "ptr"},
        ),
        ('service "vip" { policy = "read" }', {"vip.virtual"}),
    ],
)
def test_permissions_decide_what_exists(rules: str, seen: set[str]) -> None:
    world = small()
    assert world.answer("web.service.consul")  # kept, and not to be shown to others
    world.tokens.authorizer = allowed(rules)
    names = {
        "n1.node": ("n1.node.consul", "A"),
        "web.service": ("web.service.consul", "A"),
        "vip.virtual": ("vip.virtual.consul", "A"),
        "web.connect": ("web.connect.consul", "A"),
        "ptr": ("1.0.0.10.in-addr.arpa", "PTR"),
        "own": ("1.0.1.10.in-addr.arpa", "PTR"),
    }
    shown = {key for key, ask in names.items() if world.ask(*ask).answer}
    assert shown == seen


def test_a_token_that_is_nobodys_fails() -> None:
    world = small()

    class Nobody:
        def resolve(self, secret: str) -> Authorizer:
            raise AclNotFoundError

    world.answers._tokens = Nobody()
    for _ in range(3):
        assert code(world.ask("web.service.consul")) == "SERVFAIL"
        assert code(world.ask("example.org")) == "REFUSED"


class Nearest:
    """One prepared query; remembers who asked."""

    def __init__(self, world: World | None = None, ttl: int | None = None) -> None:
        self.world = world
        self.ttl = ttl
        self.sources: list[str] = []

    def execute(self, name: str, source: str, authorizer: Authorizer) -> Executed | None:
        self.sources.append(source)
        if self.world is None or name != "near.by":
            return None
        instances = self.world.state.catalog.read_service("web").value
        return Executed(list(reversed(instances)), self.ttl)


def test_prepared_queries_keep_their_order() -> None:
    queries = Nearest(ttl=9)
    world = queries.world = World(queries, service_ttl={"*": 3})
    for number in range(3):
        world.node(f"n{number}", f"10.0.0.{number}")
        world.service(f"n{number}", "web")
    for _ in range(20):
        assert order(world.ask("near.by.query.consul")) == ("10.0.0.2", "10.0.0.1", "10.0.0.0")
    for name in ("near.by.query.dc1.consul", "_near.by._tcp.query.consul"):
        assert len(order(world.ask(name, "SRV"))) == 3
    assert {each.ttl for each in world.ask("near.by.query.consul").answer} == {9}
    queries.ttl = None
    assert {each.ttl for each in world.ask("near.by.query.consul").answer} == {3}
    assert code(world.ask("nope.query.consul")) == "NXDOMAIN"
    assert code(world.ask("near.by.query.dc2.consul")) == "NXDOMAIN"


def test_a_prepared_query_knows_who_asks() -> None:
    queries = Nearest()
    queries.world = world = World(queries)
    world.ask("x.query.consul", source="192.0.2.7")
    world.ask("x.query.consul", source="192.0.2.7", edns=1232, subnet="198.51.100.0/24")
    world.ask("x.query.consul", source="192.0.2.7", edns=1232, subnet="2001:db8:1::/48")
    assert queries.sources == ["192.0.2.7", "198.51.100.0", "2001:db8:1::"]


def test_a_failure_of_ours_costs_one_answer() -> None:
    class Broken(Nearest):
        def execute(self, name: str, source: str, authorizer: Authorizer) -> Executed | None:
            raise RuntimeError("broken")

    world = World(Broken())
    world.node("n1", "10.0.0.1")
    assert code(world.ask("x.query.consul")) == "SERVFAIL"
    assert code(world.ask("n1.node.consul")) == "NOERROR"


def test_settings_are_reloaded() -> None:
    world = small()
    for _ in range(3):
        assert {each.ttl for each in world.ask("web.service.consul").answer} == {0}
    world.answers.reload(DnsSettings(service_ttl={"web": 60}))
    assert {each.ttl for each in world.ask("web.service.consul").answer} == {60}


def test_names_that_do_not_fit_the_wire_are_replaced_by_addresses() -> None:
    world = World()
    world.node("n" * 64, "10.0.0.1")
    world.service("n" * 64, "web")
    assert order(world.ask("web.service.consul", "SRV")) == ("1 1 80 0a000001.addr.dc1.consul.",)
    assert code(world.ask("1.0.0.10.in-addr.arpa", "PTR")) == "NXDOMAIN"


def test_numbers_that_do_not_fit_the_wire_are_cut() -> None:
    world = World(queries := Nearest(ttl=-5))
    queries.world = world
    world.node("n", "10.0.0.1")
    world.service("n", "web", port=65536 + 80, weights=Weights(65536 + 2, 1))
    assert order(world.ask("web.service.consul", "SRV")) == ("1 2 80 n.node.dc1.consul.",)
    assert {each.ttl for each in world.ask("near.by.query.consul").answer} == {0}


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_MOST_BLOCKS", 160)
    monkeypatch.setattr(answers, "_MOST_RENDERED", 20)
    world = World()
    for number in range(60):
        world.node(f"n{number}", f"10.0.0.{number}")
        world.service(f"n{number}", "large")
        world.service(f"n{number}", f"small{number}")
    for _ in range(3):
        for number in range(60):
            name = f"small{number}.service.consul"
            assert world.answer(name) == a(name, f"10.0.0.{number}")
            assert code(world.ask(f"none{number}.service.consul")) == "NXDOMAIN"
            assert len(world.answer("large.service.consul", tcp=True)) == 60
    assert len(world.answers._entries) <= 10
    assert len(world.answers._rendered) <= 20
