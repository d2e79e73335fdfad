"""A pytest plugin: the fixtures of py-consul's suite, with ``portway agent`` for a container.

It runs in a pytest of its own, started by ``test_py_consul``, in py-consul's directory, where the
package ``tests`` is py-consul's. The agents get the configuration that py-consul gives its
containers; every test has one to itself, started while the tests before it are running.

The suite lets its containers check ``localhost:8500``, which is Consul itself there. The pytest
that runs this has a network to itself, and an agent at that port.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

_OURS = Path(__file__).parent.parent
_CONFIG: dict[str, Any] = {
    "ports": {"https": -1, "dns": -1, "grpc_tls": -1},
    "performance": {"raft_multiplier": 1},
    "enable_script_checks": True,
}
_AHEAD = 2  # agents started before their test runs


class Instance(NamedTuple):
    """What the suite asks of a container: the port of its API and its version."""

    port: int
    version: str


class _Started(NamedTuple):
    port: int
    token: str
    stop: ExitStack


class _Fleet:
    """Agents in the order in which the tests want them: ``True`` has access control."""

    def __init__(self, wanted: list[bool], directory: Path) -> None:
        self._wanted = deque(wanted)
        self._directory = directory
        self._rig = _rig()
        self._threads = ThreadPoolExecutor(_AHEAD)
        self._coming: deque[tuple[bool, Future[_Started]]] = deque()

        directory = directory / "target"
        directory.mkdir()
        self._target = subprocess.Popen(
            [self._rig.link(directory), "agent", "-dev"],
            stdout=(directory / "agent.log").open("wb"),
            stderr=subprocess.STDOUT,
        )

    def take(self, acl: bool) -> _Started:
        """The agent of the test that runs now."""
        while self._wanted and len(self._coming) <= _AHEAD:
            kind = self._wanted.popleft()
            self._coming.append((kind, self._threads.submit(self._start, kind)))
        kind, started = self._coming.popleft()
        assert kind is acl, "tests run in the order in which they were collected"
        return started.result()

    def retire(self, started: _Started) -> None:
        """Stop an agent while the suite goes on."""
        self._threads.submit(started.stop.close)

    def close(self) -> None:
        """Stop what was started ahead and wait for all that was to stop."""
        for _, started in self._coming:
            self.retire(started.result())
        self._threads.shutdown()
        self._target.terminate()
        self._target.wait(30)

    def _start(self, acl: bool) -> _Started:
        token = uuid.uuid4().hex if acl else ""
        directory = self._directory / uuid.uuid4().hex
        directory.mkdir()
        config = dict(_CONFIG)
        if acl:
            config["primary_datacenter"] = "dc1"
            config["acl"] = {"enabled": True, "tokens": {"initial_management": token}}
        file = directory / "config.json"
        file.write_text(json.dumps(config))
        stop = ExitStack()
        agent = stop.enter_context(
            self._rig.agent_running(directory, f"-config-file={file}", "-log-level=trace")
        )
        return _Started(int(agent.address.rpartition(":")[2]), token, stop)


def _rig() -> ModuleType:
    """Our module that starts agents; what py-consul's ``tests`` has not is looked up in ours."""
    package = importlib.import_module("tests")
    package.__path__.append(str(_OURS))
    return importlib.import_module("tests.integration.cli_consul_rig")


_fleet = pytest.StashKey[_Fleet]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Learn which agents the tests want."""
    fixtures = [getattr(item, "fixturenames", ()) for item in session.items]
    wanted = [
        "acl_consul_instance" in names
        for names in fixtures
        if {"consul_instance", "acl_consul_instance"} & set(names)
    ]
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    session.config.stash[_fleet] = _Fleet(wanted, factory.mktemp("agents"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no agent behind."""
    if fleet := config.stash.get(_fleet, None):
        fleet.close()


def _instance(config: pytest.Config, acl: bool) -> Iterator[tuple[Instance, str]]:
    fleet = config.stash[_fleet]
    started = fleet.take(acl)
    try:
        yield Instance(started.port, "1.22.0"), started.token
    finally:
        fleet.retire(started)


@pytest.fixture
def consul_instance(pytestconfig: pytest.Config) -> Iterator[Instance]:
    """An agent without access control."""
    for instance, _ in _instance(pytestconfig, acl=False):
        yield instance


@pytest.fixture
def acl_consul_instance(pytestconfig: pytest.Config) -> Iterator[tuple[Instance, str]]:
    """An agent with access control, and its management token."""
    yield from _instance(pytestconfig, acl=True)


@pytest.fixture
def consul_port(consul_instance: Instance) -> tuple[int, str]:
    """The port of an agent's API, and its version."""
    return consul_instance.port, consul_instance.version
