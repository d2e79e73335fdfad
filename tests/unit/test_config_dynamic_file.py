"""Dynamic files: all of a file or nothing of it, and why."""

from __future__ import annotations

import pytest

from portway.config import Problem
from portway.edge.dynamic import HTTP, Dynamic, LoadBalancer, Router, Server, Service
from portway.edge.dynamic_file import decode_dynamic

ROUTER = "http:\n  routers:\n    r:\n      rule: Host(`a`)\n      service: s\n"
EXPECTED = Dynamic(http=HTTP(routers={"r": Router(rule="Host(`a`)", service="s")}))


def test_yaml_json_and_toml() -> None:
    assert decode_dynamic(ROUTER, "d.yml") == (EXPECTED, [])
    json = '{"http": {"routers": {"r": {"rule": "Host(`a`)", "service": "s"}}}}'
    assert decode_dynamic(json, "d.yml") == (EXPECTED, [])
    toml = "[http.routers.r]\nrule = 'Host(`a`)'\nservice = 's'\n"
    assert decode_dynamic(toml.encode(), "d.toml") == (EXPECTED, [])


def test_a_tree_will_do() -> None:
    tree = {"http": {"services": {"s": {"loadBalancer": {"servers": [{"url": "http://h"}]}}}}}
    service = Service(load_balancer=LoadBalancer(servers=[Server(url="http://h")]))
    assert decode_dynamic(tree, "x") == (Dynamic(http=HTTP(services={"s": service})), [])  # type: ignore[arg-type]


@pytest.mark.parametrize("content", ["", "# nothing\n", "http:\n", "x-common: &c [web]\n"])
def test_an_empty_file_is_an_empty_configuration(content: str) -> None:
    assert decode_dynamic(content, "d.yml") == (Dynamic(), [])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (ROUTER + "      prio: 1\n", "d.yml:6: http.routers.r.prio: field not found, node: prio"),
        (ROUTER + "  router: {}\n", "d.yml:6: http.router: field not found, node: router"),
        (ROUTER + "      rule: x\n", 'd.yml:6: mapping key "rule" already defined at line 4'),
        (ROUTER + "      tls: [\n", "d.yml:6: not valid YAML"),
        ("- a\n", "d.yml:1: not a configuration"),
        (
            ROUTER + "  services:\n    s:\n      loadBalancer: {}\n",
            "d.yml:8: http.services.s.loadBalancer: loadBalancer cannot be a standalone element",
        ),
        (
            ROUTER
            + "  services:\n    s:\n      loadBalancer:\n        server:\n          port: 1\n",
            "d.yml:9: http.services.s.loadBalancer.server: field not found, node: server; "
            "did you mean servers?",
        ),
    ],
)
def test_one_error_refuses_the_file(content: str, problem: str) -> None:
    dynamic, problems = decode_dynamic(content, "d.yml")
    assert dynamic is None
    (found,) = problems
    assert str(found).startswith(problem)


def test_every_error_is_told() -> None:
    _, problems = decode_dynamic(ROUTER + "      prio: 1\n      tls: maybe\n", "d.yml")
    assert [problem.line for problem in problems] == [6, 7]


def test_what_has_no_effect_is_told_and_prevents_nothing() -> None:
    content = ROUTER + "tls:\n  certificates: []\ntcp:\n  routers: {}\nhtpp: {}\n"
    dynamic, problems = decode_dynamic(content, "d.yml")
    assert dynamic is not None
    assert dynamic.http == EXPECTED.http
    assert sorted(problems) == [
        Problem("d.yml", 6, "tls", "is not supported yet and has no effect"),
        Problem("d.yml", 8, "tcp", "is not supported yet and has no effect"),
        Problem("d.yml", 10, "htpp", "unknown key, has no effect; did you mean http?"),
    ]
