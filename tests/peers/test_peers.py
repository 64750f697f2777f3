"""Expectations of eight other packages' test suites: each holds, or differs for a reason that is written down."""

import pytest

from peers.expectations import SUITES, by_model, expectations, find

MODELS = [cases for suite in SUITES for cases in by_model(expectations(suite)).values()]


@pytest.mark.parametrize("cases", [pytest.param(cases, id=cases[0].id) for cases in MODELS])
def test_what_a_peers_suite_expects_of_a_model_holds(cases):
    found = find(cases)
    expected = [case for case in cases if not case.differs]
    wrong = [f"{case.id}: {case.check} is {found[case.id].said}" for case in expected if not found[case.id].holds]
    assert not wrong, "\n".join([f"{cases[0].formula} {cases[0].options}", *wrong])
    stale = [case.id for case in cases if case.differs and found[case.id].holds]
    assert not stale, f"hold by now, and need no reason: {', '.join(stale)}"
