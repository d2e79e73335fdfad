"""headers on a real Envoy: what client and service see is what the real Traefik makes of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .envoy_static import Answer, Peer, echo, envoy
from .traefik_static import available, steps, traefik


class Case(NamedTuple):
    """One request; names in ``x-echo-header`` come back from the service."""

    host: str
    method: str = "GET"
    headers: Sequence[tuple[str, str]] = ()


def headers(**options: Any) -> list[dict[str, Any]]:
    return [{"headers": options}]


CLASSIC = headers(
    frameDeny=True,
    sslRedirect=True,
    stsSeconds=315360000,
    stsIncludeSubdomains=True,
    stsPreload=True,
    contentTypeNosniff=True,
)
ALLOW_10 = {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}

SITES = {
    "classic.test": CLASSIC,
    "security.test": headers(
        customFrameOptionsValue="SAMEORIGIN",
        frameDeny=True,
        browserXssFilter=True,
        referrerPolicy="no-referrer",
        permissionsPolicy="geolocation=()",
        contentSecurityPolicy="default-src 'self'; img-src 100% %s",
        contentSecurityPolicyReportOnly="script-src 'none'",
        publicKey="pin-sha256=x",
        stsSeconds=31,
    ),
    "xss.test": headers(customBrowserXSSValue="1; report=https://r.test", browserXssFilter=True),
    "forced.test": headers(stsSeconds=31, forceSTSHeader=True, stsPreload=True),
    "negative.test": headers(stsSeconds=-3, forceSTSHeader=True),
    "zero.test": headers(stsSeconds=0, forceSTSHeader=True),
    "proven.test": headers(
        stsSeconds=31, publicKey="pin", sslProxyHeaders={"X-Proto": "https", "x-tls": "on"}
    ),
    "development.test": headers(
        isDevelopment=True,
        stsSeconds=5,
        forceSTSHeader=True,
        allowedHosts=["a.test"],
        publicKey="pin",
        frameDeny=True,
    ),
    "ignored.test": headers(
        sslHost="x.test", sslForceHost=True, sslTemporaryRedirect=True, featurePolicy="vibrate"
    ),
    "custom.test": headers(
        customRequestHeaders={"X-A": "1", "x-del": "", "X-Percent": "100% %REQ(host)%"},
        customResponseHeaders={
            "X-R": "v, w",
            "X-Gone": "",
            "Content-Type": "text/odd",
            "Set-Cookie": "only=this",
            "X-Percent": "100% %REQ(host)%",
            "Content-Length": "",
            "Transfer-Encoding": "",
        },
    ),
    "hosts.test": headers(customRequestHeaders={"host": "other.test", "X-A": "1"}),
    "nohost.test": headers(customRequestHeaders={"Host": "", "X-A": "1"}),
    "framing.test": headers(
        customRequestHeaders={"Content-Length": "3", "Connection": "close", "TE": "x", "X-A": "1"}
    ),
    "forwarded.test": headers(customRequestHeaders={"X-Forwarded-For": "9.9.9.9"}),
    "unforwarded.test": headers(customRequestHeaders={"X-Forwarded-For": ""}),
    "allowed.test": headers(
        allowedHosts=["Allowed.TEST", "second.test"], hostsProxyHeaders=["X-Fh", "X-Gh"]
    ),
    "bad.test": headers(
        allowedHosts=["x.test"],
        frameDeny=True,
        customResponseHeaders={"X-R": "v", "X-Content-Type-Options": ""},
        accessControlAllowOriginList=["https://a.test"],
        addVaryHeader=True,
    ),
    "renamed.test": headers(
        allowedHosts=["renamed.test"],
        customRequestHeaders={"Host": "n.test"},
        customResponseHeaders={"X-Frame-Options": "custom"},
        frameDeny=True,
    ),
    "cors.test": headers(
        accessControlAllowOriginList=["https://a.test", "https://b.test"],
        accessControlAllowMethods=["GET", "PUT"],
        accessControlAllowHeaders=["x-a", "X-B"],
        accessControlMaxAge=100,
        addVaryHeader=True,
    ),
    "star.test": headers(accessControlAllowOriginList=["*"]),
    "some.test": headers(accessControlAllowOriginList=["https://a.test", "*"]),
    "credentials.test": headers(
        accessControlAllowOriginList=["*"],
        accessControlAllowCredentials=True,
        accessControlExposeHeaders=["x-z", "x-y"],
    ),
    "wild.test": headers(
        accessControlAllowOriginList=["https://a.test"],
        accessControlAllowMethods=["GET", "*"],
        accessControlAllowHeaders=["*"],
        accessControlExposeHeaders=["*", "x-q"],
        accessControlAllowCredentials=True,
    ),
    "tame.test": headers(
        accessControlAllowOriginList=["https://a.test"],
        accessControlAllowMethods=["*"],
        accessControlAllowHeaders=["*"],
        accessControlExposeHeaders=["*"],
    ),
    "regex.test": headers(
        accessControlAllowOriginListRegex=[
            r"^https://[a-z]+\.re\.test$",
            "https://b.test",
            "(?i)Z$",
        ]
    ),
    "anything.test": headers(accessControlAllowOriginListRegex=[".*"], accessControlMaxAge=0),
    "both.test": headers(
        accessControlAllowOriginList=["https://a.test"],
        accessControlAllowOriginListRegex=["b"],
        customResponseHeaders={"Access-Control-Allow-Origin": "zz", "Vary": "q"},
        addVaryHeader=True,
        frameDeny=True,
    ),
    "origin.test": headers(
        accessControlAllowOriginListRegex=["^https://c"],
        customRequestHeaders={"Origin": "https://c.test"},
    ),
    "vary.test": headers(addVaryHeader=True),
    "age.test": headers(accessControlMaxAge=-5),
    "expose.test": headers(accessControlExposeHeaders=["X-A", "X-B"]),
    "onlycredentials.test": headers(accessControlAllowCredentials=True),
    "nothing.test": headers(accessControlAllowOriginList=[""]),
    "after.test": [ALLOW_10, *headers(frameDeny=True, customResponseHeaders={"X-R": "v"})],
    "before.test": [*headers(frameDeny=True, customResponseHeaders={"X-R": "v"}), ALLOW_10],
    "corsbefore.test": [
        *headers(accessControlAllowOriginList=["https://a.test"], frameDeny=True),
        ALLOW_10,
    ],
    "corsafter.test": [
        ALLOW_10,
        *headers(accessControlAllowOriginListRegex=["https"], frameDeny=True),
    ],
    "twice.test": [
        *headers(customResponseHeaders={"X-R": "outer", "X-O": "1"}, frameDeny=True),
        *headers(customResponseHeaders={"X-R": "inner", "X-I": "1"}, contentTypeNosniff=True),
    ],
    "clash.test": [
        *headers(customRequestHeaders={"X-A": "first"}, accessControlAllowOriginList=["*"]),
        *headers(customRequestHeaders={"X-A": "second"}, customFrameOptionsValue="x"),
    ],
}

PREFLIGHT = ("Access-Control-Request-Method", "PUT")
REQUESTED = ("Access-Control-Request-Headers", "X-Z, x-y")
A, B, C = (("Origin", f"https://{name}.test") for name in "abc")
RE = ("Origin", "https://x.re.test")

CASES = [
    *(Case(host) for host in SITES),
    *(Case(host, headers=[A]) for host in SITES),
    *(
        Case(host, "OPTIONS", [origin, PREFLIGHT])
        for host in SITES
        for origin in (A, C)
        if host not in ("after.test", "before.test")
    ),
    *(Case(host, "OPTIONS", [A, PREFLIGHT, REQUESTED]) for host in ("wild.test", "tame.test")),
    *(
        Case("cors.test", "OPTIONS", given)
        for given in ([A], [PREFLIGHT], [("Origin", ""), PREFLIGHT])
    ),
    Case("cors.test", "GET", [A, PREFLIGHT]),
    Case("cors.test", headers=[("Origin", "https://a.test/")]),
    Case("cors.test", headers=[("Origin", "HTTPS://A.TEST")]),
    *(
        Case(host, headers=[origin])
        for host in ("regex.test", "both.test", "star.test", "some.test", "credentials.test")
        for origin in (B, C, RE, ("Origin", "xhttps://b.testx"), ("Origin", "qz"))
    ),
    *(
        Case("regex.test", "OPTIONS", [origin, PREFLIGHT])
        for origin in (B, C, RE, ("Origin", "https://RE.re.test"))
    ),
    *(
        Case(host, headers=[A, *(("X-Echo-Header", f"Vary: {value}") for value in vary)])
        for host in ("cors.test", "star.test", "vary.test", "both.test")
        for vary in (["Origin"], ["origin"], ["Accept"], ["Accept", "Origin"], ["Accept, Origin"])
    ),
    *(
        Case("proven.test", headers=[proof])
        for proof in (
            ("X-Proto", "https"),
            ("X-Proto", "HTTPS"),
            ("X-Tls", "on"),
            ("X-Forwarded-Proto", "https"),
        )
    ),
    *(
        Case("allowed.test", headers=given)
        for given in (
            [("X-Gh", "second.test")],
            [("X-Fh", "no"), ("X-Gh", "second.test")],
            [("X-Fh", ""), ("X-Gh", "SECOND.test")],
        )
    ),
    Case("allowed.test:80"),
    Case("ALLOWED.test"),
    Case("bad.test", "HEAD"),
    Case("bad.test", headers=[A, ("X-Forwarded-Host", "x.test")]),
    Case(
        "custom.test",
        headers=[
            ("X-Del", "1"),
            ("X-A", "mine"),
            ("X-A", "again"),
            ("X-Echo-Header", "X-Gone: 1"),
            ("X-Echo-Header", "X-R: theirs"),
            ("X-Echo-Header", "X-R: twice"),
            ("X-Echo-Header", "Set-Cookie: a=b"),
        ],
    ),
    Case("classic.test", headers=[("X-Echo-Header", "X-Frame-Options: ALLOWALL")]),
    Case("classic.test", headers=[("X-Echo-Status", "503")]),
    Case("both.test", headers=[B, ("X-Echo-Header", "Access-Control-Allow-Origin: theirs")]),
    Case("forwarded.test", headers=[("X-Forwarded-For", "3.3.3.3")]),
    Case("unforwarded.test", headers=[("X-Forwarded-For", "3.3.3.3")]),
]

_SENT = ("x-a", "x-del", "x-percent", "host", "te", "connection", "origin")
_UNDEFINED = ("date", "server", "connection", "content-length", "x-echo")


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    if not available():
        pytest.skip("the real Traefik is not installed")
    ours: Path = tmp_path_factory.mktemp("ours")
    theirs: Path = tmp_path_factory.mktemp("theirs")
    with (
        echo() as upstream,
        envoy(ours, upstream, {host: steps(site) for host, site in SITES.items()}) as portway,
        traefik(theirs, upstream, SITES) as rival,
    ):
        yield portway, rival


def outcome(answer: Answer) -> dict[str, object]:
    """Status, headers and body as the client sees them, and what the service saw."""
    response = {name: answer.values(name) for name, _ in answer.headers if name not in _UNDEFINED}
    if answer.status == 403:  # Envoy names the type of its own texts, Go's server does not
        response.pop("content-type", None)
    if "vary" in response:  # a list: how it is spread over lines and spaces says nothing
        names = ",".join(response["vary"]).lower().split(",")
        response["vary"] = sorted({name.strip() for name in names})
    seen = answer.seen and {name: answer.seen.values(name) for name in _SENT}
    return {
        "status": answer.status,
        "response": response,
        "body": None if answer.seen else answer.body,
        "seen": seen,
    }


@pytest.mark.parametrize("case", CASES)
def test_as_traefik(proxies: tuple[Peer, Peer], case: Case) -> None:
    ours, theirs = (
        outcome(proxy.ask(case.host, "/", method=case.method, headers=case.headers))
        for proxy in proxies
    )
    assert ours == theirs


def test_a_custom_forwarded_for_keeps_the_peer_at_its_end(proxies: tuple[Peer, Peer]) -> None:
    for proxy in proxies:
        seen = proxy.ask("forwarded.test", "/").seen
        assert seen is not None
        assert seen.values("x-forwarded-for") == ["9.9.9.9, 127.0.0.1"]


def test_the_body_is_framed_by_the_proxy(proxies: tuple[Peer, Peer]) -> None:
    for proxy in proxies:
        seen = proxy.ask("framing.test", "/", method="POST", body="hello").seen
        assert seen is not None
        assert (seen.values("content-length"), seen.body) == (["5"], "hello")


def test_an_empty_forwarded_for_removes_it(proxies: tuple[Peer, Peer]) -> None:
    for proxy in proxies:
        seen = proxy.ask("unforwarded.test", "/").seen
        assert seen is not None
        assert seen.values("x-forwarded-for") == []


@pytest.fixture(scope="module")
def tls_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Routes of a TLS entry point, which is all that matters to the middleware."""
    sites = {
        **SITES,
        "nonce.test": headers(
            contentSecurityPolicy="script-src $NONCE 'self' $NONCE",
            contentSecurityPolicyReportOnly="style-src $NONCE",
        ),
    }
    with (
        echo() as upstream,
        envoy(
            tmp_path_factory.mktemp("tls"),
            upstream,
            {host: steps(site, tls=True) for host, site in sites.items()},
        ) as proxy,
    ):
        yield proxy


