"""An agent, real or ours, with the program that asks it, recording what it answers."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import dns.message
import dns.query

from portway.discovery import version
from tests.integration.cli_consul_rig import eventually
from tests.patience import PATIENCE
from tests.ports import free_ports

from .facts import Facts, Names, of_command, of_dns, of_http

VERSIONS = ("1.21.0", version.CONSUL)
"""What the real Consul says of itself, and what Portway says."""

PORTS = ("http", "dns", "server", "serf_lan", "serf_wan", "grpc")
NODE_ID = "5d0c7a2e-0f5d-4d6f-9a67-3b1f4d3c2b1a"

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """One answer of the API."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body. Raises ValueError."""
        return json.loads(self.body)

    @property
    def index(self) -> int:
        """Its X-Consul-Index."""
        return int(self.headers["X-Consul-Index"])


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Step(NamedTuple):
    """One recorded answer, and the differences that are intended: row of the document -> facts."""

    what: str
    facts: Facts
    differs: Mapping[str, Sequence[str]]


class World:
    """What a scenario asks; each question is a step of the recording.

    ``differs`` names, for a row of the document (its first cell), patterns of the facts that are
    meant to differ, as in ``{"Versions of a key": ["json.*"]}``. ``record=False`` asks without
    recording: to set something up, or to wait.
    """

    def __init__(self, program: Sequence[str], ports: Mapping[str, int], token: str = "") -> None:
        self.program = list(program)
        self.ports = ports
        self.token = token
        self.steps: list[Step] = []
        self.names = Names({str(port): f"port {name}" for name, port in ports.items()})
        for number in VERSIONS:
            self.names.add(number, "version")
        for build in (f"{VERSIONS[0]}:", f"{VERSIONS[1]}:{version.REVISION}"):
            self.names.add(build, "build")

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        unordered: bool = False,
        record: bool = True,
        differs: Mapping[str, Sequence[str]] | None = None,
    ) -> Answer:
        """Send a request: ``path`` is below /v1/ unless it begins with a slash.

        A ``body`` that is neither bytes nor text is sent as JSON. ``unordered`` compares lists in
        the answer without their order.
        """
        target = path if path.startswith("/") else f"/v1/{path}"
        if isinstance(body, str):
            body = body.encode()
        elif body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent = dict(headers or {})
        if token := self.token if token is None else token:
            sent["X-Consul-Token"] = token
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=PATIENCE)
        try:
            connection.connect()
            # In one piece: who refuses the head closes before a body comes, and resets it.
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            connection.request(method, quote(target, safe="/?&=%:,+~!*'()@;$"), body, sent)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            response = connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()
        if record:
            facts = of_http(
                answer.status, answer.headers, answer.body, self.names, unordered=unordered
            )
            self._record(f"{method} {self.names.text(target)}", facts, differs)
        return answer

    def get(self, path: str, **options: Any) -> Answer:
        return self.ask("GET", path, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.ask("PUT", path, body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.ask("DELETE", path, **options)

    def dig(
        self,
        name: str,
        kind: str = "A",
        *,
        tcp: bool = False,
        edns: int | None = None,
        record: bool = True,
        differs: Mapping[str, Sequence[str]] | None = None,
    ) -> dns.message.Message:
        """Ask by DNS; ``edns`` is the payload size of EDNS, without which there is none."""
        extra: dict[str, Any] = {} if edns is None else {"use_edns": 0, "payload": edns}
        query = dns.message.make_query(name, kind, **extra)
        send = dns.query.tcp if tcp else dns.query.udp
        answer = send(query, "127.0.0.1", PATIENCE, self.ports["dns"])
        if record:
            facts = of_dns(answer, self.names, folded=name != name.lower())
            self._record(f"dig {self.names.text(name)} {kind}", facts, differs)
        return answer

    def cli(
        self,
        *argv: str,
        stdin: str = "",
        environ: Mapping[str, str] | None = None,
        columns: bool = True,
        record: bool = True,
        differs: Mapping[str, Sequence[str]] | None = None,
    ) -> Done:
        """Run a command to its end."""
        kept = {name: value for name, value in os.environ.items() if "CONSUL" not in name}
        kept |= {"CONSUL_HTTP_ADDR": f"127.0.0.1:{self.ports['http']}", "SHELL": "/bin/sh"}
        kept |= {"CONSUL_HTTP_TOKEN": self.token} if self.token else {}
        ended = subprocess.run(
            [*self.program, *argv],
            env={**kept, **(environ or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        if record:
            facts = of_command(*done, self.names, columns=columns)
            self._record(f"consul {self.names.text(' '.join(argv))}", facts, differs)
        return done

    def note(self, what: str, facts: Facts, **options: Any) -> None:
        """Record facts that the scenario found out itself."""
        self._record(what, facts, options.get("differs"))

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition."""
        return eventually(condition, what)

    def _record(self, what: str, facts: Facts, differs: Mapping[str, Sequence[str]] | None) -> None:
        self.steps.append(Step(what, facts, differs or {}))


@contextmanager
def agent(
    program: Sequence[str],
    directory: Path,
    config: Config,
    flags: Sequence[str] = ("-dev",),
    ports: dict[str, int] | None = None,
) -> Iterator[dict[str, int]]:
    """Run an agent with free ports, or with ``ports``; gives their numbers by name."""
    ports = ports or dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    base = {
        "node_name": "node-1",
        "node_id": NODE_ID,
        "bind_addr": "127.0.0.1",
        "ports": {**ports, "grpc_tls": -1},
        "data_dir": str(directory / "data"),
    }
    file = directory / "agent.json"
    file.write_text(json.dumps(base | dict(config)))
    log = directory / "agent.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*program, "agent", *flags, f"-config-file={file}"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    token = dict(config).get("acl", {}).get("tokens", {}).get("initial_management", "")
    world = World(program, ports, token)

    def ready() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the agent ended:\n{log.read_text()}")
        try:
            if world.get("status/leader", record=False).body in (b"", b'""'):
                return False
            health = world.get("health/service/consul?passing", record=False)
            # The real one adds these a random part of a second or more after it leads.
            return health.status == 200 and bool(
                health.json and health.json[0]["Node"]["TaggedAddresses"]
            )
        except OSError:
            return False

    try:
        eventually(ready, "an agent that leads")
        time.sleep(0.2)  # the real one still writes what it begins with
        yield ports
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
