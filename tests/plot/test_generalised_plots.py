"""What the pictures of generalised fits show: contents of the axes, no pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import poisson

import mme
from tests.glmm import glmm_case, glmm_fit

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'mme[plot]'")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def points(ax: object) -> np.ndarray:
    """Points of all scatters, in the order of x."""
    found = [np.asarray(one.get_offsets()) for one in ax.collections if type(one).__name__ == "PathCollection"]
    every = np.concatenate(found)
    return every[np.argsort(every[:, 0])]


def test_binned_residuals_are_means_of_runs() -> None:
    fit = glmm_fit("contra_slope")
    ax = fit.plot.binned(bins=10)
    order = np.argsort(fit.fitted.to_numpy(), kind="stable")
    r = fit.residuals("response").to_numpy()
    known = [[fit.fitted.to_numpy()[run].mean(), r[run].mean()] for run in np.array_split(order, 10)]
    np.testing.assert_allclose(points(ax), known, rtol=1e-10)
    assert "age" in fit.plot.binned("age").get_xlabel()
    with pytest.raises(mme.MMEError, match="no column 'weight'"):
        fit.plot.binned("weight")


def test_calibration_has_observed_beside_fitted_means() -> None:
    fit = glmm_fit("cbpp_logit")
    found = points(fit.plot.calibration(bins=4))
    data = glmm_case("cbpp_logit").data
    order = np.argsort(fit.fitted.to_numpy(), kind="stable")
    for (x, y), run in zip(found, np.array_split(order, 4), strict=True):
        size = data["size"].to_numpy()[run]
        assert y == pytest.approx(data["incidence"].to_numpy()[run].sum() / size.sum())
        assert x == pytest.approx((fit.fitted.to_numpy()[run] * size).sum() / size.sum())


def test_a_rootogram_hangs_observed_frequencies_from_expected_ones() -> None:
    fit, y = glmm_fit("cross_pois"), glmm_case("cross_pois").data["k"].to_numpy()
    ax = fit.plot.rootogram()
    known = np.sqrt([poisson.pmf(k, fit.fitted.to_numpy()).sum() for k in range(int(y.max()) + 1)])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), known, rtol=1e-6)
    bars = ax.patches
    np.testing.assert_allclose([bar.get_height() ** 2 for bar in bars], np.bincount(y.astype(int)), atol=1e-9)
    with pytest.raises(mme.MMEError, match="rootogram is of counts"):
        glmm_fit("contra_slope").plot.rootogram()


def test_residuals_are_drawn_against_the_linear_predictor() -> None:
    fit = glmm_fit("cbpp_logit")
    drawn = points(fit.plot.residuals("pearson"))
    order = np.argsort(fit.predict(type="link").to_numpy())
    np.testing.assert_allclose(drawn[:, 1], fit.residuals("pearson").to_numpy()[order], rtol=1e-10)
    assert len(points(fit.plot.qq())) == fit.nobs
    with pytest.raises(mme.MMEError, match="kind must be one of"):
        fit.plot.residuals("raw")


def test_a_caterpillar_has_the_modes_with_their_intervals() -> None:
    fit = glmm_fit("contra_slope")
    axes = fit.plot.caterpillar()
    assert [ax.get_xlabel().splitlines()[1] for ax in axes] == ["(logit of use)", "(logit of use per urbanY)"]
    modes = np.sort(fit.ranef()["district"]["(Intercept)"])
    np.testing.assert_allclose(points(axes[0])[:, 0], modes, rtol=1e-10)
