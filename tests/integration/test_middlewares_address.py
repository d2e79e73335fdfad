"""ipAllowList on a real Envoy answers as the real Traefik does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .envoy_static import Answer, Peer, echo, envoy
from .traefik_static import available, steps, traefik

TEN = ["10.0.0.0/8"]


def allow(ranges: list[str], **options: Any) -> list[dict[str, Any]]:
    return [{"ipAllowList": {"sourceRange": ranges, **options}}]


SITES = {
    "peer.test": allow([*TEN, "127.0.0.1/32", "127.0.0.8/30"]),
    "single.test": allow(["127.0.0.3"]),
    "none.test": allow(TEN),
    "old.test": [{"ipWhiteList": {"sourceRange": TEN}}],
    "r404.test": allow(TEN, rejectStatusCode=404),
    "r418.test": allow(TEN, rejectStatusCode=418),
    "r200.test": allow(TEN, rejectStatusCode=200),
    "r204.test": allow(TEN, rejectStatusCode=204),
    "depth0.test": allow(TEN, ipStrategy={"depth": 0}),
    "negative.test": allow(TEN, ipStrategy={"depth": -1}),
    "depth1.test": allow(
        [*TEN, "fd00::/8", "::ffff:11.0.0.0/104", "12.1.2.3/8"], ipStrategy={"depth": 1}
    ),
    "depth2.test": allow(TEN, ipStrategy={"depth": 2, "excludedIPs": ["10.0.0.1"]}),
    "excluded.test": allow(
        TEN, ipStrategy={"excludedIPs": ["10.0.0.1", "192.168.0.0/16", "fd00::/8", "127.0.0.1"]}
    ),
    "subnet.test": allow(["2001:db8::/128", *TEN], ipStrategy={"depth": 1, "ipv6Subnet": 64}),
    "odd.test": allow(["2001:db8:8000::"], ipStrategy={"depth": 1, "ipv6Subnet": 33}),
    "excludedsubnet.test": allow(
        ["2001:db8::/128"], ipStrategy={"excludedIPs": ["1.1.1.1"], "ipv6Subnet": 64}
    ),
    "any4.test": allow(["0.0.0.0/0"], ipStrategy={"depth": 1}),
    "any6.test": allow(["::/0"], ipStrategy={"depth": 1}),
    "many.test": allow([f"10.{i}.0.0/24" for i in range(0, 256, 2)], ipStrategy={"depth": 1}),
}

LISTS: dict[str, list[list[str]]] = {
    "depth1.test": [
        [],
        ["10.0.0.1"],
        ["10.0.0.1, 1.1.1.1"],
        ["1.1.1.1, 10.0.0.1"],
        [" 10.0.0.1 ,"],
        ["10.0.0.1:80"],
        ["10.0.0.1:"],
        ["10.0.0.1:80:80"],
        ["[fd00::1]:80"],
        ["[fd00::1]"],
        ["fd00::1"],
        ["FD00::1"],
        ["fd00::1%eth0"],
        ["10.0.0.1%eth0"],
        ["::ffff:10.1.2.3"],
        ["::ffff:0a01:0203"],
        ["11.0.0.1"],
        ["::ffff:11.0.0.2"],
        ["12.255.0.9"],
        ["13.0.0.1"],
        ["010.0.0.1"],
        ["10.1"],
        ["10.0.0.256"],
        ["0x0a.0.0.1"],
        ["garbage"],
        [""],
        [","],
        ["1.1.1.1", "10.0.0.1"],
        ["10.0.0.1", "1.1.1.1"],
        ["10.0.0.1;"],
        ["10.0.0.1\t"],
        ["10.0.0.1, unknown"],
    ],
    "depth2.test": [[], ["10.0.0.1"], ["10.0.0.1, 1.1.1.1"], ["1.1.1.1, 10.0.0.1"], ["10.0.0.9,,"]],
    "excluded.test": [
        [],
        ["10.0.0.2"],
        ["10.0.0.2, 10.0.0.1"],
        ["10.0.0.2, 192.168.3.4,10.0.0.1"],
        ["10.0.0.2, fd00::7"],
        ["1.1.1.1, 10.0.0.1"],
        ["10.0.0.1"],
        ["10.0.0.2,junk"],
        ["10.0.0.2, ,10.0.0.1"],
        ["10.0.0.2,127.0.0.1"],
        ["10.0.0.2,192.168.0.1:80"],
        ["10.0.0.2:80,192.168.0.1"],
    ],
    "subnet.test": [
        ["2001:db8::5"],
        ["2001:db8:0:1::5"],
        ["10.0.0.1"],
        ["10.0.0.1:80"],
        ["::ffff:10.0.0.1"],
        ["2001:db8::5%e"],
        ["[2001:db8::5]:80"],
    ],
    "odd.test": [["2001:db8:ffff::1"], ["2001:db8:7fff::1"]],
    "excludedsubnet.test": [["2001:db8::5"], ["2001:db8::, 1.1.1.1"]],
    "any4.test": [["1.2.3.4"], ["::1"], ["::ffff:1.2.3.4"], ["255.255.255.255"], ["0.0.0.0"]],
    "any6.test": [["1.2.3.4"], ["::1"], ["::ffff:1.2.3.4"], ["ffff::ffff"]],
    "many.test": [[f"10.{i}.0.7"] for i in (0, 1, 2, 77, 78, 253, 254, 255)],
}
CASES = [(host, values) for host, lists in LISTS.items() for values in lists]
PEERS = [("peer.test", f"127.0.0.{n}") for n in (1, 2, 7, 8, 11, 12)] + [
    ("single.test", "127.0.0.3"),
    ("single.test", "127.0.0.30"),
    *((host, "127.0.0.1") for host in SITES if host not in LISTS),
]


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    if not available():
        pytest.skip("the real Traefik is not installed")
    ours: Path = tmp_path_factory.mktemp("ours")
    theirs: Path = tmp_path_factory.mktemp("theirs")
    with (
        echo() as upstream,
        envoy(
            ours, upstream, {host: steps(site) for host, site in SITES.items()}, trusted=True
        ) as portway,
        traefik(theirs, upstream, SITES, trusted=True) as rival,
    ):
        yield portway, rival


def outcome(answer: Answer) -> tuple[int, str]:
    return answer.status, "passed" if answer.seen else answer.body


@pytest.mark.parametrize(("host", "forwarded"), CASES)
def test_forwarded_addresses(proxies: tuple[Peer, Peer], host: str, forwarded: list[str]) -> None:
    headers = [("X-Forwarded-For", value) for value in forwarded]
    ours, theirs = (outcome(proxy.ask(host, "/", headers=headers)) for proxy in proxies)
    assert ours == theirs


@pytest.mark.parametrize(("host", "peer"), PEERS)
def test_the_peer(proxies: tuple[Peer, Peer], host: str, peer: str) -> None:
    headers = [("X-Forwarded-For", "10.0.0.1")]  # must not matter
    ours, theirs = (
        outcome(proxy.ask(host, "/", headers=headers, source=peer)) for proxy in proxies
    )
    assert ours == theirs


def test_the_table_lets_pass_and_refuses(proxies: tuple[Peer, Peer]) -> None:
    answers = {
        proxies[0].ask(host, "/", headers=[("X-Forwarded-For", v) for v in values]).status
        for host, values in CASES
    }
    assert answers == {200, 403}
