"""Large answers: the same as small ones, and others have their turn meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from urllib.parse import quote

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings, filtering, kv, turns
from portway.discovery.api.bodies import Bodies
from portway.discovery.operations import txn, txn_kv
from portway.discovery.state.kv import KV
from tests.integration.discovery_rig import MANAGEMENT, running


@pytest.mark.parametrize(
    "rules", ["", 'key_prefix "app/" { policy = "read" } key "app/07" { policy = "deny" }']
)
async def test_a_tree_in_slices(monkeypatch: pytest.MonkeyPatch, rules: str) -> None:
    pauses = 0
    sleep = asyncio.sleep

    async def counted(delay: float) -> None:
        nonlocal pauses
        pauses += delay == 0
        await sleep(delay)

    acl = AclSettings(enabled=True, default_allow=False)
    async with running(Settings(default_policy="deny"), acl) as discovery:
        token = MANAGEMENT
        if rules:
            policy = await discovery.put(
                "/v1/acl/policy", {"Name": "p", "Rules": rules}, X_Consul_Token=MANAGEMENT
            )
            made = await discovery.put(
                "/v1/acl/token",
                {"Policies": [{"ID": policy.json["ID"]}]},
                X_Consul_Token=MANAGEMENT,
            )
            token = made.json["SecretID"]
        for number in range(20):
            await discovery.put(f"/v1/kv/app/{number:02d}", b"<v>", X_Consul_Token=MANAGEMENT)
        whole = await discovery.get("/v1/kv/app/?recurse", X_Consul_Token=token)
        monkeypatch.setattr(kv, "_SLICE", 3)
        monkeypatch.setattr(asyncio, "sleep", counted)
        sliced = await discovery.get("/v1/kv/app/?recurse", X_Consul_Token=token)
        monkeypatch.undo()

        assert pauses == 6
        assert sliced.body == whole.body
        expected = [f"app/{number:02d}" for number in range(20) if not (rules and number == 7)]
        assert [row["Key"] for row in sliced.json] == expected
        assert (await discovery.get("/v1/kv/app/?keys", X_Consul_Token=token)).json == expected
        filtered = sliced.headers.get("X-Consul-Results-Filtered-By-ACLs")
        assert filtered == ("true" if rules else None)


def test_keys_under_a_prefix_are_those_that_begin_with_it() -> None:
    rng = random.Random(1)
    letters = ["a", "b", "/", "\0", "\ud7ff", "\ue000", "\U0010ffff", "é"]
    store = KV()
    keys = {"".join(rng.choices(letters, k=rng.randint(0, 5))) for _ in range(2000)}
    for key in keys:
        store._sorted[key] = None  # type: ignore[assignment]  # only keys are asked for
    for _ in range(500):
        prefix = "".join(rng.choices(letters, k=rng.randint(0, 4)))
        assert store.keys_under(prefix) == sorted(key for key in keys if key.startswith(prefix))


async def test_a_transaction_reads_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(txn_kv, "MAX_TREE", 8)
    monkeypatch.setattr(txn, "MAX_RESULTS", 12)
    async with running() as discovery:
        for number in range(10):
            await discovery.put(f"/v1/kv/a/{number // 5}/{number}", b"v")

        def tree(prefix: str) -> dict[str, dict[str, str]]:
            return {"KV": {"Verb": "get-tree", "Key": prefix}}

        reply = await discovery.put("/v1/txn", [tree("a/0/"), tree("a/1/")])
        assert [row["KV"]["Key"][2] for row in reply.json["Results"]] == ["0"] * 5 + ["1"] * 5
        for batch, index in (([tree("a/0/"), tree("a/")], 1), ([tree("a/0/")] * 4, 3)):
            refused = await discovery.put("/v1/txn", batch)
            assert refused.status == 409
            assert refused.json["Errors"][0]["OpIndex"] == index
            assert "at most" in refused.json["Errors"][0]["What"]


async def test_others_have_their_turn_while_a_filter_is_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With turns that are over at once every row is followed by others."""
    monkeypatch.setattr(turns, "_TURN", -1.0)
    pauses = 0
    sleep = asyncio.sleep

    async def counted(delay: float) -> None:
        nonlocal pauses
        pauses += delay == 0
        await sleep(delay)

    async with running() as discovery:
        for number in range(30):
            await discovery.register(
                Node=f"n{number:02d}",
                Address="10.0.0.1",
                Service={"Service": "web", "ID": f"w{number}"},
                Check={"Name": "c", "Output": "x", "Status": "passing"},
            )
        for path, words in (
            ("/v1/health/state/any", 'Output == "x"'),
            ("/v1/health/state/passing", 'Output == "x"'),
            ("/v1/catalog/nodes", 'Node matches "^n"'),
            ("/v1/catalog/services", 'ServiceName == "web"'),
            ("/v1/catalog/service/web", 'ServiceName == "web"'),
            ("/v1/health/service/web", 'Service.Service == "web"'),
            ("/v1/internal/ui/nodes", 'Node matches "^n"'),
            ("/v1/internal/ui/services", 'Service.Service == "web"'),
        ):
            pauses = 0
            monkeypatch.setattr(asyncio, "sleep", counted)
            reply = await discovery.get(f"{path}?filter={quote(words)}")
            monkeypatch.setattr(asyncio, "sleep", sleep)
            assert reply.status == 200
            assert pauses >= 30, path
            assert len(reply.json) == (1 if path.endswith("/services") else 30), path


async def test_those_who_want_one_body_at_once_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_TURN", -1.0)
    compared = 0

    def predicate(text: str, *_: object) -> Callable[[object], bool]:
        def accepts(row: object) -> bool:
            nonlocal compared
            compared += 1
            return True

        return accepts

    monkeypatch.setattr(filtering, "compile_filter", predicate)
    async with running() as discovery:
        for number in range(20):
            await discovery.register(Node=f"n{number:02d}", Address="10.0.0.1")
        asked = [discovery.get("/v1/catalog/nodes?filter=x") for _ in range(10)]
        bodies = {reply.body for reply in await asyncio.gather(*asked)}
        assert len(bodies) == 1
        assert compared == 20
        assert not discovery.context.bodies._making


async def test_who_came_first_for_a_body_may_give_up() -> None:
    bodies, go = Bodies(), asyncio.Event()

    async def make() -> bytes:
        await go.wait()
        return b"body"

    first, second = (asyncio.create_task(bodies.made("k", 1, make)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == b"body"
    assert bodies.get("k", 1, bytes) == b"body"


async def test_a_body_that_cannot_be_made_is_not_kept() -> None:
    bodies = Bodies()

    async def fail() -> bytes:
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            await bodies.made("k", 1, fail)
    await asyncio.sleep(0)
    assert not bodies._making
    assert len(bodies) == 0
