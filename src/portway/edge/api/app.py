"""The edge API: Traefik's endpoints over the live runtime objects, and ``/api/explain``."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from portway import CODENAME
from portway.config.options import Unsupported
from portway.edge.api import explain, listing, render
from portway.edge.api.cache import Encoded, array, mapping, with_members
from portway.edge.api.servers import Health, Servers
from portway.edge.runtime import Runtime, ServiceInfo
from portway.edge.static import Static

Handler = Callable[[Request], Awaitable[Response]]


class Product(NamedTuple):
    """What ``/api/version`` tells: a version, and when this process started (UTC)."""

    version: str
    started: datetime.datetime


async def _all_up() -> Mapping[tuple[str, str], bool]:
    return {}


def create_app(
    runtime: Runtime,
    static: Static,
    product: Product,
    *,
    order: explain.Order = explain.by_priority,
    health: Health = _all_up,
    ready: Callable[[], bool] = lambda: True,
) -> Starlette:
    """The ASGI application of the API.

    ``runtime`` is read at every request, so what is shown is what is in force. ``order`` is
    the sort key by which the edge tries routers. ``health`` gives the state of servers.
    ``ready`` decides what ``/ping`` answers.
    """
    pages = _Pages(runtime, static, product, order, health)

    async def ping(request: Request) -> Response:
        status = 200
        if not ready():
            status = static.ping.terminating_status_code if static.ping else 503
        return Response("OK" if status == 200 else "Service Unavailable", status)

    routes = [*pages.routes(), _get("/ping", ping)]
    base = (static.api.base_path if static.api else "/").rstrip("/")
    mounted: list[BaseRoute] = [Mount(base, routes=routes)] if base else list(routes)
    app = Starlette(routes=mounted, exception_handlers={HTTPException: _refuse})
    app.router.redirect_slashes = False
    return app


def _get(path: str, handler: Handler) -> Route:
    route = Route(path, handler, methods=["GET"])
    route.methods = {"GET"}  # Traefik answers 405 to HEAD
    return route


class _Pages:
    """The handlers of the endpoints."""

    def __init__(
        self,
        runtime: Runtime,
        static: Static,
        product: Product,
        order: explain.Order,
        health: Health,
    ) -> None:
        self._runtime = runtime
        self._static = static
        self._product = product
        self._order = order
        self._servers = Servers(health)
        self._raw_routers = Encoded(render.router)
        self._raw_services = Encoded(render.service)
        self._raw_middlewares = Encoded(render.middleware)
        self._routers = Encoded(render.listed_router)
        self._services = Encoded(render.listed_service)
        self._middlewares = Encoded(render.listed_middleware)

    def routes(self) -> list[Route]:
        """One route per endpoint."""
        empty = {
            "tcp": ("router", "service", "middleware"),
            "udp": ("router", "service"),
        }
        found = [
            _get("/api/version", self.version),
            _get("/api/overview", self.overview),
            _get("/api/rawdata", self.raw_data),
            _get("/api/entrypoints", self.entry_points),
            _get("/api/entrypoints/{name}", self.entry_point),
            _get("/api/http/routers", self.routers),
            _get("/api/http/routers/{name}", self.router),
            _get("/api/http/services", self.services),
            _get("/api/http/services/{name}", self.service),
            _get("/api/http/middlewares", self.middlewares),
            _get("/api/http/middlewares/{name}", self.middleware),
            _get("/api/certificates", self.nothing),
            _get("/api/certificates/{name}", _missing("certificate")),
            _get("/api/explain", self.explain),
            _get("/api/problems", self.problems),
        ]
        for protocol, kinds in empty.items():
            for kind in kinds:
                found.append(_get(f"/api/{protocol}/{kind}s", self.nothing))
                found.append(_get(f"/api/{protocol}/{kind}s/{{name}}", _missing(kind)))
        return found

    async def version(self, request: Request) -> Response:
        started = self._product.started.astimezone(datetime.UTC).replace(tzinfo=None)
        tree: dict[str, Any] = {
            "Version": self._product.version,
            "Codename": CODENAME,
            "startDate": started.isoformat() + "Z",
        }
        api = self._static.api
        if api is not None and api.disable_dashboard_ad:
            tree["disableDashboardAd"] = True
        if api is not None and api.dashboard_name:
            tree["dashboardName"] = api.dashboard_name
        return Response(render.encode(tree), media_type="application/json; charset=UTF-8")

    async def overview(self, request: Request) -> Response:
        runtime = self._runtime
        none = _section(())
        tree = {
            "http": {
                "routers": _section(info.status for info in runtime.routers.values()),
                "services": _section(info.status for info in runtime.services.values()),
                "middlewares": _section(info.status for info in runtime.middlewares.values()),
            },
            "tcp": {"routers": none, "services": none, "middlewares": none},
            "udp": {"routers": none, "services": none},
            "certificates": none,
            "features": {
                "tracing": "",
                "metrics": _first_set(self._static.metrics),
                "accessLog": _honoured(self._static.access_log),
            },
        }
        if providers := _set_fields(self._static.providers):
            tree["providers"] = providers
        return _json(render.encode(tree))

    async def raw_data(self, request: Request) -> Response:
        runtime = self._runtime
        servers = await self._servers.status(list(runtime.services.values()))
        routers = await self._raw_routers.members(runtime.routers)
        services = await self._raw_services.members(runtime.services)
        middlewares = await self._raw_middlewares.members(runtime.middlewares)
        for name, states in servers.items():
            if name in services and states:
                services[name] = with_members(services[name], {"serverStatus": states})
        sections = {b"routers": routers, b"middlewares": middlewares, b"services": services}
        texts = [
            b'"%s":%s' % (key, mapping(members)) for key, members in sections.items() if members
        ]
        return _json(b"{" + b",".join(texts) + b"}")

    async def entry_points(self, request: Request) -> Response:
        points = self._static.entry_points
        shown = [_entry_point(name, points[name]) for name in sorted(points)]
        return _list(request, shown, render.encode)

    async def entry_point(self, request: Request) -> Response:
        name = request.path_params["name"]
        point = self._static.entry_points.get(name)
        if point is None:
            return _error(404, f"entry point not found: {name}")
        return _json(render.encode(_entry_point(name, point)))

    async def routers(self, request: Request) -> Response:
        self._routers.keep_only(self._runtime.routers)
        found = listing.routers(self._runtime.routers, _query(request))
        return _list(request, found, self._routers.get)

    async def router(self, request: Request) -> Response:
        name = request.path_params["name"]
        info = self._runtime.routers.get(name)
        if info is None:
            return _error(404, f"router not found: {name}")
        return _json(self._routers.get(info))

    async def services(self, request: Request) -> Response:
        self._services.keep_only(self._runtime.services)
        found = listing.services(self._runtime.services, _query(request))
        servers = await self._servers.status(found)

        def text(info: ServiceInfo) -> bytes:
            return with_members(self._services.get(info), _server_status(servers, info.name))

        return _list(request, found, text)

    async def service(self, request: Request) -> Response:
        name = request.path_params["name"]
        info = self._runtime.services.get(name)
        if info is None:
            return _error(404, f"service not found: {name}")
        servers = await self._servers.status([info])
        return _json(with_members(self._services.get(info), _server_status(servers, name)))

    async def middlewares(self, request: Request) -> Response:
        self._middlewares.keep_only(self._runtime.middlewares)
        found = listing.middlewares(self._runtime.middlewares, _query(request))
        return _list(request, found, self._middlewares.get)

    async def middleware(self, request: Request) -> Response:
        name = request.path_params["name"]
        info = self._runtime.middlewares.get(name)
        if info is None:
            return _error(404, f"middleware not found: {name}")
        return _json(self._middlewares.get(info))

    async def nothing(self, request: Request) -> Response:
        return _list(request, [], render.encode)

    async def problems(self, request: Request) -> Response:
        standing = {name: texts for name, texts in self._runtime.problems.items() if texts}
        return _json(render.encode(standing))

    async def explain(self, request: Request) -> Response:
        try:
            question = explain.read(request.query_params.multi_items(), self._static.entry_points)
        except ValueError as error:
            return _error(400, str(error))
        answer = await explain.explain(question, self._runtime, self._order)
        return _json(render.encode(answer))


def _missing(kind: str) -> Handler:
    async def handler(request: Request) -> Response:
        return _error(404, f"{kind} not found: {request.path_params['name']}")

    return handler


def _query(request: Request) -> dict[str, str]:
    """The query with the first value of each parameter, as Go takes it."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, value)
    return found


