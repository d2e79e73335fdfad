"""``/api/explain``: which router a request hits, and why the others are not hit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from portway.edge.api import Product, create_app, explain
from portway.edge.dynamic import LoadBalancer, Middleware, Router, RouterTLS, Server, Service
from portway.edge.runtime import MiddlewareInfo, RouterInfo, Runtime, ServiceInfo, Status
from portway.edge.static import EntryPoint, Static

from .asgi import ask

STATIC = Static(
    entry_points={
        "web": EntryPoint(address=":80"),
        "alt": EntryPoint(address=":8081"),
        "dns": EntryPoint(address=":53/udp"),
    }
)


def router(
    name: str,
    rule: str,
    priority: int,
    points: tuple[str, ...] = ("web",),
    status: Status = "enabled",
    errors: tuple[str, ...] = (),
    **options: Any,
) -> RouterInfo:
    config = Router(entry_points=list(points), rule=rule, service="s", **options)
    return RouterInfo(name, config, priority, status, list(errors), list(points), "s@file")


def app(*routers: RouterInfo) -> ASGIApp:
    service = Service(load_balancer=LoadBalancer(servers=[Server(url="http://10.0.0.1")]))
    runtime = Runtime(
        {info.name: info for info in routers},
        {"s@file": ServiceInfo("s@file", service)},
        {"m@file": MiddlewareInfo("m@file", Middleware(), type="stripPrefix")},
        {},
        {},
    )
    return create_app(runtime, STATIC, Product("1", datetime.now(UTC)))


async def asked(app: ASGIApp, **parameters: Any) -> Any:
    answer = await ask(app, "/api/explain?" + urlencode(parameters, doseq=True))
    assert answer.status == 200, answer.body
    return answer.json()


async def reasons(app: ASGIApp, **parameters: Any) -> dict[str, str]:
    """Other routers at the first entry point: name → why they are not hit."""
    (point, *_) = (await asked(app, **parameters))["entryPoints"]
    return {other["name"]: other["reason"] for other in point["others"]}


async def test_the_router_that_is_hit() -> None:
    routes = app(router("a@file", "Host(`a.test`)", 14, middlewares=["m@file"]))
    tree = await asked(routes, url="http://a.test/x?q=1", method="post", header="X-A: 1")
    assert tree["request"] == {
        "method": "POST",
        "scheme": "http",
        "host": "a.test",
        "path": "/x",
        "query": "q=1",
        "headers": ["X-A: 1"],
        "clientIP": "127.0.0.1",
    }
    (point,) = tree["entryPoints"]
    assert point == {
        "name": "web",
        "address": ":80",
        "router": {
            "name": "a@file",
            "provider": "file",
            "rule": "Host(`a.test`)",
            "priority": 14,
            "status": "enabled",
            "middlewares": [{"name": "m@file", "type": "stripPrefix"}],
            "service": "s@file",
            "servers": ["http://10.0.0.1"],
        },
        "others": [],
    }


async def test_no_router() -> None:
    (point,) = (await asked(app(), url="http://a.test"))["entryPoints"]
    assert point["answer"] == "404 page not found"
    assert "router" not in point


async def test_why_the_others_are_not_hit() -> None:
    routes = app(
        router("hit@file", "Host(`a.test`)", 50),
        router("lower@file", "PathPrefix(`/`)", 10),
        router("equal@file", "Host(`a.test`) || Host(`b.test`)", 50),
        router("path@file", "Host(`a.test`) && Path(`/y`)", 60),
        router("host@file", "Host(`c.test`)", 99),
        router("elsewhere@file", "Host(`a.test`)", 99, points=("alt",)),
        router("broken@file", "Host(`a.test`)", 99, status="disabled", errors=("no service",)),
        router("nonsense@file", "Hots(`a.test`)", 99, status="disabled", errors=("bad rule",)),
        router("secure@file", "Host(`a.test`)", 99, tls=RouterTLS()),
    )
    # by priority, then name: equal@file would come before hit@file
    found = await reasons(routes, url="http://a.test/x")
    assert found["hit@file"].startswith("the rule matches, but equal@file comes first")
    assert found["lower@file"] == ("the rule matches, but equal@file has the higher priority (50)")
    assert found["path@file"] == "Path(`/y`) did not match path /x"
    assert found["host@file"] == "Host(`c.test`) did not match host a.test"
    assert found["elsewhere@file"] == "not attached to the entry point web, only to alt"
    assert found["broken@file"] == "disabled: no service"
    assert found["nonsense@file"] == "disabled: bad rule"
    assert found["secure@file"] == "the rule matches, but it answers TLS only"
    assert list(found)[:2] == ["hit@file", "lower@file"], "the closest come first"
    assert list(found)[-1] == "host@file", "and other hosts last"


@pytest.mark.parametrize(
    ("rule", "parameters"),
    [
        ("Method(`PUT`)", {"method": "put"}),
        ("Header(`X-A`, `2`)", {"header": ["X-A:1", "x-a: 2"]}),
        ("Host(`b.test`)", {"header": "Host: b.test"}),
        ("ClientIP(`10.0.0.0/8`)", {"client_ip": "10.1.2.3"}),
        ("ClientIP(`::1`)", {"client_ip": "0:0::1"}),
        ("Query(`a`, `b c`)", {"url": "http://a.test/?a=b+c"}),
        ("PathPrefix(`/x/y`)", {"url": "a.test//x/./y"}),
    ],
)
async def test_every_part_of_the_request_counts(rule: str, parameters: dict[str, Any]) -> None:
    tree = await asked(app(router("a@file", rule, 1)), **{"url": "http://a.test/", **parameters})
    assert tree["entryPoints"][0]["router"]["name"] == "a@file"


@pytest.mark.parametrize(
    ("parameters", "points", "noted"),
    [
        ({"url": "http://a.test"}, ["web"], False),
        ({"url": "a.test:8081"}, ["alt"], False),
        ({"url": "ws://a.test/"}, ["web"], False),
        ({"url": "http://a.test:9999"}, ["web", "alt"], True),
        ({"url": "http://a.test", "entryPoint": "alt"}, ["alt"], False),
    ],
)
async def test_entry_points_are_those_of_the_port(
    parameters: dict[str, str], points: list[str], noted: bool
) -> None:
    tree = await asked(app(), **parameters)
    assert [point["name"] for point in tree["entryPoints"]] == points
    assert ("note" in tree) is noted


async def test_the_number_of_others_is_bounded() -> None:
    routes = app(*(router(f"r{n}@file", f"Host(`{n}.test`)", 10) for n in range(80)))
    (point,) = (await asked(routes, url="http://a.test"))["entryPoints"]
    assert (len(point["others"]), point["omitted"]) == (50, 30)
    (point,) = (await asked(routes, url="http://a.test", limit=0))["entryPoints"]
    assert (point["others"], point["omitted"]) == ([], 80)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "the parameter url is missing"),
        ("url=ftp://a", "write http://app.localhost/path"),
        ("url=http://", "write http://app.localhost/path"),
        ("url=http://a:99999", "write http://app.localhost/path"),
        ("url=http://[", "write http://app.localhost/path"),
        ("url=a&header=x", "write header=X-Name:value"),
        ("url=a&client_ip=x", "'x' is not an IP address"),
        ("url=a&entryPoint=wbe", "there are: alt, web"),
        ("url=a&entryPoint=dns", "there are: alt, web"),
        ("url=a&limit=-1", "from 0 to 1000"),
        ("url=a&metod=GET", "unknown parameter 'metod'"),
        ("url=" + "a" * 70_000, "70000 characters"),
        ("url=a" + "&header=a:b" * 300, "300 headers are too many"),
    ],
)
async def test_bad_questions(query: str, says: str) -> None:
    answer = await ask(app(), f"/api/explain?{query}")
    assert answer.status == 400
    assert says in answer.json()["message"]


@given(st.lists(st.tuples(st.sampled_from(["url", "method", "header", "client_ip"]), st.text())))
def test_no_question_breaks_the_reader(parameters: list[tuple[str, str]]) -> None:
    try:
        question = explain.read(parameters, STATIC.entry_points)
    except ValueError as error:
        assert str(error)
    else:
        nobody = Runtime({}, {}, {}, {}, {})
        asyncio.run(explain.explain(question, nobody, explain.by_priority))
