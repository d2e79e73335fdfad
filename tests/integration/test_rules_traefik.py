"""The rules decided in Python agree with the real Traefik."""

from __future__ import annotations

import json
import random
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from portway.rules import Request, RuleError, evaluate, parse
from tests.ports import free_port

from . import rules_corpus as corpus
from .envoy_static import READY_HOST, running
from .rules_client import ask_all

pytestmark = pytest.mark.skipif(shutil.which("traefik") is None, reason="needs the real Traefik")

ROUTER = "X-Router"
ENCODED = ("Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash")
MORE_LEAVES = [
    corpus.matcher("Host", host)
    for host in ("a.test:8080", " a.test", "::1", "[::1]", "*a.test", "*.A.TEST")
] + [corpus.matcher("HostRegexp", pattern) for pattern in ("^a\\.test\\.$", "::1", "^$", ":80")]
MORE_REQUESTS = [
    *(Request(host=host) for host in (
        "a.test.", "a.test.:80", "A.TEST", ".a.test", "X.a.test.", "*.a.test", "[::1]", "[::1]:80",
        "::1", "a.test:", "a.test..",
    )),
    *(Request(host="a.test", path=path) for path in (
        "//", "/a//b", "/a/../b", "/a/..", "/a/.", "/a/b/..", "/..", "/../x", "/a%2F../b", "/a//",
        "/a/..//", "/a/%2e%2e/b", "/.../x", "/a//../b", "/%2e%2e%2fx", "/a/b/..//c//", "/a\\b",
    )),
    Request(host="a.test", headers=(("X-A", "1"), ("X-A", "a,b"))),
    Request(host="a.test", headers=(("X-A", "2,1"),)),
    Request(host="a.test", headers=(("Cookie", "a=1; b=2"),)),
]  # fmt: skip


@pytest.fixture(scope="module")
def lone_rules() -> list[str]:
    dice = random.Random(7)
    return [
        *corpus.LEAVES,
        *MORE_LEAVES,
        *(f"!{leaf}" for leaf in corpus.LEAVES),
        *(corpus.random_rule(dice) for _ in range(100)),
    ]


