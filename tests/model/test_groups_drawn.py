"""Groups drawn as cases: the model on them is the model of a table whose copies have labels of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.engine.objective import Objective
from mme.model.cases import Cases, LeftOut, Resampled, holds, outermost

DRAWN = np.array([3, 1, 3, 0, 3])


def table(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(5), [6, 9, 7, 8, 10])
    room = school * 2 + rng.integers(0, 2, school.size)
    book = rng.integers(0, 4, school.size)
    x, w = rng.normal(size=school.size), rng.uniform(0.5, 2.0, school.size)
    y = x + rng.normal(size=5)[school] + rng.normal(size=10)[room] + rng.normal(size=4)[book] + rng.normal(size=x.size)
    return pd.DataFrame({"y": y, "x": x, "w": w, "school": school, "room": room, "book": book})


def copied(data: pd.DataFrame, drawn: np.ndarray) -> pd.DataFrame:
    """The table of the levels drawn: labels of schools and rooms are those of the copy, books keep theirs."""
    parts = [data[data["school"] == g].assign(copy=i) for i, g in enumerate(drawn)]
    both = pd.concat(parts, ignore_index=True)
    return both.assign(school=both["copy"], room=both["copy"].astype(str) + "r" + both["room"].astype(str))


@pytest.mark.parametrize(
    ("formula", "theta"),
    [
        ("y ~ x + (1 | school)", [0.8]),
        ("y ~ x + (x | school)", [0.8, 0.3, 0.5]),
        ("y ~ x + (1 | school) + (1 | room)", [0.8, 0.6]),
        ("y ~ x + (1 | school) + (1 | book)", [0.8, 0.6]),
    ],
)
def test_the_model_of_levels_drawn_is_that_of_their_table(formula, theta):
    data = table()
    fit = mme.lmer(formula, data, weights="w", theta=theta)
    cases = Cases.by(fit.internals.model, fit.internals.basis.kept, data["school"].to_numpy())
    apart = mme.lmer(formula, copied(data, DRAWN), weights="w", theta=theta)
    together = Objective.of(cases.of(DRAWN))
    assert_allclose(together(np.array(theta)), apart.criterion, rtol=1e-12)


def test_each_level_once_is_the_model_itself():
    data = table(1)
    fit = mme.lmer("y ~ x + (x | school) + (1 | book)", data, offset=data["w"].to_numpy())
    cases = Cases.by(fit.internals.model, fit.internals.basis.kept, data["school"].to_numpy())
    assert_allclose(Objective.of(cases.of(np.arange(5)))(fit.theta), fit.criterion, rtol=1e-12)


def test_strata_of_the_residuals_go_with_the_records():
    data = table(2).assign(half=lambda d: np.where(d["book"] < 2, "a", "b"))
    fit = mme.lmer("y ~ x + (1 | school)", data, residual=mme.Heterogeneous("half"))
    cases = Cases.by(fit.internals.model, fit.internals.basis.kept, data["school"].to_numpy())
    made = Objective.of(cases.of(DRAWN), phi=fit.internals.optimum.phi)
    ratio = next(iter(fit.residual.values()))
    weighted = copied(data, DRAWN)
    assert list(fit.residual) == ["sd.b/sd.a"]
    sd = np.where(weighted["half"] == "b", ratio, 1.0)
    apart = mme.lmer("y ~ x + (1 | school)", weighted, weights=1.0 / sd**2, theta=fit.theta)
    assert_allclose(made(fit.theta), apart.criterion, rtol=1e-12)


def test_without_a_group_is_the_fit_to_the_others():
    data = table(3)
    fit = mme.lmer("y ~ x + (1 | school)", data)
    cases = Cases.by(fit.internals.model, fit.internals.basis.kept, data["school"].to_numpy())
    left = LeftOut(cases, 5)
    assert_array_equal(left.levels(2), [0, 1, 3, 4])
    others = mme.lmer("y ~ x + (1 | school)", data[data["school"] != 2], theta=fit.theta)
    assert_allclose(Objective.of(cases.of(left.levels(2)))(fit.theta), others.criterion, rtol=1e-12)
    assert_array_equal(LeftOut(cases, 2).levels(0), [1, 3])


def test_levels_are_drawn_with_replacement_all_alike():
    model = mme.lmer("y ~ x + (1 | school)", table()).internals.model
    cases = Cases.by(model, np.arange(2), table()["school"].to_numpy())
    drawn = np.array([Resampled(cases, 7).levels(i) for i in range(400)])
    assert drawn.shape == (400, 5)
    counts = np.bincount(drawn.ravel(), minlength=5)
    assert np.abs(counts - 400).max() < 5 * np.sqrt(400)
    assert_array_equal(Resampled(cases, 7).levels(3), drawn[3])


def test_the_outermost_factor_holds_all_others():
    data = table()
    nested = mme.lmer("y ~ 1 + (1 | room) + (1 | school)", data).internals.model.terms
    assert_array_equal(outermost(nested), data["school"])
    assert outermost(mme.lmer("y ~ 1 + (1 | school) + (1 | book)", data).internals.model.terms) is None
    assert not holds(data["room"].to_numpy(), data["school"].to_numpy())


def test_what_are_no_cases_is_refused():
    data = table()
    related = mme.Relationship(covariance=np.eye(5), levels=np.arange(5))
    fit = mme.lmer("y ~ x + (1 | school)", data, relationship={"school": related})
    with pytest.raises(mme.MMEError, match="related: groups are no independent cases"):
        fit.bootstrap(5, draws="cases")
    fit = mme.lmer("y ~ x + (1 | school)", data, residual=mme.CompoundSymmetry("room"))
    with pytest.raises(mme.MMEError, match="correlated residuals"):
        fit.bootstrap(5, draws="cases")
    with pytest.raises(mme.MMEError, match="'school', 'book' cross: name the factor"):
        mme.lmer("y ~ x + (1 | school) + (1 | book)", data).bootstrap(5, draws="cases")
    with pytest.raises(mme.MMEError, match="'town' is no grouping factor of the fit"):
        mme.lmer("y ~ x + (1 | school)", data).bootstrap(5, draws="cases", by="town")
