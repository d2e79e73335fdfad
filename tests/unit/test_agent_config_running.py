"""What an agent does with its configuration: identity, certificates, reloading, banner."""

from __future__ import annotations

import datetime
import re
import stat
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from portway.agent.config import (
    AgentConfig,
    ConfigError,
    banner,
    load,
    load_again,
    reloadable,
    unreloaded,
    validate,
)
from portway.agent.config.certificates import authority_files
from portway.agent.config.reload import RELOADABLE


def server(folder: Path, *arguments: str, **options: Any) -> AgentConfig:
    given = ["-server", "-bind=127.0.0.1", f"-data-dir={folder / 'data'}", *arguments]
    return load(given, **options).config


def test_a_node_keeps_its_id(tmp_path: Path) -> None:
    first = server(tmp_path).node_id
    assert str(uuid.UUID(first)) == first
    assert server(tmp_path).node_id == first
    file = tmp_path / "data" / "node-id"
    assert file.read_text() == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_given_id_is_kept(tmp_path: Path) -> None:
    given = "8E1C0A3C-6A1D-4D8E-9B57-0B7E6D0F0C11"
    assert server(tmp_path, f"-node-id={given}").node_id == given.lower()
    assert server(tmp_path).node_id == given.lower()


def test_an_id_made_from_the_host_is_the_same_everywhere(tmp_path: Path) -> None:
    ids = {
        server(tmp_path / name, "-disable-host-node-id=false", persist=False).node_id
        for name in "ab"
    }
    host_has_one = any(Path(name).exists() for name in ("/etc/machine-id", "/sys/class/dmi/id"))
    assert len(ids) == (1 if host_has_one else 2)


def test_ids_of_dev_agents_are_new_each_time(tmp_path: Path) -> None:
    data = f"-data-dir={tmp_path / 'data'}"
    assert load(["-dev", data]).config.node_id != load(["-dev", data]).config.node_id
    assert not (tmp_path / "data").exists()


def test_validation_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "c.hcl"
    file.write_text(f'data_dir = "{tmp_path / "data"}"\nbind_addr = "127.0.0.1"')
    assert validate([str(file)]).config.data_dir == str(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_wrong_kept_id(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "node-id").write_text("not one")
    with pytest.raises(ConfigError, match=r"node-id holds 'not one', which is not a UUID"):
        server(tmp_path)


def test_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"failed to (read|write) the node ID .*not a directory"):
        server(tmp_path / "file")


