"""Settings of the DNS interface."""

from __future__ import annotations

from typing import Any

import pytest

from portway.discovery.dns import DnsSettings, Soa


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:54", ("2001:db8::1", 54)),
        ("dns.example.org", ("dns.example.org", 53)),
        ("dns.example.org:54", ("dns.example.org", 54)),
    ],
)
def test_a_recursor(text: str, wanted: tuple[str, int]) -> None:
    assert DnsSettings(recursors=(text,)).upstreams == (wanted,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"recursors": ("dns example",)}, 'recursors: "dns example" is not an address'),
        ({"recursors": ("192.0.2",)}, 'recursors: "192.0.2" is not an address'),
        ({"recursors": ("192.0.2.1:x",)}, 'recursors: "192.0.2.1:x" is not an address'),
        ({"recursors": ("192.0.2.1:70000",)}, 'recursors: "192.0.2.1:70000" is not'),
        ({"recursor_strategy": "best"}, '"best" is not one of sequential, random'),
        ({"udp_answer_limit": -1}, "dns_config.udp_answer_limit: -1 is negative"),
        ({"a_record_limit": -1}, "dns_config.a_record_limit: -1 is negative"),
        ({"node_ttl": -1}, "dns_config.node_ttl: -1 s is not within 0 and 2147483647 s"),
        ({"service_ttl": {"a*": 1e10}}, r"dns_config.service_ttl.a\*: 1e\+10 s is not"),
        ({"soa": Soa(retry=-1)}, "dns_config.soa.retry: -1 is not within 0 and 4294967295"),
        ({"domain": "."}, "domain: must have a label"),
        ({"domain": "a..b"}, 'domain: "a..b" is not a domain name'),
        ({"alt_domain": "x" * 64}, "is not a domain name"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DnsSettings(**values)
