"""Large answers: the same as small ones, and others have their turn meanwhile."""

from __future__ import annotations

import asyncio
import random

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings, kv
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
            await discovery.put(f"/v1/kv/{number // 5}/{number}", b"v")

        def tree(prefix: str) -> dict[str, dict[str, str]]:
            return {"KV": {"Verb": "get-tree", "Key": prefix}}

        reply = await discovery.put("/v1/txn", [tree("0/"), tree("1/")])
        assert [row["KV"]["Key"][0] for row in reply.json["Results"]] == ["0"] * 5 + ["1"] * 5
        for batch, index in (([tree("0/"), tree("")], 1), ([tree("0/")] * 4, 3)):
            refused = await discovery.put("/v1/txn", batch)
            assert refused.status == 409
            assert refused.json["Errors"][0]["OpIndex"] == index
            assert "at most" in refused.json["Errors"][0]["What"]
