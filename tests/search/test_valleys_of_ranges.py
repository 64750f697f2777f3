"""Searches for ranges of correlations by distance, beside random effects: no valley beside them is lower."""

import numpy as np
import pandas as pd
import pytest

import mme

GRID = np.geomspace(0.3, 60.0, 15)


def series(seed: int) -> pd.DataFrame:
    """Eight series of ten uneven times, with levels, slopes and correlated errors of their own."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(8), 10)
    t = np.concatenate([np.sort(rng.choice(40, 10, replace=False)) for _ in range(8)]).astype(float)
    near = np.where(g[:, None] == g, np.exp(-np.abs(t[:, None] - t) / 8.0), 0.0)
    e = np.linalg.cholesky(near + 1e-9 * np.eye(80)) @ rng.normal(size=80)
    level, slope = 3.0 * rng.normal(size=8), 0.2 * rng.normal(size=8)
    return pd.DataFrame({"g": g, "t": t, "y": level[g] + slope[g] * t + e})


@pytest.mark.parametrize("text", ["y ~ 1 + (1 | g)", "y ~ t + (t | g)"])
@pytest.mark.parametrize("kind", ["gaussian", "exponential"])
@pytest.mark.parametrize("seed", range(3))
def test_no_range_of_a_grid_has_a_lower_criterion(seed: int, kind: str, text: str) -> None:
    data, residual = series(seed), mme.Spatial(kind, ["t"], "g")
    found = mme.lmer(text, data, residual=residual)
    beside = [mme.lmer(text, data, residual=residual, hold={"range": r}).criterion for r in GRID.tolist()]
    assert found.criterion <= min(beside) + 1e-6
