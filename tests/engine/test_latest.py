"""A dear factor is made once at one point: whoever asks for the variances of the last evaluation takes it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mme
from mme.engine.elimination import DenseElimination, SparseElimination
from mme.engine.pls import Factors
from mme.numeric.limits import Limits, within

DEAR = Limits(dear_evaluation=0.0)


def ratings(levels: tuple[int, int], n: int = 1500) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g, h = (rng.integers(0, J, n) for J in levels)
    y = rng.standard_normal(n) + rng.standard_normal(levels[0])[g] + rng.standard_normal(levels[1])[h]
    return pd.DataFrame({"y": y, "g": g, "h": h})


def counted(monkeypatch: pytest.MonkeyPatch, kind: type, fit: Callable[[], Any]) -> tuple[Any, int]:
    """A fit with its estimates, and how many factors were made for it."""
    made, plain = [], kind.bordered

    def bordered(self: Any, *given: Any) -> Any:
        made.append(1)
        return plain(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "bordered", bordered)
        found = fit()
        assert np.isfinite(found.se).all()
    return found, len(made)


@pytest.mark.parametrize(
    ("kind", "levels"), [(DenseElimination, (260, 220)), (SparseElimination, (900, 800))], ids=["dense", "sparse"]
)
def test_the_results_take_the_factor_of_the_last_evaluation(monkeypatch, kind, levels):
    data = ratings(levels)

    def fit_at():
        return mme.lmer("y ~ 1 + (1 | g) + (1 | h)", data, theta=[0.9, 1.1])

    plain, factors = counted(monkeypatch, kind, fit_at)
    with within(DEAR):
        fit, fewer = counted(monkeypatch, kind, fit_at)
    assert (factors, fewer) == (2, 1)
    assert fit.criterion == plain.criterion
    assert np.array_equal(fit.beta, plain.beta)
    assert np.array_equal(fit.se, plain.se)


def test_what_is_held_is_taken_at_the_same_variances_alone_and_once():
    """Of another point it is dropped; nothing of it is pickled."""
    objective = mme.lmer("y ~ 1 + (1 | g) + (1 | h)", ratings((260, 220))).internals.objective
    theta, other = np.array([0.8, 1.1]), np.array([0.8, 1.2])
    fresh, T, elsewhere = objective.evaluate(theta), objective.factors(theta), objective.factors(other)
    latest = objective.system.latest
    latest.keep(T, fresh)
    assert latest.taken(objective.factors(theta)) is fresh
    assert latest.taken(T) is None
    latest.keep(T, fresh)
    assert latest.taken(elsewhere) is None
    assert latest.taken(T) is None
    latest.keep(T, fresh)
    assert pickle.loads(pickle.dumps(latest)).taken(T) is None


@pytest.mark.parametrize("penalty", [None, np.array([1.0, 2.0])], ids=["", "a relationship with parameters"])
def test_factors_are_those_of_another_point_where_any_number_differs(penalty):
    T = Factors(np.eye(2), [np.ones((1, 1)), np.eye(3)], penalty, 0.5)
    assert T.equals(copy.deepcopy(T))
    others = [
        replace(T, absorbed=np.diag([1.0, 1.0 + 1e-15])),
        replace(T, rest=[np.ones((1, 1)), np.diag([1.0, 1.0, 2.0])]),
        replace(T, rest=[-np.ones((1, 1)), np.eye(3)]),
        replace(T, penalty=np.array([1.0, 3.0])),
        replace(T, penalty=np.ones(2) if penalty is None else None),
        replace(T, logdet_K=0.25),
    ]
    for other in others:
        assert not T.equals(other)
        assert not other.equals(T)
