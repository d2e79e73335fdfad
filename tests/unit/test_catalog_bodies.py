"""Bodies of answers: rendered once per version, and bounded together."""

from __future__ import annotations

from collections.abc import Callable

from portway.discovery.api.bodies import Bodies


def counted(calls: list[str], body: bytes) -> Callable[[], bytes]:
    def render() -> bytes:
        calls.append("rendered")
        return body

    return render


def test_a_body_is_rendered_once_per_version() -> None:
    bodies, calls = Bodies(), list[str]()
    for version, body in (((0, 1), b"a"), ((0, 1), b"x"), ((0, 2), b"b"), ((1, 2), b"c")):
        got = bodies.get("key", version, counted(calls, body))
        assert got == (b"a" if body == b"x" else body)
    assert len(calls) == 3
    assert len(bodies) == 1


def test_the_least_recently_used_go_first() -> None:
    bodies, calls = Bodies(limit=40_000), list[str]()
    for name in ("a", "b", "a", "c"):  # three of them do not fit
        bodies.get(name, (0, 1), counted(calls, bytes(15_000)))
    assert len(bodies) == 2
    assert len(calls) == 3
    bodies.get("a", (0, 1), counted(calls, b""))
    assert len(calls) == 3, "a was used since"
    bodies.get("b", (0, 1), counted(calls, b""))
    assert len(calls) == 4


def test_long_keys_with_short_bodies_are_bounded_too() -> None:
    bodies = Bodies(limit=1 << 20)
    for number in range(1000):
        bodies.get((number, "x" * 10_000), (0, 1), lambda: b"[]")
    assert len(bodies) < 105


def test_a_body_larger_than_everything_is_answered_and_not_kept() -> None:
    bodies = Bodies(limit=1000)
    assert bodies.get("a", (0, 1), lambda: bytes(5000)) == bytes(5000)
    assert len(bodies) == 0
