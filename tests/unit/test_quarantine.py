"""Finding what Envoy refuses, by a model of an Envoy that refuses certain things."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from portway.edge.compile.quarantine import culprits


class Envoy:
    """Refuses groups with a bad member, and those with two members that do not go together."""

    def __init__(self, bad: set[int], pairs: set[tuple[int, int]] = frozenset()) -> None:  # type: ignore[assignment]
        self.bad, self.pairs = bad, pairs
        self.asked = 0

    async def refusal(self, group: Sequence[int]) -> str | None:
        self.asked += 1
        for member in group:
            if member in self.bad:
                return f"no {member}"
        for one, other in self.pairs:
            if one in group and other in group:
                return f"not {one} beside {other}"
        return None


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_exactly_the_bad_ones_are_found(case: tuple[int, set[int]]) -> None:
    count, bad = case
    envoy = Envoy(bad)
    found = asyncio.run(culprits(range(count), envoy.refusal))
    assert found == {member: f"no {member}" for member in bad}
    assert envoy.asked <= 1 + 2 * len(bad) * (1 + math.ceil(math.log2(count)))


@given(
    st.sets(st.integers(0, 30)),
    st.sets(
        st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(lambda pair: pair[0] != pair[1])
    ),
)
def test_what_is_left_is_accepted_and_nothing_is_blamed_alone(
    bad: set[int], pairs: set[tuple[int, int]]
) -> None:
    envoy = Envoy(bad, pairs)
    found = asyncio.run(culprits(range(31), envoy.refusal))
    left = set(range(31)) - found.keys()
    assert asyncio.run(envoy.refusal(sorted(left))) is None
    for culprit in found:
        assert asyncio.run(envoy.refusal(sorted({*left, culprit}))) is not None


def test_of_two_that_do_not_go_together_the_later_is_blamed() -> None:
    envoy = Envoy(set(), {(2, 5)})
    assert asyncio.run(culprits(range(8), envoy.refusal)) == {5: "not 2 beside 5"}


def test_no_suspects() -> None:
    assert asyncio.run(culprits([], Envoy(set()).refusal)) == {}
