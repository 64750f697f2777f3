"""Whatever stands beside a table has its rows in the table's order, or labels that are not the table's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import mme

RNG = np.random.default_rng(8)
N = 48
INDEX = pd.Index([f"s{i}" for i in range(N)])
DATA = pd.DataFrame({"g": np.arange(N) % 8, "t": np.arange(N) // 8, "x": RNG.normal(size=N)}, index=INDEX)
DATA["y"] = DATA["x"] + RNG.normal(size=8)[DATA["g"]] + RNG.normal(size=N)
DATA["k"] = RNG.poisson(2.0, size=N)
POSITIVE = pd.Series(RNG.uniform(1.0, 3.0, N), INDEX)
MANY = pd.DataFrame(RNG.normal(size=(N, 3)), INDEX, columns=["a", "b", "c"])
X = pd.DataFrame({"one": 1.0, "x": DATA["x"]}, INDEX)
FIT = mme.lmer("y ~ x + (1 | g)", DATA)
COUNTS = mme.glmer("k ~ x + (1 | g)", DATA, "poisson")


def lmer(**options):
    return mme.lmer("y ~ x + (1 | g)", DATA, **options).beta


def arrays(y=DATA["y"], columns=X, groups=DATA["g"], **options):
    return mme.fit(y, columns, [mme.Term(groups)], **options).beta


def counts(y=DATA["k"], columns=X, groups=DATA["g"], **options):
    return mme.glm_fit(y, columns, [mme.Term(groups)], "poisson", **options).beta


def many(responses, **options):
    return mme.lmer_many("~ x + (1 | g)", DATA, responses, **options).estimate.to_numpy()


# Each takes values of pandas that stand beside a table, and gives numbers.
BESIDE = {
    "weights": (POSITIVE, lambda v: lmer(weights=v)),
    "offset": (POSITIVE, lambda v: lmer(offset=v)),
    "subset": (POSITIVE > 1.3, lambda v: lmer(subset=v)),
    "weights of counts": (POSITIVE.round(), lambda v: mme.glmer("k ~ x + (1 | g)", DATA, "poisson", weights=v).beta),
    "residual": (DATA["t"], lambda v: mme.lmer("y ~ x + (1 | g)", DATA, residual=mme.AR1(v, "g")).beta),
    "a column of a mapping": (DATA["x"], lambda v: mme.lmer("y ~ x + (1 | g)", {**dict(DATA), "x": v}).beta),
    "y": (DATA["y"], lambda v: arrays(y=v)),
    "X": (X, lambda v: arrays(columns=v)),
    "groups": (DATA["g"], lambda v: arrays(groups=v)),
    "groups beside y alone": (DATA["g"], lambda v: arrays(groups=v, columns=X.to_numpy())),
    "covariates": (X, lambda v: mme.fit(DATA["y"].to_numpy(), X.to_numpy(), [mme.Term(DATA["g"], v)]).beta),
    "weights of arrays": (POSITIVE, lambda v: arrays(weights=v)),
    "offset of arrays": (POSITIVE, lambda v: arrays(offset=v)),
    "residual of arrays": (DATA["t"], lambda v: arrays(residual=mme.AR1(v, DATA["g"]))),
    "counts": (DATA["k"], lambda v: counts(y=v)),
    "counts beside groups alone": (DATA["k"], lambda v: counts(y=v, columns=X.to_numpy())),
    "weights of counts of arrays": (POSITIVE.round(), lambda v: counts(weights=v)),
    "refit": (DATA["y"], lambda v: FIT.refit(v).beta),
    "refits": (MANY, lambda v: FIT.refit(v).beta),
    "refit of counts": (DATA["k"], lambda v: COUNTS.refit(v).beta),
    "responses": (MANY, many),
    "responses of a mapping": (MANY["a"], lambda v: many({"a": v, "b": MANY["b"]})),
    "responses in blocks": (MANY, lambda v: many(iter([v]))),
    "responses of AnnData": (
        MANY,
        lambda v: many(SimpleNamespace(X=v.to_numpy(), var_names=v.columns, obs_names=v.index)),
    ),
    "weights of responses": (1.0 + MANY.abs(), lambda v: many(MANY, weights=v)),
    "candidates": (MANY, lambda v: mme.scan(FIT, v).table["estimate"].to_numpy()),
    "cluster": (DATA["g"], lambda v: FIT.coefficients(robust="CR1", cluster=v)["se"].to_numpy()),
}


@pytest.mark.parametrize(("values", "answer"), BESIDE.values(), ids=BESIDE)
def test_rows_are_in_the_order_of_their_labels_or_refused(values, answer):
    expected = answer(values)
    moved = values.iloc[::-1]
    with pytest.raises(mme.MMEError, match=r"in another order \(row \d+ is 's\d+' there, 's\d+' here\)"):
        answer(moved)
    np.testing.assert_array_equal(answer(moved.loc[INDEX]), expected)
    np.testing.assert_array_equal(answer(values.set_axis(range(N))), expected)  # labels that are not the table's


def test_a_response_of_the_rows_used_has_their_labels():
    there = DATA.assign(y=DATA["y"].where(np.arange(N) != 5))
    fit = mme.lmer("y ~ x + (1 | g)", there)
    used = DATA["y"].drop("s5")
    np.testing.assert_allclose(fit.refit(used).beta, fit.beta, rtol=1e-8)
    with pytest.raises(mme.MMEError, match="in another order"):
        fit.refit(used.iloc[::-1])


def test_labels_that_repeat_say_nothing_of_the_order():
    twice = pd.Index(np.arange(N) // 2)
    data = DATA.set_axis(twice)
    weights = pd.Series(POSITIVE.to_numpy(), twice[::-1])
    np.testing.assert_array_equal(mme.lmer("y ~ x + (1 | g)", data, weights=weights).beta, lmer(weights=POSITIVE))
