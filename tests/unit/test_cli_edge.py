"""The command line: which command runs, what it prints, how it exits."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from portway import version
from portway.cli import COMMANDS, main
from portway.cli.help import options
from portway.cli.version import fields, render


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration of the machine's is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The argument lists the edge was started with; nothing is started."""
    seen: list[list[str]] = []

    def start(argv: list[str]) -> int:
        seen.append(argv)
        return 7

    module = types.ModuleType("portway.edge.run")
    module.main = start  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "portway.edge.run", module)
    return seen


@pytest.mark.parametrize(
    ("argv", "passed"),
    [
        ([], []),
        (["edge"], []),
        (["--api.insecure"], ["--api.insecure"]),
        (["-entryPoints.web.address=:80", "--api"], ["-entryPoints.web.address=:80", "--api"]),
        (["edge", "--log.level", "DEBUG", "--"], ["--log.level", "DEBUG", "--"]),
    ],
)
def test_options_alone_run_the_edge(
    runs: list[list[str]], argv: list[str], passed: list[str]
) -> None:
    assert main(argv) == 7
    assert runs == [passed]


def test_a_wrong_configuration_is_told_before_anything_starts(
    runs: list[list[str]], alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (alone / "traefik.yml").write_text(
        "entryPoints:\n  web:\n    adress: ':80'\n    reusePort: maybe\n"
    )
    assert main([]) == 1
    assert runs == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "portway: traefik.yml:3: entryPoints.web.adress: field not found, node: adress; "
        "did you mean address?",
        "portway: traefik.yml:4: entryPoints.web.reusePort: 'maybe' is not a boolean; "
        "write true or false",
    ]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["verson"], "portway: command not found: verson; did you mean version?"),
        (["zzz"], "portway: command not found: zzz; commands: "),
        (["version", "extra"], "portway: Got unexpected extra argument (extra)"),
        (["version", "--format={{.Nope}}"], "portway: --format: {{.Nope}} is not a field; valid: "),
        (["--nope"], "portway: flags: --nope: field not found, node: nope"),
    ],
)
def test_mistakes_are_one_line_and_exit_1(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(message)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "Version",
        "Codename",
        "Python version",
        "Envoy version",
        "OS/Arch",
    ]
    assert lines[0].split() == ["Version:", version()]
    assert main(["version", "--format", "{{.Version}} {{ .Os }}"]) == 0
    assert capsys.readouterr().out == f"{version()} {fields()['Os']}\n"


def test_version_template_text_is_kept() -> None:
    assert render("a {.Version} {{.Version}}", {"Version": "1"}) == "a {.Version} 1"


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--help", "--api"]])
def test_help_lists_commands_and_options(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 0
    out = capsys.readouterr().out
    for name, (_, text) in COMMANDS.items():
        assert name in out
        assert text in out
    assert "  --entryPoints.<name>.address\n" in out
    assert "  --providers.docker.exposedByDefault  (default: true)\n" in out
    assert "  --entryPoints.<name>.transport.lifeCycle.graceTimeOut  (default: 10s)\n" in out
    assert max(map(len, out.splitlines())) <= 250


def test_help_of_commands_that_take_options(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("edge", "healthcheck"):
        assert main([command, "--api", "--help"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"Usage: portway {command} [options]")
        assert "--ping.entryPoint  (default: traefik)" in out


def test_every_option_has_a_sentence() -> None:
    listed = list(options())
    assert len({option.name for option in listed}) == len(listed) > 50
    for option in listed:
        assert option.description.endswith(".")
        assert "\n" not in option.description


@pytest.mark.parametrize("argv", [["version"], ["--help"], ["edge", "--nope"], ["healthcheck"]])
def test_the_command_line_does_not_import_the_server(argv: list[str], alone: Path) -> None:
    code = (
        "import sys; from portway.cli import main\n"
        f"main({argv!r})\n"
        "heavy = {'grpc', 'google.protobuf', 'aiohttp', 'uvloop', 'aiodocker', 'starlette'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


class _Ping(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_HEAD(self) -> None:
        self.send_response(self.status if self.path == "/ping" else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def router() -> Iterator[http.server.HTTPServer]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Ping)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("host", ["", "127.0.0.1", "0.0.0.0", "localhost"])
def test_healthcheck_of_a_healthy_router(
    router: http.server.HTTPServer, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"{host}:{router.server_port}"
    assert main(["healthcheck", "--ping", f"--entrypoints.traefik.address={address}"]) == 0
    assert capsys.readouterr().out == f"OK: http://{address}/ping\n"


def test_healthcheck_of_a_stopping_router(
    router: http.server.HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(_Ping, "status", 503)
    monkeypatch.setenv("TRAEFIK_PING_ENTRYPOINT", "web")
    monkeypatch.setenv("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", f":{router.server_port}")
    assert main(["healthcheck"]) == 1
    assert capsys.readouterr().out == "Bad healthcheck status: 503 Service Unavailable\n"


def test_healthcheck_without_a_router(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        assert main(["healthcheck", "--ping", f"--entrypoints.traefik.address={address}"]) == 1
    out = capsys.readouterr().out
    assert out == (f'Error calling healthcheck: Head "http://{address}/ping": connection refused\n')


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "please enable `ping` to use health check"),
        (
            ["--ping.entrypoint=foo", "--entrypoints.web.address=:80"],
            "ping: missing foo entry point",
        ),
    ],
)
def test_healthcheck_needs_ping(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["healthcheck", *argv]) == 1
    assert capsys.readouterr().out == f"Error calling healthcheck: {message}\n"
