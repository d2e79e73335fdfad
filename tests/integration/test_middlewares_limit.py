"""rateLimit on a real Envoy: answers as Traefik's, exact over workers, kept over changes."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest
from envoy.config.route.v3.route_components_pb2 import Route, RouteAction, RouteMatch

from portway.config.options import Duration
from portway.edge import pipeline
from portway.edge.middlewares import rate_limit
from portway.edge.middlewares.rate_limit import RateLimit
from portway.edge.middlewares.source import SourceCriterion
from portway.edge.middlewares.step import Place, Step
from tests.patience import PATIENCE

from .envoy_rig import Rig, ads_source, cluster, endpoints, listener, private_dir, route_table
from .envoy_static import Answer, Peer, echo, envoy
from .traefik_static import available, traefik

HOUR = Duration(3600)


def limit(router: str = "r@file", point: str = "web", **options: Any) -> list[Step]:
    return compiled(RateLimit(**options), router, point)


def written(router: str, definition: dict[str, Any]) -> list[Step]:
    """The steps of a limit as a dynamic file spells it."""
    made = msgspec.convert(definition, RateLimit, dec_hook=lambda _, value: Duration.parse(value))
    return compiled(made, router, "web")


def compiled(made: RateLimit, router: str, point: str) -> list[Step]:
    assert not rate_limit.KIND.problems(made)
    return list(rate_limit.KIND.steps(made, Place("m@file", router, point, tls=False)))


BY_DEPTH = {"ipStrategy": {"depth": 1}}
BY_SUBNET = {"ipStrategy": {"depth": 1, "ipv6Subnet": 64}}
LIMITS: dict[str, dict[str, Any]] = {
    "three.test": {"average": 1, "period": "1h", "burst": 3},
    "one.test": {"average": 1, "period": "1h"},
    "odd.test": {"average": 7, "period": "60m"},
    "day.test": {"average": 1, "period": "24h", "burst": 2},
    "noburst.test": {"average": 1, "period": "1h", "burst": 0},
    "negative.test": {"average": 1, "period": "1h", "burst": -4},
    "off.test": {"average": 0, "burst": 1},
    "offnegative.test": {"average": -1, "burst": 1},
    "header.test": {
        "average": 1,
        "period": "1h",
        "sourceCriterion": {"requestHeaderName": "X-Key"},
    },
    "host.test": {"average": 1, "period": "1h", "sourceCriterion": {"requestHost": True}},
    "depth.test": {"average": 1, "period": "1h", "sourceCriterion": BY_DEPTH},
    "subnet.test": {"average": 1, "period": "1h", "sourceCriterion": BY_SUBNET},
    "peer.test": {"average": 1, "period": "1h", "sourceCriterion": {"requestHost": False}},
}
KEY = "X-Key"
XFF = "X-Forwarded-For"
# Host, request headers, peer; each is sent twice.
SEQUENCE: list[tuple[str, list[tuple[str, str]], str]] = [
    *((host, [], "127.0.0.1") for host in LIMITS for _ in range(2)),
    ("header.test", [(KEY, "a")], "127.0.0.1"),
    ("header.test", [(KEY, "b")], "127.0.0.2"),
    ("header.test", [(KEY, "a")], "127.0.0.2"),
    ("header.test", [(KEY, "")], "127.0.0.3"),
    ("header.test", [(KEY, "b"), (KEY, "c")], "127.0.0.1"),
    ("host.test:80", [], "127.0.0.1"),
    ("HOST.test", [], "127.0.0.2"),
    ("host.test", [], "127.0.0.2"),
    ("depth.test", [(XFF, "1.1.1.1")], "127.0.0.1"),
    ("depth.test", [(XFF, "2.2.2.2, 1.1.1.1")], "127.0.0.2"),
    ("depth.test", [(XFF, "1.1.1.1, 2.2.2.2")], "127.0.0.1"),
    ("depth.test", [(XFF, "1.1.1.1:80")], "127.0.0.1"),
    ("subnet.test", [(XFF, "2001:db8::1")], "127.0.0.1"),
    ("subnet.test", [(XFF, "2001:db8::2:0:0:1")], "127.0.0.1"),
    ("subnet.test", [(XFF, "2001:db8:0:1::1")], "127.0.0.1"),
    ("subnet.test", [(XFF, "2001:DB8:0:1::2")], "127.0.0.1"),
    ("subnet.test", [(XFF, "9.9.9.9")], "127.0.0.1"),
    ("subnet.test", [(XFF, "9.9.9.8")], "127.0.0.1"),
    ("peer.test", [], "127.0.0.2"),
    ("peer.test", [(XFF, "8.8.8.8")], "127.0.0.2"),
    ("one.test", [], "127.0.0.2"),
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with echo() as port:
        yield port


def test_as_traefik(tmp_path_factory: pytest.TempPathFactory, upstream: int) -> None:
    if not available():
        pytest.skip("the real Traefik is not installed")
    ours, theirs = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    routes = {host: written(f"{host}@file", made) for host, made in LIMITS.items()}
    rivals = {host: [{"rateLimit": made}] for host, made in LIMITS.items()}
    with (
        envoy(ours, upstream, routes, workers=2, trusted=True) as portway,
        traefik(theirs, upstream, rivals, trusted=True) as rival,
    ):
        statuses = set()
        for host, headers, peer in SEQUENCE:
            for _ in range(2):
                mine, its = (
                    proxy.ask(host, "/", headers=headers, source=peer) for proxy in (portway, rival)
                )
                assert (mine.status, mine.seen is None) == (its.status, its.seen is None), host
                statuses.add(mine.status)
                if mine.status == 429:
                    assert mine.body == its.body == "Too Many Requests"
                    assert abs(waits(mine) - waits(its)) < 60
        assert statuses == {200, 429}


def waits(answer: Answer) -> float:
    """The seconds that X-Retry-In, a Go duration, asks for; Retry-After is their ceiling."""
    (text,), (after,) = answer.values("x-retry-in"), answer.values("retry-after")
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(\d+(?:\.\d{1,9})?)s", text)
    assert found, text
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    assert float(after) == math.ceil(total)
    return total


@pytest.fixture
def two_workers(tmp_path: Path, upstream: int) -> Iterator[Peer]:
    routes = {
        "burst.test": limit("burst@file", average=1, period=HOUR, burst=200),
        "a.test": limit("a@file", average=1, period=HOUR, burst=2),
        "b.test": limit("b@file", average=1, period=HOUR, burst=2),
        "tls.test": limit("a@file", "websecure", average=1, period=HOUR, burst=2),
        "keys.test": limit(
            "keys@file",
            average=1,
            period=HOUR,
            source_criterion=SourceCriterion(request_header_name="X-Key"),
        ),
        "strict.test": limit("same@file", average=1, period=HOUR, burst=20),
        "lax.test": limit("same@file", average=20),
        "early.test": limit("early@file", average=2, burst=1),
        "both.test": [
            *limit("b1@file", average=1000, burst=1000),
            *limit("b2@file", average=1, period=HOUR),
        ],
    }
    with envoy(tmp_path, upstream, routes, workers=2) as proxy:
        yield proxy


def statuses(proxy: Peer, host: str, count: int, key: str = "") -> Counter[int]:
    """Ask over one connection that stays open."""
    connection = HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
    found: Counter[int] = Counter()
    for _ in range(count):
        connection.request("GET", "/", headers={"Host": host, KEY: key})
        response = connection.getresponse()
        response.read()
        found[response.status] += 1
    connection.close()
    return found


def test_workers_share_the_buckets_exactly(two_workers: Peer) -> None:
    with ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(statuses, two_workers, "burst.test", 50) for _ in range(16)]
        total = sum((one.result() for one in asked), Counter[int]())
    assert total == {200: 200, 429: 600}


def test_every_router_and_entry_point_has_its_own_buckets(two_workers: Peer) -> None:
    for host in ("a.test", "b.test", "tls.test"):
        assert statuses(two_workers, host, 3) == {200: 2, 429: 1}


def test_each_of_many_sources_has_its_own_bucket(two_workers: Peer) -> None:
    def twice(key: str) -> Counter[int]:
        return statuses(two_workers, "keys.test", 2, key)

    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(twice, (f"key-{number}" for number in range(400))):
            assert found == {200: 1, 429: 1}


def test_a_milder_limit_counts_soon(two_workers: Peer) -> None:
    """A bucket that a stricter limit had emptied for hours."""
    assert statuses(two_workers, "strict.test", 21) == {200: 20, 429: 1}
    deadline = time.monotonic() + PATIENCE
    while two_workers.ask("lax.test", "/").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_request_that_comes_early_is_held_back(two_workers: Peer) -> None:
    """Two per second: the second waits for its token when at most 250 ms are missing.

    Envoy counts the wait from the moment its loop woke up, so a stall may shorten it; what is
    admitted, and when, is exact.
    """
    start = time.monotonic()
    passed = held = 0
    while passed < 4:
        asked = time.monotonic()
        answer = two_workers.ask(
            "early.test", "/", headers=[("x-envoy-fault-delay-request", "90000")]
        )
        if answer.status == 200:
            assert answer.seen is not None
            assert not any("fault" in name for name, _ in answer.seen.headers)
            held += time.monotonic() - asked > 0.1
            passed += 1
            assert time.monotonic() - start >= (passed - 1) * 0.5 - 0.26
        else:
            (text,) = answer.values("x-retry-in")
            assert text.endswith("ms") and 250 < float(text.removesuffix("ms")) <= 750
    assert held


def test_two_limits_of_one_router_both_count(two_workers: Peer) -> None:
    assert statuses(two_workers, "both.test", 2) == {200: 1, 429: 1}


def test_memory_is_one_block_of_fixed_size(two_workers: Peer) -> None:
    assert two_workers.ask("a.test", "/").status == 200
    sizes = []
    for child in Path("/proc/self/task").glob("*/children"):
        for pid in child.read_text().split():
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    if "portway-rates" in str(link.readlink()):
                        sizes.append(link.stat().st_size)
    assert sizes == [8192 + 16 * 2**17]


def site(rig: Rig, backend: int, name: str, **options: Any) -> list[Any]:
    """One route behind a limit, under a route configuration that differs with ``name``."""
    arrangement = pipeline.arrange(limit(**options))
    route = Route(
        name=name,
        match=RouteMatch(prefix="/"),
        route=RouteAction(cluster="a"),
        typed_per_filter_config=arrangement.per_filter_config,
    )
    return [
        *pipeline.chain_resources({}),
        listener("web", rig.port, "web", pipeline.http_filters(ads_source())),
        route_table("web", [route]),
        cluster("a"),
        endpoints("a", backend),
    ]


async def test_buckets_outlive_configuration_changes() -> None:
    with private_dir() as where:
        rig = Rig(where)
        try:
            backend = await rig.backend("one")
            await rig.live(site(rig, backend, "first", average=1, period=HOUR, burst=3))
            assert [(await rig.ask())[0] for _ in range(2)] == [200, 200]
            await rig.apply(site(rig, backend, "second", average=1, period=HOUR, burst=3))
            assert [(await rig.ask())[0] for _ in range(2)] == [200, 429]
            await rig.apply(site(rig, backend, "third", average=1, period=HOUR, burst=4))
            assert [(await rig.ask())[0] for _ in range(2)] == [200, 429]
            assert not rig.rejections
        finally:
            await rig.close()
