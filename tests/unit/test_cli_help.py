"""``-help`` of every one of Consul's words, and what running it imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from portway.cli import COMMANDS
from portway.cli.command import GoCommand, GoGroup, load
from portway.cli.commands import CONSUL
from tests.unit.cli_agent import Consul, calling

consul = pytest.fixture(calling)


def words(prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], GoCommand | GoGroup]]:
    """Every command and group of ours, by its words."""
    table = CONSUL if not prefix else _group(prefix).table
    for name in table:
        found = load(table, name)
        if isinstance(found, GoCommand | GoGroup):
            yield (*prefix, name), found
        if isinstance(found, GoGroup):
            yield from words((*prefix, name))


def _group(path: tuple[str, ...]) -> GoGroup:
    found = load(COMMANDS, path[0])
    for name in path[1:]:
        assert isinstance(found, GoGroup)
        found = load(found.table, name)
    assert isinstance(found, GoGroup)
    return found


ALL = list(words())


@pytest.mark.parametrize(("path", "found"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_help(consul: Consul, path: tuple[str, ...], found: GoCommand | GoGroup) -> None:
    code, out, err = consul(*path, "-help")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"Usage: consul {' '.join(path)}")
    assert lines[2].startswith("  ")
    assert max(map(len, lines)) <= 100
    assert not any(line.endswith(" ") for line in lines)
    assert consul(*path, "--help").out == consul(*path, "-h").out == out
    if isinstance(found, GoCommand):
        assert found.name == path[-1]
        names = [option.flag_name for option in found.flags]
        assert len(set(names)) == len(names)
        for option in found.flags:
            assert option.help is not None
            assert option.help.rstrip().endswith((".", "true", "false")), option.flag_name
            assert f"\n  -{option.flag_name}" in out
    else:
        for name, (_, text) in found.table.items():
            assert f"    {name}" in out
            assert text in out


@pytest.mark.parametrize(
    "path", [path for path, found in ALL if isinstance(found, GoCommand)], ids=" ".join
)
def test_a_flag_that_is_not_defined(consul: Consul, path: tuple[str, ...]) -> None:
    outcome = consul(*path, "-nope=1")
    assert outcome == (1, "", "flag provided but not defined: -nope\n")


def test_no_command_imports_the_server() -> None:
    """By being loaded; what a command needs beyond is imported when it runs."""
    code = (
        "import sys\n"
        "from tests.unit.test_cli_help import ALL\n"
        "heavy = {'aiohttp', 'grpc', 'msgspec', 'uvloop', 'yaml', 'portway.agent',"
        " 'portway.config', 'portway.discovery.server', 'portway.edge', 'portway.store'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
