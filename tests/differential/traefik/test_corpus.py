"""Every case of the corpus: both proxies agree, or differ exactly as documented."""

from __future__ import annotations

import pprint
from collections.abc import Callable

import pytest

from .case import Case, Facts, Intended, Setup, load
from .conftest import Pair
from .facts import agrees, differences, explained

SETUPS, CASES = load()

_MET: list[Intended] = []
_ASKED: set[str] = set()


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(case: Case, pair_of: Callable[[Setup], Pair]) -> None:
    pair = pair_of(SETUPS[case.setup])
    traefik = pair.ask(pair.traefik, case)
    portway = pair.ask(pair.portway, case)
    _assert_expected("Traefik", traefik, case)
    found = differences(traefik, portway)
    surprises, met = {}, []
    for fact, both in found.items():
        intended = explained(fact, both, (*case.differs, *case.widespread))
        if intended is None:
            surprises[fact] = both
        else:
            met.append(intended)
    _MET.extend(met)
    _ASKED.add(case.id)
    assert not surprises, (
        f"(Traefik, Portway) differ:\n{pprint.pformat(surprises)}\n{case.request!r}"
    )
    gone = [one for one in case.differs if one not in met]
    assert not gone, f"documented differences that are not there:\n{pprint.pformat(gone)}"


def test_widespread_differences_are_still_met() -> None:
    """An entry of ``widespread.yml`` that nothing meets any more is to be removed."""
    if len(_ASKED) < len(CASES):
        pytest.skip("not every case was run")
    named = (one for case in CASES for one in case.widespread)
    assert not [one for one in named if one not in _MET]


def _assert_expected(who: str, facts: Facts, case: Case) -> None:
    wrong = {
        fact: (facts.get(fact), wanted)
        for fact, wanted in case.expect.items()
        if not agrees(facts.get(fact), wanted)
    }
    assert not wrong, f"{who} (found, expected):\n{pprint.pformat(wrong)}\n{case.request!r}"
