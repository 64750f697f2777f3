"""Messages say the user's own values: no NumPy scalar is written as one."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mme
from mme.errors import FormulaError, MMEError, MMEWarning


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    return pd.DataFrame({"g": np.repeat(np.arange(8), 5), "t": np.tile(np.arange(5), 8), "y": rng.normal(size=40)})


def _message(ask):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ask()
        except MMEError as error:
            return str(error)
    return ""


def test_no_message_has_a_numpy_scalar_in_it(data):
    fit = mme.lmer("y ~ t + (1 | g)", data)
    one = np.int64(1)
    asked = [
        lambda: mme.lmer("y ~ 1 + (1 | g)", data.assign(g=7)),
        lambda: mme.lmer("y ~ t + (1 | g)", data, sigma=np.float64(-1.0)),
        lambda: mme.lmer("y ~ t + (1 | g)", data, theta=np.array([1.0, 2.0])),
        lambda: mme.lmer("y ~ t + (1 | g)", data, method=one),
        lambda: fit.predict({"t": [0], "g": np.array([99])}),
        lambda: fit.predict(random=[np.str_("h")]),
        lambda: fit.confint(level=np.float64(2.0)),
        lambda: fit.coefficients(ddf=one),
        lambda: fit.draws(np.int64(0)),
        lambda: fit.bootstrap(np.int64(0)),
        lambda: fit.simulate(np.int64(0)),
        lambda: fit.anova(type=np.int64(7)),
        lambda: fit.ranef(by=one),
        lambda: fit.profile([one]),
        lambda: mme.lmer("y ~ t", data, residual=mme.AR1("t", "g"), phi={"rho": np.float64(4.0)}),
        lambda: mme.lmer("y ~ t", data, residual=mme.Toeplitz("t", "g", bands=np.int64(0))),
        lambda: mme.Pedigree(np.array([1, 2, 1]), [None] * 3, [None] * 3),
        lambda: mme.Pedigree(np.array([1, 2]), np.array([2, 1]), [None] * 2),
        lambda: mme.Relationship(covariance=np.array([[1.0, 0.5], [0.2, 1.0]]), levels=np.array([1, 2])),
        lambda: mme.Term(data["g"], relationship=mme.Pedigree(np.arange(3), [None] * 3, [None] * 3)),
    ]
    messages = [_message(ask) for ask in asked]
    assert sum(map(bool, messages)) >= len(asked) - 3  # nearly all of them are refused
    for message in messages:
        assert "np." not in message, message
        assert "numpy" not in message, message


def test_errors_and_warnings_are_what_they_were_but_for_numpys_scalars():
    half, name, yes = np.float64(0.5), np.str_("a"), np.bool_(True)
    error = MMEError(f"levels {[np.int64(1), np.int64(2)]!r}, {half!r}, {name!r}, {yes!r}")
    assert str(error) == "levels [1, 2], 0.5, 'a', True"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(MMEWarning(f"{np.float64('nan')!r} in np.log(x)")) == "nan in np.log(x)"
    assert str(FormulaError.at("y ~ np.log(x)", 4, "here")) == "here\n    y ~ np.log(x)\n        ^"


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
def test_a_variance_of_zero_is_zero_and_prints_as_zero(data, scale):
    rng = np.random.default_rng(3)
    records = data.assign(x=rng.normal(size=40), y=rng.normal(size=40) * scale)
    found = 0
    for formula in ("y ~ x + (x || g)", "y ~ x + (1 | g) + (1 | t)", "y ~ x + (x | g)"):
        fit = mme.lmer(formula, records)
        for name, part in fit.varcorr.items():
            for column, sd in zip(part.names, part.sd.tolist(), strict=True):
                assert sd == 0.0 or sd > 1e-4 * fit.sigma
                if sd == 0.0:
                    found += 1
                    table = fit.varcorr.to_frame().set_index(["group", "term1"])
                    assert table.loc[(name, column), "variance"].max() == 0.0
                    line = next(text for text in fit.summary().splitlines() if column in text and "e-" not in text)
                    assert line
        assert not [line for line in fit.summary().splitlines() if " 0.0" in line and "e-2" in line]
    assert found


def test_columns_of_a_residual_come_in_any_container_or_are_refused_in_words(data):
    groups = {"a": [str(g) for g in data["g"]], "b": [g % 2 for g in data["g"].tolist()]}
    apart = mme.lmer("y ~ t", data, residual=mme.CompoundSymmetry(pd.DataFrame(groups)))
    for table in (pl.DataFrame(groups), pa.table(groups)):
        same = mme.lmer("y ~ t", data, residual=mme.CompoundSymmetry(table))
        assert same.criterion == apart.criterion
    union = pa.UnionArray.from_sparse(pa.array([0] * 40, type=pa.int8()), [pa.array(data["g"]), pa.array(groups["a"])])
    by_union = mme.lmer("y ~ t", data, residual=mme.CompoundSymmetry(union))
    assert by_union.criterion == pytest.approx(apart.criterion, abs=1e-8)
    for given in ([[1], [1, 2]] * 20, "x", [1], {"a": 1}, None, np.array(None)):
        assert len(_message(lambda given=given: mme.lmer("y ~ t", data, residual=mme.AR1(given, "g")))) > 20
        if given is not None:
            assert len(_message(lambda given=given: mme.lmer("y ~ t", data, residual=given))) > 20


def test_warnings_point_at_the_line_that_asked():
    oats = (
        mme.load("Oats")
        .query("not (Variety == 'Victory' and nitro == 0)")
        .assign(N=lambda d: "n" + d["nitro"].astype(str))
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = mme.lmer("yield ~ yield + N * Variety + (1 | Block)", oats)
        fit.means("N")
        fit.anova()
    assert len(caught) > 2
    assert {one.filename for one in caught} == {__file__}
    lines = [one.lineno for one in caught]
    assert sorted({line - min(lines) for line in lines}) == [0, 1, 2]
