"""``consul services``: registering by files and flags, and exporting."""

from __future__ import annotations

from pathlib import Path

from .conftest import NEWER, Play
from .facts import of_json
from .world import World

_ERRORS = "Errors of the command line"
_IDLE = "Arguments and files that would do nothing"
_KEYS = "An unknown key of a configuration file"
_TEXTS = "Errors of Go's libraries"
_FILES = {
    "web.hcl": """
service {
  name = "clis-web"
  id = "clis-web-1"
  port = 80
  tags = ["a"]
  meta { v = "1" }
  check { ttl = "10s" }
}
""",
    "two.json": '{"services": [{"name": "clis-a", "port": 1}, {"Name": "clis-b", "Port": 2}]}',
    "broken.hcl": "service {",
    "none.json": "{}",
    "nameless.json": '{"service": {"port": 1}}',
    "unknown.json": '{"service": {"name": "x", "bogus": 1}}',
    "proxy.json": """{"service": {"name": "clis-proxy", "kind": "connect-proxy", "port": 1,
                      "proxy": {"destination_service_name": "clis-web"}}}""",
}


def test_registering(play: Play, tmp_path: Path) -> None:
    for name, text in _FILES.items():
        (tmp_path / name).write_text(text)

    def scenario(ask: World) -> None:
        ask.names.add(str(tmp_path), "tmp")

        def run(line: str, differs: dict[str, list[str]] | None = None) -> None:
            argv = line.replace("$", f"{tmp_path}/").split()
            ask.cli("services", *argv, differs=differs)

        run("register")
        run("register $web.hcl")
        run("register $two.json")
        run("register $proxy.json")
        run("register $broken.hcl", {_TEXTS: ["err.0"]})
        run("register $none.json", {_IDLE: ["exit", "err.0"]})
        run("register $nameless.json")
        run("register $unknown.json", {_KEYS: ["err.*"]})
        run("register $nope.json")
        run(
            "register -name=clis-f -port=80 -tag=a -tag=b -meta=k=v -address=1.2.3.4"
            " -tagged-address=wan=5.6.7.8:90 -tagged-address=lan=[::1]:9"
        )
        run("register -name=clis-f $web.hcl")
        run("register -id=q")
        run("register -name=clis-f -port=x")
        run("register -name=clis-f -meta=x")
        run("register -name=clis-f -tagged-address=wan")
        run("register -name=clis-f -tagged-address=wan=1.2.3.4", {NEWER: ["err.0"]})
        run("register -name=clis-port -address=1.2.3.4:80", {NEWER: ["exit", "err.0", "out.0"]})
        run("register -name=clis-sock -socket=/tmp/x.sock")
        for service in ("clis-web-1", "clis-a", "clis-f", "clis-sock"):
            found = ask.get(f"agent/service/{service}", record=False).json
            found.pop("ContentHash")
            ask.note(service, of_json(found, ask.names))
        ask.put("agent/service/deregister/clis-port", record=False)
        run("deregister")
        run("deregister $web.hcl")
        run("deregister $two.json")
        run("deregister -id=clis-f")
        run("deregister -id=clis-f", {_ERRORS: ["err.0"]})
        run("deregister -id=nope $web.hcl")
        run("deregister $nope.json")
        run("deregister -id=clis-sock")
        run("deregister -id=clis-proxy")
        run("deregister -id=")
        run("deregister $broken.hcl", {_TEXTS: ["err.0"]})
        run("deregister $none.json", {_IDLE: ["exit", "err.0"]})

    play(scenario, mixed=True)


def test_exporting(play: Play) -> None:
    def scenario(ask: World) -> None:
        for line in (
            *("export", "export -name=clis-web", "export -consumer-peers=a"),
            *(
                "export -name=clis-web -consumer-peers=a",
                "export -name=clis-web -consumer-peers=a,b",
            ),
            *("exported-services -format=bogus", "nope"),
        ):
            ask.cli("services", *line.split())
        ask.get("config/exported-services/default")
        ask.delete("config/exported-services/default", record=False)
        ask.cli("services", "exported-services")
        ask.cli("services", "exported-services", "-format=json")

    play(scenario, mixed=True)
