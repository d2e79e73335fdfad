"""Consul's words against a real agent: what people type, and what they see."""

from __future__ import annotations

import datetime
import io
import ipaddress
import json
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.cli_consul_rig import Agent, agent_running, eventually
from tests.patience import PATIENCE
from tests.ports import free_ports


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with agent_running(tmp_path_factory.mktemp("agent"), "-node=one") as running:
        yield running


def ok(agent: Agent, *argv: str, stdin: str = "") -> str:
    done = agent.consul(*argv, stdin=stdin)
    assert (done.code, done.err) == (0, ""), done
    return done.out


def test_keys(agent: Agent, tmp_path: Path) -> None:
    assert ok(agent, "kv", "put", "app/limit", "5") == "Success! Data written to: app/limit\n"
    assert ok(agent, "kv", "put", "app/limit", "-", stdin="7\n") != ""
    assert ok(agent, "kv", "get", "app/limit") == "7\n\n"
    entry = agent.api("GET", "kv/app/limit")[0]
    index = str(entry["ModifyIndex"])
    ok(agent, "kv", "put", "-cas", f"-modify-index={index}", "-flags=42", "app/limit", "9")
    done = agent.consul("kv", "put", "-cas", f"-modify-index={index}", "app/limit", "10")
    assert (done.code, done.err) == (1, "Error! Did not write to app/limit: CAS failed\n")
    detailed = ok(agent, "kv", "get", "-detailed", "app/limit").splitlines()
    assert detailed[1:3] == ["Flags            42", "Key              app/limit"]
    assert detailed[5:] == ["Session          -", "Value            9"]
    ok(agent, "kv", "put", "app/deep/er", "x")
    assert ok(agent, "kv", "get", "-recurse", "app") == "app/deep/er:x\napp/limit:9\n"
    assert ok(agent, "kv", "get", "-keys", "app/") == "app/deep/\napp/limit\n"
    exported = ok(agent, "kv", "export", "app")
    assert [one["key"] for one in json.loads(exported)] == ["app/deep/er", "app/limit"]
    assert ok(agent, "kv", "import", "-prefix=copy", "-", stdin=exported) == (
        "Imported: copy/app/deep/er\nImported: copy/app/limit\n"
    )
    assert agent.api("GET", "kv/copy/app/limit")[0]["Flags"] == 42
    assert ok(agent, "kv", "delete", "-recurse", "copy") == (
        "Success! Deleted keys with prefix: copy\n"
    )
    assert agent.consul("kv", "get", "copy/app/limit").err == (
        "Error! No key exists at: copy/app/limit\n"
    )


def test_history(agent: Agent) -> None:
    for value in ("one", "two", "three"):
        ok(agent, "kv", "put", "hist", value)
    ok(agent, "kv", "delete", "hist")
    lines = ok(agent, "kv", "history", "hist").splitlines()
    assert lines[0].split() == ["Version", "ModifyIndex", "Flags", "Session", "Value"]
    assert [line.split()[-1] for line in lines[1:]] == ["(deleted)", "three", "two", "one"]
    listed = json.loads(ok(agent, "kv", "history", "-format=json", "hist"))
    indexes = [one["ModifyIndex"] for one in listed]
    assert indexes == sorted(indexes, reverse=True)
    assert ok(agent, "kv", "get", f"-index={indexes[-1]}", "hist") == "one\n"
    assert ok(agent, "kv", "get", "-version=2", "hist") == "two\n"
    assert agent.consul("kv", "get", f"-index={indexes[0]}", "hist").code == 1
    assert agent.consul("kv", "get", "-version=9", "hist").code == 1
    done = agent.consul("kv", "history", "never")
    assert (done.code, done.err) == (1, "Error! No key exists at: never\n")


def test_a_key_is_locked_by_hand(agent: Agent) -> None:
    session = agent.api("PUT", "session/create", {"LockDelay": "0s"})["ID"]
    other = agent.api("PUT", "session/create", {"LockDelay": "0s"})["ID"]
    out = ok(agent, "kv", "put", "-acquire", f"-session={session}", "own", "v")
    assert out == "Success! Lock acquired on: own\n"
    done = agent.consul("kv", "put", "-acquire", f"-session={other}", "own", "v")
    assert (done.code, done.err) == (1, "Error! Did not acquire lock\n")
    out = ok(agent, "kv", "put", "-release", f"-session={session}", "own", "v")
    assert out == "Success! Lock released on: own\n"
    for one in (session, other):
        agent.api("PUT", f"session/destroy/{one}", b"")


