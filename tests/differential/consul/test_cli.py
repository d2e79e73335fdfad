"""The command line as a whole: its words and flags, where it asks, and how it fails."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.patience import PATIENCE

from .conftest import Play, Programs
from .world import World

_FLAG = re.compile(r"^  -([a-z0-9-]+)", re.MULTILINE)
_WORD = re.compile(r"^    ([a-z][a-z0-9-]*)  ", re.MULTILINE)
_ERRORS = "Errors of the command line"
_IDLE = "Arguments and files that would do nothing"

# Commands that say that they are not supported; rows of the document name them.
_NOT_HERE = {("connect",), ("resource",), ("troubleshoot", "proxy"), ("troubleshoot", "upstreams")}
# AWS logins are refused when the method is made.
_REFUSED: dict[tuple[str, ...], re.Pattern[str]] = {("login",): re.compile(r"aws-.*")}


def _help(program: Sequence[str], path: tuple[str, ...]) -> str:
    done = subprocess.run(
        [*program, *path, "-h"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (0, ""), path
    return done.stdout


def _words(text: str) -> list[str]:
    for title in ("Subcommands:", "Available commands are:"):
        if title in text:
            return _WORD.findall(text.partition(title)[2])
    return []


def _lacking(programs: Programs, path: tuple[str, ...]) -> Iterator[str]:
    """Words and flags of Consul's help below ``path`` that ours lacks."""
    real, ours = _help(programs.consul, path), _help(programs.portway, path)
    refused = _REFUSED.get(path)
    for name in sorted({*_FLAG.findall(real)} - {*_FLAG.findall(ours)}):
        if not (refused and refused.fullmatch(name)):
            yield f"{' '.join(path)} -{name}"
    for word in _words(real):
        if word not in _words(ours):
            yield " ".join([*path, word])
        elif (*path, word) not in _NOT_HERE:
            yield from _lacking(programs, (*path, word))


def test_every_command_and_flag_of_consul_is_here(programs: Programs) -> None:
    words = {*_words(_help(programs.consul, ()))}
    assert words <= {*_words(_help(programs.portway, ()))}
    families = sorted((word,) for word in words if (word,) not in _NOT_HERE)
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda path: list(_lacking(programs, path)), families)
    assert [one for some in found for one in some] == []


def test_what_is_no_command(play: Play) -> None:
    def scenario(ask: World) -> None:
        for argv in (
            *([], ["-h"], ["--help"], ["-help"], ["-h", "kv"], ["kv"], ["kv", "-h"], ["acl"]),
            *(["kv", "nope"], ["kv", "nope", "-h"], ["kv", "get", "--help"], ["kv", "get", "-h"]),
            *(["--bogus", "kv"], ["kv", "get", "-bogus", "a"], ["kv", "get", "-separator"]),
            *(["kv", "get", "-detailed=maybe", "a"], ["kv", "get", "--", "-a"]),
            *(["kv", "get", "---a"], ["kv", "get", "-=a"], ["kv", "put", "-flags=0x1g", "a", "1"]),
        ):
            ask.cli(*argv)
        for argv in (["nope"], ["help"], ["-bogus"]):
            ask.cli(*argv, differs={_ERRORS: ["err.0"]})

    play(scenario)


def test_where_it_asks(play: Play, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")

    def scenario(ask: World) -> None:
        port = ask.ports["http"]
        ask.names.add(str(tmp_path), "tmp")
        ask.put("kv/cli-where", "1", record=False)

        def get(*flags: str, differs: list[str] | None = None, **environ: str) -> None:
            ask.cli(
                *("kv", "get", *flags, "cli-where"),
                environ={name: value.format(port=port) for name, value in environ.items()},
                differs={_ERRORS: differs} if differs else None,
            )

        for address in (
            *("127.0.0.1:{port}", "http://127.0.0.1:{port}", "localhost:{port}"),
            *("https://127.0.0.1:{port}", "unix:///nope.sock", "ftp://x", "127.0.0.1:1"),
        ):
            get(CONSUL_HTTP_ADDR=address)
            get(f"-http-addr={address.format(port=port)}")
        get(CONSUL_HTTP_ADDR="127.0.0.1:99999", differs=["err.0"])
        get(CONSUL_HTTP_SSL="true")
        get(CONSUL_HTTP_SSL="false")
        get(CONSUL_HTTP_SSL="maybe", differs=["*"])
        get(CONSUL_HTTP_TOKEN_FILE=f"{tmp_path}/token")
        get(CONSUL_HTTP_TOKEN_FILE="/nope")
        get(f"-token-file={tmp_path}/token")
        get("-token-file=/nope")
        get(CONSUL_HTTP_TOKEN="x")
        get(CONSUL_HTTP_AUTH="u:p")
        get(CONSUL_CACERT="/nope")
        get(CONSUL_CAPATH="/nope")
        get(CONSUL_CLIENT_CERT="/nope")
        get("-ca-file=/nope")
        get("-client-key=/nope")
        get("-datacenter=dc1")
        get("-datacenter=dc9")
        get("-stale")
        get("-namespace=x")
        get(CONSUL_PARTITION="x")
        ask.delete("kv/cli-where", record=False)

    play(scenario, mixed=True)


def test_nobody_answers(play: Play, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"

    def scenario(ask: World) -> None:
        ask.names.add(address, "nobody")
        ask.names.add(str(tmp_path), "tmp")
        for line in (
            *("kv get a", "kv get -recurse a", "kv get -keys a", "kv put a b", "kv delete a"),
            *("kv export", "members", "catalog nodes", "catalog services", "catalog datacenters"),
            *("force-leave x", "info", "join x", "keyring -list", "leave", "lock x true"),
            *("exec -node=x ls", "maint", "maint -enable", "maint -disable", "monitor"),
            *("operator raft list-peers", "operator raft remove-peer -id=x"),
            *("operator raft transfer-leader", "operator autopilot get-config"),
            *("operator autopilot set-config -min-quorum=1", "operator autopilot state"),
            *("operator usage instances", "reload", "rtt a", "services register -name=x"),
            f"snapshot save {tmp_path}/x.snap",
            "debug -duration=10s -interval=5s",
        ):
            ask.cli(*line.split(), environ={"CONSUL_HTTP_ADDR": address})
        for line in ("event -name=x", "services deregister -id=x", "watch -type=nodes"):
            ask.cli(
                *line.split(),
                environ={"CONSUL_HTTP_ADDR": address},
                differs={_ERRORS: ["err.0"]},
            )

    play(scenario)


def test_arguments_that_would_do_nothing(play: Play) -> None:
    def scenario(ask: World) -> None:
        for line in ("members x", "maint x", "info x", "keygen x", "version x", "reload x"):
            ask.cli(*line.split(), differs={_IDLE: ["*"]})
        for line in ("catalog nodes x", "catalog services x", "leave x", "debug x"):
            ask.cli(*line.split())

    play(scenario)
