"""The round-trip time two coordinates predict."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.discovery.model import Coordinate
from portway.discovery.operations.coordinates import ORIGIN, problem_of
from portway.discovery.state import round_trip


def at(*vec: float, height: float = 0.0, adjustment: float = 0.0) -> Coordinate:
    return Coordinate([*vec], 0.5, adjustment, height)


@pytest.mark.parametrize(
    ("one", "other", "seconds"),
    [
        (at(0.0), at(0.0), 0.0),
        (at(0.0, 3.0), at(4.0, 0.0), 5.0),
        (at(0.0, height=0.1), at(1.0, height=0.2), 1.3),
        (at(0.0, adjustment=-0.1), at(1.0, adjustment=-0.2), 0.7),
        (at(0.0, adjustment=-0.5), at(1.0, adjustment=-0.5), 1.0),  # never 0 or less
        (at(0.0, adjustment=-5.0), at(1.0), 1.0),
        (at(0.0), at(0.0, 0.0), math.inf),
    ],
)
def test_round_trip(one: Coordinate, other: Coordinate, seconds: float) -> None:
    assert round_trip(one, other) == pytest.approx(seconds)


numbers = st.floats(-10, 10)
coordinates = st.builds(
    Coordinate,
    vec=st.lists(numbers, min_size=8, max_size=8),
    error=numbers,
    adjustment=numbers,
    height=st.floats(0, 10),
)


@given(coordinates, coordinates)
def test_a_round_trip_is_the_same_both_ways_and_never_negative(
    one: Coordinate, other: Coordinate
) -> None:
    assert round_trip(one, other) == pytest.approx(round_trip(other, one))
    assert round_trip(one, other) >= 0


@pytest.mark.parametrize(
    ("coordinate", "problem"),
    [
        (ORIGIN, ""),
        (at(*[0.0] * 7), "incompatible coordinate"),
        (at(), "incompatible coordinate"),
        (at(*[0.0] * 7, math.nan), "invalid coordinate"),
        (at(*[0.0] * 8, height=math.inf), "invalid coordinate"),
    ],
)
def test_what_is_wrong_with_a_coordinate(coordinate: Coordinate, problem: str) -> None:
    assert problem_of(coordinate) == problem
