"""``limits.request_limits``: who is let in, who is refused, and how."""

from __future__ import annotations

from typing import Any

import pytest

from portway.discovery.api import RateSettings, RequestRates
from portway.discovery.api.error import ApiError


class Request:
    """As much of a request as is looked at."""

    def __init__(self, method: str, route: str) -> None:
        self.method = method
        self.route = route
        self.answer_headers: dict[str, str] = {}


class World:
    def __init__(self, *settings: Any) -> None:
        self.now = 100.0
        self.exceeded: list[tuple[str, bool]] = []
        self.rates = RequestRates(
            RateSettings(*settings), lambda *told: self.exceeded.append(told), lambda: self.now
        )

    def ask(self, method: str = "GET", route: str = "/v1/kv/") -> tuple[int, str]:
        """The status and, of a refusal, the text."""
        request: Any = Request(method, route)
        try:
            self.rates.admit(request)
        except ApiError as error:
            assert request.answer_headers == {"Retry-After": "1"}
            return error.status, error.message
        return 200, ""


READ = (429, "rate limit exceeded, try again later or against a different server")
WRITE = (
    503,
    "rate limit exceeded for operation that can only be performed by the leader, try again later",
)
FINE = (200, "")


def test_ten_seconds_may_come_at_once_and_then_the_rate() -> None:
    world = World("enforcing", 2.0, 1.0)
    assert [world.ask() for _ in range(21)] == [FINE] * 20 + [READ]
    assert [world.ask("PUT") for _ in range(11)] == [FINE] * 10 + [WRITE]
    world.now += 1.5
    assert [world.ask() for _ in range(4)] == [FINE] * 3 + [READ]
    assert [world.ask("DELETE") for _ in range(2)] == [FINE, WRITE]
    world.now += 3600
    assert [world.ask() for _ in range(21)] == [FINE] * 20 + [READ]
    assert world.exceeded[:2] == [("read", True), ("write", True)]


def test_a_rate_below_one_lets_single_requests_in() -> None:
    world = World("enforcing", 0.01, -1.0)
    assert [world.ask(), world.ask()] == [FINE, READ]
    world.now += 100
    assert [world.ask(), world.ask()] == [FINE, READ]
    assert [world.ask("PUT") for _ in range(1000)] == [FINE] * 1000


@pytest.mark.parametrize("mode", ["permissive", "disabled"])
def test_nothing_is_refused_where_that_is_not_enforced(mode: str) -> None:
    world = World(mode, 1.0, 1.0)
    assert {world.ask(method) for method in ("GET", "PUT") for _ in range(100)} == {FINE}
    told = {("read", False), ("write", False)} if mode == "permissive" else set()
    assert set(world.exceeded) == told


@pytest.mark.parametrize(
    ("method", "route", "answer"),
    [
        ("GET", "/v1/agent/self", FINE),
        ("PUT", "/v1/agent/service/register", FINE),
        ("GET", "/v1/status/leader", FINE),
        ("GET", "/v1/health/service/", READ),
        ("POST", "/v1/discovery-chain/", READ),
        ("POST", "/v1/internal/acl/authorize", READ),
        ("POST", "/v1/query", WRITE),
        ("PUT", "/v1/session/renew/", WRITE),
    ],
)
def test_what_counts(method: str, route: str, answer: tuple[int, str]) -> None:
    world = World("enforcing", 0.0, 0.0)
    world.ask("GET")
    world.ask("PUT")
    assert world.ask(method, route) == answer


def test_other_settings_begin_anew() -> None:
    world = World("enforcing", 0.1, 0.1)
    assert [world.ask(), world.ask()] == [FINE, READ]
    world.rates.reconfigure(RateSettings("enforcing", 0.2, 0.1))
    assert [world.ask(), world.ask()] == [FINE] * 2
    world.rates.reconfigure(RateSettings())
    assert {world.ask() for _ in range(100)} == {FINE}
