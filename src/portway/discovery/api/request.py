"""Requests: parameters, headers and bodies read the way Go's API reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from portway.config import Duration
from portway.discovery.acl.authorizer import Authorizer
from portway.discovery.api.context import Context
from portway.discovery.api.error import ApiError, bad_request
from portway.discovery.state import Topic

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}
MAX_BODY = 1 << 20  # bytes; families with a documented limit give it


class Request:
    """One request. ``rest`` is the path after the route's own part, percent-decoded."""

    def __init__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        context: Context,
    ) -> None:
        self.scope = scope
        self.context = context
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.rest = ""
        self.route = ""
        """The path of the route that answers, if one was found."""
        self.answer_headers: dict[str, str] = {}
        """Headers the answer will carry: what was learnt on the way to it."""
        self.lasts_until: Topic | None = None
        """What would change the answer, if that is one topic and nothing else but the caller's
        rights."""
        self._receive = receive
        self._required: tuple[tuple[str, str, str], ...] = ()

    # Parameters

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Query parameters in the order given, blank ones included."""
        text = self.scope["query_string"]
        if not text:
            return {}
        parameters: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            raise bad_request("Too many query parameters") from None
        for name, value in pairs:
            parameters.setdefault(name, []).append(value)
        return parameters

    def has(self, name: str) -> bool:
        """Whether a parameter is there at all: for flags, whatever their value."""
        return name in self.query

    def param(self, name: str, default: str = "") -> str:
        """The first value of a parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def params(self, name: str) -> list[str]:
        """All values of a parameter."""
        return self.query.get(name, [])

    def boolean(self, name: str) -> bool | None:
        """A Go bool; ``None`` when it is none."""
        value = self.param(name)
        return True if value in _TRUE else False if value in _FALSE else None

    def duration(self, name: str, message: str) -> float | None:
        """A Go duration in seconds, ``None`` without one; ``message`` is that of the 400."""
        value = self.param(name)
        if not value:
            return None
        try:
            if value.isdigit() and value != "0":
                raise ValueError
            return float(Duration.parse(value))
        except ValueError:
            raise bad_request(message) from None

    def unsigned(self, name: str, message: str) -> int | None:
        """An unsigned 64-bit number, ``None`` without one; ``message`` is that of the 400."""
        value = self.param(name)
        if not value:
            return None
        digits = value.lstrip("0") or "0"
        if not (value.isascii() and value.isdigit() and len(digits) <= 20):
            raise bad_request(message)
        number = int(digits)
        if number >= 1 << 64:
            raise bad_request(message)
        return number

    # Headers

    @cached_property
    def headers(self) -> dict[str, str]:
        """Headers by lower-case name; of repeated ones the first."""
        headers: dict[str, str] = {}
        for name, value in self.scope["headers"]:
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        return headers

    @cached_property
    def token(self) -> str:
        """The secret of the caller's token: ``?token=``, then the two headers, then the default."""
        token = self.param("token") or self.headers.get("x-consul-token", "").strip()
        if not token:
            scheme, _, value = self.headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer":
                token = value.strip()
        return token or self.context.settings.default_token

    def wait(self) -> None:
        """Do nothing from here on but wait, or send what comes: it ends when its client is gone.

        Raises CancelledError if that is so now.
        """
        if self.scope.get("portway.gone"):
            raise asyncio.CancelledError
        self.scope["portway.task"] = asyncio.current_task()
        for name in ("headers", "query"):  # which can be worked out again
            self.__dict__.pop(name, None)

    # Access

    @cached_property
    def authorizer(self) -> Authorizer:
        """What the caller may do."""
        return self.context.tokens.resolve(self.token)

    def require(self, resource: str, access: str, name: str = "") -> None:
        """Refuse the request with 403 unless the caller may do this."""
        self.authorizer.require(resource, access, name)
        self._required += ((resource, access, name),)

    def authorize_again(self) -> None:
        """Refuse the request with 403 if the caller may no longer do what was required.

        For after a wait: the token or its policies may have changed, or its time be over.
        """
        renewed = self.context.tokens.resolve(self.token)
        if renewed is not self.authorizer:
            self.authorizer = renewed
            for required in self._required:
                renewed.require(*required)

    def allows(self, resource: str, access: str, name: str = "") -> bool:
        """Whether the caller may see or do this."""
        return self.authorizer.allows(resource, access, name)

    # Common checks

    def datacenter(self) -> str:
        """The datacenter asked for, which must be this one. Raises ApiError (500)."""
        own = self.context.settings.datacenter
        wanted = self.param("datacenter") or self.param("dc")
        if wanted and wanted != own:
            raise ApiError(500, "No path to datacenter")
        return own

    async def body(self, limit: int = MAX_BODY) -> bytes:
        """The whole body. Raises ApiError (413) beyond ``limit`` bytes."""
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(int(declared), limit)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise _too_large(size, limit)
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)


def _too_large(size: int, limit: int) -> ApiError:
    return ApiError(
        413,
        f"Request body({size} bytes) too large, max size: {limit} bytes. "
        "See limits.kv_max_value_size and limits.txn_max_req_len in the agent's configuration.",
    )
