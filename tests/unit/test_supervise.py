"""The supervising parent, as far as it needs no processes."""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from portway.edge import supervise
from portway.edge.supervise import Launch

HEAVY = {"asyncio", "grpc", "google", "msgspec", "aiohttp", "structlog", "cryptography", "yaml"}


def test_the_parent_imports_next_to_nothing() -> None:
    script = "import sys, portway.edge.supervise; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    loaded = set(output.split())
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert {name for name in loaded if name.startswith("portway")} == {
        "portway",
        "portway.edge",
        "portway.edge.supervise",
        "portway.envoy",
        "portway.envoy.bootstrap",
    }


@pytest.mark.parametrize(
    ("short_runs", "pause"),
    [(0, 0.0), (1, 0.0), (3, 0.0), (4, 0.1), (5, 0.2), (6, 0.4), (9, 3.2), (10, 5.0), (5000, 5.0)],
)
def test_only_a_crash_loop_waits(short_runs: int, pause: float) -> None:
    assert supervise.restart_pause(short_runs) == pytest.approx(pause)


def test_the_runtime_directory_is_private(tmp_path: Path) -> None:
    made = supervise.make_runtime_dir({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert made.parent == tmp_path
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert made != supervise.make_runtime_dir({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_report_reaches_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv(supervise.STATUS_VARIABLE, str(writing))
    launch = Launch(drain_seconds=3, concurrency=2)
    supervise.report_valid(launch)
    supervise.report_ready()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        valid, ready = map(json.loads, pipe)
    assert Launch(**valid["valid"]) == launch
    assert ready == {"ready": True}


def test_reports_without_a_parent_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(supervise.STATUS_VARIABLE, raising=False)
    supervise.report_ready()
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setenv(supervise.STATUS_VARIABLE, str(writing))
    supervise.report_ready()
    os.close(writing)
    supervise.report_ready()


def test_envoys_command_line_says_how_it_runs() -> None:
    argv = supervise.envoy_argv(
        Path("/bin/envoy"), Path("/run/e.json"), Launch(drain_seconds=7, concurrency=3)
    )
    assert argv[:3] == ["/bin/envoy", "-c", "/run/e.json"]
    options = dict(itertools.pairwise(argv))
    assert options["--drain-time-s"] == "7"
    assert options["--concurrency"] == "3"
    assert options["--log-level"] == "warning"
    assert "--disable-hot-restart" in argv
    assert "--concurrency" not in supervise.envoy_argv(Path("e"), Path("c"), Launch())


def test_log_lines_have_the_form_the_user_chose() -> None:
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
    assert re.fullmatch(
        stamp + " warning supervisor hello\n", supervise.log_line("hello", "common")
    )
    fields = json.loads(supervise.log_line("hello", "json"))
    assert re.fullmatch(stamp, fields.pop("time"))
    assert fields == {"level": "warning", "logger": "supervisor", "message": "hello"}


def test_without_setpriv_a_launcher_asks_the_kernel() -> None:
    """Run it: the program replaces the launcher and gets its arguments."""
    argv = supervise.dying_with_parent([sys.executable, "-c", "print('ran')"], None)
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "ran\n"


def test_the_launcher_does_nothing_when_the_parent_is_gone_already() -> None:
    argv = supervise.dying_with_parent([sys.executable, "-c", "print('ran')"], None)
    argv[argv.index(str(os.getpid()))] = "1"
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_requests_in_flight_are_summed_over_listeners() -> None:
    lines = [
        "http.web.downstream_rq_active: 2",
        "http.websecure.downstream_rq_active: 3",
        "http.admin.downstream_rq_active: 1",
        "http.web.downstream_cx_active: 9",
        "",
    ]
    assert supervise.active_requests(lines) == 5
