"""Checks of the agent: every definition, heartbeats, maintenance."""

from __future__ import annotations

from typing import Any

from .conftest import Play
from .settled import settle
from .world import World

DECODER = {"Errors of Go's libraries": ["body"]}
HOUR = {"Interval": "1h"}

DEFINITIONS: list[tuple[dict[str, Any], dict[str, list[str]] | None]] = [
    *(({"TTL": ttl}, None) for ttl in ("10m", 600000000000)),
    *(({"TTL": ttl}, DECODER) for ttl in ("bad", "10", "")),
    ({"TTL": "-1s"}, None),
    ({}, None),
    ({"ID": "ag-id", "TTL": "10m", "Notes": "hey", "Status": "passing"}, None),
    ({"name": "ag-k", "ttl": "10m", "notes": "lower", "Name": None}, None),
    ({"TTL": "10m", "Status": "bad"}, None),
    ({"TTL": "10m", "ServiceID": "ag-1"}, None),
    ({"TTL": "10m", "service_id": "ag-1"}, None),
    ({"TTL": "10m", "ServiceID": "none"}, None),
    *(({"TTL": "10m", "Name": name}, None) for name in ("", "ag-k/é b")),
    *(({"TTL": "10m", name: 1}, None) for name in ("Bogus", "Interval_")),
    ({"TTL": "10m", "Token": "x"}, None),
    ({"TTL": "10m", "OutputMaxSize": -1}, None),
    ({"TTL": "10m", "FailuresBeforeWarning": 3}, None),
    (
        {
            "TTL": "10m",
            "FailuresBeforeWarning": 3,
            "FailuresBeforeCritical": 4,
            "SuccessBeforePassing": 2,
        },
        None,
    ),
    ({"TTL": "10m", "DeregisterCriticalServiceAfter": "10s"}, None),
    ({"TTL": "10m", "deregister_critical_service_after": "90m"}, None),
    ({"HTTP": "http://127.0.0.1:1/x"}, None),
    ({"HTTP": "http://127.0.0.1:1/x", "TTL": "1s", **HOUR}, None),
    ({"HTTP": "http://127.0.0.1:1/x", **HOUR, "Timeout": "5s"}, None),
    (
        {
            "HTTP": "http://127.0.0.1:1/x",
            **HOUR,
            "Method": "PUT",
            "Body": "b",
            "Header": {"x-a": ["1", "2"]},
            "DisableRedirects": True,
            "TLSServerName": "n",
        },
        None,
    ),
    ({"HTTP": "http://127.0.0.1:1/x", **HOUR, "Header": {"x-a": "1"}}, DECODER),
    ({"TCP": "127.0.0.1:1", **HOUR}, None),
    ({"TCP": "127.0.0.1:1", **HOUR, "TCPUseTLS": True, "tls_skip_verify": True}, None),
    ({"GRPC": "127.0.0.1:1/svc", **HOUR, "GRPCUseTLS": True}, None),
    ({"H2PING": "127.0.0.1:1", **HOUR}, None),
    ({"H2PING": "127.0.0.1:1", **HOUR, "H2PingUseTLS": False}, None),
    ({"AliasService": "ag-1", "TTL": "1s"}, None),
    ({"AliasService": "ag-1", "HTTP": "http://127.0.0.1:1", **HOUR}, None),
    *(({name: ["true"], **HOUR}, None) for name in ("Args", "ScriptArgs", "script_args")),
    ({"ScriptArgs": ["true"]}, None),
    (HOUR, None),
]


