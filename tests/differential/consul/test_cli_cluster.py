"""The command line's looks at the catalog and the cluster, and what it changes there."""

from __future__ import annotations

import re

from .conftest import GUARDED, MANAGEMENT, NEWER, Play
from .world import World

_IDLE = "Arguments and files that would do nothing"
_ERRORS = "Errors of the command line"
_TEXTS = "Errors of Go's libraries"
_JOINING = "Joining others, and keys for that"
_NODES: list[dict[str, object]] = [
    {
        "Node": "clic-ext",
        "Address": "10.9.8.7",
        "NodeMeta": {"role": "db", "zone": "a"},
        "TaggedAddresses": {"lan": "10.9.8.7", "wan": "1.2.3.4"},
        "Service": {
            "Service": "clic-db",
            "Port": 5432,
            "Tags": ["b", "a"],
            "Meta": {"v": "1"},
        },
    },
    {"Node": "clic-two", "Address": "10.9.8.8"},
]


def test_catalog(play: Play) -> None:
    def scenario(ask: World) -> None:
        for node in _NODES:
            ask.put("catalog/register", node, record=False)
        for argv in (
            *(["datacenters"], ["nodes"], ["nodes", "-detailed"], ["nodes", "-service=clic-db"]),
            *(["nodes", "-service=clic-no"], ["nodes", "-detailed", "-service=clic-db"]),
            *(
                ["nodes", "-node-meta=role=db"],
                ["nodes", "-node-meta=role=db", "-node-meta=zone=b"],
            ),
            *(["nodes", "-node-meta=role"], ["nodes", "-filter=Meta.role == db"]),
            *(["nodes", "-near=_agent"], ["nodes", "-near=nope"], ["nodes", "-datacenter=dc9"]),
            *(["services", "-node=clic-ext"], ["services", "-node=clic-ext", "-tags"]),
            *(["services", "-node=nope"], ["services", "-node-meta=role=db", "-tags"]),
            *(["services", "-node=clic-two"], ["services", "-node-meta=role=nope"]),
            *(["services", "-datacenter=dc9"], ["services", "-node-meta=x"], [], ["nope"]),
        ):
            ask.cli("catalog", *argv)
        ask.cli("catalog", "nodes", "-filter=(", differs={_TEXTS: ["err.0"]})
        for node in _NODES:
            ask.put("catalog/deregister", {"Node": node["Node"]}, record=False)

    play(scenario, mixed=True)


def test_members(play: Play) -> None:
    def scenario(ask: World) -> None:
        for argv in (
            *([], ["-wan"], ["-detailed"], ["-status=alive"], ["-status=failed"], ["-status=("]),
            *(["-segment=x"], ["-segment=_all"], ["-segment="], ["-filter=Name == nope"]),
            *(['-filter=Name == "node-1"'], ["-filter=Tags.role == consul"]),
        ):
            ask.cli("members", *argv)

    play(scenario, mixed=True)


def test_events_and_distances(play: Play) -> None:
    def scenario(ask: World) -> None:
        for argv in (
            *([], ["-name=clic"], ["-name=clic", "payload"], ["-name=clic", "a", "b"]),
            *(["-name=clic", "-node=("], ["-name=clic", "-service=a", "-tag=b", "p"]),
            *(["-name=clic", "-tag=b"], ["-name=clic", "-service=("], ["-name=clic", "-tag=("]),
            *(["-name=clic", "-node=n.*"], ["-name=", "p"], ["-name", "clic y/z", "p"]),
            *(["-name=clic", "-node=[a"], ["-name=clic", "-node=a**"], ["-name=clic", "-node=*"]),
        ):
            ask.cli("event", *argv)
        for argv in (
            *([], ["nope"], ["nope", "node-1"], ["-wan", "node-1"], ["a", "b", "c"]),
            *(["-wan", "a", "b", "c"], ["-wan", "nodots", "x.y"], ["-wan", "node-1.dc1", "x.dc1"]),
        ):
            ask.cli("rtt", *argv)

    play(scenario)


def test_maintenance(play: Play) -> None:
    def scenario(ask: World) -> None:
        for argv in (
            *(["-reason=x"], ["-enable", "-disable"], ["-service=nope"]),
            *(["-service=nope", "-enable"], ["-service=nope", "-disable"]),
        ):
            ask.cli("maint", *argv)
        ask.put("agent/service/register", {"Name": "clic-mt", "Port": 1}, record=False)
        for argv in (
            *(["-service=clic-mt", "-enable"], [], ["-service=clic-mt", "-disable"], []),
            *(["-enable", "-reason=why not"], [], ["-disable"], ["-enable"], [], ["-disable"]),
        ):
            ask.cli("maint", *argv)
        ask.put("agent/service/deregister/clic-mt", record=False)

    play(scenario, mixed=True)


