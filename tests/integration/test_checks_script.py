"""Script checks with real programs: exit codes, output, time-outs, and what they leave behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portway.config import Duration
from portway.discovery.checks import Checks, Result, Settings, script
from portway.discovery.checks.context import Context
from portway.discovery.model import CheckDefinition
from tests.patience import until

from .checks_rig import (
    Reports,
    descriptors,
    event_loop_policy,  # noqa: F401
    on_both_loops,
)

pytestmark = on_both_loops


async def check(*arguments: str, within: float = 60, output_max_size: int = 0) -> Result:
    definition = CheckDefinition(
        script_args=list(arguments), timeout=Duration(within), output_max_size=output_max_size
    )
    return await script.run_once(definition, Context(Settings()))


async def shell(text: str, within: float = 60, output_max_size: int = 0) -> Result:
    return await check("/bin/sh", "-c", text, within=within, output_max_size=output_max_size)


def _all_children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


_STRANGERS: set[str] = set()  # what other tests have left to this process


def children() -> list[str]:
    """The processes that were started in this test and are not yet buried."""
    return [pid for pid in _all_children() if pid not in _STRANGERS]


async def idle_descriptors() -> int:
    """Files this process has open once its loop has what it needs to start programs."""
    await check("true")
    return descriptors()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    _STRANGERS.clear()
    _STRANGERS.update(_all_children())
    yield
    assert not children(), "processes were left behind"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo fine", ("passing", "fine\n")),
        ("echo hm; exit 1", ("warning", "hm\n")),
        ("echo no >&2; exit 2", ("critical", "no\n")),
        ("exit 255", ("critical", "")),
        ("kill -9 $$", ("critical", "")),
        ("cat", ("passing", "")),  # there is nothing to read
        ("printf 'a\\377b'", ("passing", "a�b")),
    ],
)
async def test_exit_codes_and_outputs(text: str, expected: tuple[str, str]) -> None:
    assert await shell(text) == expected


async def test_no_shell_reads_the_arguments() -> None:
    assert await check("echo", "$HOME; ls", "*") == ("passing", "$HOME; ls *\n")


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("no-such-program", 'exec: "no-such-program": executable file not found in $PATH'),
        ("/no/such/program", "fork/exec /no/such/program: no such file or directory"),
        ("/etc/passwd", "fork/exec /etc/passwd: permission denied"),
        ("/tmp\0", "fork/exec /tmp\0: "),
    ],
)
async def test_programs_that_do_not_start(program: str, output: str) -> None:
    result = await check(program)
    assert result.status == "critical"
    assert result.output.startswith(output)


async def test_of_much_output_the_end_is_kept() -> None:
    result = await shell("yes 0123456789 | head -c 1000000; echo the end")
    assert result.status == "passing"
    first, dots, rest = result.output.split("\n", 2)
    assert first == "Captured 4096 of 1000008 bytes"
    assert dots == "..."
    assert rest.endswith("the end\n")
    assert len(rest) == 4096
    small = await shell("echo 0123456789", output_max_size=4)
    assert small == ("passing", "Captured 4 of 11 bytes\n...\n789\n")


async def test_a_time_out_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = f"echo before; trap '' TERM; (echo $$; sleep 1000) & echo $! $$ > {pids}; sleep 1000"
    assert await shell(text, within=3) == (
        "critical",
        "Timed out (3s) running check\n\nbefore\n" + pids.read_text().split()[1] + "\n",
    )
    for pid in pids.read_text().split():
        await until(lambda pid=pid: not _runs(int(pid)), f"{pid} is gone")  # type: ignore[misc]
    assert await check("sleep", "1000", within=0.3) == (
        "critical",
        "Timed out (300ms) running check",
    )


async def test_what_a_program_leaves_running_does_not_hold_the_check(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    result = await shell(f"sleep 1000 & echo $! > {pid}; echo started")
    assert result == ("passing", "started\n")
    os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_an_abandoned_run_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    before = await idle_descriptors()
    run = asyncio.create_task(shell(f"echo $$ > {pid}; sleep 1000"))
    await until(lambda: pid.exists() and bool(pid.read_text()), "it runs")
    run.cancel()
    await asyncio.wait((run,))
    await until(lambda: not _runs(int(pid.read_text())), "it is gone")
    await until(lambda: not children(), "it is buried")
    await until(lambda: descriptors() <= before, "no descriptor is left")


async def test_a_run_abandoned_while_it_starts() -> None:
    before = await idle_descriptors()
    for _ in range(20):
        run = asyncio.create_task(check("sleep", "1000"))
        await asyncio.sleep(0)
        run.cancel()
        await asyncio.wait((run,))
    await until(lambda: not children(), "all are gone and buried")
    await until(lambda: descriptors() <= before, "no descriptor is left")


async def test_hundreds_of_scripts_take_turns(tmp_path: Path) -> None:
    reports = Reports()
    settings = Settings(enable_script_checks=True, concurrent_scripts=8)
    before = await idle_descriptors()
    checks = Checks(settings, reports, lambda *_: lambda: None, on_overdue=print)
    count = tmp_path / "count"
    count.mkdir()
    text = f"echo > {count}/$$; ls {count} | wc -l; sleep 0.05; rm {count}/$$"
    most = 0
    try:
        for number in range(300):
            definition = CheckDefinition(
                script_args=["/bin/sh", "-c", text], interval=Duration(1), timeout=Duration(60)
            )
            checks.add(f"s{number}", definition)

        def all_done() -> bool:
            nonlocal most
            most = max(most, len(children()))
            return len({check_id for check_id, *_ in reports.log}) == 300

        await until(all_done, "each has run")
    finally:
        await checks.close()
    assert most <= 8
    assert {status for _, status, _ in reports.log} == {"passing"}
    assert max(int(output) for *_, output in reports.log) <= 8
    await until(lambda: not children(), "all are buried")
    await until(lambda: descriptors() <= before, "no descriptor is left")


async def test_python_programs_that_close_their_output_early() -> None:
    text = "import os, sys; os.close(1); os.close(2); import time; time.sleep(0.2); sys.exit(1)"
    assert await check(sys.executable, "-c", text) == ("warning", "")


def _runs(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:4]
    except (FileNotFoundError, ProcessLookupError):
        return False