def test_definitions(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("agent/service/register", {"Name": "ag-checked", "ID": "ag-1", "Tags": ["t"]})
        for fields, differs in DEFINITIONS:
            body = {"Name": "ag-k", **fields}
            ask.put("agent/check/register", body, differs=differs)
            rows = ask.get("agent/checks?filter=Name contains `ag-k`", record=False).json
            facts = {
                f"{ident}.{name}": value
                for ident, row in rows.items()
                for name, value in row.items()
                if name != "Output"
            }
            ask.note(f"shown {fields}", facts)
            ask.put(f"agent/check/deregister/{body.get('ID') or body['Name'] or 'ag-k'}")
        for ident in ("", "nope", "serfHealth"):
            ask.put(f"agent/check/deregister/{ident}")
        ask.put("agent/service/deregister/ag-1")
        settle(ask)

    play(scenario)


def test_heartbeats(play: Play) -> None:
    def scenario(ask: World) -> None:
        def shown() -> None:
            settle(ask)
            ask.get("agent/checks?filter=CheckID==`ag-b`")
            ask.get("health/checks/ag-beating")
            ask.get("health/service/ag-beating?passing")
            ask.get("agent/health/service/id/ag-beating", unordered=True)
            ask.get("agent/health/service/name/ag-beating?format=text")
            ask.ask("GET", "agent/health/service/id/ag-beating", headers={"Accept": "text/plain"})

        web = {"Name": "ag-beating", "Check": {"TTL": "10m", "CheckID": "ag-b"}}
        ask.put("agent/service/register", web)
        never = {"Name": "ag-http", "HTTP": "http://127.0.0.1:1", "Interval": "1h"}
        ask.put("agent/check/register", never)
        shown()
        for word in ("pass", "warn", "fail?note=a b<c", "pass?note=hello"):
            verb, _, query = word.partition("?")
            ask.put(f"agent/check/{verb}/ag-b?{query}")
            shown()
        for path in ("pass/nope", "fail/", "pass/ag-http", "warn/serfHealth"):
            ask.put(f"agent/check/{path}")
        for body in (
            *({"Status": "passing"}, {"Status": "warning", "Output": "o" * 5000}),
            *({"status": "critical", "output": "x"}, {"Status": "bad"}, {}, {"Bogus": 1}, ""),
        ):
            ask.put("agent/check/update/ag-b", body)
            ask.get("agent/checks?filter=CheckID==`ag-b`")
        strange: list[Any] = ["x", [], {"Status": 5}]
        for odd in strange:
            ask.put("agent/check/update/ag-b", odd, differs=DECODER)
        for ident in ("nope", "ag-http", ""):
            ask.put(f"agent/check/update/{ident}", {"Status": "passing"})
        ask.put("agent/service/deregister/ag-beating")
        ask.put("agent/check/deregister/ag-http")
        settle(ask)

    play(scenario)


def test_maintenance(play: Play) -> None:
    stays = {"Maintenance of a service that is registered with `replace-existing-checks`": ["*"]}

    def scenario(ask: World) -> None:
        def shown() -> None:
            settle(ask)
            ask.get("agent/checks?filter=Type==maintenance")
            ask.get("health/service/ag-kept", unordered=True)
            ask.get("health/service/ag-kept?passing")
            ask.get("agent/health/service/id/ag-m", unordered=True)
            ask.get("agent/health/service/name/ag-kept?format=text")
            ask.get("health/state/critical?filter=Type==maintenance")
            ask.cli("maint")
            ask.dig("ag-kept.service.consul", "A")

        web = {"Name": "ag-kept", "ID": "ag-m", "Tags": ["q"]}
        ask.put("agent/service/register", {**web, "Check": {"TTL": "10m", "Status": "passing"}})
        for path in (
            *("maintenance", "maintenance?enable", "maintenance?enable=", "maintenance?enable=x"),
            *("maintenance?enable=false", "service/maintenance/ag-m"),
            *("service/maintenance/ag-m?enable=maybe", "service/maintenance/?enable=true"),
            *("service/maintenance/nope?enable=true", "service/maintenance/ag-m?enable=false"),
            "service/maintenance/ag-m?enable=true&reason=because of",
            "service/maintenance/ag-m?enable=true&reason=other",
        ):
            ask.put(f"agent/{path}")
        shown()
        ask.put("agent/service/register", web)
        shown()
        ask.put("agent/service/register?replace-existing-checks=true", web)
        settle(ask)
        ask.get("agent/checks?filter=Type==maintenance", differs=stays)
        ask.put("agent/service/maintenance/ag-m?enable=0")
        shown()
        ask.put("agent/maintenance?enable=1&reason=nö")
        shown()
        ask.put("agent/maintenance?enable=t")
        ask.put("agent/maintenance?enable=F")
        ask.put("agent/service/maintenance/ag-m?enable=true")
        ask.put("agent/check/pass/_service_maintenance:ag-m")
        ask.put("agent/check/deregister/_service_maintenance:ag-m")
        shown()
        for argv in (
            *(
                ("-enable",),
                ("-enable", "-reason", "r"),
                (),
                ("-disable",),
                ("-enable", "-disable"),
            ),
            *(("-service=x", "-enable"), ("-service=x",), ("-reason=x",)),
            *(("-service=ag-m", "-enable", "-reason=z"), (), ("-service=ag-m", "-disable")),
        ):
            ask.cli("maint", *argv)
        ask.put("agent/service/deregister/ag-m")
        shown()

    play(scenario, mixed=True)
