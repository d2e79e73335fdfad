"""A session that lives as long as a command: renewed by a thread, destroyed at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from portway.cli.client import ApiError, Client, StatusError
from portway.cli.duration import show

TTL = 15.0  # seconds
_RETRY = 1.0  # seconds


class Session:
    """A session of the agent that is asked. ``id`` is its ID.

    ``lost`` is called, by the thread that renews it, once when it has expired or could not be
    renewed for its whole TTL.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        ttl: float = TTL,
        fields: dict[str, Any] | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client.copy()
        self._ttl = ttl
        self._lost = lost
        self._ended = threading.Event()
        body = {"Name": name, "TTL": show(ttl), **(fields or {})}
        self.id: str = client.put("session/create", (), body).json()["ID"]
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        renewed = time.monotonic()
        pause = self._ttl / 2
        while not self._ended.wait(pause):
            try:
                self._client.put(f"session/renew/{self.id}")
                renewed, pause = time.monotonic(), self._ttl / 2
            except StatusError as error:
                if error.code == 404:
                    self._lost()
                    return
                pause = _RETRY
            except ApiError:
                pause = _RETRY
            if time.monotonic() - renewed > self._ttl:
                self._lost()
                return

    def destroy(self) -> None:
        """End the session and all it holds; an agent that is gone does not matter."""
        self._ended.set()
        self._client.abort()
        self._thread.join(timeout=5)
        with suppress(ApiError), self._client.copy() as client:
            client.put(f"session/destroy/{self.id}")
        self._client.close()
