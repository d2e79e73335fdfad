"""What strangers send costs in proportion to its length: counted, not timed."""

from __future__ import annotations

from typing import Any

from portway.discovery.api.route import Route, Router
from portway.discovery.model.queries import PreparedQuery, QueryTemplate
from portway.discovery.state.queries import Queries
from portway.discovery.state.topic import Topics


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
