"""The file provider on a real file system."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portway.edge.providers.file import FileProvider, reading
from portway.edge.providers.file import provider as tuning
from portway.edge.static import File
from tests.integration.provider_harness import Reported, running


def route(*names: str) -> str:
    """A file with a router for each name."""
    lines = ["http:", "  routers:"]
    for name in names:
        lines += [f"    {name}:", f"      rule: Host(`{name}.test`)", "      service: s@file"]
    return "\n".join(lines) + "\n"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LOOK", 0.2)


@asynccontextmanager
async def watching(directory: Path) -> AsyncGenerator[Reported, None]:
    async with running(FileProvider(File(directory=str(directory)))) as reported:
        yield reported


async def test_a_directory_is_read_at_all_levels_and_the_first_file_wins(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "deep.yaml").write_text(route("deep", "both"))
    (tmp_path / "c.yml").write_text(route("both", "last"))
    (tmp_path / "a.toml").write_text('[http.routers.toml]\nrule = "Host(`t`)"\nservice = "s"\n')
    (tmp_path / "notes.txt").write_text("no configuration")
    (tmp_path / ".#c.yml").symlink_to("nowhere")
    async with watching(tmp_path) as reported:
        assert len(reported.reports) == 1
        assert reported.names("router") == ["both", "deep", "last", "toml"]
        assert reported.problems == [
            f"{tmp_path}/c.yml: HTTP router 'both' is ignored: "
            f"{tmp_path}/b/deep.yaml already defines it"
        ]
        (tmp_path / "b" / "deep.yaml").unlink()
        await reported.until(lambda: not reported.problems)
        assert reported.names("router") == ["both", "last", "toml"]


async def test_only_what_changed_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text(route(*(f"r{n}" for n in range(50))))
    async with watching(tmp_path) as reported:
        file.write_text(file.read_text().replace("Host(`r7.test`)", "Host(`new.test`)"))
        await reported.until(lambda: reported.router("r7").rule == "Host(`new.test`)")
        changes = [change.name for report in reported.reports[1:] for change in report.changes]
        assert changes == ["r7"]


async def test_new_files_and_directories_are_noticed(tmp_path: Path) -> None:
    async with watching(tmp_path) as reported:
        (tmp_path / "new" / "er").mkdir(parents=True)
        (tmp_path / "new" / "er" / "a.yml").write_text(route("a"))
        await reported.until(lambda: reported.names("router") == ["a"])
        (tmp_path / "b.yml").write_text(route("b"))
        await reported.until(lambda: reported.names("router") == ["a", "b"])
        (tmp_path / "new" / "er" / "a.yml").rename(tmp_path / "new" / "gone")
        await reported.until(lambda: reported.names("router") == ["b"])


@pytest.mark.parametrize("rewrite", ["in place", "moved over", "deleted first"])
async def test_every_way_to_write_a_file_is_one_change(
    tmp_path: Path, rewrite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "REMOVED", 10.0)
    file = tmp_path / "a.yml"
    file.write_text(route("old"))
    async with watching(tmp_path) as reported:
        if rewrite == "moved over":
            (tmp_path / "a.tmp").write_text(route("new"))
            (tmp_path / "a.tmp").replace(file)
        else:
            if rewrite == "deleted first":
                file.unlink()
                await asyncio.sleep(0.05)
            file.write_text(route("new"))
        await reported.until(lambda: reported.names("router") == ["new"])
        assert len(reported.reports) == 2
        assert not reported.problems


async def test_a_file_caught_half_written_is_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "UNFINISHED", 10.0)
    monkeypatch.setattr(reading, "EMPTIED", 20.0)
    file = tmp_path / "a.yml"
    before = route("a", "b", "c")
    file.write_text(before)
    after = before.replace("c.test", "d.test")
    async with watching(tmp_path) as reported:
        # As a slow writer does it: truncate, then piece by piece, each piece valid or not.
        with file.open("w") as writer:
            for start in range(0, len(after), 40):
                await asyncio.sleep(0.1)
                writer.write(after[start : start + 40])
                writer.flush()
        await reported.until(lambda: reported.router("c").rule == "Host(`d.test`)")
        changed = [(c.name, c.value) for r in reported.reports[1:] for c in r.changes]
        assert [name for name, _ in changed] == ["c"]
        assert all(not report.problems for report in reported.reports)


async def test_a_file_that_stays_empty_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "EMPTIED", 0.3)
    file = tmp_path / "a.yml"
    file.write_text(route("a"))
    async with watching(tmp_path) as reported:
        file.write_text("")
        await reported.until(lambda: not reported.objects)
        assert reported.problems == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("http:\n  routers:\n    a:\n      rule: [", "a.yml:4"),
        ("http:\n  routers:\n    a:\n      rul: Host(`x`)\n", "a.yml:4: http.routers.a.rul"),
        ("http:\n  {{ nope }}\n", "a.yml:2: column 6: function 'nope' not defined"),
    ],
)
async def test_a_wrong_file_changes_nothing_and_says_where(
    tmp_path: Path, content: str, problem: str
) -> None:
    file = tmp_path / "a.yml"
    file.write_text(route("a"))
    async with watching(tmp_path) as reported:
        file.write_text(content)
        (tmp_path / "b.yml").write_text(route("b"))
        await reported.until(lambda: reported.problems and reported.names("router") == ["a", "b"])
        assert problem in reported.problems[0]
        assert reported.router("a").rule == "Host(`a.test`)"
        file.write_text(route("mended"))
        await reported.until(lambda: reported.names("router") == ["b", "mended"])
        assert reported.problems == []


async def test_a_wrong_file_at_the_start_is_a_problem_and_the_others_serve(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("http: [")
    (tmp_path / "b.yml").write_text(route("b"))
    async with watching(tmp_path) as reported:
        assert len(reported.reports) == 1
        assert reported.names("router") == ["b"]
        assert "a.yml" in reported.problems[0]


async def test_sections_without_support_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(route("a") + "tls:\n  options:\n    default: {}\n")
    async with watching(tmp_path) as reported:
        assert reported.names("router") == ["a"]
        assert any("tls" in problem and "not supported" in problem for problem in reported.problems)


async def test_templates_are_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTWAY_TEST_DOMAIN", "example.test")
    (tmp_path / "a.yml").write_text(
        "http:\n  routers:\n"
        '{{- range $name := split "x,y" "," }}\n'
        "    {{ $name }}:\n"
        '      rule: Host(`{{ $name }}.{{ env "PORTWAY_TEST_DOMAIN" }}`)\n'
        "{{- end }}\n"
    )
    async with watching(tmp_path) as reported:
        assert reported.problems == []
        assert reported.router("y").rule == "Host(`y.example.test`)"


async def test_a_config_map_is_one_change(tmp_path: Path) -> None:
    """Kubernetes swaps the link ``..data`` to a new directory."""

    def publish(version: str, content: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yml").write_text(content)
        (tmp_path / "..tmp").symlink_to(version)
        (tmp_path / "..tmp").replace(tmp_path / "..data")

    publish("..v1", route("one"))
    (tmp_path / "a.yml").symlink_to("..data/a.yml")
    async with watching(tmp_path) as reported:
        assert reported.names("router") == ["one"]
        assert reported.problems == []
        publish("..v2", route("two"))
        await reported.until(lambda: reported.names("router") == ["two"])
        assert len(reported.reports) == 2


async def test_a_change_behind_a_link_is_found_by_looking(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.yml"
    elsewhere.write_text(route("one"))
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "a.yml").symlink_to(elsewhere)
    async with watching(watched) as reported:
        elsewhere.write_text(route("two"))
        await reported.until(lambda: reported.names("router") == ["two"])


async def test_a_replaced_directory_is_followed(tmp_path: Path) -> None:
    watched = tmp_path / "conf"
    watched.mkdir()
    (watched / "a.yml").write_text(route("one"))
    async with watching(watched) as reported:
        watched.rename(tmp_path / "old")
        await reported.until(lambda: reported.problems)
        assert "cannot be read" in reported.problems[0]
        assert reported.names("router") == ["one"]
        watched.mkdir()
        (watched / "a.yml").write_text(route("two"))
        await reported.until(lambda: reported.names("router") == ["two"])
        assert reported.problems == []


async def test_one_file(tmp_path: Path) -> None:
    file = tmp_path / "dynamic.yml"
    async with running(FileProvider(File(filename=str(file)))) as reported:
        assert reported.problems == [f"{file}: there is no such file"]
        (tmp_path / "other.yml").write_text(route("other"))
        file.write_text(route("one"))
        await reported.until(lambda: reported.names("router") == ["one"])
        assert reported.problems == []
        file.unlink()
        await reported.until(lambda: reported.problems)
        assert reported.names("router") == ["one"], "the last good content keeps serving"


async def test_without_watch_only_reload_reads(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text(route("one"))
    provider = FileProvider(File(filename=str(file), watch=False))
    async with running(provider) as reported:
        file.write_text(route("two"))
        await asyncio.sleep(0.5)
        assert reported.names("router") == ["one"]
        provider.reload()
        await reported.until(lambda: reported.names("router") == ["two"])


async def test_reload_reads_the_environment_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTWAY_TEST_NAME", "one")
    (tmp_path / "a.yml").write_text('http:\n  routers:\n    {{ env "PORTWAY_TEST_NAME" }}: {}\n')
    provider = FileProvider(File(directory=str(tmp_path)))
    async with running(provider) as reported:
        assert reported.names("router") == ["one"]
        monkeypatch.setenv("PORTWAY_TEST_NAME", "two")
        provider.reload()
        await reported.until(lambda: reported.names("router") == ["two"])


async def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "circle.yml").symlink_to("circle.yml")
    os.mkfifo(tmp_path / "pipe.yml")
    (tmp_path / "z.yml").write_text(route("z"))
    async with watching(tmp_path) as reported:
        assert reported.names("router") == ["z"]
        problems = "\n".join(sorted(reported.problems))
        assert "circle.yml: the file cannot be read" in problems
        assert "pipe.yml: not a regular file" in problems


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (File(), "set filename or directory"),
        (File(filename="a.yml", directory="/x"), "not both"),
        (File(directory="/nowhere/at/all"), "/nowhere/at/all: the directory cannot be read"),
    ],
)
async def test_options_that_cannot_work_are_standing_problems(options: File, problem: str) -> None:
    async with running(FileProvider(options)) as reported:
        assert problem in reported.problems[0]
