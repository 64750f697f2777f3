"""Neighbours that take a fit, or its draws: xarray, ArviZ, marginaleffects."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest

import mme


def test_draws_become_a_dataset_with_their_labels():
    pytest.importorskip("xarray")
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    draws = fit.draws(7, seed=1)
    made = draws.to_xarray()
    assert made["b_Subject"].dims == ("chain", "draw", "Subject", "Subject_coefficient")
    assert made["b_Subject"].sel(Subject="309", Subject_coefficient="Days").to_numpy().shape == (1, 7)
    at = fit.ranef()["Subject"].index.get_loc("309")
    np.testing.assert_array_equal(made["b_Subject"].sel(chain=0, Subject="309"), draws.b["Subject"][:, at])
    np.testing.assert_array_equal(made["beta"].sel(chain=0, coefficient="Days"), draws.beta["Days"])


def test_a_package_that_is_not_there_is_named(monkeypatch):
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"))
    for name in ("xarray", "arviz", "marginaleffects", "marginaleffects.classes"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(mme.MMEError, match="pip install xarray"):
        fit.draws(2).to_arviz()
    with pytest.raises(mme.MMEError, match="pip install marginaleffects"):
        fit.for_marginaleffects(mme.load("sleepstudy"))


@pytest.mark.skipif(
    find_spec("marginaleffects") is None or int(pl.__version__.split(".")[0]) > 1, reason="needs marginaleffects"
)
def test_marginaleffects_has_the_means_of_the_fit():
    import marginaleffects

    oats = mme.load("Oats")
    fit = mme.lmer("log(yield) ~ nitro * Variety + (1 | Block/Variety)", oats)
    grid = {"nitro": [0.3] * 3, "Variety": ["Golden Rain", "Marvellous", "Victory"]}
    found = marginaleffects.predictions(fit.for_marginaleffects(oats), newdata=pl.DataFrame(grid))
    means = fit.means("Variety", at={"nitro": 0.3})
    np.testing.assert_allclose(found["estimate"], means["mean"], rtol=1e-12)
    np.testing.assert_allclose(found["std_error"], means["se"], rtol=1e-6)
    herds = mme.load("cbpp")
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, "binomial")
    found = marginaleffects.predictions(fit.for_marginaleffects(herds), newdata=pl.DataFrame({"period": ["1", "2"]}))
    np.testing.assert_allclose(found["estimate"], fit.predict({"period": ["1", "2"]}, random=False), rtol=1e-12)
