"""Question names and what they ask for."""

from __future__ import annotations

import pytest

from portway.discovery.dns.name import Query, parse_address, parse_name, parse_reverse, split_domain
from portway.discovery.dns.records import SRV, A
from portway.discovery.dns.settings import labels_of

FORMS = [
    ("web.service", A, Query("service", "web")),
    ("v1.web.service", A, Query("service", "web", tag="v1")),
    ("v1.2.3.web.service", A, Query("service", "web", tag="v1.2.3")),
    ("web.service.dc1", A, Query("service", "web", place="dc1")),
    ("web.service.dc1.dc", A, Query("service", "web", datacenter="dc1")),
    ("web.service.far.peer", A, Query("service", "web", peer="far")),
    ("web.service.http.port", A, Query("service", "web", port="http")),
    ("web.service.http.port.dc1.dc", A, Query("service", "web", port="http", datacenter="dc1")),
    ("web.service.default.ns", A, None),
    ("web.service.dc1.cluster", A, None),
    ("near.query.dc1.dc", A, None),
    ("web.service.dc1.dc.far.peer", A, None),
    ("web.service.dc1.dc.dc2.dc", A, Query("service", "web", datacenter="dc2")),
    ("web.service.a.b", A, None),
    ("web.service.a.b.c", A, None),
    ("web.service.other.ns", A, None),
    ("_web._tcp.service", SRV, Query("service", "web")),
    ("_web._tcp.service", A, Query("service", "web")),
    ("_web._udp.service", SRV, Query("service", "web", tag="udp")),
    ("_web._v1.service.dc1", SRV, Query("service", "web", tag="v1", place="dc1")),
    ("_web._tcp", SRV, Query("service", "web")),
    ("_web._tcp.dc1", SRV, Query("service", "web", place="dc1")),
    ("_web._tcp", A, None),
    ("service", A, None),
    ("_._tcp.service", SRV, None),
    ("service.service", A, Query("service", "service")),
    ("n1.node", A, Query("node", "n1")),
    ("n1.example.org.node.dc1", A, Query("node", "n1.example.org", place="dc1")),
    ("web.connect", A, Query("connect", "web")),
    ("web.virtual", A, Query("virtual", "web")),
    ("web.virtual.far", A, Query("virtual", "web", place="far")),
    ("web.ingress", A, Query("ingress", "web")),
    ("near.query", A, Query("query", "near")),
    ("near.by.query.dc1", A, Query("query", "near.by", place="dc1")),
    ("_near.by._tcp.query", SRV, Query("query", "near.by")),
    ("0a000001.addr", A, Query("addr", "0a000001")),
    ("0a000001.addr.dc1", A, Query("addr", "0a000001")),
    ("", A, Query("apex")),
    ("web", A, None),
    ("web.services", A, None),
]


@pytest.mark.parametrize(("name", "kind", "wanted"), FORMS, ids=str)
def test_a_name_asks_for(name: str, kind: int, wanted: Query | None) -> None:
    assert parse_name(labels_of(name), kind) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("web.service.consul.", ("web.service", "consul")),
        ("web.service.eu.consul.", ("web.service", "eu.consul")),
        ("consul.", ("", "consul")),
        ("web.service.consul.example.", None),
        ("notconsul.", None),
        (".", None),
    ],
)
def test_the_longest_domain_is_cut(name: str, wanted: tuple[str, str] | None) -> None:
    domains = (labels_of("eu.consul."), labels_of("consul."))
    expected = None if wanted is None else (labels_of(wanted[0]), labels_of(wanted[1]))
    assert split_domain(labels_of("" if name == "." else name), domains) == expected


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0a000001", bytes((10, 0, 0, 1))),
        ("20010db8000000000000000000000001", bytes.fromhex("20010db8" + "0" * 23 + "1")),
        ("0a0001", None),
        ("0a00000g", None),
        ("0a 00 01", None),
        ("", None),
    ],
)
def test_an_address_in_a_name(text: str, wanted: bytes | None) -> None:
    assert parse_address(text) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("4.3.2.1.in-addr.arpa", "1.2.3.4"),
        ("3.2.1.in-addr.arpa", None),
        ("256.3.2.1.in-addr.arpa", None),
        ("x.3.2.1.in-addr.arpa", None),
        ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", "2001:db8::1"),
        ("1." + "0." * 22 + "8.b.d.0.1.0.0.2.ip6.arpa", None),
        ("10." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", None),
        ("in-addr.arpa", None),
        ("arpa", None),
    ],
)
def test_a_reverse_name(name: str, wanted: str | None) -> None:
    assert parse_reverse(labels_of(name)) == wanted
