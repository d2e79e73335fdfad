"""What matchers look at, and what is said when they do not match."""

from __future__ import annotations

import pytest

from portway.rules import Request, evaluate, explain, normalize_path, parse


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("/", "/"),
        ("/a//b", "/a/b"),
        ("//", "/"),
        ("/a/../b", "/b"),
        ("/../x", "/x"),
        ("/a/.", "/a"),
        ("/a/..", "/"),
        ("/a/b/../", "/a/"),
        ("/a//../b", "/b"),
        ("/a/b/..//c//", "/a/c/"),
        ("/%61%2D%7e", "/a-~"),
        ("/a/%2e%2e/b", "/b"),
        ("/a%2f%2F..", "/a%2F%2F.."),
        ("/%2e%2e%2fx", "/..%2Fx"),
        ("/.../x", "/.../x"),
        ("/a b|{é}", "/a%20b%7C%7B%C3%A9%7D"),
        ("/a\\b", "/a%5Cb"),
        ("/:@!$&'()*+,;=[]", "/:@!$&'()*+,;=[]"),
    ],
)
def test_paths_are_normalised(raw: str, normal: str) -> None:
    assert normalize_path(raw) == normal
    assert normalize_path(normal) == normal


PATH = Request(host="a.test", path="/api%20x/%2f")


@pytest.mark.parametrize(
    ("rule", "request_", "matches"),
    [
        ("Host(`A.test.`)", Request(host="a.TEST:8080"), True),
        ("Host(`*.a.test`)", Request(host="x.a.test."), True),
        ("Host(`*.a.test`)", Request(host="x.y.a.test"), False),
        ("Host(`*.a.test`)", Request(host="a.test"), False),
        ("Host(`::1`)", Request(host="[::1]:80"), True),
        ("Host(`a.test`)", Request(host=""), False),
        ("HostRegexp(`^a\\.test$`)", Request(host="A.test:80"), True),
        ("HostRegexp(`^a\\.test$`)", Request(host="a.test."), False),
        ("Path(`/api x/%2F`)", PATH, True),
        ("Path(`/api x/%2f`)", PATH, False),
        ("PathPrefix(`/ap`)", PATH, True),
        ("PathRegexp(`^/[a-z]+ x/`)", PATH, True),
        ("Method(`get`)", Request(), True),
        ("Method(`get`)", Request(method="get"), False),
        ("Header(`x-a`, `2`)", Request(headers=(("X-A", "1"), ("X-A", " 2 "))), True),
        ("Header(`X-A`, `1`)", Request(headers=(("X-A", "1,2"),)), False),
        ("HeaderRegexp(`X-A`, `.*`)", Request(), False),
        ("Header(`Host`, `a`)", Request(host="a", headers=(("Host", "a"),)), False),
        ("Query(`q`)", Request(query="q&q=1"), True),
        ("Query(`q`)", Request(query="q=1"), False),
        ("Query(`q`, `a b`)", Request(query="x=1;q=a+b"), True),
        ("Query(`q`, `1`)", Request(query="q=%zz&q=%31"), True),
        ("QueryRegexp(`q`, `^.$`)", Request(query="q=%C3%A9"), True),
        ("ClientIP(`127.0.0.0/8`)", Request(client_ip="::ffff:127.0.0.1"), True),
        ("ClientIP(`::/0`)", Request(client_ip="127.0.0.1"), False),
        ("ClientIP(`fe80::/10`)", Request(client_ip="fe80::1%eth0"), True),
    ],
)
def test_matchers(rule: str, request_: Request, matches: bool) -> None:
    assert evaluate(parse(rule), request_) is matches
    assert evaluate(parse(f"!{rule}"), request_) is not matches


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("Host(`a.test`)", None),
        ("Host(`a.test`) && PathPrefix(`/api`)", "PathPrefix(`/api`) did not match path /x y"),
        ("!Host(`a.test`)", "!Host(`a.test`) did not match host a.test"),
        (
            "Host(`b`) || Header(`X-A`, `1`)",
            "Host(`b`) did not match host a.test; "
            "Header(`X-A`, `1`) did not match header X-A, which is not there",
        ),
        ("!(Host(`a.test`) || Host(`b`))", "!Host(`a.test`) did not match host a.test"),
        (
            "!(Host(`a.test`) && Method(`GET`))",
            "!Host(`a.test`) did not match host a.test; !Method(`GET`) did not match method GET",
        ),
        ("HeaderRegexp(`X-B`, `^v$`)", "HeaderRegexp(`X-B`, `^v$`) did not match header X-B: w"),
        ("Query(`q`)", "Query(`q`) did not match query a=1"),
        ("ClientIP(`10.0.0.0/8`)", "ClientIP(`10.0.0.0/8`) did not match client 127.0.0.1"),
    ],
)
def test_explanations(rule: str, reason: str | None) -> None:
    request = Request(host="a.test:80", path="/x%20y", query="a=1", headers=(("X-B", "w"),))
    assert explain(parse(rule), request) == reason
    assert evaluate(parse(rule), request) is (reason is None)