def test_the_cluster(agent: Agent) -> None:
    lines = ok(agent, "members").splitlines()
    header = ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition"]
    assert lines[0].split() == [*header, "Segment"]
    assert lines[1].split()[2:] == [
        "alive",
        "server",
        "1.22.0",
        "2",
        "dc1",
        "default",
        "<all>",
    ]
    assert agent.consul("members", "-status=left").code == 2
    assert ok(agent, "catalog", "datacenters") == "dc1\n"
    assert ok(agent, "catalog", "nodes").splitlines()[1].split()[0] == "one"
    assert "consul-version=1.22.0" in ok(agent, "catalog", "nodes", "-detailed")
    info = ok(agent, "info").splitlines()
    assert "\tserver = true" in info[info.index("consul:") :]
    peers = ok(agent, "operator", "raft", "list-peers").splitlines()
    assert peers[1].split()[0] == "one"
    assert "leader" in peers[1].split()
    assert ok(agent, "operator", "autopilot", "state").startswith("Healthy: ")
    out = ok(agent, "operator", "autopilot", "set-config", "-max-trailing-logs=300")
    assert out == "Configuration updated!\n"
    assert "MaxTrailingLogs = 300\n" in ok(agent, "operator", "autopilot", "get-config")
    assert "Billable Service Instances Total: " in ok(agent, "operator", "usage", "instances")
    assert ok(agent, "reload") == "Configuration reload triggered\n"


def test_services(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "db.hcl"
    file.write_text(
        'service {\n  name = "db"\n  id = "db-1"\n  port = 5432\n  tags = ["primary", "v1"]\n'
        '  meta { owner = "me" }\n  check { ttl = "30s" status = "passing" }\n'
        "  weights { passing = 5 }\n}\n"
    )
    assert ok(agent, "services", "register", str(file)) == "Registered service: db\n"
    flags = ("-name=web", "-id=web-1", "-port=80", "-tag=a", "-meta=k=v")
    tagged = "-tagged-address=lan=10.9.9.9:81"
    assert ok(agent, "services", "register", *flags, tagged) == "Registered service: web\n"
    found = agent.api("GET", "agent/service/web-1")
    assert found["TaggedAddresses"]["lan"] == {"Address": "10.9.9.9", "Port": 81}
    found = agent.api("GET", "agent/service/db-1")
    assert (found["Meta"], found["Weights"]["Passing"]) == ({"owner": "me"}, 5)

    def visible() -> bool:
        return {"db", "web"} <= set(agent.consul("catalog", "services").out.split())

    eventually(visible, "both services in the catalog")
    lines = ok(agent, "catalog", "services", "-tags").splitlines()
    assert "db          primary,v1" in lines
    assert ok(agent, "catalog", "nodes", "-service=db").splitlines()[1].startswith("one ")
    assert ok(agent, "maint", "-enable", "-service=web-1", "-reason=disk") == (
        'Service maintenance is now enabled for "web-1"\n'
    )
    assert ok(agent, "maint") == "Service:\n  ID:     web-1\n  Reason: disk\n\n"
    ok(agent, "maint", "-disable", "-service=web-1")
    assert ok(agent, "services", "deregister", str(file)) == "Deregistered service: db-1\n"
    assert ok(agent, "services", "deregister", "-id=web-1") == "Deregistered service: web-1\n"
    done = agent.consul("services", "deregister", "-id=web-1")
    assert done.code == 1
    assert 'Unknown service ID "web-1"' in done.err
    done = agent.consul("services", "register", "-name=web", "-address=0.0.0.0")
    assert (done.code, "Invalid service address" in done.err) == (1, True)


def test_events(agent: Agent) -> None:
    event = ok(agent, "event", "-name=deploy", "now").removeprefix("Event ID: ").strip()
    seen = json.loads(ok(agent, "watch", "-type=event", "-name=deploy"))
    assert [(one["ID"], one["Name"]) for one in seen] == [(event, "deploy")]


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["-type=nodes"], '"Node": "one"'),
        (["-type=services"], '"consul": []'),
        (["-type=service", "-service=consul"], '"serfHealth"'),
        (["-type=checks"], '"serfHealth"'),
        (["-type=checks", "-state=passing"], '"serfHealth"'),
        (["-type=key", "-key=nothing"], "null"),
        (["-type=keyprefix", "-prefix=nothing"], "null"),
    ],
)
def test_views_are_printed_once(agent: Agent, argv: list[str], part: str) -> None:
    assert part in ok(agent, "watch", *argv)


