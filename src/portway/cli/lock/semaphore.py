"""A lock that some sessions hold at a time: a key that lists its holders, beside one of each."""

from __future__ import annotations

import base64
import json
from typing import Any

from portway.cli.client import ApiError, Client
from portway.cli.lock.holding import Deadline, InUseError, LockError, content, monitor

FLAGS = 0xE0F69A2BAA414DE0  # of every key that belongs to such a lock
_KEY = ".lock"
_TRIES = 100  # of giving up a slot while others change the list


class Semaphore:
    """The semaphore below ``prefix`` with ``limit`` holders, for ``session``."""

    def __init__(self, client: Client, prefix: str, limit: int, session: str) -> None:
        self._client = client
        self._prefix = f"{prefix.rstrip('/')}/"
        self._key = f"{self._prefix}{_KEY}"
        self._contender = f"{self._prefix}{session}"
        self._limit = limit
        self._session = session

    def acquire(self, deadline: Deadline) -> bool:
        """Wait until the session has a slot; False when the deadline came first.

        Raises LockError when the keys are of no such semaphore, or one with another limit, and
        ApiError when they cannot be asked for.
        """
        params = {"acquire": self._session, "flags": FLAGS}
        if not self._client.put(f"kv/{self._contender}", params, b"").json():
            raise LockError("failed to make contender entry")
        index, tried = 0, False
        while not tried or deadline.left() > 0:
            tried = True
            answer, index = self._client.blocking(
                f"kv/{self._prefix}",
                {"recurse": True},
                index=index,
                wait=deadline.wait(),
                missing=[404],
            )
            entries = content(answer) or []
            modified, holders = self._holders(entries)
            if len(holders) >= self._limit and self._session not in holders:
                continue
            if self._write(modified, holders | {self._session}):
                return True
            index = 0  # somebody was faster: look again at once
        return False

    def release(self) -> None:
        """Give the slot up. Raises ApiError, or LockError when the list cannot be written."""
        for _ in range(_TRIES):
            entries = content(self._client.get(f"kv/{self._key}", missing=[404])) or []
            modified, holders = self._listed(entries)
            if self._session not in holders or self._write(modified, holders - {self._session}):
                break
        else:
            raise LockError("the list of holders changes all the time")
        self._client.delete(f"kv/{self._contender}")

    def destroy(self) -> None:
        """Delete the list. Raises InUseError while there are holders."""
        answer = self._client.get(f"kv/{self._prefix}", {"recurse": True}, missing=[404])
        modified, holders = self._holders(content(answer) or [])
        if not modified:
            return
        if holders:
            raise InUseError("Semaphore in use")
        if not self._client.delete(f"kv/{self._key}", {"cas": modified}).json():
            raise InUseError("Semaphore in use")

    def monitor(self, client: Client, retries: int) -> None:
        """Return when the session no longer has a slot; ``client`` is this thread's."""

        def held(entries: Any) -> bool:
            return self._session in self._holders(entries or [])[1]

        try:
            monitor(client, f"kv/{self._prefix}", {"recurse": True}, retries, held)
        except (ApiError, LockError):
            return

    def _holders(self, entries: list[dict[str, Any]]) -> tuple[int, set[str]]:
        """Where the list was last modified, and the holders in it whose sessions live."""
        modified, listed = self._listed([entry for entry in entries if entry["Key"] == self._key])
        alive = {entry["Session"] for entry in entries if entry.get("Session")}
        return modified, listed & alive

    def _listed(self, entries: list[dict[str, Any]]) -> tuple[int, set[str]]:
        if not entries:
            return 0, set()
        entry = entries[0]
        if entry["Flags"] != FLAGS:
            raise LockError("Existing key does not match semaphore use")
        if not entry.get("Value"):
            return entry["ModifyIndex"], set()
        try:
            body = json.loads(base64.b64decode(entry["Value"]))
            limit, holders = body["Limit"], set(body["Holders"] or ())
        except (ValueError, KeyError, TypeError):
            raise LockError("Existing key does not match semaphore use") from None
        if limit != self._limit:
            raise LockError(f"semaphore limit conflict (lock: {limit}, local: {self._limit})")
        return entry["ModifyIndex"], holders

    def _write(self, modified: int, holders: set[str]) -> bool:
        body = {"Limit": self._limit, "Holders": dict.fromkeys(sorted(holders), True)}
        text = json.dumps(body, separators=(",", ":")).encode()
        params = {"cas": modified, "flags": FLAGS}
        return bool(self._client.put(f"kv/{self._key}", params, text).json())
