"""Rules and requests that try each other: tables written by hand, and random combinations."""

from __future__ import annotations

import random
from collections.abc import Sequence

from portway.rules import Request

HOSTS = ["a.test", "b.test", "x.a.test", "x.y.a.test", "A.test:8080", "b.test:80", "c.test"]
RULE_HOSTS = ["a.test", "b.test", "B.Test", "*.a.test", "*", "x.a.test", "c.test.", "**.a.test"]
HOST_PATTERNS = [
    "^a\\.test$", "test", "^(.+\\.)?a\\.test$", "^[ab]\\.", "A", "(?i)^A\\.TEST$", "\\d$",
    "^.+$", "^x\\.|^b", "^[^.]+\\.test$", "(^|\\.)a\\.", "\\w{3}\\.a",
]  # fmt: skip
PATHS = [
    "/", "/api", "/api/v1", "/api/v12/x", "/apiary", "/a%20b", "/a%20b/c", "/a%2fb", "/a%2Fb",
    "/a/b", "//api", "/x/../api", "/./api/v1", "/%61pi", "/a%7cb", "/a|b", "/%c3%a9", "/a:b",
    "/a%3ab", "/a+b", "/API", "/a~b", "/a%7Eb", "/a!b", "/a%21b", "/a%25b", "/x.html", "/a;b=c",
    "/%e4%bd%a0/x", "/a{b}", "/a%5Cb", '/a"b', "/a%0ab", "/a@b,c", "/a(b)", "/a[b]", "/api/",
]  # fmt: skip
RULE_PATHS = [
    "/", "/api", "/api/", "/api/v1", "/a b", "/a%2Fb", "/a%2fb", "/a%20b", "/a/b", "/a|b", "/é",
    "/a:b", "/a%3Ab", "/a+b", "/a~b", "/a!b", "/a%21b", "/a%25b", "/a", "/x", "/你/", "/a{b}",
    "/a\\b", '/a"b', "/a?b", "/a%2", "/a(b)", "/a[b]", "/a;b=c", "/a@b,c", "/a.b", "/a\nb",
]  # fmt: skip
PATH_PATTERNS = [
    "^/api$", "^/api/v[0-9]+", "b$", "^/a b", "%2F", "^/.{3}$", "^/[a-z ]+$", "(?i)^/API", "é",
    "^/[^/]+$", "^/(api|x)/?", "^/a[ |]b$", "\\.html$", "^/a.b$", "^/\\pL$", "^/(a|b)$|^/x",
    "^/a\\sb", "[^a-z/]", "^/a(?:%2F|/)b", "^/[[:alpha:]]+$", "^/a\\x7cb$", "^/[à-ü]", "^/\\w+$",
    "^/[^\\x00-\\x7F]", "/v1?2?$", "^/{1}api", "^(?P<x>/api).*$", "^/a%2fb", "(?s)^/a.b$", "^//",
    "^/\\Qa|b\\E$", "^/a[^ ]b$", "^$", "(^/api|b)(/|$)", "^/.*b/c$", "^/a%20b",
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "FOO", "get"]
RULE_METHODS = ["GET", "post", "PUT", "FOO", "DELETE", "HEAD"]
HEADERS: list[tuple[tuple[str, str], ...]] = [
    (),
    (("X-A", "1"),),
    (("x-a", "2"), ("X-A", "1")),
    (("X-A", "1"), ("X-A", "3")),
    (("X-A", "12"),),
    (("X-A", ""),),
    (("X-A", "2, 1"),),
    (("X-A", "a.b"), ("X-B", "v")),
    (("X-B", " v "),),
    (("X-B", "V"),),
    (("X-A", "x"), ("X-A", "y"), ("X-A", "1")),
]
RULE_HEADERS = [
    ("X-A", "1"), ("x-a", "2"), ("X-B", "v"), ("X-C", "1"), ("Host", "a.test"), ("X A", "1"),
    (":path", "/"), ("X-A", "a.b"), ("X-A", "2, 1"),
]  # fmt: skip
HEADER_PATTERNS = [
    ("X-A", "^1$"), ("X-A", "1"), ("X-B", "(?i)^v$"), ("X-A", "^$"), ("X-A", ".*"), ("X-A", "^1?$"),
    ("X-C", ".*"), ("X-A", "^[0-9]+$"), ("X-A", "^2|3$"), ("Host", "."), ("X-A", "(^| )1"),
    ("X-A", "^a\\.b$"), (":method", "GET"),
]  # fmt: skip
QUERIES = [
    "", "q", "q=", "q=1", "q=%31", "q=2&q=1", "a;q", "q=1;x=2", "q=a+b", "q=a%20b", "q=a%2bb",
    "%71=1", "q=%zz&q=1", "q=1%zz", "q=%c3%a9", "Q=1", "q=11", "x=1&q=", "q==", "q=1=", "q%3d=1",
    "&&q=1", "q=a%26b", "q=a/b?c", "debug=true&q=xyz", "q=abc", "qq=1", "q=|",
]  # fmt: skip
RULE_QUERIES = [
    ("q",), ("q", "1"), ("q", "a b"), ("q", "a+b"), ("q", "é"), ("q=", "1"), ("Q", "1"), ("x", "2"),
    ("q", "a&b"), ("q", "="), ("q", "a/b?c"), ("q", "1="), ("debug", "true"), ("q", "|"),
]  # fmt: skip
QUERY_PATTERNS = [
    ("q",), ("q", "^1$"), ("q", "1"), ("q", ".*"), ("q", "^$"), ("q", "^a.b$"), ("q", "[^a]b"),
    ("q", "^[a-z]+$"), ("q", "é"), ("q", "^a b$"), ("q", "^(1|a)"), ("q", "\\W"), ("q", "(?i)^ABC"),
    ("q", "^1|c$"), ("q", "^[^1]*$"), ("x", "\\d"),
]  # fmt: skip
NETWORKS = [
    "127.0.0.1", "127.0.0.2", "127.0.0.0/8", "127.0.0.2/31", "::1", "0.0.0.0/0", "::/0",
    "::ffff:127.0.0.1", "10.0.0.0/8", "::ffff:127.0.0.0/104",
]  # fmt: skip
CLIENTS = ["127.0.0.1", "127.0.0.2"]


