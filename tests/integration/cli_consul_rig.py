"""A real agent as a process, and ``consul`` as people call it: a link to ``portway``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE
from tests.ports import free_ports


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Agent:
    """A running agent and the program that asks it."""

    program: Path
    address: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "CONSUL" not in name}
        return {**kept, "CONSUL_HTTP_ADDR": self.address, "SHELL": "/bin/sh"}

    def consul(self, *argv: str, stdin: str = "") -> Done:
        """Run ``consul`` with these arguments to its end."""
        done = subprocess.run(
            [self.program, *argv],
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """Run ``consul`` beside the test; it is stopped at the end."""
        process = subprocess.Popen(
            [self.program, *argv],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON, or text, of an answer of the API; None for a 404."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = f"http://{self.address}/v1/{path}"
        request = urllib.request.Request(url, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from error
        try:
            return json.loads(content)
        except ValueError:
            return content.decode()


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come about in {PATIENCE:.0f} s")


def link(directory: Path) -> Path:
    """``consul``, as our container image has it."""
    program = directory / "consul"
    program.symlink_to(Path(sys.executable).parent / "portway")
    return program


@contextmanager
def agent_running(directory: Path, *argv: str, dev: bool = True) -> Iterator[Agent]:
    """An agent with ports of its own; ``argv`` are further flags."""
    program = link(directory)
    http, dns, server, serf, wan, grpc = free_ports(6)
    ports = {
        "http": http,
        "dns": dns,
        "server": server,
        "serf_lan": serf,
        "serf_wan": wan,
        "grpc": grpc,
        "grpc_tls": -1,
    }
    config = directory / "ports.json"
    config.write_text(json.dumps({"ports": ports}))
    log = directory / "agent.log"
    flags = ["-dev"] if dev else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "agent", *flags, f"-config-file={config}", *argv],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    agent = Agent(program, f"127.0.0.1:{http}", process, log)

    def ready() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the agent ended:\n{log.read_text()}")
        try:
            return bool(agent.api("GET", "status/leader"))
        except OSError:
            return False

    try:
        eventually(ready, "an agent that leads")
        yield agent
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
