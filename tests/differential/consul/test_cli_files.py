"""Commands that write and read files: snapshots, certificates, configurations, versions."""

from __future__ import annotations

import contextlib
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from .conftest import Play
from .world import World

_ERRORS = "Errors of the command line"
_IDLE = "Arguments and files that would do nothing"
_KEYS = "An unknown key of a configuration file"
_TEXTS = "Errors of Go's libraries"


@contextlib.contextmanager
def _folder(ask: World, path: Path) -> Iterator[Path]:
    """A directory for one run of a scenario, which is the working directory inside."""
    folder = path / str(len(list(path.iterdir())))
    folder.mkdir()
    ask.names.add(str(folder), "folder")
    with contextlib.chdir(folder):
        yield folder


def _modes(ask: World, folder: Path) -> None:
    modes = {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in folder.iterdir()}
    names = {ask.names.text(re.sub(r"1\.2[12]\.0", "V", name)): name for name in modes}
    ask.note("files", {shown: modes[name] for shown, name in names.items()})


def test_snapshots(play: Play, tmp_path: Path) -> None:
    def scenario(ask: World) -> None:
        ask.put("kv/clif/a", "1", record=False)
        with _folder(ask, tmp_path) as folder:
            for argv in (
                *(["s.snap"], ["s.snap"], ["-stale", "stale.snap"]),
                *(["-append-filename=dc", "t.snap"], ["-append-filename=dc,dc", "u.snap"]),
                ["-append-filename=dc", "bare"],
            ):
                done = ask.cli("snapshot", "save", *argv, record=False)
                said = re.sub(r"\d+", "N", done.out)
                ask.note(f"save {argv}", {"exit": done.code, "out": said, "err": done.err})
            _modes(ask, folder)
            for line in (
                *("save", "save a b", "inspect", "inspect nope", "inspect s.snap x"),
                *("restore", "restore nope", "restore a b", "decode", "decode nope"),
            ):
                ask.cli("snapshot", *line.split())
            done = ask.cli("snapshot", "save", "no/such.snap", record=False)
            said = re.sub(r"unverified\S*:", "unverified:", done.err)
            ask.note("save below no folder", {"exit": done.code, "err": said})
            (folder / "junk.snap").write_text("junk")
            (folder / "long.snap").write_text("junk" * 99)
            for name in ("junk.snap", "long.snap"):
                for word in ("inspect", "restore", "decode"):
                    ask.cli("snapshot", word, name)
            if ask.cli("snapshot", "inspect", "s.snap", record=False).code == 0:
                done = ask.cli("snapshot", "inspect", "-format=json", "s.snap", record=False)
                tree = json.loads(done.out)
                ask.note("inspect", {"keys": sorted(tree), "meta": sorted(tree["Meta"])})
                ask.cli("snapshot", "inspect", "-format=bogus", "s.snap")
            ask.put("kv/clif/a", "2", record=False)
            ask.cli("snapshot", "restore", "s.snap")
            ask.until(
                lambda: ask.get("kv/clif/a?raw", record=False).body == b"1", "the value restored"
            )
        ask.delete("kv/clif?recurse", record=False)

    play(scenario, own=True)


def test_a_snapshot_of_ours_saved_by_the_real_command_line(play: Play, tmp_path: Path) -> None:
    def scenario(ask: World) -> None:
        with _folder(ask, tmp_path):
            done = ask.cli("snapshot", "save", "s.snap", record=False)
            ask.note("save", {"exit": done.code, "out": re.sub(r"\d+", "N", done.out)})
            ask.cli("snapshot", "restore", "s.snap")

    play(scenario, own=True, mixed=True)


def test_certificates(play: Play, tmp_path: Path) -> None:
    def scenario(ask: World) -> None:
        with _folder(ask, tmp_path) as folder:
            for line in (
                *("", "ca", "cert", "ca create", "ca create", "cert create"),
                *("cert create -server -client", "cert create -server", "cert create -server"),
                *("cert create -client", "cert create -cli", "cert create -client -node=x"),
                *("cert create -server -domain=example", "cert create -server -ca=nope.pem"),
                *("cert create -server -key=nope.pem", "cert create -server -ca= -dc=x"),
                "cert create -server -dc=dc2 -node=n1 -days=10 -additional-dnsname=a.b"
                " -additional-dnsname=c.d -additional-ipaddress=1.2.3.4",
                "ca create -domain=foo -days=5 -common-name=Mine -name-constraint"
                " -additional-name-constraint=bar -cluster-id=abc",
                "ca create -additional-name-constraint=bar -domain=q",
            ):
                ask.cli("tls", *line.split())
            ask.cli("tls", "ca", "create", "x", "-domain=y", differs={_IDLE: ["*"]})
            (folder / "y-agent-ca.pem").unlink(missing_ok=True)
            (folder / "y-agent-ca-key.pem").unlink(missing_ok=True)
            _modes(ask, folder)
            for file in sorted(folder.iterdir()):
                text = file.read_bytes()
                if text.startswith(b"-----BEGIN CERT"):
                    ask.note(file.name, _facts(x509.load_pem_x509_certificate(text)))
                else:
                    ask.note(file.name, {"first line": text.splitlines()[0].decode()})

    play(scenario)


