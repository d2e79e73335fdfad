"""The rateLimit middleware, without Envoy."""

from __future__ import annotations

from typing import Any

import pytest

from portway.config.options import Duration, Unsupported
from portway.edge.middlewares import rate_limit
from portway.edge.middlewares.rate_limit import RateLimit
from portway.edge.middlewares.source import IPStrategy, SourceCriterion
from portway.edge.middlewares.step import Lua, Place

PLACE = Place("m@file", "r@file", "web", tls=False)


def params(options: RateLimit, place: Place = PLACE) -> dict[str, Any]:
    assert not rate_limit.KIND.problems(options)
    (step,) = rate_limit.KIND.steps(options, place)
    assert isinstance(step, Lua) and step.rejects and step.delays and not step.responds
    return dict(step.params)


@pytest.mark.parametrize(
    ("options", "interval", "burst", "patience"),
    [
        (RateLimit(average=1), 1.0, 1, 0.5),
        (RateLimit(average=100, burst=50), 0.01, 50, 0.005),
        (RateLimit(average=1, period=Duration(60), burst=3), 60.0, 3, 0.5),
        (RateLimit(average=10, period=Duration(0), burst=0), 0.1, 1, 0.05),
        (RateLimit(average=3, period=Duration(2), burst=-1), 2 / 3, 1, 0.5),
        (RateLimit(average=5, period=Duration(2)), 0.4, 1, 0.25),
    ],
)
def test_the_bucket(options: RateLimit, interval: float, burst: int, patience: float) -> None:
    """Held back at most 1/(2·rate), the rate cut to a whole number, 500 ms below 1/s."""
    found = params(options)
    assert found["interval"] == pytest.approx(interval)
    assert (found["burst"], found["patience"]) == (burst, pytest.approx(patience))


@pytest.mark.parametrize("average", [0, -1])
def test_no_average_is_no_limit(average: int) -> None:
    options = RateLimit(average=average)
    assert not rate_limit.KIND.problems(options)
    assert not rate_limit.KIND.steps(options, PLACE)


def test_bucket_sets_belong_to_middleware_router_and_entry_point() -> None:
    places = [
        PLACE,
        PLACE._replace(middleware="n@file"),
        PLACE._replace(router="q@file"),
        PLACE._replace(entry_point="websecure"),
    ]
    assert len({params(RateLimit(average=1), place)["set"] for place in places}) == 4


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        (None, {}),
        (SourceCriterion(), {}),
        (SourceCriterion(ip_strategy=IPStrategy(depth=2)), {"depth": 2, "appended": True}),
        (SourceCriterion(request_header_name="X-Key"), {"header": "x-key"}),
        (SourceCriterion(request_host=True), {"host": True}),
    ],
)
def test_what_groups_requests(criterion: SourceCriterion | None, found: dict[str, Any]) -> None:
    assert params(RateLimit(average=1, source_criterion=criterion))["source"] == found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (RateLimit(average=1, period=Duration(-1)), ["period -1s is negative", "1m"]),
        (RateLimit(average=1, redis=Unsupported({})), ["redis is not supported"]),
        (
            RateLimit(source_criterion=SourceCriterion(request_host=True, request_header_name="X")),
            ["sourceCriterion", "mutually exclusive"],
        ),
    ],
)
def test_problems(options: RateLimit, words: list[str]) -> None:
    (problem,) = rate_limit.KIND.problems(options)
    assert all(word in problem for word in words)
