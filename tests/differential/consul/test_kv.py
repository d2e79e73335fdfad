"""Keys: reading, writing, locking and deleting them, and the indexes of all that."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

NEWER = "What 1.22 changed since the 1.21 compared with"
FENCES = "`LockIndex` of a key written without its lock"
LIMITS = "Texts about what is too large"


def modify_index(ask: World, key: str) -> int:
    """The ModifyIndex of a key, which has a name in the recording from now on."""
    index: int = ask.get(f"kv/{key}", record=False).json[0]["ModifyIndex"]
    ask.names.add(str(index), f"index of {key}")
    return index


def session(ask: World, **fields: Any) -> str:
    """A session without a lock-delay."""
    body = {"LockDelay": "0s", **fields}
    return str(ask.put("session/create", body, record=False).json["ID"])


def test_a_key(play: Play) -> None:
    def scenario(ask: World) -> None:
        for value in (b"", b"hello", b"b\x00\xff", "é".encode()):
            ask.put("kv/t1", value)
            ask.get("kv/t1")
            newer = {NEWER: ["header.content-type"]}
            ask.get("kv/t1?raw", differs=newer)
            ask.get("kv/t1?raw=false", differs=newer)
            ask.get("kv/t1?raw&recurse")
            ask.get("kv/t1?pretty")
        raw = ask.get("kv/t1?raw", record=False)
        for name in ("X-Content-Type-Options", "Content-Security-Policy", "Content-Length"):
            ask.note(name, {"value": raw.headers.get(name)})
        for path in ("nope", "nope?raw", "nope?recurse", "nope?keys", ""):
            ask.get(f"kv/{path}")
        for method in ("POST", "PATCH", "HEAD"):
            ask.ask(method, "kv/t1")
        ask.put("kv/", "x")
        for _ in range(2):
            ask.delete("kv/t1")
            ask.get("kv/t1")
        ask.delete("kv/")

    play(scenario)


def test_flags(play: Play) -> None:
    def scenario(ask: World) -> None:
        for flags in ("0", "42", "18446744073709551615", "18446744073709551616", "-1", "abc"):
            ask.put(f"kv/t2?flags={flags}", "x")
        for flags in ("", "1.5", " 1", "+1", "0x10", "1_000", "٣", "00012", "7&flags=9"):
            ask.put(f"kv/t2?flags={flags}", "x")
            ask.get("kv/t2")
        ask.put("kv/t2", "x")
        ask.get("kv/t2")
        ask.delete("kv/t2")

    play(scenario)


def test_compare_and_set(play: Play) -> None:
    def scenario(ask: World) -> None:
        for index in ("0", "1", "abc", "", "-1", "18446744073709551616", "1&cas=0"):
            ask.put(f"kv/t3?cas={index}", "x")
            ask.get("kv/t3")
        written = modify_index(ask, "t3")
        for value in ("y", "z"):
            ask.put(f"kv/t3?cas={written}", value)
        ask.get("kv/t3")
        for wrong in ("0", "1", "abc", "", "-1"):
            ask.delete(f"kv/t3?cas={wrong}")
        ask.get("kv/t3")
        ask.delete(f"kv/t3?cas={modify_index(ask, 't3')}")
        ask.get("kv/t3")
        for query in ("cas=0", "cas=5", "cas=0&recurse"):
            ask.delete(f"kv/t3?{query}")
        for query in ("cas=0&acquire=x", "acquire=x&release=y", "cas=0&acquire&release"):
            ask.put(f"kv/t3?{query}", "x")

    play(scenario)


def test_writing_the_same_again(play: Play) -> None:
    def scenario(ask: World) -> None:
        rows = []
        for write in ("", "", "?flags=2", "?flags=2", "?flags=0"):
            ask.put(f"kv/t4{write}", "x")
            rows.append(ask.get("kv/t4", record=False).json[0])
        indexes = [row["ModifyIndex"] for row in rows]
        same = [one == other for one, other in pairwise(indexes)]
        created = len({row["CreateIndex"] for row in rows})
        ask.note("indexes", {"the same": same, "created": created})
        ask.delete("kv/t4")
        ask.put("kv/t4", "x")
        row = ask.get("kv/t4", record=False).json[0]
        ask.note("anew", {"created": row["CreateIndex"] == row["ModifyIndex"] > indexes[-1]})
        ask.delete("kv/t4")

    play(scenario)


def test_lists(play: Play) -> None:
    def scenario(ask: World) -> None:
        for key in ("a", "a/", "a/b", "a/b/c", "a/b/d", "a/c/", "aa", "a/é", "a/-x", "A/x"):
            ask.put(f"kv/t5/{key}", key, record=False)
        separators = ("/", "b", "", "/b", "é", "/&seperator=b")
        for prefix in ("t5/", "t5", "t5/a", "t5/a/", "t5/a/b", "t5/z"):
            for query in ("keys", "recurse", "keys&recurse", "keys&raw", "keys=false"):
                ask.get(f"kv/{prefix}?{query}")
            ask.get(f"kv/{prefix}?keys&seperator=/")
            for separator in separators:
                ask.get(f"kv/{prefix}?keys&separator={separator}")
        ask.get("kv/t5?recurse&pretty")
        for prefix in ("t5/a/b", "t5/a/", "t5/nope", "t5"):
            ask.delete(f"kv/{prefix}?recurse")
            ask.get("kv/t5?keys")

    play(scenario)


def test_characters_of_keys(play: Play) -> None:
    def scenario(ask: World) -> None:
        keys = ["x y", "x%20y", "x+y", "x%2By", "é", "日本", "x%2Fy", "x/", "..x", "x..", "..."]
        keys += ["x;y", "x:y", "x@y", "x!$'()*,=", "x&y", "x=y", "x[1]", "x{a}", "x<b>", 'x"q']
        keys += ["x\\y", "x|y", "x^y", "x`y", "x~y", "x%3Fy", "x%23y", "😀", "%20lead", "a/b?c"]
        for key in keys:
            ask.put(f"kv/t6/{key}", "v")
            ask.get(f"kv/t6/{key}")
            ask.get(f"kv/t6/{key}?keys")
        for broken in ("x%", "x%zz", "x%2"):
            ask.put(f"kv/t6/{broken}", "v")
        ask.get("kv/t6?keys")
        ask.get("kv/t6?recurse")
        ask.delete("kv/t6?recurse")

    play(scenario)


def test_large_values_and_keys(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("kv/t7", "x" * 524_288)
        for size in (524_289, 600_000):
            ask.put("kv/t7", "x" * size, differs={LIMITS: ["body"]})
        ask.delete("kv/t7")
        key = f"kv/t7/{'k' * 5000}"
        ask.put(key, "x")
        ask.get(key)
        ask.delete("kv/t7?recurse")

    play(scenario)


def test_locks(play: Play) -> None:
    def scenario(ask: World) -> None:
        one, other = session(ask), session(ask)
        for key in ("t8?acquire=one", "t8?acquire=one", "t8?acquire=other", "t8?release=other"):
            ask.put(f"kv/{key.replace('=one', f'={one}').replace('=other', f'={other}')}", key)
            ask.get("kv/t8")
        for _ in range(2):
            ask.put(f"kv/t8?release={one}&flags=3", "released")
            ask.get("kv/t8")
        ask.put(f"kv/t8?acquire={one}&flags=5", "again")
        fences = {FENCES: ["json.0.LockIndex"]}
        ask.put("kv/t8", "plain")
        ask.get("kv/t8", differs=fences)
        ask.put(f"kv/t8?cas={modify_index(ask, 't8')}", "compared")
        ask.get("kv/t8", differs=fences)
        for unknown in ("", "nope", "00000000-0000-0000-0000-0000000000ff"):
            for way in ("acquire", "release"):
                ask.put(f"kv/t8?{way}={unknown}", "x")
                ask.put(f"kv/t8new?{way}={unknown}", "x")
        ask.delete("kv/t8")
        ask.put(f"kv/t8?acquire={other}", "2")
        ask.get("kv/t8")
        ask.names.add(other.upper(), "the other in capitals")
        ask.put(f"kv/t8big?acquire={other.upper()}", "2")
        ask.put(f"session/destroy/{other}")
        ask.get("kv/t8")
        ask.put(f"session/destroy/{one}")
        ask.delete("kv/t8?recurse")

    play(scenario)


def test_lock_delay(play: Play) -> None:
    def scenario(ask: World) -> None:
        one, other = session(ask, LockDelay="10s", Behavior="delete"), session(ask)
        for key in ("a", "b"):
            ask.put(f"kv/t9/{key}?acquire={one}", "1")
        ask.put(f"session/destroy/{one}")
        ask.get("kv/t9?keys")
        ask.put(f"kv/t9/a?acquire={other}", "x")
        ask.put("txn", [{"KV": {"Verb": "lock", "Key": "t9/a", "Value": "", "Session": other}}])
        ask.put(f"kv/t9/c?acquire={other}", "x")
        ask.put("kv/t9/a", "x")

        def taken() -> bool:
            return bool(ask.put(f"kv/t9/a?acquire={other}", "x", record=False).json)

        ask.until(taken, "the end of the lock-delay")
        ask.get("kv/t9/a")
        ask.put(f"session/destroy/{other}")
        ask.delete("kv/t9?recurse")

    play(scenario)


def test_indexes_of_keys(play: Play) -> None:
    def scenario(ask: World) -> None:
        paths = ("a", "b", "a?recurse", "d/1", "d?keys", "zz", "zz?recurse", "?keys", "?recurse")
        before: dict[str, int] = {}

        def moved(what: str) -> None:
            now = {path: ask.get(f"kv/ti/{path}", record=False).index for path in paths}
            ranks = sorted(set(now.values()))
            ask.note(what, {p: [ranks.index(i), i > before.get(p, 0)] for p, i in now.items()})
            before.update(now)

        for key in ("ti/a", "ti/b", "other", "ti/a", "ti/d/1", "ti/d/2"):
            ask.put(f"kv/{key}", "1", record=False)
            moved(f"wrote {key}")
        for key in ("ti/d/1", "ti/d/1", "ti/d?recurse", "ti/d?recurse", "other", "ti/b"):
            ask.delete(f"kv/{key}", record=False)
            moved(f"deleted {key}")
        holder = session(ask)
        for way in ("acquire", "acquire", "release", "acquire"):
            ask.put(f"kv/ti/a?{way}={holder}", "3", record=False)
            moved(way)
        ask.put(f"session/destroy/{holder}", record=False)
        moved("ended the session")
        ask.delete("kv/ti?recurse", record=False)

    play(scenario)


def test_parameters(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("kv/ta", "1")
        index = modify_index(ask, "ta")
        reads = (f"index={index}&wait=10ms", "index=abc", "index=-1", "index=0&wait=abc", "wait=5")
        modes = ("stale", "consistent", "consistent&stale", "max_age=5", "stale&max_stale=1s")
        other = ("dc=dc1", "dc=nope", "ns=default", "ns=foo", "partition=x", "token=abc", "hash=a")
        for query in (*reads, *modes, *other, "filter=Key==x", "near=x"):
            ask.get(f"kv/ta?{query}")
        for query in ("dc=nope", "ns=foo", "token=abc", "index=abc", "wait=abc", "stale", "dc="):
            ask.put(f"kv/ta?{query}", "1")
            ask.delete(f"kv/tanope?{query}")
        ask.put("kv/ta?consistent&stale", "1")
        ask.delete("kv/ta")

    play(scenario)


def test_keys_behind_access_control(play: Play) -> None:
    def scenario(ask: World) -> None:
        rules = 'key_prefix "tg/" { policy = "read" } key "tg/w" { policy = "write" }'
        policy = ask.put("acl/policy", {"Name": "tg", "Rules": rules}, record=False).json["ID"]
        body = {"Policies": [{"ID": policy}]}
        token = ask.put("acl/token", body, record=False).json
        for key in ("tg/a", "tg/w", "th/a"):
            ask.put(f"kv/{key}", "1", record=False)
        for key in ("tg/a", "tg/w", "tg/nope", "th/a", "th/nope"):
            ask.get(f"kv/{key}", token=token["SecretID"])
            ask.put(f"kv/{key}", "2", token=token["SecretID"])
            ask.put(f"kv/{key}?cas=0", "2", token=token["SecretID"])
        for query in ("tg?recurse", "t?recurse", "t?keys", "th?recurse", "th?keys", "?keys"):
            ask.get(f"kv/{query}", token=token["SecretID"])
            ask.get(f"kv/{query}", token="")
        for prefix in ("tg/", "tg/w", "th/"):
            ask.delete(f"kv/{prefix}?recurse", token=token["SecretID"])
        for verb in ("get", "get-or-empty", "get-tree", "check-not-exists", "set", "delete-tree"):
            for key in ("tg/a", "th/a"):
                txn = [{"KV": {"Verb": verb, "Key": key, "Value": ""}}]
                ask.put("txn", txn, token=token["SecretID"])
        for prefix in ("tg", "th"):
            ask.delete(f"kv/{prefix}?recurse", record=False)
        ask.delete(f"acl/token/{token['AccessorID']}", record=False)
        ask.delete(f"acl/policy/{policy}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)
