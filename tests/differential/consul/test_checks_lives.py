"""Health checks from their registration on: fields, TTL, aliases, thresholds."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

import pytest

from .conftest import Play
from .targets import Switch, Targets, targets
from .test_dns import drop, put
from .world import World


@pytest.fixture(scope="module")
def aims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    with targets(tmp_path_factory.mktemp("targets")) as running:
        yield running


def look(ask: World, prefix: str, *, outputs: bool = False, **options: Any) -> None:
    """Record the checks of a prefix as the agent and the catalog show them."""
    where = f'?filter=CheckID matches "^{prefix}-"'

    def synced() -> bool:
        local = ask.get(f"agent/checks{where}", record=False).json
        checks = ask.get(f"health/node/node-1{where}", record=False).json
        there = {one["CheckID"]: one["Status"] for one in checks}
        return there == {one: its["Status"] for one, its in local.items()}

    ask.until(synced, "the catalog to know the checks")
    ask.get(f"agent/checks{where}", **options)
    if outputs:  # else the catalog learns of them some minutes later
        ask.get(f"health/node/node-1{where}", unordered=True, **options)


def test_fields(play: Play) -> None:
    definitions: dict[str, dict[str, Any]] = {
        "http": {"HTTP": "http://127.0.0.1:1/x", "Interval": "10000h"},
        "http-all": {
            "HTTP": "https://127.0.0.1:1/x",
            "Method": "POST",
            "Body": "b",
            "Header": {"X-A": ["1", "2"]},
            "Interval": "600030m",
            "Timeout": "1500ms",
            "TLSSkipVerify": True,
            "TLSServerName": "n",
            "DisableRedirects": True,
            "Status": "passing",
            "Notes": "some notes",
            "SuccessBeforePassing": 3,
            "FailuresBeforeWarning": 1,
            "FailuresBeforeCritical": 2,
            "OutputMaxSize": 10,
        },
        "tcp": {
            "TCP": "127.0.0.1:1",
            "Interval": "36000000s",
            "Timeout": "5s",
            "Status": "warning",
        },
        "tcp-tls": {"TCP": "127.0.0.1:1", "TCPUseTLS": True, "Interval": "10000h0m0s"},
        "udp": {"UDP": "127.0.0.1:1", "Interval": "36000000000ms", "Timeout": "1h"},
        "grpc": {"GRPC": "127.0.0.1:1/s", "GRPCUseTLS": True, "Interval": "10000h"},
        "h2": {"H2PING": "127.0.0.1:1", "Interval": "10000h"},
        "h2-plain": {"H2PING": "127.0.0.1:1", "H2PingUseTLS": False, "Interval": "10000h"},
        "ttl": {"TTL": "1h"},
        "ttl-passing": {"TTL": "90s", "Status": "passing", "Notes": "n"},
        "snake": {
            "http": "http://127.0.0.1:1/x",
            "interval": "10000h",
            "tls_skip_verify": True,
            "deregister_critical_service_after": "90m",
        },
        "low-interval": {"TCP": "127.0.0.1:1", "Interval": "10000h", "Timeout": "1ns"},
        "number": {"TCP": "127.0.0.1:1", "Interval": 36000000000000000, "Timeout": 2000000000},
        "deregister": {
            "TTL": "1h",
            "DeregisterCriticalServiceAfter": "1s",
            "ServiceID": "df-service",
        },
        "empty-status": {"TTL": "1h", "Status": ""},
    }

    def scenario(ask: World) -> None:
        tags = ["a", "b"]
        ask.put("agent/service/register", {"Name": "df-service", "Tags": tags}, record=False)
        for name, definition in definitions.items():
            ask.put("agent/check/register", {"ID": f"df-{name}", "Name": name, **definition})
        look(ask, "df", outputs=True)
        for name in definitions:
            ask.put(f"agent/check/deregister/df-{name}")
        ask.put("agent/check/deregister/df-nope")
        checks = [{"TTL": "1h"}, {"TCP": "127.0.0.1:1", "Interval": "10000h", "Name": "named"}]
        body = {"Name": "df-service", "Check": {"TTL": "2h", "CheckID": "df-own"}, "Checks": checks}
        ask.put("agent/service/register", body)
        ask.get('agent/checks?filter=ServiceID == "df-service"')
        ask.get("agent/health/service/id/df-service", unordered=True)
        ask.put("agent/service/deregister/df-service")

    play(scenario)


def test_ttl(play: Play) -> None:
    def scenario(ask: World) -> None:
        def register(name: str, **definition: Any) -> None:
            body = {"ID": f"dl-{name}", "Name": name, "TTL": "1h", **definition}
            ask.put("agent/check/register", body)

        register("one")
        register("small", OutputMaxSize=10)
        for name in ("one", "small"):
            for change in ("pass", "warn?note=a note", "fail?note=it failed: ä ", "pass?note="):
                verb, _, note = change.partition("?")
                ask.put(f"agent/check/{verb}/dl-{name}?{note}")
                ask.get(f'agent/checks?filter=CheckID == "dl-{name}"')
            for body in (
                {"Status": "passing", "Output": "all well"},
                {"Status": "warning", "Output": "x" * 5000},
                {"Status": "critical"},
                {"Status": "nope"},
                {"Output": "no status"},
                {},
                {"Status": "Passing"},
            ):
                ask.put(f"agent/check/update/dl-{name}", body)
                ask.get(f'agent/checks?filter=CheckID == "dl-{name}"')
            ask.put(f"agent/check/pass/dl-{name}?note={'y' * 50}")
        look(ask, "dl")
        for path in ("pass/dl-nope", "warn/dl-nope", "fail/serfHealth", "pass/"):
            ask.put(f"agent/check/{path}")
        ask.put("agent/check/update/dl-nope", {"Status": "passing"})
        ask.put(
            "agent/check/register", {"ID": "dl-http", "Name": "h", "TCP": "a:1", "Interval": "1h"}
        )
        ask.put("agent/check/pass/dl-http")
        ask.put("agent/check/update/dl-http", {"Status": "passing"})
        ask.put("agent/check/deregister/dl-http", record=False)

        register("short", TTL="400ms", Status="passing")
        register("short-note", TTL="400ms")
        ask.put("agent/check/pass/dl-short-note?note=last words")
        register("short-warn", TTL="400ms")
        ask.put("agent/check/warn/dl-short-warn")

        def expired() -> bool:
            checks = ask.get("agent/checks", record=False).json
            return all("TTL expired" in checks[f"dl-{one}"]["Output"] for one in short)

        short = ("short", "short-note", "short-warn")
        ask.until(expired, "the checks to expire")
        look(ask, "dl-short")
        register("short-note", TTL="1h")
        look(ask, "dl-short")
        ask.put("agent/check/pass/dl-short-note")
        register("short-note", TTL="1h", Notes="again", Status="warning")
        look(ask, "dl-short")
        for one in ("one", "small", *short):
            ask.put(f"agent/check/deregister/dl-{one}")

    play(scenario)


def deregister(ask: World, check: str, nodes: Sequence[str]) -> None:
    """Take an alias away; the real one does so only when the node it follows changes."""
    ending = threading.Thread(target=ask.put, args=(f"agent/check/deregister/{check}",))
    ending.start()
    for number in count():
        ending.join(0.05)
        if not ending.is_alive():
            return
        one = {"CheckID": "poke", "Name": "p", "Status": "passing", "Output": str(number)}
        for node in nodes:
            put(ask, node, "198.51.100.9", Check=one)


def test_aliases(play: Play) -> None:
    def scenario(ask: World) -> None:
        check = {"CheckID": "da-c", "Name": "c", "TTL": "1h"}
        ask.put("agent/service/register", {"Name": "da-target", "Check": check}, record=False)
        ask.put("agent/service/register", {"Name": "da-bare"}, record=False)
        ask.put("agent/service/register", {"Name": "da-owner"}, record=False)
        put(ask, "da-node", "198.51.100.9", {"Service": "da-far"})
        put(ask, "da-bare-node", "198.51.100.10")
        aliases = {
            "local": {"AliasService": "da-target"},
            "bare": {"AliasService": "da-bare"},
            "missing": {"AliasService": "da-nope"},
            "node": {"AliasNode": "da-node"},
            "bare-node": {"AliasNode": "da-bare-node"},
            "far": {"AliasNode": "da-node", "AliasService": "da-far"},
            "far-missing": {"AliasNode": "da-node", "AliasService": "da-nope"},
        }
        for name, definition in aliases.items():
            body = {"ID": f"da-{name}", "Name": name, "ServiceID": "da-owner", **definition}
            ask.put("agent/check/register", body)

        def settle(wanted: Mapping[str, str], **outputs: str) -> None:
            def settled() -> bool:
                checks = ask.get("agent/checks", record=False).json
                return all(
                    checks[f"da-{one}"][field] == its
                    for field, rows in (("Status", wanted), ("Output", outputs))
                    for one, its in rows.items()
                )

            ask.until(settled, f"aliases to be {wanted}")
            where = 'CheckID matches "^da-" and Type == "alias"'
            texts = ["json.da-missing.Output", "json.da-bare-node.*"]
            ask.get(f"agent/checks?filter={where}", differs={"Checks": texts})

        far = {"CheckID": "da-f", "Name": "f", "Status": "warning", "Output": "far away"}
        near = {**far, "CheckID": "da-n"}
        put(ask, "da-node", "198.51.100.9", Check={**near, "Status": "passing"})
        # The real one loses what an alias finds before it is itself among the checks, for a minute.
        for service in ("da-target", "da-bare"):
            nudge = {"ID": "da-nudge", "Name": "n", "TTL": "1h", "Status": "passing"}
            ask.put("agent/check/register", {**nudge, "ServiceID": service}, record=False)
            ask.put("agent/check/deregister/da-nudge", record=False)
        settle(
            {"local": "critical", "bare": "passing", "node": "passing", "far": "passing"},
            local='Aliased check "c" failing: ',
            bare="No checks found.",
            far="All checks passing.",
            **{"far-missing": "Service da-nope could not be found on node da-node"},
        )
        ask.put("agent/check/pass/da-c?note=fine")
        settle({"local": "passing"})
        ask.put("agent/check/warn/da-c?note=careful")
        settle({"local": "warning"})
        put(ask, "da-node", "198.51.100.9", Check={**far, "ServiceID": "da-far"})
        settle({"far": "warning", "node": "passing"})
        put(ask, "da-node", "198.51.100.9", Check={**near, "Status": "critical"})
        settle({"far": "critical", "node": "critical"})
        for name in aliases:
            deregister(ask, f"da-{name}", ("da-node", "da-bare-node"))
        for name in ("da-target", "da-bare", "da-owner"):
            ask.put(f"agent/service/deregister/{name}")
        drop(ask, "da-node", "da-bare-node")

    play(scenario)


def followed(ask: World, switches: Mapping[str, Switch]) -> dict[str, dict[str, str]]:
    """The states of checks before their first run and after each: name -> runs -> state."""
    states: dict[str, dict[str, str]] = {name: {} for name in switches}
    for runs in range(1 + max(len(switch.statuses) for switch in switches.values())):
        for name, switch in switches.items():
            if runs <= len(switch.statuses):
                ask.until(partial(switch.ended, runs), f"the end of run {runs} of {name}")
                row = ask.get("agent/checks", record=False).json[name]
                states[name][str(runs)] = f"{row['Status']} {ask.names.text(row['Output'])}"
                switch.turn()
    return states


def test_thresholds(play: Play, aims: Targets) -> None:
    bad = 500
    plans: dict[str, tuple[dict[str, int], list[int]]] = {
        "none": ({}, [200, bad, 200]),
        "passing": ({"SuccessBeforePassing": 2}, [bad, 200, 200]),
        "critical": ({"FailuresBeforeCritical": 2}, [200, bad, bad, 200]),
        "warning": (
            {"FailuresBeforeWarning": 1, "FailuresBeforeCritical": 2},
            [200, bad, bad, 200],
        ),
        "wavering": (
            {"FailuresBeforeCritical": 1, "SuccessBeforePassing": 1},
            [200, bad, 200, bad],
        ),
        "careful": ({"FailuresBeforeCritical": 2}, [200, 429, bad, 429, 200]),
    }

    def scenario(ask: World) -> None:
        ask.names.add(str(aims.ports["http"]), "http target")
        switches = {f"do-{name}": Switch(statuses) for name, (_, statuses) in plans.items()}
        aims.http.switches = switches
        for name, (thresholds, _) in plans.items():
            url = f"http://127.0.0.1:{aims.ports['http']}/switch/do-{name}"
            body = {"ID": f"do-{name}", "Name": name, "HTTP": url, "Interval": "1s", **thresholds}
            ask.put("agent/check/register", {**body, "Timeout": "5m"})
        for name, states in followed(ask, switches).items():
            ask.note(f"states of {name}", states)
            ask.put(f"agent/check/deregister/{name}", record=False)

    play(scenario)


def test_docker(play: Play) -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no Docker")

    def scenario(ask: World) -> None:
        shell = {"DockerContainerID": "nope-nope", "Shell": "/bin/sh", "Args": ["true"]}
        ask.put("agent/check/register", {"ID": "dd-1", "Name": "d", "Interval": "1s", **shell})
        ask.until(lambda: ask.get("agent/checks", record=False).json["dd-1"]["Output"], "output")
        look(ask, "dd")
        ask.put("agent/check/deregister/dd-1")

    play(scenario, {"enable_script_checks": True, "check_output_max_size": 100})
