"""What strangers send costs in proportion to its length: counted, not timed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from portway.discovery.api.route import Route, Router
from portway.discovery.model import KVEntry
from portway.discovery.model.queries import PreparedQuery, QueryTemplate
from portway.discovery.state import Topic, kv
from portway.discovery.state.kv import KV
from portway.discovery.state.queries import Queries
from portway.discovery.state.topic import Topics
from portway.store import Record


class _Counting(dict[str, Any]):
    """A mapping that counts how many characters it is asked for."""

    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.asked += len(key)
        return super().get(key, default)


def test_a_path_of_slashes_is_not_looked_up_at_each_of_them() -> None:
    router = Router([Route("/v1/kv/", {}, "none"), Route("/v1/agent/service/", {}, "none")])
    router._below = below = _Counting(router._below)
    slashes = "/" * 60_000

    assert router.find("/v1/kv/" + slashes) == (router.routes[0], slashes)
    assert router.find("/nowhere" + slashes) is None
    assert below.asked < 1000


def test_a_long_key_is_not_cut_at_each_of_its_characters() -> None:
    topics = Topics()
    topics._topics = _Counting()
    held = [topics.of(name) for name in ("", "app/", "application")]
    key = "app/" + "k" * 500_000

    assert list(topics.prefixes_of(key)) == held[:2]
    assert topics._topics.asked < 1000


def test_prefixes_are_found_whatever_has_come_and_gone() -> None:
    topics = Topics()
    for length in range(1000):
        topics.of("x" * length)  # held by nobody
    held = topics.of("x" * 7)

    assert list(topics.prefixes_of("x" * 500)) == [held]
    assert len(topics._lengths) < 200


def test_a_long_name_of_a_query_is_not_cut_at_each_of_its_characters() -> None:
    queries = Queries()
    template = QueryTemplate(type="name_prefix_match")
    for name in ("", "geo-", "geo-db-"):
        query = PreparedQuery(id=f"id-{name}", name=name, template=template)
        queries.table.rows[query.id] = query
        queries._templates[name] = query.id
    queries._templates = names = _Counting(queries._templates)

    assert queries.resolve("geo-db-" + "x" * 60_000) is queries.table.rows["id-geo-db-"]
    assert queries.resolve("geo-x") is queries.table.rows["id-geo-"]
    assert queries.resolve("x") is queries.table.rows["id-"]
    assert names.asked < 1000


def test_deletions_that_are_forgotten_early_are_still_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are, no list's index is below its last deletion, or goes back."""
    monkeypatch.setattr(kv, "MAX_TOMBSTONES", 10)
    store, rng = KV(clock=lambda: 0.0), random.Random(4)
    lost: dict[str, int] = {}
    shown: dict[str, int] = {}
    for revision in range(2, 2000):
        prefix = rng.choice(("a/", "b/", "c/", "d/e/"))
        key = prefix + str(rng.randrange(8))
        record = Record(f"kv/{key}", b"", revision, revision, 1)
        if key in store._sorted:
            store.table.apply(key, None, revision, _rise(revision))
            lost[prefix] = revision
        else:
            entry = KVEntry(key=key, value=b"", flags=0)
            record = record._replace(value=store.table.encode(entry))
            store.table.apply(key, record, revision, _rise(revision))
        for one in ("a/", "b/", "c/", "d/e/"):
            index = store.read_under(one).index
            assert index >= max(lost.get(one, 0), shown.get(one, 0))
            shown[one] = index
        assert len(store._tombstones) <= 10


def _rise(revision: int) -> Callable[[Topic], None]:
    def touch(topic: Topic) -> None:
        topic.index = revision

    return touch
