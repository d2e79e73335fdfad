"""Addresses, ranges and strategies; the ipAllowList middleware, without Envoy."""

from __future__ import annotations

import ipaddress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.edge.middlewares import ip_allow_list, source
from portway.edge.middlewares.ip_allow_list import IPAllowList
from portway.edge.middlewares.source import IPStrategy, SourceCriterion
from portway.edge.middlewares.step import Lua, Place

PLACE = Place("m@file", "r@file", "web", tls=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        (" 192.0.2.7 ", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::/0", "::/0"),
    ],
)
def test_ranges_are_read_as_go_reads_them(text: str, found: str) -> None:
    assert str(source.network(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/",
        "010.0.0.1",
        "10.1",
        "fe80::1%eth0",
        "::/129",
        "10.0.0.0/8/8",
        "1.2.3.4, 5.6.7.8",
    ],
)
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address or CIDR range; write") as error:
        source.network(text)
    assert repr(text) in str(error.value)


v4 = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda pair: str(ipaddress.IPv4Network(pair, strict=False))
)
v6 = st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
    lambda pair: str(ipaddress.IPv6Network(pair, strict=False))
)


@given(st.lists(v4 | v6, max_size=20), st.lists(v4 | v6, max_size=5))
def test_ranges_become_sorted_disjoint_and_say_the_same(texts: list[str], more: list[str]) -> None:
    found = source.ranges(texts)
    for ends in (found["v4"], found["v6"]):
        assert len(ends) % 2 == 0
        assert all(low <= high for low, high in zip(ends[::2], ends[1::2], strict=True))
        assert all(high < low for high, low in pairwise(ends[1:]) if ends.index(high) % 2)
    networks = [source.network(text) for text in texts]
    for text in (*texts, *more):
        address = source.network(text).network_address
        packed = address.packed.hex()
        ends = found["v4"] if address.version == 4 else found["v6"]
        inside = any(low <= packed <= high for low, high in zip(ends[::2], ends[1::2], strict=True))
        assert inside == any(address in network for network in networks)


@pytest.mark.parametrize(
    ("strategy", "appends", "params"),
    [
        (None, True, {}),
        (IPStrategy(), True, {}),
        (IPStrategy(depth=-1), True, {}),
        (IPStrategy(depth=2), True, {"depth": 2, "appended": True}),
        (IPStrategy(depth=2), False, {"depth": 2}),
        (IPStrategy(depth=2, excluded_ips=["1.1.1.1"]), False, {"depth": 2}),
        (
            IPStrategy(excluded_ips=["1.1.1.1"], ipv6_subnet=64),
            True,
            {"excluded": {"v4": ["01010101", "01010101"], "v6": []}, "appended": True},
        ),
        (IPStrategy(ipv6_subnet=64), True, {"subnet": 64}),
    ],
)
def test_strategies(strategy: IPStrategy | None, appends: bool, params: dict[str, object]) -> None:
    assert source.strategy_params(strategy, appends_peer=appends) == params


@pytest.mark.parametrize(
    ("strategy", "problems"),
    [
        (IPStrategy(excluded_ips=["bad"]), ["ipStrategy.excludedIPs[0]: 'bad' is not"]),
        (IPStrategy(excluded_ips=["bad"], depth=1), []),
        (IPStrategy(ipv6_subnet=0), ["ipStrategy.ipv6Subnet 0 is not a prefix length"]),
        (IPStrategy(ipv6_subnet=129, depth=1), ["ipStrategy.ipv6Subnet 129 is not"]),
        (IPStrategy(ipv6_subnet=128), []),
    ],
)
def test_bad_strategies(strategy: IPStrategy, problems: list[str]) -> None:
    found = source.strategy_problems("ipStrategy", strategy)
    assert len(found) == len(problems)
    assert all(text.startswith(start) for text, start in zip(found, problems, strict=True))


@pytest.mark.parametrize(
    ("criterion", "words"),
    [
        (
            SourceCriterion(request_host=True, request_header_name="X"),
            "requestHeaderName and requestHost",
        ),
        (
            SourceCriterion(request_host=True, ip_strategy=IPStrategy()),
            "ipStrategy and requestHost",
        ),
        (
            SourceCriterion(request_header_name="X", ip_strategy=IPStrategy()),
            "ipStrategy and requestHeaderName",
        ),
        (SourceCriterion(request_header_name="X Key"), "requestHeaderName 'X Key' is not"),
        (SourceCriterion(ip_strategy=IPStrategy(ipv6_subnet=0)), "c.ipStrategy.ipv6Subnet"),
    ],
)
def test_bad_criteria(criterion: SourceCriterion, words: str) -> None:
    (problem,) = source.criterion_problems("c", criterion)
    assert problem.startswith("c") and words in problem


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (IPAllowList(), ["sourceRange is empty"]),
        (
            IPAllowList(source_range=["10.0.0.0/8", "10.0.0.0/33"]),
            ["sourceRange[1]: '10.0.0.0/33'"],
        ),
        (IPAllowList(source_range=["::1"], reject_status_code=999), ["rejectStatusCode 999"]),
        (IPAllowList(source_range=["::1"], reject_status_code=100), ["rejectStatusCode 100"]),
        (
            IPAllowList(source_range=["::1"], ip_strategy=IPStrategy(ipv6_subnet=200)),
            ["ipStrategy.ipv6Subnet 200"],
        ),
    ],
)
def test_allow_list_problems(options: IPAllowList, words: list[str]) -> None:
    (problem,) = ip_allow_list.KIND.problems(options)
    assert all(word in problem for word in words)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (0, "Forbidden"),
        (404, "Not Found"),
        (418, "I'm a teapot"),
        (204, ""),
        (413, "Request Entity Too Large"),
    ],
)
def test_the_answer_names_its_status(status: int, body: str) -> None:
    options = IPAllowList(source_range=["::1"], reject_status_code=status)
    assert not ip_allow_list.KIND.problems(options)
    (step,) = ip_allow_list.KIND.steps(options, PLACE)
    assert isinstance(step, Lua) and step.rejects and not step.responds
    assert (step.params["status"], step.params["body"]) == (status or 403, body)
