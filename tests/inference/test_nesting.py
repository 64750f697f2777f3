"""How one fit goes beyond another: a table of pairs, the parameters that are free and the variances at their edge."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import mme
from mme.engine.plan import Stochastic
from mme.inference.comparison.compare import anova
from mme.inference.comparison.nested import Difference, difference, wilks

RNG = np.random.default_rng(4)
G, H, N = 12, 8, 288
DATA = pd.DataFrame({"g": np.arange(N) % G, "h": (np.arange(N) // G) % H, "x": RNG.normal(size=N)})
DATA["f"] = RNG.choice(["p", "q", "r"], N)
DATA["k"] = 100 - DATA["g"]  # the groups by other names
DATA["half"] = DATA["g"] // 2
DATA["time"] = np.arange(N) // G
SLOPES = 1.5 * RNG.normal(size=(2, G))
DATA["y"] = SLOPES[0][DATA["g"]] + (1 + SLOPES[1][DATA["g"]]) * DATA["x"] + RNG.normal(size=N)
DATA["y"] += 1.2 * RNG.normal(size=H)[DATA["h"]] + RNG.normal(size=(G, 3))[DATA["g"], DATA["f"].map(ord) - 112]

NESTED = {
    ("1 + (1 | g)", "x + (1 | g)"): (1, 0),
    ("x + (1 | g)", "x * f + (1 | g)"): (4, 0),
    ("x + f + (1 | g)", "x + f + (1 | g) + (1 | h)"): (0, 1),
    ("x + (1 | g)", "x + (x | g)"): (1, 1),
    ("x + (1 | g)", "x + (x || g)"): (0, 1),
    ("x + (0 + x | g)", "x + (x | g)"): (1, 1),
    ("x + (x || g)", "x + (x | g)"): (1, 0),
    ("x + (1 | g)", "x + (1 | k)"): (0, 0),
    ("x + (0 + I(2 * x + 3) | g)", "x + (x | g)"): (1, 1),
    ("f + (1 | g)", "f + (1 | g) + (1 | f:g)"): (0, 1),
    ("f + (1 | g)", "f + (1 | g) + diag(0 + f | g, hom = TRUE)"): (0, 1),
    ("x + diag(0 + x + I(2 * x) | g, hom = TRUE)", "x + diag(0 + x + I(2 * x) | g, hom = TRUE) + (1 | h)"): (0, 1),
}
NOT_NESTED = {
    ("x + (1 | g)", "x + (1 | h)"): "no part of the other",
    ("x + (1 | half)", "x + (1 | g)"): "no part of the other",
    ("x + (1 | g)", "f + (1 | g)"): "neither X holds the other",
    ("1 + (1 | g)", "x + (1 | g) + (1 | h)"): "put a fit between them",
    ("x + (1 | h)", "x + (1 | h) + (x || g)"): "2 variances more",
    ("x + (1 | g)", "x + (1 | g) + cs(0 + f | h)"): "means nothing where its variance is zero",
    ("f + (1 | g)", "f + (1 | g) + cs(0 + f | h, hom = TRUE)"): "means nothing where its variance is zero",
    ("x + (1 | h)", "x + (1 | h) + (x | g)"): "2 variances more",
    ("x + (1 | g) + (0 + I(x ** 2) | g)", "x + (x | g)"): "no part of the other",
}
# Diagonal blocks whose columns depend on one another are another covariance than one block of all of them.
NOT_NESTED |= {
    ("x + (1 | g) + (0 + x | g) + (0 + I(2 * x + 3) | g)", "x + (x + I(x ** 2) | g)"): "split otherwise",
    ("x + (1 | g) + (0 + x | g) + (0 + I(2 * x + 3) | g)", "x + (x | g) + (1 | h)"): "split otherwise",
}
FITS: dict[str, mme.Fit] = {}


def fitted(formula: str) -> mme.Fit:
    if formula not in FITS:
        FITS[formula] = mme.lmer(f"y ~ {formula}", DATA, method="ML")
    return FITS[formula]


@pytest.mark.parametrize("pair", NESTED, ids=" in ".join)
def test_free_parameters_and_variances_at_their_edge(pair):
    small, large = map(fitted, pair)
    found = difference(small.internals, large.internals)
    assert (found.free, found.edge) == NESTED[pair]
    for t in (0.7, 5.0):
        count = found.free + found.edge
        free, every = ((chi2.sf(t, df) if df else 0.0) for df in (found.free, count))
        expected = np.nan if not count else 0.5 * (free + every) if found.edge else free
        np.testing.assert_allclose(found.tail(t), expected, rtol=1e-12)


@pytest.mark.parametrize("pair", NOT_NESTED, ids=" in ".join)
def test_pairs_whose_ratio_has_no_known_distribution_are_refused(pair):
    with pytest.raises(mme.MMEError, match=NOT_NESTED[pair]):
        difference(*(fitted(one).internals for one in pair))


@pytest.mark.parametrize("unit", [1e-18, 1e18])
def test_parts_of_a_block_are_its_parts_in_any_unit_of_a_slope(unit):
    pair = [
        mme.lmer(f"y ~ x + {bars}", DATA.assign(u=unit * DATA["x"]), method="ML") for bars in ("(u || g)", "(u | g)")
    ]
    found = difference(*(fit.internals for fit in pair))
    assert (found.free, found.edge) == (1, 0)


def test_columns_with_levels_of_their_own_may_have_one_value():
    """Half of a record's effects each: columns of ones, of other levels."""
    both, one = (f"x + {bars}" for bars in ("(1 | str(g, h))", "diag(1 | str(g, h))"))
    found = difference(fitted(one).internals, fitted(both).internals)
    assert (found.free, found.edge) == (1, 0)


