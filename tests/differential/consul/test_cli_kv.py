"""``consul kv``: every word with every flag, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Play
from .world import World

_ERRORS = "Errors of the command line"
_TEXTS = "Errors of Go's libraries"
_NO_SESSION = "5d0c7a2e-0f5d-4d6f-9a67-3b1f4d3c2b1b"


def _clean(ask: World) -> None:
    ask.delete("kv/clikv?recurse", record=False)


def test_writing(play: Play, tmp_path: Path) -> None:
    (tmp_path / "value").write_text("from a file\n")

    def scenario(ask: World) -> None:
        ask.names.add(str(tmp_path), "tmp")

        def put(*argv: str, stdin: str = "", **options: object) -> None:
            ask.cli("kv", "put", *argv, stdin=stdin, **options)  # type: ignore[arg-type]

        put("clikv/a", "1")
        put("clikv/b/x", "two words")
        put("clikv/b/y")
        put("clikv/empty", "")
        put("-flags=42", "clikv/f", "v")
        put("-flags=18446744073709551615", "clikv/f", "v")
        put("-base64", "clikv/64", "aGVsbG8=")
        put("-base64", "clikv/bad64", "!!!", differs={_ERRORS: ["exit", "out.0"]})
        ask.delete("kv/clikv/bad64", record=False)
        put("clikv/in", "-", stdin="from stdin\n")
        put("clikv/in2", f"@{tmp_path}/value")
        put("clikv/in2", f"@{tmp_path}/nope")
        put("--", "clikv/dash", "-v")
        for argv in (
            *([], ["a", "b", "c"], ["/clikv/slash", "1"], ["clikv/a", "-cas", "1"]),
            *(["-cas", "clikv/a", "2"], ["-cas", "clikv/new", "2"]),
            *(
                ["-cas", "-modify-index=99999", "clikv/new", "2"],
                ["-modify-index=3", "clikv/n", "2"],
            ),
            *(["-cas", "-modify-index=x", "clikv/n", "2"], ["-flags=-1", "clikv/n", "2"]),
            *(["-flags=18446744073709551616", "clikv/n", "2"], ["-acquire", "clikv/l", "2"]),
            ["-release", "clikv/l", "2"],
        ):
            put(*argv)
        session = ask.put("session/create", {"Name": "clikv"}, record=False).json["ID"]
        put("-acquire", f"-session={session}", "clikv/l", "2")
        ask.cli("kv", "get", "-detailed", "clikv/l")
        put("-acquire", "-release", f"-session={session}", "clikv/l", "2")
        put("-release", f"-session={session}", "clikv/l", "3")
        put("-release", f"-session={session}", "clikv/l", "3")
        put(f"-session={session}", "clikv/l", "3")
        ask.cli("kv", "get", "-recurse", "-detailed", "clikv/")
        ask.put(f"session/destroy/{session}", record=False)
        _clean(ask)

    play(scenario, mixed=True)


def test_reading(play: Play) -> None:
    def scenario(ask: World) -> None:
        for key, value in (("a", "1"), ("b/x", "two words"), ("b/y", ""), ("c/d/e", "ü\n<&>")):
            ask.put(f"kv/clikv/{key}", value, record=False)
        ask.put("kv/clikv/f?flags=7", "flags", record=False)
        for argv in (
            *(["clikv/a"], ["/clikv/a"], ["clikv/nope"], ["clikv/b/y"], ["clikv/c/d/e"], [], ["/"]),
            *(["a", "b"], ["-base64", "clikv/c/d/e"], ["-detailed", "clikv/f"]),
            *(["-detailed", "-base64", "clikv/a"], ["-detailed", "clikv/nope"]),
            *(
                ["-recurse", "clikv/"],
                ["-recurse", "-detailed", "clikv/"],
                ["-recurse", "clikv-no"],
            ),
            *(["-recurse", "-base64", "clikv/"], ["-keys", "clikv/"], ["-keys", "clikv-no"]),
            *(["-keys", "-separator=", "clikv/"], ["-keys", "-separator=/d", "clikv/"]),
            *(["-keys", "-recurse", "clikv/"], ["-keys", "-recurse", "-detailed", "clikv/"]),
            *(["-keys", "-detailed", "clikv/"], ["-stale", "clikv/a"], ["clikv/ü x?#%41&/"]),
            *(["-datacenter=dc1", "clikv/a"], ["-token=nope", "clikv/a"]),
        ):
            ask.cli("kv", "get", *argv)
        _clean(ask)

    play(scenario, mixed=True)


def test_deleting(play: Play) -> None:
    def scenario(ask: World) -> None:
        for key in ("a", "b", "c/d", "c/e"):
            ask.put(f"kv/clikv/{key}", "1", record=False)
        index = ask.get("kv/clikv/b", record=False).json[0]["ModifyIndex"]
        ask.names.add(str(index), "at")
        for argv in (
            *(
                ["clikv/a"],
                ["clikv/a"],
                ["/clikv/a"],
                [],
                [""],
                ["a", "b"],
                ["clikv/b", "-recurse"],
            ),
            *(["-cas", "clikv/b"], ["-cas", "-modify-index=0", "clikv/b"]),
            *(["-cas", "-modify-index=1", "clikv/b"], ["-modify-index=1", "clikv/b"]),
            *(["-cas", "-recurse", "-modify-index=1", "clikv/b"],),
            *(["-cas", f"-modify-index={index}", "clikv/b"], ["-recurse", "clikv/c"]),
            ["-recurse", "clikv-nope"],
        ):
            ask.cli("kv", "delete", *argv)
        ask.cli("kv", "get", "-keys", "clikv/")
        _clean(ask)

    play(scenario)


def test_moving_trees(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("kv/clikv/from/a?flags=3", "1", record=False)
        ask.put("kv/clikv/from/b/", "", record=False)
        ask.put("kv/clikv/from/c", b"\xff<>", record=False)
        ask.cli("kv", "export", "a", "b")
        ask.cli("kv", "export", "clikv-nope/")
        ask.cli("kv", "export", "/clikv/from")
        tree = ask.cli("kv", "export", "clikv/from").out
        for argv in ([tree], ["-"], ["-prefix=clikv/to/", "-"], ["-prefix=clikv/to2", tree]):
            ask.cli("kv", "import", *argv, stdin=tree)
        ask.cli("kv", "get", "-recurse", "-base64", "clikv/to")
        for data in ("[]", "null", "", "@/nope", '[{"key":"clikv/i","flags":7,"value":"YQ=="}]'):
            ask.cli("kv", "import", data)
        ask.cli("kv", "import")
        ask.cli("kv", "import", "a", "b")
        for data in ("nojson", "{}"):
            ask.cli("kv", "import", data, differs={_TEXTS: ["err.0"]})
        for value in (
            "",
            "YQ",
            "YQ=",
            "YWI=",
            "YWI",
            "YWJj",
            "YW=j",
            "YQ==YQ==",
            "=",
            "YW!",
            "Y=Q=",
        ):
            ask.cli("kv", "import", json.dumps([{"key": "clikv/64", "value": value}]))
        _clean(ask)

    play(scenario)


def test_a_key_held_by_a_session_that_is_none(play: Play) -> None:
    def scenario(ask: World) -> None:
        for session in ("nope", _NO_SESSION):
            ask.cli("kv", "put", "-acquire", f"-session={session}", "clikv/l", "2")
        _clean(ask)

    play(scenario)
