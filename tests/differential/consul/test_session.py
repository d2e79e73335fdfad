"""Sessions: what may be asked for, what is told of them, and what ends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conftest import Play
from .world import World


def create(ask: World, body: Any = None, **options: Any) -> str:
    """Create a session; its ID, or nothing when it was refused."""
    answer = ask.put("session/create", body, **options)
    return str(answer.json["ID"]) if answer.status == 200 else ""


def forget(ask: World) -> None:
    """End all sessions."""
    for session in ask.get("session/list", record=False).json:
        ask.put(f"session/destroy/{session['ID']}", record=False)


def _each(*bodies: Any) -> Callable[[World], None]:
    def scenario(ask: World) -> None:
        for body in bodies:
            session = create(ask, body)
            if session:
                ask.get(f"session/info/{session}")
                ask.put(f"session/destroy/{session}", record=False)

    return scenario


def test_fields_of_a_session(play: Play) -> None:
    names: tuple[Any, ...] = (
        None,
        "",
        {},
        "null",
        {"Name": "a"},
        {"Name": "é<>&"},
        '{"Name":"a","Name":"b"}',
    )
    ttls = ("10s", "9s", "9.999s", "86400s", "24h", "86401s", "0s", "0", "", "abc", "15", "-10s")
    delays = ("5s", 5, "5", 0, "0s", "0", 999, 1000, 5_000_000_000, 1.5, "61s", 61)
    play(
        _each(
            *names,
            *({"TTL": ttl} for ttl in (*ttls, "1d", "90m", "1h1x", None)),
            *({"LockDelay": delay} for delay in (*delays, 3_600_000_000_000, "abc", None, "1d")),
            *({"Behavior": one} for one in ("release", "delete", "", "x", "Delete", None)),
            *({"Node": node} for node in ("node-1", "NODE-1", "nope", "")),
            {"lockdelay": "5s"},
            {"lock_delay": "5s"},
            {"name": "low", "ttl": "20s", "node": "node-1"},
            {"ID": "11111111-2222-3333-4444-555555555555"},
            {"ID": "x", "CreateIndex": 5, "Unknown": 1, "Namespace": "x", "Partition": "x"},
        )
    )


def test_checks_of_a_session(play: Play) -> None:
    serf = ["serfHealth"]
    node_checks: tuple[Any, ...] = ([], None, serf, ["nope"], serf * 2)
    play(
        _each(
            *({"Checks": checks} for checks in (*node_checks, ["serfHealth", "x"])),
            *({"NodeChecks": checks} for checks in node_checks),
            {"NodeChecks": serf, "Checks": serf},
            {"NodeChecks": [], "Checks": serf},
            {"NodeChecks": serf, "Checks": []},
            {"NodeChecks": ["nope"], "Checks": serf},
            {"NodeChecks": [], "Checks": ["serfHealth", "x"]},
            {"ServiceChecks": []},
            {"ServiceChecks": None},
            {"ServiceChecks": [{"ID": "nope"}]},
            {"ServiceChecks": [{"ID": "serfHealth"}]},
            {"ServiceChecks": [{"ID": "serfHealth", "Namespace": "x"}]},
        )
    )


def test_the_life_of_a_session(play: Play) -> None:
    def scenario(ask: World) -> None:
        forget(ask)
        unknown = "00000000-0000-0000-0000-0000000000ff"
        first = create(ask, {"Name": "life", "TTL": "10s", "LockDelay": "0s"})
        ask.names.add(first.upper(), "the first in capitals")
        for path in ("list", "node/node-1", "node/NODE-1", "node/nope", f"info/{first}"):
            ask.get(f"session/{path}")
        for path in ("info/nope", f"info/{unknown}", f"info/{first.upper()}", "list?pretty"):
            ask.get(f"session/{path}")
        for path in ("list?stale", "list?dc=nope", "list?filter=Name==life", "list?index=abc"):
            ask.get(f"session/{path}")
        for session in (first, first.upper(), "nope", unknown):
            ask.put(f"session/renew/{session}")
        second = create(ask, {"Name": "without"})
        third = create(ask, {"Name": "zero", "TTL": "0s"})
        ask.put(f"session/renew/{second}")
        ask.put(f"session/renew/{third}")
        for query in ("dc=nope", "ns=x", "index=abc", "wait=abc", "consistent&stale", "token=z"):
            ask.put(f"session/renew/{second}?{query}")
            ask.put(f"session/destroy/nope?{query}")
            ask.get(f"session/info/{second}?{query}")
        for path in ("nope", f"{first}/x", first.upper(), first, first):
            ask.put(f"session/destroy/{path}")
            ask.get(f"session/info/{first}")
        ask.put(f"session/renew/{first}")
        for method in ("GET", "POST", "DELETE"):
            for path in ("create", "destroy/x", "renew/x", "info/x", "node/x", "list"):
                ask.ask(method, f"session/{path}", unordered=True)
        for path in ("destroy/", "renew/", "info/", "node/"):
            ask.get(f"session/{path}")
            ask.put(f"session/{path}")
        forget(ask)

    play(scenario)


def test_what_ends_a_session(play: Play) -> None:
    def scenario(ask: World) -> None:
        forget(ask)

        def register(**what: Any) -> None:
            body = {"Node": "se-n", "Address": "192.0.2.1", **what}
            ask.put("catalog/register", body, record=False)

        def check(check_id: str, status: str, service: str = "") -> None:
            row = {"CheckID": check_id, "Name": check_id, "Status": status, "ServiceID": service}
            register(Check=row)

        def deregister(**what: str) -> None:
            ask.put("catalog/deregister", {"Node": "se-n", **what}, record=False)

        check("node", "passing")
        register(Service={"ID": "se-s", "Service": "se-s"})
        check("passing", "passing", "se-s")
        check("warning", "warning", "se-s")
        check("critical", "critical", "se-s")
        base: dict[str, Any] = {"Node": "se-n", "LockDelay": "0s"}
        passing, critical = [{"ID": "passing"}], [{"ID": "critical"}]
        bound: list[dict[str, Any]] = [
            {},
            {"NodeChecks": []},
            *({"NodeChecks": [one]} for one in ("node", "passing", "warning", "critical")),
            {"Checks": ["node"]},
            {"Checks": ["node"], "NodeChecks": ["node"]},
            {"Checks": ["passing"], "NodeChecks": ["node"]},
            {"NodeChecks": ["node"], "ServiceChecks": passing},
            {"NodeChecks": [], "ServiceChecks": passing * 2},
            {"NodeChecks": [], "ServiceChecks": critical},
            {"NodeChecks": ["node", "nope"]},
            {"NodeChecks": ["node", "node"]},
        ]
        for checks in bound:
            session = create(ask, base | checks)
            if session:
                ask.get(f"session/info/{session}")
        ask.get("session/node/se-n", unordered=True)
        forget(ask)

        def locked(what: str, checks: Any, behavior: str, end: Callable[[], None]) -> None:
            session = create(ask, {**base, **checks, "Behavior": behavior}, record=False)
            ask.put(f"kv/se/k?acquire={session}", "v", record=False)
            end()
            left = ask.get(f"session/info/{session}", record=False).json
            ask.note(what, {"sessions": len(left)})
            ask.get("kv/se/k")
            ask.put(f"session/destroy/{session}", record=False)
            ask.delete("kv/se/k", record=False)

        by_node, by_service = {"NodeChecks": ["node"]}, {"NodeChecks": [], "ServiceChecks": passing}
        locked("a warning", by_node, "release", lambda: check("node", "warning"))
        locked("a critical check", by_node, "release", lambda: check("node", "critical"))
        check("node", "passing")
        locked("no check", by_node, "delete", lambda: deregister(CheckID="node"))
        locked("a service", by_service, "delete", lambda: check("passing", "critical", "se-s"))
        check("passing", "passing", "se-s")
        locked("no service", by_service, "release", lambda: deregister(ServiceID="se-s"))
        locked("no node", {"NodeChecks": []}, "release", deregister)
        forget(ask)

    play(scenario)


def test_indexes_of_sessions(play: Play) -> None:
    def scenario(ask: World) -> None:
        paths = ["session/list", "session/node/node-1", "session/node/nope"]
        before: dict[str, int] = {}

        def moved(what: str) -> None:
            now = {path: ask.get(path, record=False).index for path in paths}
            equal = len(set(now.values())) == 1
            ask.note(what, {"equal": equal} | {p: i > before.get(p, 0) for p, i in now.items()})
            before.update(now)

        session = create(ask, {"LockDelay": "0s", "TTL": "20s"})
        moved("created")
        other = create(ask, {"LockDelay": "0s"})
        moved("another created")
        ask.put(f"session/renew/{session}")
        moved("renewed")
        ask.put(f"kv/si?acquire={session}", "x")
        moved("a lock taken")
        for one in (other, other, session):
            ask.put(f"session/destroy/{one}")
            moved("destroyed")
        ask.delete("kv/si")
        moved("a key deleted")

    play(scenario)
