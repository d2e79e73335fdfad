"""Plain HTTP to a real agent, for tests that compare answers to the letter."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from tests.integration.cli_consul_rig import Agent
from tests.patience import PATIENCE


@dataclass(frozen=True)
class Reply:
    """An answer; names of headers have no case."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def index(self) -> int:
        return int(self.headers["X-Consul-Index"])


@dataclass(frozen=True)
class Client:
    """Who asks an agent; every request has a connection of its own."""

    agent: Agent
    token: str = ""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request; the path is below ``/v1/``, a body is sent as JSON. ``X_Y`` is ``X-Y``."""
        host, _, port = self.agent.address.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("X-Consul-Token", self.token)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, f"/v1/{path}", data, sent)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.call("GET", path, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.call("PUT", path, body, **headers)

    def json(self, path: str) -> Any:
        """The JSON of a GET that must succeed."""
        reply = self.get(path)
        assert reply.status == 200, reply.text
        return reply.json

    def does(self, path: str, body: Any = None) -> None:
        """A PUT that must succeed, with an empty answer."""
        reply = self.put(path, body)
        assert (reply.status, reply.text) == (200, ""), reply.text