@pytest.mark.parametrize(
    ("host", "sts", "pins"),
    [
        ("classic.test", ["max-age=315360000; includeSubDomains; preload"], []),
        ("security.test", ["max-age=31"], ["pin-sha256=x"]),
        ("proven.test", ["max-age=31"], ["pin"]),
        ("development.test", [], []),
        ("zero.test", [], []),
        ("custom.test", [], []),
    ],
)
def test_over_tls(tls_side: Peer, host: str, sts: list[str], pins: list[str]) -> None:
    answer = tls_side.ask(host, "/")
    assert answer.values("strict-transport-security") == sts
    assert answer.values("public-key-pins") == pins


def test_a_nonce_is_new_for_every_request_and_the_same_within_one(tls_side: Peer) -> None:
    seen = set()
    for _ in range(20):
        answer = tls_side.ask("nonce.test", "/")
        (policy,) = answer.values("content-security-policy")
        found = re.fullmatch(r"script-src 'nonce-(\S{22})' 'self' 'nonce-(\S{22})'", policy)
        assert found and found[1] == found[2]
        assert len(base64.b64decode(found[1] + "==")) == 16
        report = f"style-src 'nonce-{found[1]}'"
        assert answer.values("content-security-policy-report-only") == [report]
        seen.add(found[1])
    assert len(seen) == 20
