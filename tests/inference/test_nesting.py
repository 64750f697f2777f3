"""How one fit goes beyond another: a table of pairs, the parameters that are free and the variances at their edge."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.comparison.nested import difference

RNG = np.random.default_rng(4)
G, H, N = 12, 8, 288
DATA = pd.DataFrame({"g": np.arange(N) % G, "h": (np.arange(N) // G) % H, "x": RNG.normal(size=N)})
DATA["f"] = RNG.choice(["p", "q", "r"], N)
DATA["k"] = 100 - DATA["g"]  # the groups by other names
DATA["half"] = DATA["g"] // 2
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
}
NOT_NESTED = {
    ("x + (1 | g)", "x + (1 | h)"): "no part of the other",
    ("x + (1 | half)", "x + (1 | g)"): "no part of the other",
    ("x + (1 | g)", "f + (1 | g)"): "neither X holds the other",
    ("1 + (1 | g)", "x + (1 | g) + (1 | h)"): "put a fit between them",
    ("x + (1 | h)", "x + (1 | h) + (x || g)"): "2 variances more",
    ("x + (1 | g)", "x + (1 | g) + cs(0 + f | h)"): "means nothing where its variance is zero",
    ("x + (1 | g) + (0 + I(x ** 2) | g)", "x + (x | g)"): "no part of the other",
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
    from scipy.stats import chi2

    for t in (0.7, 5.0):
        free, every = ((chi2.sf(t, df) if df else 0.0) for df in (found.free, found.count))
        expected = np.nan if not found.count else 0.5 * (free + every) if found.edge else free
        np.testing.assert_allclose(found.tail(t), expected, rtol=1e-12)


@pytest.mark.parametrize("pair", NOT_NESTED, ids=" in ".join)
def test_pairs_whose_ratio_has_no_known_distribution_are_refused(pair):
    with pytest.raises(mme.MMEError, match=NOT_NESTED[pair]):
        difference(*(fitted(one).internals for one in pair))


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
