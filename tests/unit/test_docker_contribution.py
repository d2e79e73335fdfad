"""What one container contributes: the defaults, and errors kept where they belong."""

from __future__ import annotations

from typing import Any

import pytest

from portway.edge.dynamic import Router, Service
from portway.edge.providers.docker import constraints
from portway.edge.providers.docker.container import Container, Port
from portway.edge.providers.docker.contribution import Contribution, Rules, contribute
from portway.edge.providers.docker.labelling import read_labels
from portway.edge.providers.docker.merge import Ref
from portway.edge.providers.template import Template

RULES = Rules(default_rule=Template("Host(`{{ normalize .Name }}.d`)"))
ROUTERS, SERVICES = "traefik.http.routers", "traefik.http.services"
PORT = "loadbalancer.server.port"


def contribution(labels: dict[str, str], rules: Rules = RULES, **options: Any) -> Contribution:
    given: dict[str, Any] = {
        "id": "c1",
        "name": "my_web",
        "status": "running",
        "networks": {"bridge": "10.0.0.2"},
        "ports": {Port(80, "tcp"): ()},
        **options,
    }
    container = Container(labels=labels, **given)
    return contribute(container, read_labels(labels), rules, lambda _: None)


def routers(found: Contribution) -> dict[str, tuple[str, str]]:
    return {
        ref.name: (share.value.rule, share.value.service)
        for ref, share in found.shares.items()
        if isinstance(share.value, Router)
    }


def servers(found: Contribution) -> dict[str, str]:
    return {
        ref.name: share.server.url if share.server else ""
        for ref, share in found.shares.items()
        if isinstance(share.value, Service)
    }


@pytest.mark.parametrize(
    ("labels", "made_routers", "made_services"),
    [
        ({}, {"my-web": ("Host(`my-web.d`)", "my-web")}, {"my-web": "http://10.0.0.2:80"}),
        (
            {f"{SERVICES}.s.{PORT}": "81"},
            {"my-web": ("Host(`my-web.d`)", "s")},
            {"s": "http://10.0.0.2:81"},
        ),
        (
            {f"{ROUTERS}.a.rule": "Host(`a`)", f"{ROUTERS}.b.entrypoints": "web"},
            {"a": ("Host(`a`)", "my-web"), "b": ("Host(`my-web.d`)", "my-web")},
            {"my-web": "http://10.0.0.2:80"},
        ),
        (
            {"traefik.http.middlewares.m.addprefix.prefix": "/x"},
            {"my-web": ("Host(`my-web.d`)", "my-web")},
            {"my-web": "http://10.0.0.2:80"},
        ),
        (
            {f"{SERVICES}.s.{PORT}": "81", f"{SERVICES}.t.{PORT}": "82"},
            {},
            {"s": "http://10.0.0.2:81", "t": "http://10.0.0.2:82"},
        ),
        ({"traefik.tcp.routers.t.rule": "HostSNI(`*`)"}, {}, {}),
        ({f"{SERVICES}.s.loadbalancer.server.scheme": "h2c"}, None, {"s": "h2c://10.0.0.2:80"}),
        ({f"{SERVICES}.s.loadbalancer.server.url": "http://x:1"}, None, {"s": "http://x:1"}),
        ({f"{ROUTERS}.a.service": "other@file"}, {"a": ("Host(`my-web.d`)", "other@file")}, None),
    ],
)
def test_defaults(
    labels: dict[str, str],
    made_routers: dict[str, tuple[str, str]] | None,
    made_services: dict[str, str] | None,
) -> None:
    found = contribution(labels)
    assert not [error for share in found.shares.values() for error in share.errors]
    if made_routers is not None:
        assert routers(found) == made_routers
    if made_services is not None:
        assert servers(found) == made_services


