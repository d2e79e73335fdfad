"""Addresses: templates of go-sockaddr, what is bound, and what others are told."""

from __future__ import annotations

import ipaddress

import pytest

from portway.agent.config import AgentConfig, advertise, load
from portway.agent.config.interfaces import IP, Address
from portway.agent.config.sockaddr import TemplateError, render

_UP = frozenset({"up", "running", "broadcast", "multicast"})


def address(interface: str, text: str, *, default: bool = False, up: bool = True) -> Address:
    flags = _UP if up else frozenset({"broadcast"})
    if interface == "lo":
        flags = frozenset({"up", "running", "loopback"})
    return Address(interface, ipaddress.ip_interface(text), flags, default)


HOST = [
    address("lo", "127.0.0.1/8"),
    address("lo", "::1/128"),
    address("eth1", "10.1.2.3/16"),
    address("eth0", "192.168.7.9/24", default=True),
    address("eth0", "fd00::9/64", default=True),
    address("eth0", "fe80::1/64", default=True),
    address("eth2", "203.0.113.5/24", up=False),
    address("wan0", "8.8.4.4/29"),
    address("eth00", "172.16.0.1/12"),
]

TEMPLATES = {
    "10.0.0.1": "10.0.0.1",
    "{{ GetPrivateIP }}": "192.168.7.9",
    "{{GetPrivateIP}}": "192.168.7.9",
    "{{- GetPrivateIP -}}": "192.168.7.9",
    "{{ GetPrivateIPs }}": "192.168.7.9 fd00::9 172.16.0.1 10.1.2.3",
    "{{ GetPublicIP }}": "8.8.4.4",
    "{{ GetPublicIPs }}": "8.8.4.4",
    '{{ GetInterfaceIP "eth1" }}': "10.1.2.3",
    "{{ GetInterfaceIP `eth0` }}": "192.168.7.9",
    '{{ GetInterfaceIP "^eth[12]$" }}': "10.1.2.3",
    '{{ GetInterfaceIPs "eth0" }}': "192.168.7.9 fd00::9",
    '{{ GetInterfaceIP "wlan0" }}': "",
    '127.0.0.1 {{ GetInterfaceIP "eth1" }}': "127.0.0.1 10.1.2.3",
    '{{ GetDefaultInterfaces | attr "address" }}': "192.168.7.9",
    '{{ GetAllInterfaces | include "name" "eth1" | attr "address" }}': "10.1.2.3",
    '{{ . | include "name" "eth1" | attr "string" }}': "10.1.2.3/16",
    '{{ GetPrivateInterfaces | exclude "type" "IPv6" | sort "-address" | limit 2'
    ' | join "address" "," }}': "192.168.7.9,172.16.0.1",
    '{{ GetAllInterfaces | include "network" "10.0.0.0/8" | attr "name" }}': "eth1",
    '{{ GetAllInterfaces | include "network" "10.0.0.0/8|8.0.0.0/8" | join "name" " " }}': "eth1"
    " wan0",
    '{{ GetAllInterfaces | include "rfc" "1918" | sort "name" | join "name" " " }}': "eth0 eth00"
    " eth1",
    '{{ GetAllInterfaces | exclude "flags" "up" | attr "address" }}': "203.0.113.5",
    '{{ GetAllInterfaces | include "flags" "loopback|up" | include "type" "ipv4"'
    ' | attr "address" }}': "127.0.0.1",
    '{{ GetAllInterfaces | include "size" "16" | attr "netmask" }}': "255.255.0.0",
    '{{ GetAllInterfaces | sort "name" | unique "name" | join "name" " " }}': "eth0 eth00 eth1"
    " eth2 lo wan0",
    '{{ GetPrivateInterfaces | offset "-1" | attr "address" }}': "10.1.2.3",
    '{{ GetPrivateInterfaces | include "name" "eth1" | math "address" "+256"'
    ' | attr "address" }}': "10.1.3.3",
    '{{ GetPrivateInterfaces | include "name" "eth1" | math "network" "+1"'
    ' | attr "address" }}': "10.1.0.1",
    '{{ GetPrivateInterfaces | include "name" "eth1" | math "network" "-1"'
    ' | attr "address" }}': "10.1.255.255",
    '{{ GetPrivateInterfaces | include "name" "eth1" | math "mask" "8" | attr "string" }}':
    "10.0.0.0/8",
    '{{ GetAllInterfaces | include "name" "eth1" | attr "hex" }}': "0a010203",
    '{{ GetAllInterfaces | include "name" "eth1" | attr "first_usable" }}': "10.1.0.1",
    '{{ GetAllInterfaces | include "name" "eth1" | attr "broadcast" }}': "10.1.255.255",
}  # fmt: skip

