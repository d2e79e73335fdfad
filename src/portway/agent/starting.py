"""The HTTP API from the first moment: before the state has been read, and after."""

from __future__ import annotations

from typing import Any

_TEXT = b"text/plain; charset=utf-8"


class Front:
    """Answers in the place of ``app`` until there is one: that no leader is known yet.

    Clients that start an agent ask who leads until somebody does.
    """

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request (ASGI)."""
        if self.app is not None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            status, kind, body = _answer(scope["path"])
            headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def recalled(self, raw: bytes) -> bytes | None:
        """What the application remembers (``App.recalled``)."""
        found: bytes | None = None if self.app is None else self.app.recalled(raw)
        return found


def _answer(path: str) -> tuple[int, bytes, bytes]:
    if path == "/v1/status/leader":
        return 200, b"application/json", b'""'
    if path == "/v1/status/peers":
        return 200, b"application/json", b"[]"
    return 500, _TEXT, b"No cluster leader"
