"""Every case of the corpus: both proxies agree, or differ exactly as documented."""

from __future__ import annotations

import pprint
from collections.abc import Callable

import pytest

from .case import Case, Facts, Setup, load
from .conftest import Pair
from .facts import agrees, differences

SETUPS, CASES = load()


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(case: Case, pair_of: Callable[[Setup], Pair]) -> None:
    pair = pair_of(SETUPS[case.setup])
    traefik = pair.ask(pair.traefik, case)
    portway = pair.ask(pair.portway, case)
    _assert_expected("Traefik", traefik, case)
    intended = {fact: both for facts in case.differs.values() for fact, both in facts.items()}
    found = differences(traefik, portway)
    surprises = {
        fact: both
        for fact, both in found.items()
        if fact not in intended or not all(map(agrees, both, intended[fact]))
    }
    gone = {fact: intended[fact] for fact in intended.keys() - found.keys()}
    assert not surprises, (
        f"(Traefik, Portway) differ:\n{pprint.pformat(surprises)}\n{case.request!r}"
    )
    assert not gone, f"documented differences that are not there:\n{pprint.pformat(gone)}"


def _assert_expected(who: str, facts: Facts, case: Case) -> None:
    wrong = {
        fact: (facts.get(fact), wanted)
        for fact, wanted in case.expect.items()
        if not agrees(facts.get(fact), wanted)
    }
    assert not wrong, f"{who} (found, expected):\n{pprint.pformat(wrong)}\n{case.request!r}"
