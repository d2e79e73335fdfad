"""The agent's own HTTP API, without a socket: for parts of the agent that are clients of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from portway.discovery.api import App


@dataclass(frozen=True)
class Answer:
    """What the API said; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class OwnApi:
    """Requests with the rights of ``token()``, which may change meanwhile."""

    def __init__(self, app: App, token: Callable[[], str]) -> None:
        self._app = app
        self._token = token

    async def call(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Answer:
        """One request; ``path`` is below ``/v1``, not quoted."""
        whole = "/v1/" + path.lstrip("/")
        token = self._token()
        scope = {
            "type": "http",
            "method": method,
            "path": whole,
            "raw_path": quote(whole).encode(),
            "query_string": urlencode(query).encode(),
            "headers": [(b"x-consul-token", token.encode())] if token else [],
            "client": None,
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start = sent[0]
        headers = {bytes(name).decode().lower(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]))