def _facts(certificate: x509.Certificate) -> dict[str, object]:
    """What users and verifiers see of a certificate but for whom it belongs to."""
    valid = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    facts: dict[str, object] = {
        "name": re.sub(r"\d{9,}", "N", _common_name(certificate.subject)),
        "issuer": re.sub(r"\d{9,}", "N", _common_name(certificate.issuer)),
        "days": valid.days,
        "signature": certificate.signature_algorithm_oid.dotted_string,
        "key": getattr(certificate.public_key(), "key_size", 0),
    }
    for extension in certificate.extensions:
        value = extension.value
        text = str(value)
        if isinstance(value, x509.SubjectKeyIdentifier):
            text = f"{len(value.digest)} bytes"
        elif isinstance(value, x509.AuthorityKeyIdentifier):
            text = f"{len(value.key_identifier or b'')} bytes"
        facts[f"extension.{extension.oid.dotted_string}"] = f"{text}, critical={extension.critical}"
    return facts


def _common_name(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def test_certificates_of_an_authority_the_real_command_made(play: Play, tmp_path: Path) -> None:
    """The first run makes the authority, both sign with it."""

    def scenario(ask: World) -> None:
        with contextlib.chdir(tmp_path):
            if not Path("consul-agent-ca.pem").exists():
                ask.cli("tls", "ca", "create", record=False)
            before = {*tmp_path.iterdir()}
            ask.cli("tls", "cert", "create", "-server", record=False)
            (made,) = (file for file in {*tmp_path.iterdir()} - before if "key" not in file.name)
        authority = x509.load_pem_x509_certificate(
            Path(tmp_path, "consul-agent-ca.pem").read_bytes()
        )
        signed = x509.load_pem_x509_certificate(made.read_bytes())
        signed.verify_directly_issued_by(authority)
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        named = signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        ask.note("identifiers", {"equal": own.digest == named.key_identifier})

    play(scenario)


def test_validate_and_version(play: Play, tmp_path: Path) -> None:
    (tmp_path / "good.hcl").write_text(
        'node_name = "x"\ndata_dir = "/tmp/x"\nbind_addr = "127.0.0.1"\nserver = true\n'
    )
    (tmp_path / "bad.hcl").write_text("bogus = 1")
    (tmp_path / "syntax.json").write_text("{")
    (tmp_path / "other.txt").write_text("bogus = 1")

    def scenario(ask: World) -> None:
        ask.names.add(str(tmp_path), "tmp")

        def validate(line: str, differs: dict[str, list[str]] | None = None) -> None:
            ask.cli("validate", *line.replace("$", f"{tmp_path}/").split(), differs=differs)

        validate("")
        validate("$good.hcl")
        validate("-quiet $good.hcl")
        validate("$good.hcl $good.hcl")
        validate("$bad.hcl", {_KEYS: ["err.*"]})
        validate("-quiet $bad.hcl", {_KEYS: ["err.*"]})
        validate("$syntax.json", {_TEXTS: ["err.*"]})
        validate("$nope.hcl")
        validate("-config-format=bogus $good.hcl")
        validate("-bogus")
        for line in ("version", "--version", "-v", "-version", "version -format=pretty"):
            done = ask.cli(*line.split(), record=False)
            kept = [text for text in done.out.splitlines() if not text.startswith("Revision")]
            shown = re.sub(r"\d+\.\d+\.\d+|\d{4}-\S+", "N", "\n".join(kept))
            ask.note(line, {"exit": done.code, "out": shown, "err": done.err})
        ask.cli("version", "-format=bogus")
        tree = json.loads(ask.cli("version", "-format=json", record=False).out)
        ask.note("version in JSON", {"keys": list(tree), "rpc": tree["RPC"]})

    play(scenario)
