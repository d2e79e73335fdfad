"""Starting a proxy under test with a setup, waiting until it serves, and stopping it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.patience import PATIENCE
from tests.ports import free_ports

from . import wire
from .case import Setup

_READY = """
http:
  routers:
    ready: {rule: "Host(`ready.internal`)", service: ready, entryPoints: [<first>]}
  services:
    ready: {loadBalancer: {servers: [{url: "http://127.0.0.1:<port:a>"}]}}
"""


class Proxy:
    """A running proxy process with its entry points on random loopback ports."""

    def __init__(
        self,
        command: Sequence[str],
        setup: Setup,
        directory: Path,
        marks: Mapping[str, str],
    ):
        """Start ``command``; ``marks`` are the ``<name>`` placeholders of the configuration."""
        self.name = directory.name
        self._ready = ["ready.internal", *(["ready.docker"] if setup.containers else [])]
        points = setup.static["entryPoints"]
        self.ports = dict(zip(points, free_ports(len(points)), strict=True))
        dynamic = directory / "dynamic"
        dynamic.mkdir(parents=True)
        marks = {
            **marks,
            **{f"ep:{name}": str(port) for name, port in self.ports.items()},
            "first": next(iter(self.ports)),
            "dir": str(directory),
        }
        (dynamic / "ready.yml").write_text(fill(_READY, marks))
        for name, content in setup.dynamic.items():
            (dynamic / name).write_text(yaml.safe_dump(fill(content, marks), sort_keys=False))
        for name, text in setup.files.items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(fill(text, marks))
        static = fill(setup.static, marks)
        arguments, environment = _static(setup.form, static, directory)
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *arguments],
                env={**os.environ, **environment},
                cwd=directory,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        port = next(iter(self.ports.values()))
        deadline = time.monotonic() + PATIENCE
        waiting = [wire.compose("GET", "/", [("Host", host)]) for host in self._ready]
        while waiting:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended while starting:\n{self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not serve {waiting}:\n{self.log()}")
            with contextlib.suppress(OSError):
                while waiting and wire.exchange(port, waiting[-1]).status == 200:
                    waiting.pop()
            time.sleep(0.05)

    def log(self) -> str:
        """Return the end of what the process wrote."""
        return self._log.read_text(errors="replace")[-5000:]

    def close(self) -> None:
        """Stop the process and whatever it started."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def fill(value: Any, marks: Mapping[str, str]) -> Any:
    """Put the values of ``<name>`` placeholders into every string of a structure."""
    if isinstance(value, Mapping):
        return {key: fill(inner, marks) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, marks) for inner in value]
    if isinstance(value, str):
        for mark, text in marks.items():
            value = value.replace(f"<{mark}>", text)
    return value


def _static(
    form: str, static: Mapping[str, Any], directory: Path
) -> tuple[list[str], dict[str, str]]:
    """Render the static configuration as a file, as flags or as environment variables."""
    if form == "flags":
        return [f"--{key}={value}" for key, value in _leaves(static)], {}
    if form == "env":
        pairs = _leaves(static)
        return [], {f"TRAEFIK_{key.replace('.', '_').upper()}": value for key, value in pairs}
    path = directory / "static.yml"
    path.write_text(yaml.safe_dump(static, sort_keys=False))
    return [f"--configFile={path}"], {}


def _leaves(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        found = []
        for key, inner in value.items():
            found += _leaves(inner, f"{prefix}.{key}" if prefix else key)
        return found
    if isinstance(value, list):
        return [(prefix, ",".join(map(str, value)))]
    return [(prefix, str(value).lower() if isinstance(value, bool) else str(value))]
