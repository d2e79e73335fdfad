"""The edge API over runtime objects made by hand; test_api_traefik compares with Traefik."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from starlette.types import ASGIApp

from portway.config.options import Duration, Unsupported
from portway.edge import middlewares as mw
from portway.edge.api import Product, create_app
from portway.edge.dynamic import (
    HealthCheck,
    LoadBalancer,
    Middleware,
    Router,
    RouterTLS,
    Server,
    Service,
)
from portway.edge.runtime import MiddlewareInfo, RouterInfo, Runtime, ServiceInfo
from portway.edge.static import API, Docker, EntryPoint, File, Ping, Providers, Static
from portway.envoy.admin import AdminError

from .asgi import ask

PRODUCT = Product("1.2.3", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def runtime() -> Runtime:
    routers = [
        RouterInfo(
            "a@file",
            Router(
                entry_points=["web"],
                rule="Host(`a.test`) && Path(`/<x>`)",
                service="s",
                middlewares=["m@file"],
            ),
            30,
            using=["web"],
            service="s@file",
        ),
        RouterInfo(
            "b@docker",
            Router(entry_points=["web", "alt"], rule="Host(`b.test`)", service="t@file"),
            2**63 - 1001,
            status="disabled",
            errors=["broken"],
            using=["web", "alt"],
            service="t@file",
        ),
        RouterInfo(
            "c@internal",
            Router(entry_points=["web"], rule="PathPrefix(`/c`)", service="s", tls=RouterTLS()),
            -5,
            status="warning",
            using=["web"],
            service="s@internal",
        ),
    ]
    services = [
        ServiceInfo(
            "s@file",
            Service(
                load_balancer=LoadBalancer(
                    servers=[Server(url="http://10.0.0.1:80"), Server(url="http://10.0.0.2")],
                    health_check=HealthCheck(path="/h", interval=Duration(90)),
                )
            ),
            used_by=["a@file"],
        ),
        ServiceInfo("t@file", Service(weighted=Unsupported({"services": []})), status="disabled"),
        ServiceInfo("s@internal", Service()),
    ]
    middlewares = [
        MiddlewareInfo(
            "m@file",
            Middleware(strip_prefix=mw.StripPrefix(prefixes=["/x"])),
            type="stripPrefix",
            used_by=["a@file"],
        )
    ]
    return Runtime(
        {info.name: info for info in routers},
        {info.name: info for info in services},
        {info.name: info for info in middlewares},
        {},
        {"docker": ["unreachable"], "file": []},
    )


STATIC = Static(
    entry_points={"web": EntryPoint(address=":80"), "alt": EntryPoint(address=":81")},
    providers=Providers(docker=Docker(), file=File(directory="/d")),
    api=API(),
    ping=Ping(terminating_status_code=500),
)


@pytest.fixture
def app() -> ASGIApp:
    return create_app(runtime(), STATIC, PRODUCT)


async def names(app: ASGIApp, target: str) -> list[str]:
    answer = await ask(app, target)
    assert answer.status == 200, answer
    return [entry["name"] for entry in answer.json()]


async def test_version(app: ASGIApp) -> None:
    answer = await ask(app, "/api/version")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.json() == {
        "Version": "1.2.3",
        "Codename": "portway",
        "startDate": "2026-01-02T03:04:05Z",
    }


async def test_overview(app: ASGIApp) -> None:
    answer = await ask(app, "/api/overview")
    tree = answer.json()
    assert tree["http"]["routers"] == {"total": 3, "warnings": 1, "errors": 1}
    assert tree["http"]["services"] == {"total": 3, "warnings": 0, "errors": 1}
    assert tree["udp"] == {
        "routers": {"total": 0, "warnings": 0, "errors": 0},
        "services": {"total": 0, "warnings": 0, "errors": 0},
    }
    assert tree["features"] == {"tracing": "", "metrics": "", "accessLog": False}
    assert tree["providers"] == ["Docker", "File"]


async def test_a_router(app: ASGIApp) -> None:
    answer = await ask(app, "/api/http/routers/a@file")
    assert answer.json() == {
        "entryPoints": ["web"],
        "middlewares": ["m@file"],
        "service": "s",
        "rule": "Host(`a.test`) && Path(`/<x>`)",
        "priority": 30,
        "observability": {
            "accessLogs": True,
            "metrics": True,
            "tracing": True,
            "traceVerbosity": "minimal",
        },
        "status": "enabled",
        "using": ["web"],
        "name": "a@file",
        "provider": "file",
        "priorityStr": "30",
    }
    assert b"\\u0026\\u0026 Path(`/\\u003cx\\u003e`)" in answer.body
    assert answer.body.endswith(b"}\n")


async def test_priorities_beyond_what_javascript_can_count(app: ASGIApp) -> None:
    tree = (await ask(app, "/api/http/routers/b%40docker")).json()
    assert (tree["priority"], tree["priorityStr"]) == (2**63 - 1001, "9223372036854774807")
    assert tree["error"] == ["broken"]
    assert tree["using"] == ["web", "alt"]


async def test_a_router_without_entry_points_has_no_priority() -> None:
    live = runtime()
    live.routers["a@file"].using.clear()
    tree = (await ask(create_app(live, STATIC, PRODUCT), "/api/http/routers/a@file")).json()
    assert "using" not in tree
    assert "priority" not in tree
    assert tree["priorityStr"] == "0"


async def test_tls_names_the_default_options_only_in_lists(app: ASGIApp) -> None:
    listed = (await ask(app, "/api/http/routers/c@internal")).json()
    raw = (await ask(app, "/api/rawdata")).json()["routers"]["c@internal"]
    assert listed["tls"] == {"options": "default"}
    assert raw["tls"] == {}
    assert raw["ruleSyntax"] == "default"
    assert "name" not in raw


async def test_a_service_shows_defaults_and_its_servers() -> None:
    async def health() -> Mapping[tuple[str, str], bool]:
        return {("s@file", "10.0.0.1:80"): False, ("s@file", "10.0.0.2"): True}

    app = create_app(runtime(), STATIC, PRODUCT, health=health)
    tree = (await ask(app, "/api/http/services/s@file")).json()
    assert tree == {
        "loadBalancer": {
            "servers": [{"url": "http://10.0.0.1:80"}, {"url": "http://10.0.0.2"}],
            "strategy": "wrr",
            "passHostHeader": True,
            "responseForwarding": {"flushInterval": "100ms"},
            "healthCheck": {
                "mode": "http",
                "path": "/h",
                "interval": "1m30s",
                "timeout": "5s",
                "followRedirects": True,
            },
        },
        "status": "enabled",
        "usedBy": ["a@file"],
        "name": "s@file",
        "provider": "file",
        "type": "loadbalancer",
        "serverStatus": {"http://10.0.0.1:80": "DOWN", "http://10.0.0.2": "UP"},
    }


async def test_servers_count_as_up_while_envoy_does_not_answer() -> None:
    async def health() -> Mapping[tuple[str, str], bool]:
        raise AdminError("gone")

    app = create_app(runtime(), STATIC, PRODUCT, health=health)
    tree = (await ask(app, "/api/rawdata")).json()
    assert set(tree["services"]["s@file"]["serverStatus"].values()) == {"UP"}


async def test_a_middleware(app: ASGIApp) -> None:
    assert (await ask(app, "/api/http/middlewares/m@file")).json() == {
        "stripPrefix": {"prefixes": ["/x"]},
        "status": "enabled",
        "usedBy": ["a@file"],
        "name": "m@file",
        "provider": "file",
        "type": "stripprefix",
    }


async def test_raw_data_leaves_empty_maps_out() -> None:
    app = create_app(Runtime({}, {}, {}, {}, {}), Static(), PRODUCT)
    assert (await ask(app, "/api/rawdata")).body == b"{}\n"


async def test_what_is_shown_follows_the_runtime() -> None:
    live = runtime()
    app = create_app(live, STATIC, PRODUCT)
    target = "/api/http/routers/a@file"
    assert (await ask(app, target)).json()["status"] == "enabled"
    live.routers["a@file"].status = "disabled"
    live.routers["a@file"].errors.append("refused by Envoy")
    assert (await ask(app, target)).json()["error"] == ["refused by Envoy"]
    live.middlewares["m@file"].used_by.append("z@file")
    shown = (await ask(app, "/api/http/middlewares/m@file")).json()
    assert shown["usedBy"] == ["a@file", "z@file"]
    live.routers["a@file"] = msgspec.structs.replace(live.routers["a@file"], priority=7)
    assert (await ask(app, target)).json()["priority"] == 7
    del live.routers["a@file"]
    assert (await ask(app, target)).status == 404


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a@file", "b@docker", "c@internal"]),
        ("direction=desc", ["c@internal", "b@docker", "a@file"]),
        ("direction=sideways", ["c@internal", "b@docker", "a@file"]),
        ("sortBy=priority", ["c@internal", "a@file", "b@docker"]),
        ("sortBy=priority&direction=desc", ["b@docker", "a@file", "c@internal"]),
        ("sortBy=provider", ["b@docker", "a@file", "c@internal"]),
        ("sortBy=status", ["b@docker", "a@file", "c@internal"]),
        ("sortBy=entryPoints&direction=desc", ["b@docker", "c@internal", "a@file"]),
        ("sortBy=nonsense", ["a@file", "b@docker", "c@internal"]),
        ("search=DOCKER", ["b@docker"]),
        ("search=a.TEST", ["a@file"]),
        ("status=Disabled", ["b@docker"]),
        ("serviceName=s@file", ["a@file", "c@internal"]),
        ("serviceName=t@file", ["b@docker"]),
        ("serviceName=t", []),
        ("middlewareName=m@file", ["a@file"]),
        ("middlewareName=m", []),
        ("search=&status=", ["a@file", "b@docker", "c@internal"]),
        ("search=a.test&search=b.test", ["a@file"]),
    ],
)
async def test_filters_and_order_of_routers(app: ASGIApp, query: str, expected: list[str]) -> None:
    assert await names(app, f"/api/http/routers?{query}") == expected


async def test_order_of_services(app: ASGIApp) -> None:
    by_servers = await names(app, "/api/http/services?sortBy=servers&direction=desc")
    assert by_servers == ["s@file", "t@file", "s@internal"]
    by_type = await names(app, "/api/http/services?sortBy=type")
    assert by_type == ["s@internal", "s@file", "t@file"]


@pytest.mark.parametrize(
    ("query", "expected", "following"),
    [
        ("per_page=2", ["a@file", "b@docker"], "2"),
        ("per_page=2&page=2", ["c@internal"], "1"),
        ("per_page=3", ["a@file", "b@docker", "c@internal"], "1"),
    ],
)
async def test_pages(app: ASGIApp, query: str, expected: list[str], following: str) -> None:
    answer = await ask(app, f"/api/http/routers?{query}")
    assert [entry["name"] for entry in answer.json()] == expected
    assert answer.headers["x-next-page"] == following


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("/api/http/routers?page=99", 400, "invalid request: page: 99, per_page: 100"),
        ("/api/http/routers?page=0", 400, "invalid request: page: 0"),
        ("/api/http/routers?page=x", 400, "invalid request: page: 0"),
        ("/api/http/routers?per_page=-1", 400, "invalid request: per_page: -1"),
        ("/api/udp/routers?page=2", 400, "invalid request: page: 2, per_page: 100"),
        ("/api/http/routers/x", 404, "router not found: x"),
        ("/api/http/services/x", 404, "service not found: x"),
        ("/api/http/middlewares/x", 404, "middleware not found: x"),
        ("/api/entrypoints/x", 404, "entry point not found: x"),
        ("/api/tcp/routers/x", 404, "router not found: x"),
        ("/api/tcp/middlewares/x", 404, "middleware not found: x"),
        ("/api/udp/services/x", 404, "service not found: x"),
        ("/api/certificates/x", 404, "certificate not found: x"),
    ],
)
async def test_errors(app: ASGIApp, target: str, status: int, message: str) -> None:
    answer = await ask(app, target)
    assert answer.status == status
    assert answer.json() == {"message": message}
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("target", ["/api", "/api/", "/api/nope", "/api/http/routers/", "/"])
async def test_what_is_not_there(app: ASGIApp, target: str) -> None:
    answer = await ask(app, target)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
async def test_only_get(app: ASGIApp, method: str) -> None:
    answer = await ask(app, "/api/http/routers", method)
    assert (answer.status, answer.body) == (405, b"")


@pytest.mark.parametrize(
    "path", ["tcp/routers", "tcp/services", "tcp/middlewares", "udp/routers", "udp/services"]
)
async def test_lists_of_other_protocols_are_empty(app: ASGIApp, path: str) -> None:
    answer = await ask(app, f"/api/{path}")
    assert (answer.body, answer.headers["x-next-page"]) == (b"[]\n", "1")


async def test_base_path() -> None:
    static = msgspec.structs.replace(STATIC, api=API(base_path="/admin/"))
    app = create_app(runtime(), static, PRODUCT)
    assert (await ask(app, "/admin/api/version")).status == 200
    assert (await ask(app, "/api/version")).status == 404


async def test_ping_follows_readiness() -> None:
    ready = [True]
    app = create_app(runtime(), STATIC, PRODUCT, ready=lambda: ready[0])
    answer = await ask(app, "/ping")
    assert (answer.status, answer.body) == (200, b"OK")
    ready[0] = False
    assert (await ask(app, "/ping")).status == 500


async def test_problems_of_providers(app: ASGIApp) -> None:
    answer: Any = (await ask(app, "/api/problems")).json()
    assert answer == {"docker": ["unreachable"]}