@pytest.mark.parametrize(
    ("labels", "options", "kind", "name", "error"),
    [
        ({}, {"ports": {}}, "service", "my-web", "port is missing"),
        ({f"{SERVICES}.s.{PORT}": "http"}, {}, "service", "s", "'http' is not a port"),
        ({f"{SERVICES}.s.{PORT}": "²"}, {}, "service", "s", "is not a port"),
        (
            {f"{SERVICES}.s.loadbalancer.server.scheme": "ftp"},
            {},
            "service",
            "s",
            "write http, https or h2c",
        ),
        (
            {f"{SERVICES}.s.loadbalancer.server.url": "http://x", f"{SERVICES}.s.{PORT}": "1"},
            {},
            "service",
            "s",
            "server.url excludes",
        ),
        (
            {f"{SERVICES}.s.weighted.services[0].name": "x"},
            {},
            "service",
            "s",
            "load-balancer is not defined",
        ),
        (
            {
                f"{SERVICES}.s.{PORT}": "1",
                f"{SERVICES}.t.{PORT}": "2",
                f"{ROUTERS}.r.rule": "Host(`x`)",
            },
            {},
            "router",
            "r",
            'Router r cannot be linked automatically with multiple Services: ["s" "t"]',
        ),
        ({f"{ROUTERS}.r.rul": "Host(`x`)"}, {}, "router", "r", "did you mean rule?"),
    ],
)
def test_errors_are_on_the_object_they_concern(
    labels: dict[str, str], options: dict[str, Any], kind: Any, name: str, error: str
) -> None:
    found = contribution(labels, **options)
    shares = dict(found.shares)
    assert error in "\n".join(shares.pop(Ref(kind, name)).errors)
    assert not [text for share in shares.values() for text in share.errors]


HIDDEN = RULES._replace(exposed_by_default=False)
PRODUCTION = RULES._replace(constraint=constraints.parse("Label(`env`, `prod`)"))


@pytest.mark.parametrize(
    ("labels", "rules", "options", "reason"),
    [
        ({"traefik.enable": "false"}, RULES, {}, "traefik.enable is false"),
        ({}, HIDDEN, {}, "no label traefik.enable"),
        ({"traefik.enable": "true"}, HIDDEN, {}, ""),
        ({"portway.enable": "true"}, HIDDEN, {}, ""),
        ({"traefik.enable": "maybe"}, RULES, {}, "traefik.enable is wrong"),
        ({}, PRODUCTION, {}, "constraints"),
        ({"env": "prod"}, PRODUCTION, {}, ""),
        ({}, RULES, {"status": "exited"}, "not running"),
        ({"traefik.docker.allownonrunning": "true"}, RULES, {"status": "exited"}, ""),
        ({}, RULES, {"health": "starting"}, "health check says starting"),
        ({}, RULES, {"health": "unhealthy"}, "health check says unhealthy"),
        ({}, RULES._replace(allow_empty_services=True), {"health": "unhealthy"}, ""),
        ({}, RULES, {"health": "healthy"}, ""),
        ({}, RULES, {"status": "paused"}, ""),
    ],
)
def test_which_containers_count(
    labels: dict[str, str], rules: Rules, options: dict[str, Any], reason: str
) -> None:
    found = contribution(labels, rules, **options)
    assert bool(found.skipped) is bool(reason)
    assert bool(found.shares) is not bool(reason)
    assert reason in found.skipped


@pytest.mark.parametrize(
    "options", [{"status": "paused"}, {"status": "exited"}, {"health": "starting"}]
)
def test_a_container_that_cannot_serve_has_no_server(options: dict[str, Any]) -> None:
    labels = {"traefik.docker.allownonrunning": "true"}
    rules = RULES._replace(allow_empty_services=True)
    assert servers(contribution(labels, rules, **options)) == {"my-web": ""}


def test_a_wrong_enable_label_is_told_although_the_container_is_skipped() -> None:
    found = contribution({"traefik.enable": "maybe"})
    assert "container 'my_web': traefik.enable" in found.problems[0]


def test_a_default_rule_that_yields_nothing_is_an_error() -> None:
    rules = RULES._replace(default_rule=Template('{{ index .Labels "host" }}'))
    share = contribution({}, rules).shares[Ref("router", "my-web")]
    assert "it is empty" in share.errors[0]
