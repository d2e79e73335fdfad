"""Configuration files, flags and the start of an agent: what Consul accepts, and what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from portway.agent.config import ConfigError
from portway.agent.config import validate as validated
from portway.agent.config.deprecated import RENAMED
from tests.patience import PATIENCE

from . import config_corpus as corpus
from . import config_keys as keys
from .conftest import Play, Programs, rows_of_document
from .world import World

_BASE = '{"data_dir": "%s/data", "bind_addr": "127.0.0.1", "node_name": "n1"}'


class Verdict(NamedTuple):
    """What validating came to: whether it is accepted, and what is said, in lines."""

    accepted: bool
    lines: list[str]

    def says(self, other: Verdict) -> bool:
        """Whether it has every line of ``other``, maybe with a hint after it."""
        return all(any(line in mine for mine in self.lines) for line in other.lines)


def _lines(text: str) -> list[str]:
    """What matters of what is said: not the file's name, and not how many errors there are."""
    text = re.sub(r"failed to parse \S+:", "", text.replace("Config validation failed: ", ""))
    lines = [line.strip(" \t*") for line in text.splitlines()]
    counts = re.compile(r"\d+ errors?(\(s\))? (decoding|occurred):$")
    return [line for line in lines if line and not counts.match(line)]


class Rig:
    """Validates a text with the real Consul and with Portway."""

    def __init__(self, consul: Sequence[str], directory: Path) -> None:
        self._consul = consul
        self._directory = directory
        self._base = directory / "base.json"
        self._base.write_text(_BASE % directory)

    def both(self, text: str, format_: str = "") -> tuple[Verdict, Verdict]:
        suffix = format_ or ("json" if text.startswith("{") else "hcl")
        file = self._directory / f"case.{suffix}"
        file.write_text(text)
        return self.paths(str(self._base), str(file))

    def paths(self, *paths: str) -> tuple[Verdict, Verdict]:
        kept = {name: value for name, value in os.environ.items() if "CONSUL" not in name}
        done = subprocess.run(
            [*self._consul, "validate", *paths],
            env=kept,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        real = Verdict(done.returncode == 0, _lines(done.stderr))
        try:
            return real, Verdict(True, validated(paths).warnings)
        except ConfigError as error:
            return real, Verdict(False, _lines(str(error)))


@pytest.fixture(scope="module")
def rig(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return Rig(programs.consul, tmp_path_factory.mktemp("validate"))


def _wrong(cases: Sequence[str], rig: Rig, accepted: tuple[bool, bool], text: bool) -> list[str]:
    found = []
    for case in cases:
        format_, bar, rest = case.partition("|")
        real, ours = (
            rig.both(rest, format_) if bar and format_ in ("json", "hcl") else rig.both(case)
        )
        if (real.accepted, ours.accepted) != accepted or (text and not ours.says(real)):
            found.append(f"{case}\n    Consul  {real}\n    Portway {ours}")
    return found


def test_configurations_that_are_accepted(rig: Rig) -> None:
    assert _wrong(corpus.ACCEPTED, rig, (True, True), text=True) == []


def test_configurations_that_are_refused_with_the_same_words(rig: Rig) -> None:
    assert _wrong(corpus.REFUSED, rig, (False, False), text=True) == []


def test_configurations_that_are_refused(rig: Rig) -> None:
    assert _wrong(corpus.REFUSED_OTHERWISE, rig, (False, False), text=False) == []


def test_values_that_do_not_work_are_refused_before_the_agent_starts(rig: Rig) -> None:
    assert "`validate`" in rows_of_document()
    assert _wrong(corpus.STRICTER, rig, (True, False), text=False) == []


def test_spellings_that_are_accepted_too(rig: Rig) -> None:
    assert "Spellings of configuration files" in rows_of_document()
    assert _wrong(corpus.LENIENT, rig, (False, True), text=False) == []


# A value of a type that no key of the group takes.
GROUPS = {
    "booleans": (keys.BOOLEANS, "yes"),
    "texts": (keys.TEXTS, 3),
    "numbers": (keys.NUMBERS, "7"),
    "lists": (keys.LISTS, "x"),
    "maps": (keys.MAPS, 3),
}
_NO_BLOCKS = "source data must be|expected a map|expected type|cannot parse"


def _paths(group: str) -> Iterator[str]:
    for block, names in re.findall(r"^(\S*): ((?:.*\n)(?:  .*\n)*)", group, re.MULTILINE):
        yield from (f"{block}.{name}" if block else name for name in names.split())


def _tree(paths: Sequence[str], value: Any) -> dict[str, Any]:
    """A configuration that sets every path to a value."""
    tree: dict[str, Any] = {}
    for path in paths:
        at: Any = tree
        *blocks, name = path.replace(".[]", "[]").split(".")
        for block in blocks:
            inner = at.setdefault(block.removesuffix("[]"), [{}] if block.endswith("[]") else {})
            at = inner[0] if block.endswith("[]") else inner
        at[name] = value
    return tree


def _named(verdict: Verdict) -> set[str]:
    """The keys whose type is said to be wrong."""
    said = (re.search(rf"'([^']+)'.*({_NO_BLOCKS})", line) for line in verdict.lines)
    named = {found[1] for found in said if found}
    return named | {
        found[1] for line in verdict.lines if (found := re.match(r"cannot parse '([^']+)'", line))
    }


@pytest.mark.parametrize("group", GROUPS)
def test_every_key_is_known_and_has_its_type(group: str, rig: Rig) -> None:
    text, value = GROUPS[group]
    paths = list(_paths(text))
    real, ours = rig.both(json.dumps(_tree(paths, value)))
    assert {path.replace(".[]", "[0]") for path in paths} <= _named(real) | _IGNORED
    today = {RENAMED.get(path, path) for path in _named(real)}
    assert _named(ours) | _IGNORED == today | _IGNORED


_IGNORED = {"tls_prefer_server_cipher_suites", "services[0].proxy.expose.port"}
"""Keys that nothing honours: Portway says so, and does not look at their values."""


@pytest.mark.parametrize("group", GROUPS)
def test_every_key_may_be_null(group: str, rig: Rig) -> None:
    paths = [one for one in _paths(GROUPS[group][0]) if "[]" not in one]
    real, ours = rig.both(json.dumps(_tree(paths, None)))
    assert real.accepted
    assert ours.accepted, ours.lines


def _agent(program: Sequence[str], *flags: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "CONSUL" not in name}
    return subprocess.run(
        [*program, "agent", *flags],
        env=kept,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_every_flag_is_known(programs: Programs) -> None:
    real, ours = (_agent(program, "-h") for program in programs)
    flags = [
        set(re.findall(r"^ +(-[a-z0-9-]+)", done.stdout + done.stderr, re.MULTILINE))
        for done in (real, ours)
    ]
    assert flags[0] == flags[1]
    assert len(flags[0]) > 60


@pytest.mark.parametrize(
    "flags",
    [
        "-nope",
        "-dev -bootstrap-expect=3",
        "-dev -config-file=/nope.hcl",
        "-dev -config-format=yaml",
        "-dev nonsense",
        "-dev -dns-port=x",
        "-dev -retry-interval=5",
        "-dev -http-port=70000",
        "-dev -log-level=x",
        "-server -data-dir=/etc/passwd -bind=127.0.0.1",
        "-bind=127.0.0.1",
        "-data-dir=/tmp -bind=127.0.0.1 -server -bootstrap -bootstrap-expect=3",
    ],
)
def test_an_agent_does_not_start(flags: str, programs: Programs) -> None:
    """With the same code, and the same words unless they are those of Go or add a hint."""
    real, ours = (_agent(program, *flags.split()) for program in programs)
    assert (real.returncode, ours.returncode) == (1, 1)
    if flags.rsplit(maxsplit=1)[-1].partition("=")[0] not in _OWN_WORDS:
        said = real.stderr.splitlines()[0].removeprefix("==> ").rstrip(":")
        words = re.sub(r"^1 error occurred:?$", "", said)
        assert words in ours.stderr


_OWN_WORDS = {"-nope", "-config-format", "nonsense", "-log-level"}


SETTINGS = {
    "http_config": {
        "response_headers": {"Access-Control-Allow-Origin": "*", "X-Own": "a b"},
        "block_endpoints": ["/v1/agent/members", "/v1/kv"],
        "allow_write_http_from": ["10.0.0.0/8"],
    },
    "limits": {"txn_max_req_len": 100},
    "enable_debug": False,
}


def test_settings_of_the_http_api(play: Play) -> None:
    def scenario(ask: World) -> None:
        def asked(method: str, path: str, body: str | None = None) -> None:
            answer = ask.ask(method, path, body, record=False)
            names = ("Access-Control-Allow-Origin", "X-Own")
            headers = {f"header.{name}": answer.headers.get(name) for name in names}
            said = answer.body.decode() if answer.status >= 400 else ""
            ask.note(f"{method} {path}", {"status": answer.status, "body": said, **headers})

        for path in ("status/leader", "agent/members", "agent/membersx", "kv/a", "nope"):
            asked("GET", path)
        for path in ("agent/members", "session/list"):
            asked("OPTIONS", path)
            asked("HEAD", path)
        asked("PUT", "catalog/register", "{}")
        asked("PUT", "session/create", "{}")
        asked("DELETE", "session/list")
        asked("POST", "query", "{}")
        asked("PUT", "txn", "[" + " " * 200 + "]")
        asked("PUT", "agent/service/register", '{"Name": "web"}')

    play(scenario, SETTINGS)