def test_the_agent(play: Play) -> None:
    def scenario(ask: World) -> None:
        for argv in (
            *(["reload"], ["leave", "x"], ["join"], ["force-leave"], ["force-leave", "a", "b"]),
            *(["force-leave", "nope"], ["force-leave", "-prune", "nope"], ["keyring"]),
            *(
                ["keyring", "-list"],
                ["keyring", "-install=x", "-list"],
                ["keyring", "-list", "-relay-factor=6"],
            ),
            *(["keyring", "-use=x", "-local-only"], ["troubleshoot", "ports", "-host="]),
        ):
            ask.cli(*argv)
        for argv in (["keyring", "-install=x"], ["join", "127.0.0.1:1"]):
            ask.cli(*argv, differs={_JOINING: ["err.*"]})
        parts = re.findall(r"^(\w+):$", ask.cli("info", record=False).out, re.MULTILINE)
        ask.note("parts of info", {"serf and raft": {"raft", "serf_lan", "serf_wan"} <= {*parts}})

    play(scenario)


def test_operator(play: Play) -> None:
    def scenario(ask: World) -> None:
        for argv in (
            *([], ["autopilot"], ["autopilot", "get-config"]),
            *(["autopilot", "set-config", "-cleanup-dead-servers=false"],),
            *(["autopilot", "get-config"],),
            *(["autopilot", "set-config", "-cleanup-dead-servers=true", "-max-trailing-logs=300"],),
            *(
                ["autopilot", "set-config", "-last-contact-threshold=1s"],
                ["autopilot", "get-config"],
            ),
            *(["autopilot", "set-config", "-last-contact-threshold=200ms"],),
            *(["autopilot", "set-config", "-max-trailing-logs=250"],),
            *(["autopilot", "set-config", "-max-trailing-logs=x"],),
            *(["autopilot", "set-config", "-server-stabilization-time=x"],),
            *(["autopilot", "set-config", "-cleanup-dead-servers=x"], ["autopilot", "get-config"]),
            *(["autopilot", "state", "-format=x"], ["raft"], ["raft", "remove-peer"]),
            *(["raft", "remove-peer", "-id=x", "-address=y"], ["usage"]),
            *(["usage", "instances", "-billable", "-connect"], ["usage", "instances", "x"]),
        ):
            ask.cli("operator", *argv)
        for argv in (
            *(["autopilot", "state"], ["autopilot", "state", "-format=json"]),
            *(["raft", "list-peers"], ["raft", "list-peers", "-stale"]),
        ):
            done = ask.cli("operator", *argv, record=False)
            text = re.sub(r'(Last ?Index"?:? +)\d+|(leader +true +3 +)\d+', r"\1\2N", done.out)
            lines = enumerate(ask.names.text(text).splitlines())
            ask.note(
                " ".join(argv), {f"{number}": " ".join(line.split()) for number, line in lines}
            )
        done = ask.cli("operator", "usage", "instances", "-all-datacenters", record=False)
        shape = re.sub(r"\d+", "N", done.out)
        ask.note("usage", {str(at): " ".join(x.split()) for at, x in enumerate(shape.splitlines())})
        ask.cli("operator", "utilization", differs={NEWER: ["err.0"]})

    play(scenario, mixed=True)


def test_access_control(play: Play) -> None:
    """Who may do what, by tokens of flags, of the environment and of files."""

    def scenario(ask: World) -> None:
        nobody = {"CONSUL_HTTP_TOKEN": ""}
        for line in (
            *("kv get clig/a", "kv put clig/a 1", "kv delete clig/a", "kv get -recurse clig/"),
            *("catalog nodes", "catalog services", "members", "info", "maint -enable", "reload"),
            *(
                "event -name=clig",
                "exec -wait=1s ls",
                "lock clig/l true",
                "operator raft list-peers",
            ),
            *(
                "operator autopilot get-config",
                "operator usage instances",
                "snapshot save clig.snap",
            ),
            *("services register -name=clig", "services deregister -id=clig", "force-leave clig"),
            *("rtt node-1", "keyring -list"),
        ):
            differs = (
                "err.0" if line in ("event -name=clig", "services deregister -id=clig") else ""
            )
            ask.cli(
                *line.split(), environ=nobody, differs={_ERRORS: [differs]} if differs else None
            )
        ask.cli("kv", "put", f"-token={MANAGEMENT}", "clig/a", "1", environ=nobody)
        ask.cli("kv", "get", "clig/a")
        ask.cli("kv", "get", "-token=nope", "clig/a")
        ask.cli("services", "register", "-name=clig")
        ask.cli("services", "deregister", "-id=clig")
        ask.cli("kv", "delete", "-recurse", "clig/")

    play(scenario, GUARDED, token=MANAGEMENT)