def test_a_watch_sees_every_change_and_none_twice(agent: Agent, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    handler = tmp_path / "handler"
    handler.write_text(f"#!/bin/sh\ncat >> {seen}\n")
    handler.chmod(0o755)

    def values() -> list[str | None]:
        lines = seen.read_text().splitlines() if seen.exists() else []
        return [entry and entry["Value"] for entry in map(json.loads, lines)]

    with agent.running("watch", "-type=key", "-key=w/key", str(handler)) as watching:
        eventually(lambda: values() == [None], "the first run")
        expected: list[str | None] = [None]
        for number, encoded in enumerate(["MA==", "MQ==", "Mg==", "Mw=="]):
            ok(agent, "kv", "put", "w/other", str(number))
            ok(agent, "kv", "put", "w/key", str(number))
            ok(agent, "kv", "put", "w/key", str(number))
            expected.append(encoded)
            eventually(lambda: values() == expected, f"change {number}")
        ok(agent, "kv", "delete", "w/key")
        eventually(lambda: values() == [*expected, None], "the end of the key")
        assert watching.poll() is None
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0


def test_the_log_of_a_running_agent(agent: Agent) -> None:
    with agent.running("monitor", "-log-level=debug") as monitor:
        assert monitor.stdout is not None
        stop = threading.Event()

        def reload() -> None:
            while not stop.wait(0.1):
                ok(agent, "reload")

        thread = threading.Thread(target=reload)
        thread.start()
        try:
            while "Reloading configuration" not in monitor.stdout.readline():
                pass
        finally:
            stop.set()
            thread.join()
        monitor.send_signal(signal.SIGINT)
        assert monitor.wait(60) == 0


def test_an_interrupt_ends_the_recording_of_debug(agent: Agent, tmp_path: Path) -> None:
    output = tmp_path / "found"
    with agent.running("debug", f"-output={output}", "-duration=10m") as recording:
        log = output / "consul.log"

        def logged() -> bool:
            ok(agent, "reload")
            found = (output / "metrics.json").exists() and log.exists()
            return found and "Reloading configuration" in log.read_text()

        eventually(logged, "metrics and a line of the log")
        recording.send_signal(signal.SIGINT)
        out, err = recording.communicate(timeout=PATIENCE)
    assert (recording.returncode, err) == (0, "")
    assert "==> Interrupted, ending the recording...\n" in out
    with tarfile.open(f"{output}.tar.gz") as archive:
        names = {Path(name).name for name in archive.getnames()}
        described = json.load(archive.extractfile("found/agent.json") or io.BytesIO())
    expected = {"agent.json", "host.json", "members.json", "metrics.json", "consul.log"}
    assert names == {"found", "index.json", "ports.json", "listpeers.json", *expected}
    assert described["Config"]["NodeName"] == "one"


def test_snapshots(agent: Agent, tmp_path: Path) -> None:
    file = str(tmp_path / "backup.snap")
    ok(agent, "kv", "put", "snap/key", "before")
    out = ok(agent, "snapshot", "save", file)
    assert out.startswith("Saved and verified snapshot to index ")
    assert " KVS " in ok(agent, "snapshot", "inspect", file)
    ok(agent, "kv", "put", "snap/key", "after")
    ok(agent, "kv", "put", "snap/new", "x")
    assert ok(agent, "snapshot", "restore", file) == "Restored snapshot\n"
    assert ok(agent, "kv", "get", "-recurse", "snap") == "snap/key:before\n"
    decoded = [json.loads(line) for line in ok(agent, "snapshot", "decode", file).splitlines()]
    assert {"Key": "snap/key", "Value": "YmVmb3Jl"} in [line["Data"] for line in decoded]


def test_without_an_agent(agent: Agent) -> None:
    (port,) = free_ports(1)
    for argv in (["kv", "get", "a"], ["members"], ["info"], ["catalog", "nodes"], ["leave"]):
        done = agent.consul(argv[0], *argv[1:-1], f"-http-addr=127.0.0.1:{port}", *argv[-1:])
        if argv[0] in ("members", "info", "leave"):
            done = agent.consul(argv[0], f"-http-addr=127.0.0.1:{port}")
        if argv[:1] == ["catalog"]:
            done = agent.consul(*argv, f"-http-addr=127.0.0.1:{port}")
        assert (done.code, done.out) == (1, "")
        assert f"dial tcp 127.0.0.1:{port}: connect: connection refused" in done.err


def test_leave_ends_the_agent(tmp_path: Path) -> None:
    with agent_running(tmp_path) as own:
        assert own.consul("leave").out == "Graceful leave complete\n"
        assert own.process.wait(60) == 0


def test_tokens(tmp_path: Path) -> None:
    token = "11111111-2222-3333-4444-555555555555"
    tokens = f'tokens {{ initial_management = "{token}" }}'
    acl = f'acl {{ enabled = true default_policy = "deny" {tokens} }}'
    with agent_running(tmp_path, f"-hcl={acl}") as closed:
        done = closed.consul("kv", "put", "a", "b")
        assert done.code == 1
        assert done.err.startswith("Error! Failed writing data: Unexpected response code: 403 (")
        file = tmp_path / "token"
        file.write_text(f"{token}\n")
        for flag in (f"-token={token}", f"-token-file={file}"):
            assert closed.consul("kv", "put", flag, "a", "b").code == 0
        done = closed.consul("kv", "get", "-token=wrong", "a")
        assert done.err.startswith("Error querying Consul agent: Unexpected response code: 403 (")


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with agent_running(tmp_path, f'-hcl=addresses {{ http = "127.0.0.1 unix://{path}" }}') as own:
        assert own.consul("kv", "put", f"-http-addr=unix://{path}", "a", "b").code == 0
        assert own.consul("kv", "get", "a").out == "b\n"


class Authority:
    """A certificate authority for a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.file = self._write("ca", self._certificate(self.name, self.key, None))

    def issue(self, name: str, address: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))]
        certificate = self._certificate(subject, key, x509.SubjectAlternativeName(names))
        key_file = self.folder / f"{name}.key"
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return self._write(name, certificate), key_file

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), True)
        )
        if names is not None:
            builder = builder.add_extension(names, False)
        return builder.sign(self.key, hashes.SHA256())


def test_https(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, server_key = authority.issue("server.dc1.consul", "127.0.0.1")
    client, client_key = authority.issue("cli.dc1.consul", "127.0.0.2")
    (port,) = free_ports(1)
    config = {
        "ports": {"https": port},
        "tls": {
            "https": {
                "ca_file": str(authority.file),
                "cert_file": str(server),
                "key_file": str(server_key),
                "verify_incoming": True,
            }
        },
    }
    (tmp_path / "tls.json").write_text(json.dumps(config))
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "some.pem").write_bytes(authority.file.read_bytes())
    with agent_running(tmp_path, f"-config-file={tmp_path / 'tls.json'}") as own:
        at = f"-http-addr=https://127.0.0.1:{port}"
        identity = (f"-client-cert={client}", f"-client-key={client_key}")
        assert own.consul("members", at, f"-ca-file={authority.file}", *identity).code == 0
        assert own.consul("members", at, f"-ca-path={folder}", *identity).code == 0
        named = own.consul(
            "members",
            at,
            f"-ca-file={authority.file}",
            "-tls-server-name=server.dc1.consul",
            *identity,
        )
        assert named.code == 0
        wrong = own.consul(
            "members", at, f"-ca-file={authority.file}", "-tls-server-name=other", *identity
        )
        assert (wrong.code, "certificate" in wrong.err.lower()) == (1, True)
        stranger = own.consul("members", at, *identity)
        assert (stranger.code, "certificate" in stranger.err.lower()) == (1, True)
        nobody = own.consul("members", at, f"-ca-file={authority.file}")
        assert nobody.code == 1
        environ = {
            **own.environ,
            "CONSUL_HTTP_ADDR": f"127.0.0.1:{port}",
            "CONSUL_HTTP_SSL": "true",
            "CONSUL_HTTP_SSL_VERIFY": "false",
            "CONSUL_CLIENT_CERT": str(client),
            "CONSUL_CLIENT_KEY": str(client_key),
        }
        done = subprocess.run([own.program, "members"], env=environ, check=False)
        assert done.returncode == 0
