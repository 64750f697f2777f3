"""Profiles of parameters that lie at their bound, to rounding, end there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme


@pytest.mark.parametrize("size", [1e-4, 1e-8, 1e-10])
@pytest.mark.parametrize("kind", ["compound symmetry at its lower bound", "at its upper", "one band", "AR(1)"])
def test_a_limit_that_is_the_bound_ends_the_profile(kind, size):
    rng = np.random.default_rng(1)
    J, m = (20, 4) if kind == "one band" else (6, 3)
    data = pd.DataFrame({"g": np.repeat(np.arange(J), m), "t": np.tile(np.arange(m), J)})
    noise = rng.normal(size=J * m)
    level = np.repeat(rng.normal(size=J), m)
    apart = noise - (1.0 - size) * pd.Series(noise).groupby(data["g"]).transform("mean")
    data["y"] = apart if "lower" in kind else level + size * noise
    residual = {"o": mme.Toeplitz("t", "g", bands=1), "A": mme.AR1("t", "g")}.get(kind[0], mme.CompoundSymmetry("g"))
    fit = mme.lmer("y ~ 1", data, residual=residual)
    (name,) = fit.residual
    low, high = fit.model.residual.bounds[0]
    profile = fit.profile(name)
    lower, upper = profile.confint().loc[name]
    assert low <= lower <= profile.estimates[profile.names.index(name)] <= upper <= high
    edge = 0.5 / np.cos(np.pi / (m + 1))  # beyond it one band is not positive definite
    bound = low if "lower" in kind else edge if kind == "one band" else high
    assert abs((lower if "lower" in kind else upper) - bound) < 10.0 * size + 1e-12
    assert np.isfinite(profile.curves[name].zeta).all()
