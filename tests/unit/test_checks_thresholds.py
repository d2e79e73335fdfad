"""Thresholds: how many results in a row change a status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.discovery.checks.thresholds import Thresholds, satisfied, step, thresholds_of
from portway.discovery.model import CheckDefinition, CheckStatus

LETTERS: dict[str, CheckStatus] = {"p": "passing", "w": "warning", "c": "critical"}


def told(thresholds: Thresholds, results: str) -> str:
    """The statuses taken for results, one letter each; ``-`` where the last one is kept."""
    counters = satisfied(thresholds)
    out = []
    for letter in results:
        counters, status = step(thresholds, counters, LETTERS[letter])
        out.append("-" if status is None else status[0])
    return "".join(out)


@pytest.mark.parametrize(
    ("thresholds", "results", "expected"),
    [
        ((0, 0, 0), "pcwcp", "pcwcp"),
        ((1, 1, 1), "pcwcp", "pcwcp"),
        # three failures in a row, from the second on in warning
        ((0, 2, 3), "pcccc", "p-wcc"),
        ((0, 2, 3), "pccpccc", "p-wp-wc"),
        # without a threshold of its own for warning
        ((0, 3, 3), "pccccp", "p--ccp"),
        # two successes to leave critical, warnings count as successes
        ((2, 0, 0), "cppp", "c-pp"),
        ((2, 0, 0), "cwpcpw", "c-pc-w"),
        # the first result counts as it is
        ((3, 3, 3), "c", "c"),
        ((3, 3, 3), "p", "p"),
        ((3, 3, 3), "w", "w"),
        ((3, 3, 3), "cpcccppp", "c---c--p"),
    ],
)
def test_examples(thresholds: tuple[int, int, int], results: str, expected: str) -> None:
    assert told(Thresholds(*thresholds), results) == expected


def test_warning_comes_with_critical_unless_it_has_a_threshold() -> None:
    definition = CheckDefinition(failures_before_critical=4, success_before_passing=2)
    assert thresholds_of(definition) == Thresholds(passing=2, warning=4, critical=4)
    definition = CheckDefinition(failures_before_critical=4, failures_before_warning=1)
    assert thresholds_of(definition) == Thresholds(passing=0, warning=1, critical=4)


valid = st.builds(
    lambda passing, critical, lower: Thresholds(passing, max(critical - lower, 0), critical),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(0, 5),
)


@given(valid, st.text("pwc", max_size=40))
def test_a_status_needs_its_number_of_results_in_a_row(
    thresholds: Thresholds, results: str
) -> None:
    statuses = told(thresholds, results)
    for index, (result, status) in enumerate(zip(results, statuses, strict=True)):
        so_far = results[: index + 1]
        failures = len(so_far) - len(so_far.rstrip("c"))
        successes = len(so_far) - len(so_far.rstrip("pw"))
        if failures == len(so_far):  # nothing but failures since the start: the first counted
            assert status == "c"
        elif successes == len(so_far):
            assert status == result
        elif result == "c":
            assert (status == "c") == (failures >= thresholds.critical)
            assert (status == "w") == (thresholds.warning <= failures < thresholds.critical)
        else:
            assert status == (result if successes >= thresholds.passing else "-")


@given(valid, st.text("pwc", max_size=20), st.sampled_from("pwc"))
def test_in_the_end_what_is_steady_is_told(
    thresholds: Thresholds, before: str, steady: str
) -> None:
    assert told(thresholds, before + steady * 6)[-1] == steady
