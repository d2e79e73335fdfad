"""A process that wants to lead, as the documented recipe does it: a session and a lock.

``python -m tests.integration.kv_candidate ADDRESS NAME FILE``: everything that happens to it is
appended to the file, one JSON record a line. SIGUSR1 makes it resign when it leads. While it leads
it works: it writes to a shared log, each time in a transaction that checks that its session still
holds the lock, and so with the fence that makes a leader of the past harmless.
"""

from __future__ import annotations

import base64
import http.client
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE

LOCK = "service/leader"
LOG = "service/log"
_TTL = "2s"
_RENEW = 0.5  # seconds


class Candidate:
    """One process and what it knows of its leadership."""

    def __init__(self, address: str, name: str, file: Path) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=PATIENCE)
        self._name = name
        self._file = file.open("a", buffering=1)
        self._resign = False
        self._renewed = 0.0
        self._pieces = 0
        self._index = 0
        self._session = ""
        signal.signal(signal.SIGUSR1, self._asked_to_resign)

    def _asked_to_resign(self, *_: object) -> None:
        self._resign = True

    def run(self) -> None:
        index, token = 0, 0
        while True:
            self._keep_session()
            if self._ask("PUT", f"/v1/kv/{LOCK}?acquire={self._session}", self._name) is True:
                entry, _ = self._lock()
                if entry is not None and entry.get("Session") == self._session:
                    token = entry["LockIndex"]
                    self._lead(token, entry["ModifyIndex"])
            # Let somebody else have it: wait until it was taken again, and then until it is free.
            entry, index = self._lock(index, 0.2)
            waited = time.monotonic()
            while time.monotonic() - waited < 1 and entry and entry["LockIndex"] <= token:
                entry, index = self._lock(index, 0.2)
            while entry is not None and entry.get("Session"):
                entry, index = self._lock(index, 0.5)
                self._keep_session()

    def _lead(self, token: int, index: int) -> None:
        self._note("elected", token=token, index=index)
        self._resign = False
        while not self._resign:
            self._keep_session()
            if not self._work(token):
                return
        # From here on it does nothing any more as the leader.
        self._note("resigned", token=token)
        self._ask("PUT", f"/v1/kv/{LOCK}?release={self._session}", "")

    def _work(self, token: int) -> bool:
        """One piece of the leader's work; false when it no longer leads."""
        self._pieces += 1
        value = base64.b64encode(f"{token}: {self._pieces}".encode()).decode()
        answer = self._ask(
            "PUT",
            "/v1/txn",
            json.dumps(
                [
                    {"KV": {"Verb": "check-session", "Key": LOCK, "Session": self._session}},
                    {"KV": {"Verb": "check-index", "Key": LOCK, "Index": self._index}},
                    {"KV": {"Verb": "set", "Key": f"{LOG}/{self._name}", "Value": value}},
                ]
            ),
        )
        if answer["Errors"]:
            self._note("fenced", token=token, why=answer["Errors"][0]["What"])
            return False
        self._note("worked", token=token, index=answer["Results"][2]["KV"]["ModifyIndex"])
        time.sleep(0.005)
        return True

    def _keep_session(self) -> None:
        now = time.monotonic()
        if self._session and now - self._renewed < _RENEW:
            return
        if not self._session or not isinstance(
            self._ask("PUT", f"/v1/session/renew/{self._session}"), list
        ):
            body = {"TTL": _TTL, "LockDelay": 0, "NodeChecks": [], "Name": self._name}
            self._session = self._ask("PUT", "/v1/session/create", json.dumps(body))["ID"]
        self._renewed = now

    def _lock(self, index: int = 0, wait: float = 0.0) -> tuple[dict[str, Any] | None, int]:
        """The lock as it is; with an index, after a change or ``wait`` seconds."""
        query = f"?index={index}&wait={round(wait * 1000)}ms" if index else ""
        rows = self._ask("GET", f"/v1/kv/{LOCK}{query}")
        if not isinstance(rows, list):
            return None, self._index
        return rows[0], self._index

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        content = response.read()
        if method == "GET":
            self._index = int(response.headers["X-Consul-Index"])
        if response.status == 500 and b"invalid session" in content:
            self._session = ""
            return False
        try:
            return json.loads(content)
        except ValueError:
            return None

    def _note(self, what: str, **details: Any) -> None:
        record = {"what": what, "name": self._name, "at": time.monotonic(), **details}
        self._file.write(json.dumps(record) + "\n")


def main() -> None:
    address, name, file = sys.argv[1:]
    Candidate(address, name, Path(file)).run()


if __name__ == "__main__":
    main()