def _list(request: Request, items: Sequence[Any], text: Callable[[Any], bytes]) -> Response:
    try:
        page = listing.page(_query(request), len(items))
    except listing.PageError as error:
        return _error(400, str(error))
    body = array([text(item) for item in items[page.start : page.end]])
    return _json(body, {"X-Next-Page": str(page.following)})


def _json(body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body + b"\n", headers=headers, media_type="application/json")


def _error(status: int, message: str) -> Response:
    """An error as Traefik sends it: JSON under the content type of Go's ``http.Error``."""
    return _text(status, render.encode({"message": message}) + b"\n")


def _text(status: int, body: bytes) -> Response:
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Response(body, status, headers)


async def _refuse(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return _text(404, b"404 page not found\n")
    return Response(status_code=status)


def _section(statuses: Iterable[str]) -> dict[str, int]:
    counted = list(statuses)
    return {
        "total": len(counted),
        "warnings": counted.count("warning"),
        "errors": counted.count("disabled"),
    }


def _server_status(servers: Mapping[str, dict[str, str]], name: str) -> render.Json:
    return {"serverStatus": servers[name]} if servers.get(name) else {}


def _entry_point(name: str, point: msgspec.Struct) -> render.Json:
    """An entry point with the defaults Traefik shows for what has no option here."""
    tree: render.Json = render.plain(point)
    tree["http2"] = {
        **tree.get("http2", {}),
        "maxDecoderHeaderTableSize": 4096,
        "maxEncoderHeaderTableSize": 4096,
    }
    tree.setdefault("udp", {"timeout": "3s"})
    return {**tree, "name": name}


def _honoured(option: object) -> bool:
    return option is not None and not isinstance(option, Unsupported)


def _set_fields(struct: msgspec.Struct) -> list[str]:
    """The objects that are switched on in a section, by the names of Traefik's Go fields."""
    names = []
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if isinstance(value, msgspec.Struct) and _honoured(value):
            names.append(field.encode_name[:1].upper() + field.encode_name[1:])
    return names


def _first_set(struct: msgspec.Struct) -> str:
    return next(iter(_set_fields(struct)), "")
