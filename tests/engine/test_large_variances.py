"""At variances far above that of the residuals a fit is the one of fixed levels to the last digits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mme

RNG = np.random.default_rng(0)
G, H, X = np.repeat(np.arange(8), 3), np.arange(24) % 5, RNG.normal(size=24)
DATA = {"y": RNG.normal(size=24) + RNG.normal(size=8)[G], "x": X, "g": G, "h": H}
PEDIGREE = mme.Pedigree(np.arange(8), [None, None, 0, 0, 0, 2, 2, 2], [None, None, 1, 1, 1, 3, 4, 4])
ONE, TWO = "y ~ x + (1 | g)", "y ~ x + (1 | g) + (1 | h)"
FAR = [1e5, 1e6, 1e7, 1e8]


def indicators(codes):
    return np.eye(codes.max() + 1)[codes]


@pytest.mark.parametrize("theta", FAR)
@pytest.mark.parametrize(("formula", "related"), [(ONE, True), (TWO, True), (TWO, False)])
def test_residuals_are_those_of_levels_that_are_fixed(theta, formula, related):
    """P y differs from the residual of least squares on [X Z] by a share theta^-2."""
    relationship = {"g": PEDIGREE} if related else None
    fit = mme.lmer(formula, DATA, theta=[theta] * formula.count("|"), relationship=relationship)
    columns = [np.ones((24, 1)), X[:, None], indicators(G), *([indicators(H)] if "h" in formula else [])]
    whole = np.hstack(columns)
    fixed = DATA["y"] - whole @ np.linalg.lstsq(whole, DATA["y"], rcond=None)[0]
    assert_allclose(fit.residuals, fixed, atol=2e-9 if theta == 1e5 else 1e-11)
    assert_allclose(fit.fitted + fit.residuals, DATA["y"], atol=1e-12)
    x_free = X - whole[:, 2:] @ np.linalg.lstsq(whole[:, 2:], X, rcond=None)[0]
    assert_allclose(fit.se["x"] / fit.sigma, 1.0 / np.linalg.norm(x_free), rtol=1e-9)


@pytest.mark.parametrize("theta", FAR)
def test_what_is_left_of_a_levels_variance_is_that_of_the_mean_of_its_records(theta):
    """var(b | y) comes to sigma^2 (Z'Z)^-1, whatever the relationship."""
    fit = mme.lmer(ONE, DATA, theta=[theta], relationship={"g": PEDIGREE})
    assert_allclose(np.ravel(fit.condvar()["g"]), fit.sigma**2 / 3.0, rtol=1e-9)


@pytest.mark.parametrize("theta", FAR)
def test_the_variance_of_the_intercept_is_that_of_the_mean_of_related_levels(theta):
    """Beside a term alone 1 / theta^2 (X'V^-1 X)^-1 comes to the weighted mean's of base animals, 1 / 1'A^-1 1."""
    fit = mme.lmer("y ~ 1 + (1 | g)", DATA, theta=[theta], relationship={"g": PEDIGREE})
    expected = theta * fit.sigma / np.sqrt(PEDIGREE.Ainv.sum())
    assert_allclose(fit.se["(Intercept)"], expected, rtol=1e-9)