@pytest.fixture(scope="module")
def port(lone_rules: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    rules = [f"Header(`X-Case`, `{number}`) && ({rule})" for number, rule in enumerate(lone_rules)]
    directory = tmp_path_factory.mktemp("traefik")
    port = free_port()
    with running(_command(directory, port, rules), directory / "log", port, READY_HOST):
        yield port


def _command(directory: Path, port: int, rules: Sequence[str], *more: str) -> list[str]:
    named = {f"r{number}": rule for number, rule in enumerate(rules)}
    routers = {name: _router(name, rule) for name, rule in named.items()}
    middlewares = {
        name: {"headers": {"customResponseHeaders": {ROUTER: name[1:]}}} for name in named
    }
    routers["ready"] = {"rule": f"Host(`{READY_HOST}`)", "service": "ping@internal"}
    dynamic = {"http": {"routers": routers, "middlewares": middlewares}}
    file = directory / "dynamic.yml"  # JSON is YAML
    file.write_text(json.dumps(dynamic))
    return [
        "traefik",
        f"--entrypoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={file}",
        "--ping=true",
        "--ping.manualRouting=true",
        "--log.level=FATAL",
        *(f"--entrypoints.web.http.encodedCharacters.allowEncoded{name}=true" for name in ENCODED),
        *more,
    ]


def _router(name: str, rule: str) -> dict[str, object]:
    return {
        "rule": rule,
        "service": "noop@internal",
        "middlewares": [name],
        "entryPoints": ["web"],
    }


def _differences(port: int, texts: Sequence[str], cases: Sequence[tuple[int, Request]]) -> str:
    sent = [
        msgspec.structs.replace(r, headers=(*r.headers, ("X-Case", str(number))))
        for number, r in cases
    ]
    answers = ask_all(port, sent, ROUTER)
    return "\n".join(
        f"{texts[number]}: {request}: Traefik answers {answer}, we say {not matched}"
        for (number, request), answer in zip(cases, answers, strict=True)
        if (matched := answer == str(number)) != evaluate(parse(texts[number]), request)
    )


def test_each_rule_with_each_value(port: int, lone_rules: Sequence[str]) -> None:
    requests = [*corpus.single_requests(), *MORE_REQUESTS]
    count = len(corpus.LEAVES) + len(MORE_LEAVES)
    cases = [(number, request) for number in range(count) for request in requests]
    differences = _differences(port, lone_rules, cases)
    assert not differences, differences


def test_random_rules_and_requests(port: int, lone_rules: Sequence[str]) -> None:
    dice = random.Random(8)
    cases = [
        (number, corpus.random_request(dice))
        for number in range(len(lone_rules))
        for _ in range(10)
    ]
    differences = _differences(port, lone_rules, cases)
    assert not differences, differences


RULES = [
    "Hots(`a`)", "Host(`a`", "Host()", "Host(``)", "Host(`a`,`b`)", "Path(`a`)", "PathPrefix(`a`)",
    "PathRegexp(`(`)", "HostRegexp(`é`)", "Host(`é`)", "Header(`a`)", "Query(`q`,``)",
    "ClientIP(`fe80::1%eth0`)",
    "ClientIP(`x`)", "ClientIP(`10.0.0.0/33`)", "ClientIP(`10.0.0.1/8`)",
    "ClientIP(`10.0.0.1`)", "ClientIP(`10.0.0.0/255.0.0.0`)", "Method(``)", "Method(1)",
    "Method('G')", "Host", "Host(`a`) Host(`b`)", "Host(`a`) &&", "&& Host(`a`)",
    "Host(`a`) & Host(`b`)", "Host(`a`) && (", "Host(`a`) ||\n Host(`b`)", "Host(`a`)\n",
    "Host(`a`,)", "HOST(`a`)", "host(`a`)", "Hostregexp(`a`)", "hostRegexp(`a`)", "Host(`a`) // x",
    "Host(`a`) /* x */ && Path(`/`)", 'Host("a\\x41")', "!(!Host(`a`))", "!!Host(`a`)",
    "- Host(`a`)", "Headers(`a`,`b`)", "`a`", "Host(Host(`a`))", "Host(`a`) == Host(`b`)",
    "HostSNI(`a`)", "PathRegexp(`\\C`)", "PathRegexp(`(?=a)`)", "Host(`a\r\nb`)", 'Host("a\\q")',
    "PathRegexp(`a{1001}`)", "PathRegexp(`(?P<a>x)(?P<a>y)`)", "PathRegexp(`\\8`)",
    "foo.Host(`a`)", "Host(`a`);", "(Host(`a`)))", "Query(`a`,`b`,`c`)", "Host(`a` `b`)", "Host(a)",
    'Host("a`)', "HeaderRegexp(`X`,`[`)", "Query(`q`)", "Host(`a`) ! Host(`b`)", "true", "1",
    "Host(`a`) \u00a0&& Host(`b`)", "Host(`a`) && `b`", "Path(`/a`) || (Method(`x`))", "Host(,)",
    "HostRegexp(`^(?i)A$`)", "PathRegexp(`^/[[:alpha:]]+\\z`)", "PathRegexp(`(?<n>x)`)",
    "PathRegexp(`\\pL\\p{Greek}`)", "PathRegexp(`\\p{Nope}`)", "Host(`a`) and Host(`b`)",
]  # fmt: skip


def test_traefik_refuses_the_same_rules(tmp_path: Path) -> None:
    web, api = free_port(), free_port()
    more = [f"--entrypoints.traefik.address=127.0.0.1:{api}", "--api.insecure=true"]
    with running(_command(tmp_path, web, RULES, *more), tmp_path / "log", web, READY_HOST):
        url = f"http://127.0.0.1:{api}/api/http/routers?per_page=1000"
        with urllib.request.urlopen(url) as response:
            found = {router["name"]: router for router in json.load(response)}
    differences = []
    for number, text in enumerate(RULES):
        theirs = found[f"r{number}@file"]
        try:
            rule = parse(text)
        except RuleError as error:
            if theirs["status"] != "disabled":
                differences.append(f"{text}: we say {error}")
        else:
            if (theirs["status"], theirs["priority"]) != ("enabled", rule.priority):
                differences.append(f"{text}: Traefik says {theirs}")
    assert not differences, "\n".join(differences)