WRONG = {
    "{{ GetIP }}": 'function "GetIP" not defined; did you mean GetPublicIP?',
    "{{ GetPrivateIP": "this {{ has no end; write }}",
    "{{ }}": "a function is missing between {{, | and }}",
    "{{ GetAllInterfaces | }}": "a function is missing between {{, | and }}",
    "{{ GetAllInterfaces }}": "this gives a list of addresses; end with attr "
    '"address" or join "address" " "',
    '{{ GetPrivateIP | attr "address" }}': "attr needs a list of addresses, and is given a text",
    '{{ attr "address" }}': "attr needs a list of addresses: begin with GetAllInterfaces |",
    "{{ GetInterfaceIP }}": "GetInterfaceIP takes 1 arguments, not 0",
    "{{ GetInterfaceIP eth0% }}": "'%' is not understood here",
    '{{ GetAllInterfaces | attr "adress" }}': "addresses have no attribute 'adress'; did you mean"
    " address?",
    '{{ GetAllInterfaces | sort "nam" }}': "addresses cannot be sorted by 'nam'; did you mean"
    " name?",
    '{{ GetAllInterfaces | include "nme" "x" }}': "addresses cannot be filtered by 'nme'; did you"
    " mean name?",
    '{{ GetAllInterfaces | include "name" "[" }}': "'[' is not a regular expression: unterminated"
    " character set at position 0",
    '{{ GetAllInterfaces | include "network" "x" }}': "not a network: 'x' does not appear to be an"
    " IPv4 or IPv6 network",
    '{{ GetAllInterfaces | include "flags" "upp" }}': "flag 'upp' is not known; did you mean up?",
    '{{ GetAllInterfaces | limit "x" }}': "limit takes a whole number, not 'x'",
    '{{ with $x := GetPrivateIP }}{{ end }}': "'$x := GetPrivateIP' is not understood here",
}  # fmt: skip


@pytest.mark.parametrize("text", TEMPLATES)
def test_template(text: str) -> None:
    assert render(text, lambda: HOST) == TEMPLATES[text]


@pytest.mark.parametrize("text", WRONG)
def test_wrong_template(text: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text, lambda: HOST)
    assert str(caught.value) == WRONG[text]


def test_the_hosts_own_interfaces_are_seen() -> None:
    assert "127.0.0.1" in render('{{ GetAllInterfaces | join "address" " " }}').split()


def config(*arguments: str) -> AgentConfig:
    return load(["-dev", *arguments], persist=False).config


LISTEN = [
    ([], {"http": "127.0.0.1:8500", "dns": "127.0.0.1:8600", "https": ""}),
    (["-client=0.0.0.0"], {"http": "0.0.0.0:8500", "dns": "0.0.0.0:8600"}),
    (["-client=127.0.0.1 ::1"], {"http": "127.0.0.1:8500 [::1]:8500"}),
    (["-client=127.0.0.1 127.0.0.1"], {"http": "127.0.0.1:8500"}),
    (["-client=[::1]"], {"dns": "[::1]:8600"}),
    (["-http-port=-1"], {"http": "", "dns": "127.0.0.1:8600"}),
    (["-dns-port=0"], {"dns": ""}),
    (["-hcl", 'addresses { dns = "127.0.0.5" }'],
     {"http": "127.0.0.1:8500", "dns": "127.0.0.5:8600"}),
    (["-hcl", 'addresses { http = "unix:///s" }', "-http-port=-1"], {"http": "unix:///s"}),
    (["-client={{ GetAllInterfaces | include \"name\" \"^lo$\" | include \"type\" \"IPv4\""
      " | attr \"address\" }}"], {"http": "127.0.0.1:8500"}),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "expected"), LISTEN)
def test_what_is_bound(arguments: list[str], expected: dict[str, str]) -> None:
    listen = config(*arguments).listen
    assert {name: " ".join(map(str, getattr(listen, name))) for name in expected} == expected


def test_bound_and_advertised_addresses() -> None:
    found = config(
        "-bind=127.0.0.2",
        "-serf-wan-bind=127.0.0.3",
        "-advertise-wan=198.51.100.7",
        "-hcl",
        'advertise_addr_ipv6 = "fd00::5" tagged_addresses { lan = "10.9.9.9" other = "10.8.8.8" }',
    )
    assert str(found.rpc_bind) == "127.0.0.2:8300"
    assert str(found.serf_lan_bind) == "127.0.0.2:8301"
    assert str(found.serf_wan_bind) == "127.0.0.3:8302"
    assert (found.advertise_lan, found.advertise_wan) == ("fd00::5", "198.51.100.7")
    assert found.tagged_addresses == {
        "lan": "10.9.9.9",
        "wan": "198.51.100.7",
        "lan_ipv6": "fd00::5",
        "wan_ipv4": "198.51.100.7",
        "other": "10.8.8.8",
    }
    assert config("-serf-wan-port=-1").serf_wan_bind is None


# default route, other private addresses → what is advertised, start of a warning
DETECTED: list[tuple[str | None, list[Address], str, str]] = [
    ("192.168.7.9", HOST, "192.168.7.9", ""),
    ("8.8.4.4", [HOST[0], HOST[2], HOST[7]], "10.1.2.3", ""),
    ("8.8.4.4", HOST, "10.1.2.3", "Multiple private addresses found; 10.1.2.3 is advertised."),
    ("8.8.4.4", [HOST[0], HOST[7]], "8.8.4.4", "No private address found; 8.8.4.4 is advertised."),
    (None, [HOST[0]], "127.0.0.1", "No address found but those of loopback; 127.0.0.1 is adver"),
]


@pytest.mark.parametrize(("routed", "host", "expected", "warning"), DETECTED)
def test_the_address_others_are_told_when_all_are_bound(
    routed: str | None,
    host: list[Address],
    expected: str,
    warning: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def default_address(version: int) -> IP | None:
        return ipaddress.ip_address(routed) if routed else None

    monkeypatch.setattr(advertise, "default_address", default_address)
    monkeypatch.setattr(advertise, "addresses", lambda: host)
    loaded = load(["-dev", "-bind=0.0.0.0"], persist=False)
    assert loaded.config.advertise_lan == expected
    assert loaded.config.tagged_addresses["lan_ipv4"] == expected
    told = [text for text in loaded.warnings if "is advertised" in text]
    assert [text[: len(warning)] for text in told] == ([warning] if warning else [])
