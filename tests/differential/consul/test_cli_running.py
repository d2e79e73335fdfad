"""Commands that run others or keep running: watch, lock, exec, debug."""

from __future__ import annotations

import json
import re
from typing import Any

from .conftest import Play
from .facts import of_json
from .world import World

_ERRORS = "Errors of the command line"


def test_watches(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("kv/cliw/a", "1", record=False)
        ask.cli("watch")
        for kind in ("bogus", "agent_service"):
            ask.cli("watch", f"-type={kind}", differs={_ERRORS: ["err.0"]})
        for line in (
            *("key", "keyprefix", "service", "key -key=a -passingonly=x"),
            *("checks -service=a -state=any", "services -shell=maybe", "key -key=cliw/no"),
            *("services", "service -service=nope", "keyprefix -prefix=cliw-no"),
            *("checks -state=critical", "event -name=cliw", "services -bogus"),
        ):
            ask.cli("watch", *f"-type={line}".split())
        for line in (
            *("key -key=cliw/a", "key -key=/cliw/a", "keyprefix -prefix=cliw/", "nodes"),
            *("service -service=consul", "checks -service=consul", "checks -state=passing"),
            *("service -service=consul -passingonly=true", "service -service=consul -tag=x"),
        ):
            done = ask.cli("watch", *f"-type={line}".split(), record=False)
            ask.note(line, {"exit": done.code, "err": done.err, **_tree(ask, done.out)})
        for shell in ("true", "false"):
            done = ask.cli(
                *("watch", "-type=key", "-key=cliw/a", f"-shell={shell}", "sh", "-c"),
                "cat; exit 3" if shell == "false" else "'cat; exit 3'",
                record=False,
            )
            ask.note(f"shell={shell}", {"exit": done.code, "err": done.err, **_tree(ask, done.out)})
        for argv in (["false"], ["-shell=false", "/nope"], ["echo ${CONSUL_INDEX:+set}; exit 4"]):
            ask.cli("watch", "-type=key", "-key=cliw/a", *argv)
        ask.delete("kv/cliw?recurse", record=False)

    play(scenario, mixed=True)


def _tree(ask: World, text: str) -> dict[str, Any]:
    """JSON as facts, its order and its form too, but for the indexes."""
    facts = of_json(json.loads(text), ask.names)
    return {**facts, "order": list(facts), "form": re.match(r"\s*[\[{]\s*", text)[0]}  # type: ignore[index]


def test_locks(play: Play) -> None:
    def scenario(ask: World) -> None:
        for argv in (
            *([], ["x"], ["-n=0", "x", "true"], ["-n=-1", "x", "true"], ["/clil/x", "true"]),
            *(["clil/x", "true"], ["clil/x", "echo hi; echo no >&2"], ["clil/x", "exit 3"]),
            *(["-shell=false", "clil/x", "sh", "-c", "echo hi; exit 3"],),
            *(["-shell=false", "clil/x", "/nope"], ["-n=2", "clil/y", "echo $CONSUL_LOCK_HELD"]),
            *(["-child-exit-code", "clil/x", "exit 5"], ["-name=foo", "clil/x", "true"]),
            *(
                ["-pass-stdin", "clil/x", "cat"],
                ["clil/x", "cat"],
                ["-timeout=x", "clil/x", "true"],
            ),
            *(["-monitor-retry=-1", "clil/x", "true"], ["-try=-1s", "clil/x", "true"]),
            *(["-try=5s", "clil/x", "true"], ["-timeout=-1s", "clil/x", "true"]),
        ):
            ask.cli("lock", *argv, stdin="in\n")
        ask.get("kv/clil?recurse")

    play(scenario, mixed=True)


def test_exec_and_debug(play: Play) -> None:
    def scenario(ask: World) -> None:
        for argv in (
            *([], ["-node=(", "ls"], ["-service=(", "ls"], ["-tag=x", "ls"], ["-node=x"]),
            ["-shell=false"],
        ):
            ask.cli("exec", *argv)
        for argv in (
            *(["x"], ["-duration=1s"], ["-duration=10s", "-interval=20s"]),
            *(["-output=/proc/x", "-duration=10s", "-interval=5s"], ["-duration=x"]),
        ):
            ask.cli("debug", *argv)
        ask.cli("debug", "-capture=bogus", differs={_ERRORS: ["err.0"]})

    play(scenario)