def test_wilks_has_no_probability_where_there_is_nothing_to_test():
    df, ratios = np.array([0.0, 0.0, -1.0, 1.0, 3.0, np.nan]), np.array([2.0, 0.0, 2.0, 2.0, 0.0, np.nan])
    np.testing.assert_allclose(wilks(df, ratios), [np.nan, np.nan, np.nan, chi2.sf(2.0, 1), 1.0, np.nan], rtol=1e-12)


def test_a_ratio_of_what_a_search_leaves_is_none_of_a_variance_at_its_edge():
    """chi2_0 is zero: P(ratio >= 0) is one. Criteria are known to about a millionth, and a ratio of 0.001 is one."""
    assert Difference(free=0, edge=1).tail(0.0) == 1.0
    np.testing.assert_allclose(Difference(free=0, edge=1).tail(1e-7), 1.0, atol=1e-3)
    np.testing.assert_allclose(Difference(free=0, edge=1).tail(1e-3), 0.5 * chi2.sf(1e-3, 1), rtol=1e-12)


@pytest.mark.parametrize("given", [{"theta": [0.7]}, {"phi": {"rho": 0.3}}])
@pytest.mark.parametrize("which", [0, 1])
def test_fits_that_were_given_their_parameters_have_no_ratio(given, which):
    series = {"residual": mme.AR1("time", "g")}
    pair = [
        mme.lmer(f"y ~ {one} + (1 | h)", DATA, method="ML", **series, **(given if at == which else {})).internals
        for at, one in enumerate(("1", "x"))
    ]
    with pytest.raises(mme.MMEError, match="theta or phi was given"):
        difference(*pair)


@pytest.mark.parametrize("pair", [("x + (x || g)", "x + (x | g)"), ("x + (1 | g)", "x + (x | g)")], ids=" in ".join)
def test_a_larger_fit_is_no_part_of_a_smaller(pair):
    with pytest.raises(mme.MMEError, match=r"not nested|no part"):
        difference(*(fitted(one).internals for one in reversed(pair)))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"weights": DATA["x"] ** 2 + 1}, "other weights"),
        ({"offset": DATA["x"] ** 2}, "other offset"),
        ({"sigma": 1.5}, "other sigma"),
        ({"formula": "y ~ f + (x | g)"}, "other fixed effects"),
    ],
)
def test_fits_of_which_none_is_a_special_case_have_no_ratio(other, said):
    small = fitted("x + (1 | g)")
    large = mme.lmer(**{"formula": "y ~ x + (x | g) + (1 | h)", "data": DATA, "method": "ML"} | other)
    with pytest.warns(mme.MMEWarning, match=said):
        table = mme.anova(large, small)
    assert table[["chisq", "df", "p"]].isna().all(axis=None)
    assert table["aic"].tolist() == [small.aic, large.aic]


def test_fits_with_equally_many_parameters_have_no_p_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = mme.anova(fitted("x + (1 | g)"), fitted("I(x ** 2) + (1 | g)"))
    assert table["p"].isna().all()