class Authority:
    """A certificate authority and a certificate of it, in files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.key, self.cert = folder / f"{name}.key", folder / f"{name}.pem"
        self.secret = folder / f"{name}.secret.key"
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(private, hashes.SHA256())
        )
        self.cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self._write(self.key, private, serialization.NoEncryption())
        self._write(self.secret, private, serialization.BestAvailableEncryption(b"x"))

    def _write(self, file: Path, private: Any, encryption: Any) -> None:
        form = serialization.PrivateFormat.PKCS8
        file.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, encryption))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    folder = tmp_path_factory.mktemp("tls")
    return Authority(folder, "one"), Authority(folder, "two")


def test_certificates(pair: tuple[Authority, Authority]) -> None:
    one, _ = pair
    text = (
        f'tls {{ defaults {{ ca_file = "{one.cert}" cert_file = "{one.cert}" key_file ='
        f' "{one.key}" verify_incoming = true tls_min_version = "TLSv1_3" }}'
        f" https {{ verify_incoming = false }} }} ports {{ https = 8501 }}"
    )
    config = load(["-dev", "-hcl", text]).config
    assert [str(bind) for bind in config.listen.https] == ["127.0.0.1:8501"]
    assert config.tls_https.cert_file == str(one.cert)
    assert config.tls_https.verify_incoming is False
    assert config.tls_internal_rpc.verify_incoming is True
    assert config.tls_grpc.tls_min_version == "TLSv1_3"


def test_directories_of_authorities(pair: tuple[Authority, Authority], tmp_path: Path) -> None:
    for number, authority in enumerate(pair):
        (tmp_path / f"{number}.pem").write_bytes(authority.cert.read_bytes())
    text = f'tls {{ https {{ ca_path = "{tmp_path}" }} }}'
    config = load(["-dev", "-hcl", text]).config
    assert authority_files(config.tls_https) == [str(tmp_path / f"{n}.pem") for n in range(2)]
    (tmp_path / "2.pem").write_text("none")
    with pytest.raises(ConfigError, match=r"tls\.https\.ca_path: .*/2\.pem holds no certificates"):
        load(["-dev", "-hcl", text])


def test_certificates_that_do_not_fit(pair: tuple[Authority, Authority]) -> None:
    one, two = pair
    wrong = {
        f'cert_file = "{one.cert}" key_file = "{two.key}"': f"tls.https.key_file: {two.key} is not"
        f" the key of the certificate in {one.cert}",
        f'cert_file = "{one.key}" key_file = "{one.key}"': f"tls.https.cert_file: {one.key} and"
        f" {one.key} do not hold a certificate and a key",
        f'cert_file = "{one.cert}" key_file = "{one.secret}"': f"tls.https.key_file: {one.secret}"
        " is encrypted; write it without a passphrase",
        f'ca_file = "{one.key}"': f"tls.https.ca_file: {one.key} holds no certificates",
        f'cert_file = "{one.cert}" key_file = "{one.key}" verify_incoming = true': "tls.https"
        ".verify_incoming is set, but no CA certificates were provided",
        f'ca_file = "{one.cert}" verify_incoming = true': "tls.https.verify_incoming is set, but no"
        " cert/key pair was provided",
    }
    for text, expected in wrong.items():
        with pytest.raises(ConfigError) as caught:
            load(["-dev", "-hcl", f"tls {{ https {{ {text} }} }}"])
        assert str(caught.value) == expected


def test_cipher_suites_in_the_names_of_openssl() -> None:
    suites = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_256_CBC_SHA"
    text = f'tls {{ defaults {{ tls_cipher_suites = "{suites}" }} }}'
    tls = load(["-dev", "-hcl", text]).config.tls_https
    assert tls.openssl_ciphers() == "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA"


def test_reloading_takes_over_what_it_can(tmp_path: Path) -> None:
    file = tmp_path / "c.hcl"
    file.write_text('log_level = "info"\nports { http = 1000 }\nservice { name = "a" }')
    loaded = load(["-dev", f"-config-file={file}"])
    file.write_text(
        'log_level = "warn"\nports { http = 2000 }\nservice { name = "b" }\nenable_syslog = true'
        '\nacl { enabled = true tokens { default = "t" } }\nui_config { metrics_provider = "x" }'
    )
    again = load_again(loaded)
    config = again.config
    assert (config.log_level, config.services[0].name) == ("WARN", "b")
    assert config.acl.tokens.default == "t"
    assert not config.acl.enabled
    assert config.ui_config.metrics_provider == "x"
    assert config.ports.http == 1000
    assert config.listen == loaded.config.listen
    assert config.node_id == loaded.config.node_id
    waiting = [text for text in again.warnings if "after a restart" in text]
    assert sorted(waiting) == [
        f"{key} has changed and takes effect after a restart"
        for key in ("acl.enabled", "enable_syslog", "ports.http")
    ]
    file.write_text("nonsense")
    with pytest.raises(ConfigError):
        load_again(again)


def test_every_reloadable_key_exists_and_is_taken_over() -> None:
    old = load(["-dev"]).config
    for path in RELOADABLE:
        block, _, key = path.partition(".")
        marked: Any = object()
        if key:
            inner = msgspec.structs.replace(getattr(old, block), **{key: marked})
            new = msgspec.structs.replace(old, **{block: inner})
            assert getattr(getattr(reloadable(old, new), block), key) is marked
        else:
            new = msgspec.structs.replace(old, **{block: marked})
            assert getattr(reloadable(old, new), block) is marked


def test_nothing_waits_when_nothing_changed() -> None:
    assert unreloaded(load(["-dev"]).config, load(["-dev"]).config) == []


def test_banner() -> None:
    arguments = ["-dev", "-node=n1", "-node-id=8e1c0a3c-6a1d-4d8e-9b57-0b7e6d0f0c11"]
    text = banner(load(arguments).config, "1.22.0", "2025-11-01T00:00:00Z")
    assert text == (
        "==> Starting Consul agent...\n"
        "               Version: '1.22.0'\n"
        "            Build Date: '2025-11-01T00:00:00Z'\n"
        "               Node ID: '8e1c0a3c-6a1d-4d8e-9b57-0b7e6d0f0c11'\n"
        "             Node name: 'n1'\n"
        "            Datacenter: 'dc1' (Segment: '<all>')\n"
        "                Server: true (Bootstrap: false)\n"
        "           Client Addr: [127.0.0.1] (HTTP: 8500, HTTPS: -1, gRPC: 8502, gRPC-TLS: 8503,"
        " DNS: 8600)\n"
        "          Cluster Addr: 127.0.0.1 (LAN: 8301, WAN: 8302)\n"
        "     Gossip Encryption: false\n"
        "      Auto-Encrypt-TLS: false\n"
        "           ACL Enabled: false\n"
        "    ACL Default Policy: allow\n"
        "             HTTPS TLS: Verify Incoming: false, Verify Outgoing: false, Min Version:"
        " TLSv1_2\n"
        "              gRPC TLS: Verify Incoming: false, Verify Outgoing: false, Min Version:"
        " TLSv1_2\n"
        "      Internal RPC TLS: Verify Incoming: false, Verify Outgoing: false (Verify Hostname:"
        " false), Min Version: TLSv1_2\n"
        "\n"
        "==> Log data will now stream in as it occurs:\n"
        "\n"
    )


def test_the_banner_shows_no_secrets() -> None:
    text = (
        'encrypt = "pUqJrVyVRj5jsiYEkM/tFQ==" acl { enabled = true tokens { default = "s3cret" } }'
    )
    shown = banner(load(["-dev", "-hcl", text]).config, "1", "2")
    assert "s3cret" not in shown
    assert "pUqJ" not in shown
    assert re.search(r"Gossip Encryption: true\n.*\n +ACL Enabled: true", shown)


WARNINGS = {
    "-node=a.b": 'Node name "a.b" will not be discoverable via DNS due to invalid characters.'
    " Valid characters include all alpha-numerics and dashes.",
    "-server -bootstrap": "bootstrap = true: do not enable unless necessary",
    "-server -bootstrap-expect=1": "BootstrapExpect is set to 1; this is the same as Bootstrap"
    " mode.",
    "-server -bootstrap-expect=3": "bootstrap_expect > 0: expecting 3 servers; one is all a"
    " cluster has yet",
    "-server=false": "server = false: this agent cannot join servers yet, and has none to ask",
    "-server -join=x": "The '-join' flag is deprecated. Use the '-retry-join' flag instead.",
    '-server -hcl telemetry{prefix_filter=["x"]}': "Filter rule must begin with either '+' or"
    " '-': \"x\"",
    "-server -retry-join=x": "retry_join has no effect yet: a cluster has one server in this"
    " version",
    "-client=0.0.0.0 -enable-script-checks": "using enable-script-checks without ACLs and without"
    " allow_write_http_from is DANGEROUS, use enable-local-script-checks instead",
}


@pytest.mark.parametrize("arguments", WARNINGS)
def test_warnings(arguments: str, tmp_path: Path) -> None:
    given = [f"-data-dir={tmp_path}", "-bind=127.0.0.1", *arguments.split()]
    assert WARNINGS[arguments] in load(given).warnings


def test_nothing_is_warned_of_without_reason() -> None:
    assert load(["-dev", "-node=n1"]).warnings == []


def test_services_with_one_id_are_told(tmp_path: Path) -> None:
    text = 'service { name = "a" }\nservice { name = "a" port = 1 }'
    warning = 'service "a" is defined 2 times; the last definition counts'
    assert warning in load(["-dev", "-hcl", text]).warnings
