"""``consul tls``: the files, what is in them, and that TLS works with them."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.unit.cli_agent import Consul, calling

consul = pytest.fixture(calling)
CREATE = ("tls", "cert", "create")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def certificate(path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def names(read: x509.Certificate) -> tuple[list[str], list[str]]:
    value = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(one) for one in value.get_values_for_type(x509.IPAddress)]
    return value.get_values_for_type(x509.DNSName), addresses


def test_an_authority(consul: Consul) -> None:
    assert consul("tls", "ca", "create") == (
        0,
        "==> Saved consul-agent-ca.pem\n==> Saved consul-agent-ca-key.pem\n",
        "",
    )
    assert stat.S_IMODE(Path("consul-agent-ca-key.pem").stat().st_mode) == 0o600
    assert Path("consul-agent-ca-key.pem").read_text().startswith("-----BEGIN EC PRIVATE KEY-----")
    made = certificate("consul-agent-ca.pem")
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    assert made.issuer == made.subject
    common = made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert str(common).startswith("Consul Agent CA ")
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 1825
    basic = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical and basic.value.ca
    code, out, err = consul("tls", "ca", "create")
    assert (code, out, err) == (1, "", "consul-agent-ca.pem already exists.\n")


def test_an_authority_for_some_names(consul: Consul) -> None:
    code, _, _ = consul(
        "tls", "ca", "create", "-domain=corp", "-days=10", "-common-name=Ours",
        "-name-constraint", "-additional-name-constraint=corp.example", "-cluster-id=abc",
    )  # fmt: skip
    assert code == 0
    made = certificate("corp-agent-ca.pem")
    limits = made.extensions.get_extension_for_class(x509.NameConstraints)
    assert limits.critical
    permitted = [str(one.value) for one in limits.value.permitted_subtrees or ()]
    assert permitted == ["corp.example", "corp", "localhost"]
    uris = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert uris.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://abc.corp"]
    create = (*CREATE, "-client", "-domain=corp")
    assert consul(*create, "-additional-dnsname=web.corp.example").code == 0
    code, _, err = consul(*create, "-additional-dnsname=example.org")
    assert code == 1
    assert err.startswith("the CA may not sign for example.org: its name constraints permit corp")


def test_certificates_of_each_role(consul: Consul) -> None:
    consul("tls", "ca", "create")
    code, out, err = consul(
        *CREATE, "-server", "-dc=east", "-node=n1", "-additional-dnsname=consul.example",
        "-additional-ipaddress=10.0.0.1", "-days=30",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out == (
        "==> WARNING: Server Certificates grants authority to become a\n"
        "    server and access all state in the cluster including root keys\n"
        "    and all ACL tokens. Do not distribute them to production hosts\n"
        "    that are not server nodes. Store them as securely as CA keys.\n"
        "==> Using consul-agent-ca.pem and consul-agent-ca-key.pem\n"
        "==> Saved east-server-consul-0.pem\n"
        "==> Saved east-server-consul-0-key.pem\n"
    )
    made = certificate("east-server-consul-0.pem")
    wanted = ["consul.example", "n1.server.east.consul", "server.east.consul", "localhost"]
    assert names(made) == (wanted, ["10.0.0.1", "127.0.0.1"])
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 30
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert stat.S_IMODE(Path("east-server-consul-0-key.pem").stat().st_mode) == 0o600
    made.verify_directly_issued_by(certificate("consul-agent-ca.pem"))

    assert "==> Saved dc1-client-consul-0.pem\n" in consul(*CREATE, "-client").out
    assert "==> Saved dc1-client-consul-1.pem\n" in consul(*CREATE, "-client").out
    assert names(certificate("dc1-client-consul-0.pem")) == (
        ["client.dc1.consul", "localhost"],
        ["127.0.0.1"],
    )
    assert "==> Saved dc1-cli-consul-0.pem\n" in consul(*CREATE, "-cli").out
    assert names(certificate("dc1-cli-consul-0.pem")) == (["cli.dc1.consul", "localhost"], [])


def test_tls_works_with_them(consul: Consul) -> None:
    consul("tls", "ca", "create")
    consul(*CREATE, "-server")
    consul(*CREATE, "-client")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile="consul-agent-ca.pem")
    serving.load_cert_chain("dc1-server-consul-0.pem", "dc1-server-consul-0-key.pem")
    serving.verify_mode = ssl.CERT_REQUIRED
    asking = ssl.create_default_context(cafile="consul-agent-ca.pem")
    asking.load_cert_chain("dc1-client-consul-0.pem", "dc1-client-consul-0-key.pem")
    here, there = socket.socketpair()
    answers: list[bytes] = []

    def serve() -> None:
        with serving.wrap_socket(there, server_side=True) as secure:
            answers.append(secure.recv(5))
            secure.sendall(b"world")

    thread = threading.Thread(target=serve)
    thread.start()
    with asking.wrap_socket(here, server_hostname="server.dc1.consul") as secure:
        secure.sendall(b"hello")
        assert secure.recv(5) == b"world"
    thread.join(10)
    assert answers == [b"hello"]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "Please provide either -server, -client, or -cli\n"),
        (("-server", "-cli"), "Please provide either -server, -client, or -cli\n"),
        (("-client", "-node=n"), "-node requires -server\n"),
        (("-client", "-ca="), "Please provide the ca\n"),
        (("-client", "-key="), "Please provide the key\n"),
        (("-client", "-days=0"), "-days must be from 1 to 36500, not 0\n"),
        (("-client", "-domain=../x"), '"../x" cannot be a part of a domain name\n'),
        (("-client", "-additional-ipaddress=x"), '-additional-ipaddress: "x" is no IP address\n'),
        (("-client",), "Error reading CA: open consul-agent-ca.pem: no such"),
    ],
)
def test_wrong_commands(consul: Consul, argv: tuple[str, ...], text: str) -> None:
    code, out, err = consul(*CREATE, *argv)
    assert (code, out) == (1, "")
    assert err.startswith(text)
    assert not list(Path().iterdir())


def test_a_key_that_is_not_the_authoritys(consul: Consul) -> None:
    consul("tls", "ca", "create")
    consul("tls", "ca", "create", "-domain=other")
    code, _, err = consul(*CREATE, "-client", "-key=other-agent-ca-key.pem")
    assert (code, err) == (1, "the CA's key does not fit its certificate\n")
    Path("broken.pem").write_text("nothing")
    code, _, err = consul(*CREATE, "-client", "-ca=broken.pem")
    assert code == 1 and err.startswith("failed to parse certificate PEM")
