"""A lock that one session holds at a time: a key that it acquired."""

from __future__ import annotations

import time
from typing import Any

from portway.cli.client import ApiError, Client
from portway.cli.lock.holding import (
    DELAY_RETRY,
    Deadline,
    InUseError,
    LockError,
    content,
    monitor,
    next_index,
)

FLAGS = 0x2DDCCBC058A50C18  # of every key that is such a lock


class Mutex:
    """The lock at ``key``, for ``session``."""

    def __init__(self, client: Client, key: str, session: str) -> None:
        self._client = client
        self._path = f"kv/{key}"
        self._session = session

    def acquire(self, deadline: Deadline) -> bool:
        """Wait until the session holds the lock; False when the deadline came first.

        Raises LockError when the key is no such lock, ApiError when it cannot be asked for.
        """
        index, tried = 0, False
        while not tried or deadline.left() > 0:
            tried = True
            answer, index = self._client.blocking(
                self._path, index=index, wait=deadline.wait(), missing=[404]
            )
            entry = self._own(content(answer))
            holder = entry.get("Session", "") if entry else ""
            if holder == self._session:
                return True
            if holder:
                continue
            if self._put("acquire"):
                return True
            answer = self._client.get(self._path, missing=[404])
            entry = self._own(content(answer))
            if entry and entry.get("Session"):
                index = next_index(index, answer)
            else:  # nobody holds it: a lock-delay is in effect, whose end wakes no one
                time.sleep(max(0.0, min(DELAY_RETRY, deadline.left())))
                index = 0
        return False

    def release(self) -> None:
        """Give the lock up. Raises ApiError."""
        self._put("release")

    def destroy(self) -> None:
        """Delete the key. Raises InUseError when somebody else holds the lock meanwhile."""
        entry = self._own(content(self._client.get(self._path, missing=[404])))
        if entry is None:
            return
        if entry.get("Session"):
            raise InUseError("Lock in use")
        if not self._client.delete(self._path, {"cas": entry["ModifyIndex"]}).json():
            raise InUseError("Lock in use")

    def monitor(self, client: Client, retries: int) -> None:
        """Return when the session no longer holds the lock; ``client`` is this thread's."""

        def held(entries: Any) -> bool:
            return bool(entries) and entries[0].get("Session") == self._session

        try:
            monitor(client, self._path, {}, retries, held)
        except ApiError:
            return

    def _put(self, verb: str) -> bool:
        params = {verb: self._session, "flags": FLAGS}
        return bool(self._client.put(self._path, params, b"").json())

    def _own(self, entries: Any) -> dict[str, Any] | None:
        if not entries:
            return None
        entry: dict[str, Any] = entries[0]
        if entry["Flags"] != FLAGS:
            raise LockError("Existing key does not match lock use")
        return entry