def test_a_table_has_the_ratios_of_neighbours_from_the_smallest_to_the_largest():
    formulas = ("1 + (1 | g)", "x + (1 | g)", "x + (x | g)")
    fits = [fitted(one) for one in formulas]
    table = mme.anova(fits[1], fits[2], fits[0])
    assert table.index.tolist() == [f"y ~ {one}" for one in formulas]
    assert table["npar"].tolist() == [3, 4, 6]
    ratios = [fits[0].criterion - fits[1].criterion, fits[1].criterion - fits[2].criterion]
    np.testing.assert_allclose(table["chisq"], [np.nan, *ratios], rtol=1e-12)
    np.testing.assert_allclose(table["df"], [np.nan, 1, 2])
    np.testing.assert_allclose(table["p"], [np.nan, chi2.sf(ratios[0], 1), chi2.sf(ratios[1], 2)], rtol=1e-12)
    np.testing.assert_allclose(table["deviance"], [fit.criterion for fit in fits])
    np.testing.assert_allclose(table["loglik"], table["deviance"] / -2.0)
    np.testing.assert_allclose(table["aic"], table["deviance"] + 2.0 * table["npar"])
    np.testing.assert_allclose(table["bic"], table["deviance"] + np.log(N) * table["npar"])
    by_edge = mme.anova(*fits, boundary=True)
    assert by_edge["reference"].tolist() == ["", "chi2(1)", "0.5 chi2(1) + 0.5 chi2(2)"]
    mixture = 0.5 * (chi2.sf(ratios[1], 1) + chi2.sf(ratios[1], 2))
    np.testing.assert_allclose(by_edge["p"], [np.nan, table["p"].iloc[1], mixture], rtol=1e-12)


def test_fits_of_one_label_are_told_apart_by_their_places_and_those_without_a_formula_numbered():
    one = fitted("x + (1 | g)")
    assert mme.anova(one, one).index.tolist() == ["y ~ x + (1 | g) [1]", "y ~ x + (1 | g) [2]"]
    arrays = [mme.fit(DATA["y"], np.ones((N, 1)), terms) for terms in ([], [mme.Term(DATA["g"])])]
    assert mme.anova(*arrays).index.tolist() == ["model 1", "model 2"]


def test_the_ratio_of_one_model_by_two_names_of_its_groups_is_zero():
    row = mme.anova(fitted("x + (1 | g)"), fitted("x + (1 | k)")).iloc[1]
    assert row["chisq"] == pytest.approx(0.0, abs=1e-8)
    assert row["df"] == 0
    assert np.isnan(row["p"])


@pytest.mark.parametrize("methods", [("REML", "ML"), ("ML", "REML")])
def test_least_squares_is_taken_by_the_method_of_the_others_whichever_it_was_fitted_by(methods):
    own, others = methods
    least, same = (mme.lm("y ~ x", DATA, method=one) for one in (own, others))
    large = mme.lmer("y ~ x + (1 | g)", DATA, method=others)
    for fits in ((least, large), (large, least)):
        np.testing.assert_allclose(mme.anova(*fits)["chisq"].iloc[1], same.criterion - large.criterion, rtol=1e-9)


def test_correlated_errors_and_held_variances_are_no_least_squares():
    errors = mme.lmer("y ~ x", DATA, residual=mme.AR1("time", "g"))
    with pytest.raises(mme.MMEError, match="REML with ML"):
        mme.anova(errors, fitted("x + (1 | g)"))


def by_iteration(formula: str, error: float) -> Any:
    """The record of a fit, as if the iterative engine knew its criterion with this standard error."""
    own = fitted(formula).internals
    known = Stochastic(probes=10, error=0.01, iterations=1, steps=1, criterion_error=error)
    engine = replace(own.objective.engine, stochastic=known)
    return replace(own, objective=replace(own.objective, engine=engine))


@pytest.mark.parametrize(("errors", "told"), [((0.012, 0.012), True), ((0.025, 0.0), False), ((0.016, 0.016), False)])
def test_ratios_of_criteria_that_are_known_to_two_hundredths_are_told(errors, told):
    """Errors of chance of two criteria add up in square; beyond 0.02 a p of 0.05 could be another."""
    fits = [by_iteration(one, error) for one, error in zip(("1 + (1 | g)", "x + (1 | g)"), errors, strict=True)]
    if told:
        assert np.isfinite(anova(*fits)["p"].iloc[1])
        return
    with pytest.raises(mme.MMEError, match="knows the criterion of these fits with a standard error"):
        anova(*fits)
