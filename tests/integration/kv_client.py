"""A client process that uses keys at random and writes down what it saw.

``python -m tests.integration.kv_client ADDRESS NUMBER SEED OPERATIONS GROUPS FILE``: the file gets
one JSON record for each operation, with times of the machine's monotonic clock. The client works
until it has done that many operations and the file ``stop`` beside the other one exists.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE

KEYS = "abc"
_KINDS = {
    "get": 30,
    "list": 10,
    "put": 12,
    "cas": 16,
    "acquire": 10,
    "release": 8,
    "delete": 3,
    "delete-cas": 3,
    "txn": 10,
    "destroy": 2,
}
_VERBS = {
    "get": "get-or-empty",
    "put": "set",
    "cas": "cas",
    "acquire": "lock",
    "release": "unlock",
    "delete": "delete",
    "delete-cas": "delete-cas",
}


class LostError(Exception):
    """No answer came."""


class UnsentError(Exception):
    """The server is not there, or not yet ready, so nothing happened."""


class Client:
    """One client: its connection, its sessions, and what it knows of the keys."""

    def __init__(self, address: str, name: str, rng: random.Random, groups: int) -> None:
        self._address = address
        self._name = name
        self._rng = rng
        self._groups = groups
        self._connection: http.client.HTTPConnection | None = None
        self._known: dict[str, tuple[tuple[str, str] | None, int]] = {}
        """Key → version and index of the last read."""
        self._sessions: dict[int, str] = {}
        self._number = 0
        self.records: list[dict[str, Any]] = []

    def run(self, operations: int, stop: Path) -> None:
        while len(self.records) < operations or not stop.exists():
            self._one()

    def _one(self) -> None:
        group = self._rng.randrange(self._groups)
        kind = self._rng.choices([*_KINDS], [*_KINDS.values()])[0]
        session = self._sessions.get(group) or self._session(group)
        if kind == "txn":
            count = self._rng.randint(2, 4)
            kinds = self._rng.choices([*_VERBS], k=count)
            call = {"kind": "txn", "parts": [self._call(one, group, session) for one in kinds]}
        else:
            call = self._call(kind, group, session)
        called = time.monotonic()
        try:
            answer = self._do(call)
        except UnsentError:
            return
        except LostError:
            answer, returned = None, None
            self._known.clear()
        else:
            returned = time.monotonic()
        if kind == "destroy":
            del self._sessions[group]
        public = json.loads(json.dumps(call, default=str))
        record = {"called": called, "returned": returned, "call": public, "answer": answer}
        self.records.append(record)

    def _call(self, kind: str, group: int, session: str) -> dict[str, Any]:
        self._number += 1
        key = f"lin/{group}/{self._rng.choice(KEYS)}"
        expected, index = self._known.get(key, (None, 0))
        value = f"{self._name}-{self._number}"
        call: dict[str, Any] = {"kind": kind, "key": key, "value": value}
        if kind in ("acquire", "release"):
            call["session"] = session
        elif kind in ("cas", "delete-cas"):
            call |= {"expected": expected, "index": index}
        elif kind == "list":
            call |= {"key": f"lin/{group}/"}
        elif kind == "destroy":
            call |= {"key": "", "session": session}
        return call

    def _do(self, call: dict[str, Any]) -> Any:
        kind, key, value = call["kind"], call.get("key", ""), call.get("value", "")
        mode = self._rng.choice(["", "consistent"])
        match kind:
            case "get":
                rows = self._rows("GET", f"/v1/kv/{key}?{mode}")
                return rows[0] if rows else None
            case "list":
                return self._rows("GET", f"/v1/kv/{key}?recurse&{mode}")
            case "txn":
                return self._transaction(call["parts"])
            case "destroy":
                return self._ask("PUT", f"/v1/session/destroy/{call['session']}")[1]
            case "delete":
                return self._ask("DELETE", f"/v1/kv/{key}")[1]
            case "delete-cas":
                return self._ask("DELETE", f"/v1/kv/{key}?cas={call['index']}")[1]
        query = {
            "put": "",
            "cas": f"cas={call.get('index')}",
            "acquire": f"acquire={call.get('session')}",
            "release": f"release={call.get('session')}",
        }[kind]
        status, answer = self._ask("PUT", f"/v1/kv/{key}?{query}", value.encode())
        if status == 500 and "invalid session" in str(answer):
            return "invalid session"
        assert status == 200, answer
        return answer

    def _transaction(self, parts: list[dict[str, Any]]) -> Any:
        body = []
        for part in parts:
            operation = {"Verb": _VERBS[part["kind"]], "Key": part["key"]}
            if part["kind"] not in ("get", "delete", "delete-cas"):
                operation["Value"] = base64.b64encode(part["value"].encode()).decode()
            if "session" in part:
                operation["Session"] = part["session"]
            if "index" in part:
                operation["Index"] = part["index"]
            body.append({"KV": operation})
        query = "?consistent" if all(part["kind"] == "get" for part in parts) else ""
        status, answer = self._ask("PUT", f"/v1/txn{query}", json.dumps(body).encode())
        if status == 409:
            return ["conflict", [error["OpIndex"] for error in answer["Errors"]]]
        assert status == 200, answer
        results = iter(answer["Results"])
        answers: list[Any] = []
        for part in parts:
            if part["kind"] in ("delete", "delete-cas"):
                answers.append(None)
                continue
            row = next(results)["KV"]
            assert row["Key"] == part["key"]
            read = part["kind"] == "get"
            # An earlier state within a transaction has the index of its end: not to be learnt.
            learn = query != ""
            answers.append(self._seen(row, learn) if read and row["ModifyIndex"] else None)
        return ["done", answers]

    def _rows(self, method: str, path: str) -> list[Any]:
        status, answer = self._ask(method, path)
        if status == 404:
            self._known.pop(path.removeprefix("/v1/kv/").partition("?")[0], None)
            return []
        assert status == 200, answer
        return [self._seen(row) for row in answer]

    def _seen(self, row: dict[str, Any], learn: bool = True) -> list[Any]:
        value = base64.b64decode(row["Value"] or "").decode()
        holder = row.get("Session", "")
        if learn:
            self._known[row["Key"]] = ((value, holder), row["ModifyIndex"])
        return [row["Key"], value, holder, row["LockIndex"], row["ModifyIndex"]]

    def _session(self, group: int) -> str:
        body = {"NodeChecks": [], "LockDelay": 0, "Name": self._name}
        while True:
            try:
                status, answer = self._ask("PUT", "/v1/session/create", json.dumps(body).encode())
            except (LostError, UnsentError):
                continue
            if status == 200:
                self._sessions[group] = answer["ID"]
                return self._sessions[group]
            time.sleep(0.05)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """One request. Raises LostError when no answer comes, UnsentError when it never left."""
        if self._connection is None:
            connection = http.client.HTTPConnection(self._address, timeout=PATIENCE)
            try:
                connection.connect()
            except OSError as error:
                time.sleep(0.05)
                raise UnsentError from error
            self._connection = connection
        try:
            self._connection.request(method, path, body)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._connection = None
            raise LostError from error
        if response.status == 500 and content == b"No cluster leader":
            time.sleep(0.05)  # it has only just started
            raise UnsentError
        try:
            return response.status, json.loads(content)
        except ValueError:
            return response.status, content.decode()


def main() -> None:
    address, number, seed, operations, groups, file = sys.argv[1:]
    client = Client(address, f"c{number}", random.Random(f"{seed}/{number}"), int(groups))
    client.run(int(operations), Path(file).with_name("stop"))
    Path(file).write_text("".join(json.dumps(record) + "\n" for record in client.records))


if __name__ == "__main__":
    main()