def matcher(name: str, *args: str) -> str:
    """A matcher as rule text."""
    return f"{name}({', '.join(map(_quoted, args))})"


def _quoted(text: str) -> str:
    if "\n" in text:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return f"`{text}`"


LEAVES = [
    *(matcher("Host", h) for h in RULE_HOSTS),
    *(matcher("HostRegexp", p) for p in HOST_PATTERNS),
    *(matcher("Path", p) for p in RULE_PATHS),
    *(matcher("PathPrefix", p) for p in RULE_PATHS),
    *(matcher("PathRegexp", p) for p in PATH_PATTERNS),
    *(matcher("Method", m) for m in RULE_METHODS),
    *(matcher("Header", *h) for h in RULE_HEADERS),
    *(matcher("HeaderRegexp", *h) for h in HEADER_PATTERNS),
    *(matcher("Query", *q) for q in RULE_QUERIES),
    *(matcher("QueryRegexp", *q) for q in QUERY_PATTERNS),
    *(matcher("ClientIP", n) for n in NETWORKS),
]
"""Every matcher of the tables, alone."""

_FAMILIES = [[leaf for leaf in LEAVES if leaf.startswith(f"{name}(")] for name in (
    "Host", "HostRegexp", "Path", "PathPrefix", "PathRegexp", "Method", "Header", "HeaderRegexp",
    "Query", "QueryRegexp", "ClientIP",
)]  # fmt: skip


def random_rule(dice: random.Random, depth: int = 3) -> str:
    """A rule of up to ``depth`` levels of operators."""
    roll = dice.random()
    if depth == 0 or roll < 0.3:
        leaf = dice.choice(dice.choice(_FAMILIES))
        return f"!{leaf}" if dice.random() < 0.25 else leaf
    if roll < 0.4:
        return f"!({random_rule(dice, depth - 1)})"
    terms = [random_rule(dice, depth - 1) for _ in range(dice.randint(2, 3))]
    return f"({dice.choice([' && ', ' || ']).join(terms)})"


def random_request(dice: random.Random) -> Request:
    """A request that the tables' matchers have a fair chance to match."""
    return Request(
        method=dice.choice([*METHODS, *["GET"] * 5]),
        host=dice.choice(HOSTS),
        path=dice.choice(PATHS),
        query=dice.choice(QUERIES),
        headers=dice.choice(HEADERS),
        client_ip=dice.choice(CLIENTS),
    )


def single_requests() -> Sequence[Request]:
    """One request for each value of each table, all else plain."""
    return [
        *(Request(host="a.test", path=path) for path in PATHS),
        *(Request(host="a.test", query=query) for query in QUERIES),
        *(Request(host=host) for host in HOSTS),
        *(Request(host="a.test", method=method) for method in METHODS),
        *(Request(host="a.test", headers=headers) for headers in HEADERS),
        *(Request(host="a.test", client_ip=client) for client in CLIENTS),
    ]
