"""Snapshots by the API: what is refused, and that neither takes the other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .conftest import Play, Programs
from .world import World, agent


def test_snapshots(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("kv/snap", "1", record=False)
        saved = ask.get("snapshot", record=False)
        headers = {name.lower(): value for name, value in saved.headers.items()}
        kept = ("content-type", "x-consul-knownleader", "x-consul-lastcontact")
        for name in (*kept, "x-consul-query-backend", "x-consul-effective-consistency"):
            ask.note(name, {"value": headers.get(name)})
        ask.note("a file", {"status": saved.status, "gzip": saved.body[:2] == b"\x1f\x8b"})
        for query in ("?stale", "?consistent"):
            answer = ask.get(f"snapshot{query}", record=False)
            ask.note(query, {"status": answer.status})
        ask.get("snapshot?dc=nope")
        for method in ("POST", "DELETE"):
            ask.ask(method, "snapshot")
        for body in (b"", b"garbage", saved.body[:5], saved.body[:-20]):
            ask.put("snapshot", body)
        for query in ("?stale", "?dc=nope"):
            ask.put(f"snapshot{query}", saved.body)
        ask.put("kv/snap", "2", record=False)
        ask.put("kv/snap2", "2", record=False)
        ask.put("snapshot", saved.body)
        restored = "kv/snap?raw"
        ask.until(lambda: ask.get(restored, record=False).body == b"1", "the value restored")
        ask.get("kv/snap2")
        ask.delete("kv/snap", record=False)

    play(scenario, own=True)


def test_neither_takes_the_snapshots_of_the_other(programs: Programs, tmp_path: Path) -> None:
    bodies: list[bytes] = []
    worlds: list[World] = []

    def answer(world: World, body: bytes) -> tuple[int, str]:
        reply = world.put("snapshot", body)
        return reply.status, reply.body.decode()

    real, ours = tmp_path / "consul", tmp_path / "portway"
    for directory in (real, ours):
        directory.mkdir()
    config: dict[str, Any] = {}
    with (
        agent(programs.consul, real, config) as theirs,
        agent(programs.portway, ours, config) as mine,
    ):
        for program, ports in ((programs.consul, theirs), (programs.portway, mine)):
            worlds.append(World(program, ports))
            bodies.append(worlds[-1].get("snapshot").body)
        # A state it cannot read would stop it: the version of the file keeps it from trying.
        refusal = "failed to restore from snapshot: unsupported snapshot version 2"
        status, text = answer(worlds[0], bodies[1])
        assert status == 500
        assert refusal.rpartition(": ")[2] in text
        status, text = answer(worlds[1], bodies[0])
        assert status == 500
        assert text.startswith("the snapshot was not made by Portway: ")
        for world in worlds:
            assert world.get("status/leader").status == 200
            assert world.put("kv/still-there", "1").json is True
