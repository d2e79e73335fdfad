"""The API beside the real Traefik's, with the same static and dynamic configuration.

Texts of errors are ours; everything else must agree, but for what ``docs/compatibility.md`` lists.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.types import ASGIApp

from portway.edge.aggregate import Aggregator
from portway.edge.api import Product, create_app
from portway.edge.control import models
from portway.edge.dynamic_file import decode_dynamic
from portway.edge.providers import internal
from portway.edge.providers.provider import Change, Kind, Report
from portway.edge.static import load
from tests.patience import PATIENCE
from tests.ports import free_port

from ..unit.asgi import Answer, ask
from .services_harness import eventually

pytestmark = pytest.mark.skipif(not shutil.which("traefik"), reason="needs the real Traefik")

DYNAMIC = """
http:
  routers:
    a:
      rule: Host(`a.test`) && PathPrefix(`/<x>`)
      service: sa
      middlewares: [strip, rl]
      entryPoints: [web]
    b:
      rule: Host(`b.test`)
      service: sb@file
      entryPoints: [web, web2]
      priority: 9223372036854774807
    bad: {rule: Foo(`x`), service: nope}
    badmw: {rule: Host(`c.test`), service: sa, middlewares: [gone]}
    warn: {rule: Host(`w.test`), service: sa, entryPoints: [web, nope]}
    lost: {rule: Host(`l.test`), service: sa, entryPoints: [nope]}
    all:
      rule: Host(`all.test`)
      service: sa
      middlewares: [auth, rl2, rl3, rl4, hd, rs, rs2, rr, rp, rpr, ap, ch, ip, ipw, spr, slash]
      observability: {accessLogs: false}
  services:
    sa:
      loadBalancer:
        servers:
        - {url: "http://127.0.0.1:9001"}
        - {url: "http://127.0.0.1:9002", weight: 3, preservePath: false}
    sb:
      loadBalancer:
        servers: [{url: "http://127.0.0.1:9003"}]
        healthCheck: {path: /health, interval: 1h}
        strategy: p2c
        passHostHeader: false
        responseForwarding: {flushInterval: 50ms}
    unused: {loadBalancer: {servers: []}}
    hc:
      loadBalancer:
        servers: [{url: "http://127.0.0.1:9004"}]
        healthCheck:
          path: /h
          interval: 10s
          unhealthyInterval: 5s
          timeout: 1500ms
          headers: {A: b}
          port: 80
          scheme: http
          status: 200
          followRedirects: false
          mode: http
          method: GET
          hostname: x
        serversTransport: tr
  middlewares:
    strip: {stripPrefix: {prefixes: [/x]}}
    slash: {stripPrefix: {prefixes: [/x]}}
    auth:
      basicAuth:
        users: ["admin:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]
        realm: r
        removeHeader: true
        headerField: X
    rl: {rateLimit: {average: 100, period: 1m}}
    rl2:
      rateLimit:
        average: 100
        burst: 5
        sourceCriterion: {ipStrategy: {depth: 2, excludedIPs: [1.2.3.4]}}
    rl3: {rateLimit: {average: 100, sourceCriterion: {requestHost: true}}}
    rl4: {rateLimit: {average: 100, sourceCriterion: {requestHeaderName: x}}}
    hd:
      headers:
        frameDeny: true
        stsSeconds: 10
        customRequestHeaders: {A: b}
        accessControlAllowOriginList: ["*"]
    rs: {redirectScheme: {scheme: https, permanent: true, port: "443"}}
    rs2: {redirectScheme: {scheme: https}}
    rr: {redirectRegex: {regex: "^a", replacement: b, permanent: true}}
    rp: {replacePath: {path: /y}}
    rpr: {replacePathRegex: {regex: "^a", replacement: b}}
    ap: {addPrefix: {prefix: /p}}
    ch: {chain: {middlewares: [strip, ap]}}
    ip: {ipAllowList: {sourceRange: [10.0.0.0/8], ipStrategy: {depth: 1}, rejectStatusCode: 404}}
    ipw: {ipWhiteList: {sourceRange: [10.0.0.0/8]}}
    spr: {stripPrefixRegex: {regex: ["/a"]}}
  serversTransports:
    tr: {serverName: x}
"""

KINDS: dict[str, Kind] = {
    "routers": "router",
    "services": "service",
    "middlewares": "middleware",
    "servers_transports": "serversTransport",
}


class Pair(NamedTuple):
    """The real Traefik's API, by its port, and ours."""

    port: int
    app: ASGIApp

    def theirs(self, target: str, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, target)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())

    async def both(self, target: str, method: str = "GET") -> tuple[Answer, Answer]:
        return self.theirs(target, method), await ask(self.app, target, method)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("api")
    ports = {name: free_port() for name in ("web", "web2", "traefik")}
    points: dict[str, Any] = {n: {"address": f"127.0.0.1:{port}"} for n, port in ports.items()}
    points["web2"] |= {
        "asDefault": True,
        "forwardedHeaders": {"trustedIPs": ["10.0.0.0/8"]},
        "http": {"middlewares": ["ap@file"], "redirections": {"entryPoint": {"to": "web"}}},
    }
    dynamic, static = directory / "dynamic.yml", directory / "static.yml"
    dynamic.write_text(DYNAMIC)
    tree = {
        "entryPoints": points,
        "providers": {"file": {"filename": str(dynamic)}},
        "api": {"insecure": True},
        "ping": {},
    }
    static.write_text(json.dumps(tree))  # JSON is YAML
    process = subprocess.Popen(
        ["traefik", f"--configFile={static}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        pair = Pair(ports["traefik"], _ours(static))
        eventually(
            lambda: pair.theirs("/api/http/routers/a@file").status == 200, "Traefik has the file"
        )
        yield pair
    finally:
        process.kill()
        process.wait()


def _ours(path: Path) -> ASGIApp:
    """Our API with the configuration applied, without Envoy."""
    loaded = load([f"--configFile={path}"], {})
    assert not loaded.problems
    static = loaded.static
    aggregator = Aggregator(models(static), static.providers.precedence)
    dynamic, problems = decode_dynamic(DYNAMIC, "dynamic.yml")
    assert dynamic is not None, problems
    assert dynamic.http is not None
    changes = [
        Change(kind, name, value)
        for section, kind in KINDS.items()
        for name, value in getattr(dynamic.http, section).items()
    ]
    aggregator.apply([internal.report(static)])
    aggregator.apply([Report("file", changes)])
    return create_app(aggregator.runtime, static, Product("1", datetime.now(UTC)))


# Traefik's dashboard is not here yet.
DASHBOARD = {
    "dashboard@internal",
    "dashboard_redirect@internal",
    "dashboard_stripprefix@internal",
}


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    """An object of either API without the texts of its errors, of which Traefik may tell one
    at a time, and without repetition of users, which it lists once per use."""
    users = sorted(set(entry.get("usedBy", ())))
    return {**entry, "error": bool(entry.get("error")), "usedBy": users}


async def test_raw_data(pair: Pair) -> None:
    theirs, ours = (answer.json() for answer in await pair.both("/api/rawdata"))
    assert set(theirs) == set(ours)
    for section, objects in theirs.items():
        expected = {n: comparable(o) for n, o in objects.items() if n not in DASHBOARD}
        assert {n: comparable(o) for n, o in ours[section].items()} == expected


@pytest.mark.parametrize(
    "target",
    [
        *(
            f"http/{kind}?{query}"
            for kind in ("routers", "services", "middlewares")
            for query in (
                "",
                "direction=desc",
                "sortBy=provider",
                "sortBy=status&direction=desc",
                "sortBy=type",
                "sortBy=servers",
                "search=S",
                "search=file",
                "status=disabled",
                "status=Enabled",
                "serviceName=sa@file",
                "serviceName=sb@file",
                "serviceName=sb",
                "middlewareName=ap@file",
                "middlewareName=ap",
            )
        ),
        *(
            f"http/routers?sortBy={by}"
            for by in ("name", "priority", "rule", "service", "entryPoints")
        ),
        "tcp/routers",
        "tcp/services",
        "tcp/middlewares",
        "udp/routers",
        "udp/services",
        "certificates",
        "entrypoints",
    ],
)
async def test_lists(pair: Pair, target: str) -> None:
    theirs, ours = await pair.both(f"/api/{target}")
    expected = [comparable(o) for o in theirs.json() if o["name"] not in DASHBOARD]
    assert [comparable(o) for o in ours.json()] == expected
    for name in ("content-type", "x-next-page"):
        assert ours.headers[name] == theirs.headers[name]
    assert ours.status == theirs.status == 200


@pytest.mark.parametrize(
    "target",
    [
        "http/routers/a@file",
        "http/routers/a%40file",
        "http/services/sb@file",
        "http/middlewares/rl2@file",
        "entrypoints/web2",
    ],
)
async def test_one_object(pair: Pair, target: str) -> None:
    theirs, ours = await pair.both(f"/api/{target}")
    assert ours.json() == theirs.json()
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert ours.body.count(b"\\u003c") == theirs.body.count(b"\\u003c")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "/nope",
        "/version/",
        "/http/routers/",
        "/http/routers/zz@file",
        "/http/routers/zz",
        "/http/routers/a%3Cb",
        "/http/services/x",
        "/http/middlewares/x",
        "/tcp/routers/x",
        "/tcp/services/x",
        "/tcp/middlewares/x",
        "/udp/routers/x",
        "/udp/services/x",
        "/certificates/x",
        "/entrypoints/x",
        "/http/routers?page=99",
        "/http/routers?page=0",
        "/http/routers?page=abc",
        "/http/routers?page=-3",
        "/http/routers?per_page=-1",
        "/http/routers?per_page=x",
        "/udp/routers?page=2",
    ],
)
async def test_errors(pair: Pair, target: str) -> None:
    theirs, ours = await pair.both(f"/api{target}")
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    for name in ("content-type", "x-content-type-options"):
        assert ours.headers[name] == theirs.headers[name]


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE"])
async def test_other_methods(pair: Pair, method: str) -> None:
    theirs, ours = await pair.both("/api/http/routers", method)
    assert (ours.status, ours.body) == (theirs.status, theirs.body)


async def test_overview(pair: Pair) -> None:
    theirs, ours = (answer.json() for answer in await pair.both("/api/overview"))
    for kind, missing in (("routers", 1), ("services", 1), ("middlewares", 2)):
        theirs["http"][kind]["total"] -= missing  # the dashboard's
    assert ours == theirs


async def test_version_and_ping(pair: Pair) -> None:
    theirs, ours = await pair.both("/api/version")
    assert set(ours.json()) == set(theirs.json())
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    theirs, ours = await pair.both("/ping")
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
