"""The ASGI application of the HTTP API: routing, errors, and what every answer has in common."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network
from posixpath import normpath
from typing import Any
from urllib.parse import quote

import msgspec
import structlog

from portway.discovery.acl.errors import AclError
from portway.discovery.api import parameters
from portway.discovery.api.answer import JSON, Answer, text_answer
from portway.discovery.api.context import Context
from portway.discovery.api.error import ApiError
from portway.discovery.api.rate import RequestRates
from portway.discovery.api.read_headers import refuse
from portway.discovery.api.recall import Recall
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route, Router
from portway.store import StoreError

log = structlog.get_logger("http")
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_COMPRESSED_FROM = 1400  # bytes; smaller bodies fit one packet as they are
_COMPRESSED_APART = 1 << 18  # bytes; larger ones are compressed in a thread
_UNDECODED = re.compile("[\udc80-\udcff]")  # bytes that could not be decoded, kept as surrogates
_OK = 200
_READS = ("GET", "HEAD", "OPTIONS")
_NO_CONSOLE = "The console is not part of this version; the HTTP API is below /v1/"


@lru_cache(maxsize=256)
def _header(name: str) -> bytes:
    return name.encode("latin-1")


class App:
    """The API as an ASGI application."""

    def __init__(
        self, routes: Sequence[Route], context: Context, rates: RequestRates | None = None
    ) -> None:
        self.router = Router(routes)
        self.context = context
        self._rates = rates
        self._recall = Recall(context)
        settings = context.settings
        self._everywhere: list[tuple[bytes, bytes]] = [
            (_header(k), v.encode()) for k, v in settings.response_headers.items()
        ]
        self._of_endpoints = [
            (_header("Vary"), b"Accept-Encoding"),
            (_header("X-Consul-Default-ACL-Policy"), settings.default_policy.encode()),
            *self._everywhere,
        ]
        if settings.translate_addresses:
            self._of_endpoints.append((_header("X-Consul-Translate-Addresses"), b"true"))
        self._writers = [ip_network(network) for network in settings.allow_write_http_from]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, self.context)
        observe, began = self.context.observe, time.monotonic()
        try:
            await self._send(request, await self._answered(request), send)
        except asyncio.CancelledError:
            if not scope.get("portway.gone"):
                raise
            # Nobody waits for this answer any more.
        finally:
            if observe is not None:
                observe(request.method, request.route, time.monotonic() - began)

    def recalled(self, raw: bytes) -> bytes | None:
        """The answer to a whole request, without status line and ``Date``, if it is remembered."""
        if self._rates is not None and self._rates.active:
            return None  # each request counts
        return self._recall.find(raw)

    async def _answered(self, request: Request) -> Answer:
        try:
            answer = await self._answer(request)
        except ApiError as error:
            refuse(request, error.status)
            answer = text_answer(error.message, error.status)
        except AclError as error:
            refuse(request, error.status)
            answer = text_answer(str(error), error.status)
        except StoreError as error:
            answer = text_answer(f"rpc error making call: {error}", 500)
        except Exception:
            log.exception("Request failed", method=request.method, path=request.path)
            answer = text_answer("internal error; the agent's log has the details", 500)
        return answer

    async def _answer(self, request: Request) -> Answer:
        path, settings = request.path, self.context.settings
        if not path.isprintable():
            if _UNDECODED.search(path):
                raise ApiError(400, "Bad Request: the path is not UTF-8")
            if not settings.disable_unprintable_filter:
                raise ApiError(400, "Bad Request")
        found = self.router.find(path)
        if found is None:
            return self._nowhere(request)
        route, request.rest = found
        request.route = route.path
        for blocked in settings.block_endpoints:
            if _clean(path).startswith(blocked):
                raise ApiError(403, "Endpoint is blocked by agent configuration")
        if request.method == "OPTIONS":
            return Answer(content_type=JSON, headers={"Allow": route.allow})
        handler = route.methods.get(request.method)
        if handler is None:
            answer = text_answer(f"method {request.method} not allowed", 405)
            answer.headers["Allow"] = route.allow
            return answer
        if self._writers and request.method not in _READS and not self._may_write(request):
            raise ApiError(403, "Access is restricted")
        parameters.check(request)
        if self._rates is not None:
            self._rates.admit(request)
        if not route.access.startswith("none"):
            request.authorizer  # noqa: B018  a token that is nobody's is refused at once
        return await handler(request)

    def _nowhere(self, request: Request) -> Answer:
        path = request.path
        if path == "*":  # the server as a whole: RFC 9110, section 9.3.7
            return Answer(status=200 if request.method == "OPTIONS" else 400)
        if path == "/":
            # 200 in any case: health checks of agents ask for it.
            if self.context.settings.ui_enabled:
                return text_answer(_NO_CONSOLE)
            return text_answer(
                "Consul Agent: UI disabled. To enable, set ui_config.enabled=true in the "
                "agent configuration and restart."
            )
        # As Go's mux does: a base URL that ends with a slash is a common slip, and so is a path
        # without the slash before what it lacks.
        clean = _clean(path)
        if self.router.is_below(clean + "/"):
            clean += "/"
        if clean != path:
            query = request.scope["query_string"].decode("latin-1")
            location = quote(clean) + ("?" + query if query else "")
            return Answer(status=301, headers={"Location": location})
        if path.startswith(self.context.settings.ui_path):
            message = _NO_CONSOLE
        elif "/v1/" in path:
            message = "Invalid URL path: not a recognized HTTP API endpoint\n"
        else:
            message = (
                "Invalid URL path: if attempting to use the HTTP API, "
                "ensure the path starts with '/v1/'\n"
            )
        return text_answer(message, 404)

    def _may_write(self, request: Request) -> bool:
        client = request.scope.get("client")
        if not client:
            return True  # a Unix socket has its own permissions
        address = ip_address(client[0])
        return any(address in network for network in self._writers)

    async def _send(self, request: Request, answer: Answer, send: Send) -> None:
        headers = list(self._of_endpoints if request.route else self._everywhere)
        if answer.content_type:
            headers.append((_header("Content-Type"), answer.content_type.encode()))
        for extra in (request.answer_headers, answer.headers):
            headers.extend((_header(k), v.encode("latin-1", "replace")) for k, v in extra.items())
        body = answer.body
        if not isinstance(body, bytes):
            request.wait()
            await _stream(body, answer.status, headers, send)
            return
        if (
            body
            and answer.content_type == JSON
            and (self.context.settings.dev_mode or request.has("pretty"))
        ):
            body = msgspec.json.format(body, indent=4)
            if request.has("pretty"):
                body += b"\n"
        if len(body) >= _COMPRESSED_FROM and _accepts_gzip(request):
            headers.append((_header("Content-Encoding"), b"gzip"))
            if len(body) >= _COMPRESSED_APART:
                body = await asyncio.to_thread(gzip.compress, body, 1)
            else:
                body = gzip.compress(body, 1)
        headers.append((_header("Content-Length"), str(len(body)).encode()))
        raw = request.scope.get("portway.raw")
        if raw is not None and answer.status == _OK:
            request.scope["portway.keep"] = partial(self._recall.keep, raw, request)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _clean(path: str) -> str:
    """A path without empty and dot segments; a slash at its end stays."""
    clean = "/" + normpath(path).lstrip("/")
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _accepts_gzip(request: Request) -> bool:
    for coding in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0") not in ("q=", "q=0.")
    return False


async def _stream(
    body: AsyncIterator[bytes], status: int, headers: list[tuple[bytes, bytes]], send: Send
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    async for chunk in body:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
