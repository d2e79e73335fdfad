"""HTTPS and Unix sockets, asked by both command lines and by plain clients."""

from __future__ import annotations

import http.client
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE
from tests.ports import free_ports

from .conftest import Programs, same
from .world import PORTS, Step, World, agent

TEXTS = "Errors of the command line"
CA = "consul-agent-ca.pem"
SERVER = ("dc1-server-consul-0.pem", "dc1-server-consul-0-key.pem")
CLIENT = ("dc1-client-consul-0.pem", "dc1-client-consul-0-key.pem")

Listening = Callable[[World, int, Path], None]


@pytest.fixture(scope="module")
def certificates(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority and certificates of a server and a client, as Consul makes them,
    and with an authority that nobody trusts."""
    folder = tmp_path_factory.mktemp("tls")
    other = folder / "other"
    other.mkdir()
    for place, words in (
        (folder, ("ca", "create")),
        (folder, ("cert", "create", "-server")),
        (folder, ("cert", "create", "-client")),
        (other, ("ca", "create")),
        (other, ("cert", "create", "-client")),
    ):
        command = [*programs.consul, "tls", *words]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
    return folder


def compare(
    programs: Programs, tmp_path: Path, folder: Path, tls: dict[str, Any], scenario: Listening
) -> None:
    worlds: list[list[Step]] = []
    for program, asking in (
        (programs.consul, programs.consul),
        (programs.portway, programs.portway),
        (programs.portway, programs.consul),
    ):
        directory = tmp_path / str(len(worlds))
        directory.mkdir()
        names = (*PORTS, "https")
        numbers = dict(zip(names, free_ports(len(names)), strict=True))
        config = {
            "addresses": {"http": f"127.0.0.1 unix://{directory}/http.sock"},
            "unix_sockets": {"mode": "0600"},
            "tls": tls,
        }
        with agent(program, directory, config, ports=numbers) as ports:
            world = World(asking, ports)
            world.names.add(str(directory), "directory")
            world.names.add(str(folder), "tls")
            scenario(world, ports["https"], directory)
        worlds.append(world.steps)
    same(*worlds)


def handshake(port: int, context: ssl.SSLContext) -> dict[str, Any]:
    """What becomes of a request by TLS."""
    context.check_hostname = False
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=PATIENCE)
    try:
        connection.request("GET", "/v1/agent/version")
        return {"status": connection.getresponse().status}
    except ssl.SSLError as error:
        return {"error": error.reason}
    except ConnectionError:
        return {"error": "TLSV13_ALERT_CERTIFICATE_REQUIRED"}
    finally:
        connection.close()


def plain(port: int) -> dict[str, Any]:
    """What an HTTPS port says to HTTP."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /v1/agent/version HTTP/1.1\r\nHost: x\r\n\r\n")
        with connection.makefile("rb") as answer:
            return {"answer": answer.read().decode(errors="replace")}


@pytest.mark.parametrize("verify", [False, True], ids=["open", "verify_incoming"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_https(
    programs: Programs, tmp_path: Path, certificates: Path, verify: bool, version: str
) -> None:
    folder = certificates

    def scenario(ask: World, port: int, directory: Path) -> None:
        ca, others = f"-ca-file={folder / CA}", f"-ca-file={folder / 'other' / CA}"
        address = f"-http-addr=https://127.0.0.1:{port}"
        name = "-tls-server-name=server.dc1.consul"
        mine = (f"-client-cert={folder / CLIENT[0]}", f"-client-key={folder / CLIENT[1]}")
        theirs = [
            f"-client-{kind}={folder / 'other' / file}"
            for kind, file in zip(("cert", "key"), CLIENT, strict=True)
        ]
        for options in (
            (),
            (ca,),
            (ca, name),
            (others,),
            (ca, *mine),
            (ca, *theirs),
            (ca, mine[0]),
            (f"-ca-path={folder}", *mine),
            ("-ca-file=/nope",),
            ("-ca-path=/nope",),
            (ca, "-client-cert=/nope", "-client-key=/nope"),
            (ca, name, *mine),
            (ca, "-tls-server-name=nope", *mine),
        ):
            ask.cli("kv", "put", address, *options, "tls", "x", differs={TEXTS: ["?err*"]})
        environ = {
            "CONSUL_HTTP_ADDR": f"127.0.0.1:{port}",
            "CONSUL_HTTP_SSL": "true",
            "CONSUL_CACERT": str(folder / CA),
            "CONSUL_CLIENT_CERT": str(folder / CLIENT[0]),
            "CONSUL_CLIENT_KEY": str(folder / CLIENT[1]),
        }
        for change in (
            {},
            {"CONSUL_HTTP_SSL": "false"},
            {"CONSUL_CACERT": ""},
            {"CONSUL_CACERT": "", "CONSUL_HTTP_SSL_VERIFY": "false"},
            {"CONSUL_CACERT": "", "CONSUL_CAPATH": str(folder)},
            {"CONSUL_TLS_SERVER_NAME": "nope"},
            {"CONSUL_HTTP_SSL": "false", "CONSUL_HTTP_ADDR": f"https://127.0.0.1:{port}"},
        ):
            environ_now = {key: value for key, value in {**environ, **change}.items() if value}
            ask.cli("kv", "get", "tls", environ=environ_now, differs={TEXTS: ["?err*"]})
        ask.note("plain", plain(port))
        bare = ssl._create_unverified_context()
        ask.note("no certificate", handshake(port, bare))
        known = ssl._create_unverified_context()
        known.load_cert_chain(folder / CLIENT[0], folder / CLIENT[1])
        ask.note("a certificate", handshake(port, known))
        server = ssl._create_unverified_context()
        server.load_cert_chain(folder / SERVER[0], folder / SERVER[1])
        ask.note("a server's certificate", handshake(port, server))
        old = ssl._create_unverified_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.load_cert_chain(folder / CLIENT[0], folder / CLIENT[1])
        ask.note("TLS 1.2", handshake(port, old))

    tls = {
        "defaults": {
            "ca_file": str(certificates / CA),
            "cert_file": str(certificates / SERVER[0]),
            "key_file": str(certificates / SERVER[1]),
        },
        "https": {"verify_incoming": verify, "tls_min_version": version},
    }
    compare(programs, tmp_path, certificates, tls, scenario)


def test_a_unix_socket(programs: Programs, tmp_path: Path, certificates: Path) -> None:
    def scenario(ask: World, port: int, directory: Path) -> None:
        path = directory / "http.sock"
        ask.note("mode", {"mode": oct(stat.S_IMODE(path.stat().st_mode))})
        for address in (f"unix://{path}", f"{path}", "unix:///nope", f"unix://{directory}"):
            ask.cli("kv", "put", f"-http-addr={address}", "u", "v", differs={TEXTS: ["?err*"]})
            environ = {"CONSUL_HTTP_ADDR": address}
            ask.cli("kv", "get", "u", environ=environ, differs={TEXTS: ["?err*"]})

    tls = {
        "defaults": {
            "cert_file": str(certificates / SERVER[0]),
            "key_file": str(certificates / SERVER[1]),
        }
    }
    compare(programs, tmp_path, certificates, tls, scenario)
